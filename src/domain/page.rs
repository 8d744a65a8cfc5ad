//! How much one page of messages may hold, in messages and in bytes.
//!
//! Pages are bounded in bytes because clients are: gRPC clients refuse answers of more than 4 MiB unless told otherwise.

use super::{message::Message, room::RoomInfo};

/// Bytes of encoded messages on one page, at most; one message is on it however large it is.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Reads of the store that finding a page's messages may cost. A page that would cost more ends early and says where to
/// go on; messages that stand alone between a thousand other events each cost about ten.
pub const PAGE_READS_MAX: usize = 1_000;
/// Bytes of an encoded message beside its texts, at most.
const FIXED_BYTES: usize = 416;
/// Bytes around a text: its tag and its length.
const TEXT_BYTES: usize = 8;
/// Bytes of an encoded number, at most, with its tag.
const NUMBER_BYTES: usize = 12;

/// The most that a page may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageBound {
    /// Messages.
    pub items: usize,
    /// Bytes of encoded messages; the first message is taken even if it is larger.
    pub bytes: usize,
    /// Reads of the store.
    pub reads: usize,
}

impl From<usize> for PageBound {
    fn from(items: usize) -> Self {
        Self { items, bytes: PAGE_BYTES_MAX, reads: PAGE_READS_MAX }
    }
}

/// A page that is being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filling {
    bound: PageBound,
    items: usize,
    bytes: usize,
}

impl Filling {
    /// An empty page.
    #[must_use]
    pub const fn new(bound: PageBound) -> Self {
        Self { bound, items: 0, bytes: 0 }
    }

    /// Takes one more of `bytes`, if there is room for it. The first is too large for no page.
    pub fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.items == 0 || self.bytes.saturating_add(bytes) <= self.bound.bytes;
        if self.items >= self.bound.items || !fits {
            return false;
        }
        self.items += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// How many more it may hold.
    #[must_use]
    pub const fn items_left(&self) -> usize {
        self.bound.items - self.items
    }

    /// How many bytes more it may hold.
    #[must_use]
    pub const fn bytes_left(&self) -> usize {
        self.bound.bytes.saturating_sub(self.bytes)
    }
}

/// How many bytes a message has on the wire, at most: a sum of lengths, so that nothing need be encoded to know it.
#[must_use]
pub fn bytes_of(message: &Message) -> usize {
    let text = |text: &str| text.len() + TEXT_BYTES;
    let draft = &message.draft;
    let files: usize = draft
        .attachments
        .iter()
        .map(|file| 4 * NUMBER_BYTES + text(&file.url) + text(&file.mime) + text(&file.name))
        .sum();
    let metadata: usize = draft.metadata.iter().map(|(key, value)| TEXT_BYTES + text(key) + text(value)).sum();
    let reactions: usize = message.reactions.iter().map(|(name, _)| TEXT_BYTES + NUMBER_BYTES + text(name)).sum();
    let external = draft
        .external
        .as_ref()
        .map_or(0, |external| text(&external.source) + text(&external.chat) + text(&external.message));
    FIXED_BYTES
        + text(&draft.content)
        + text(&draft.sender_name)
        + text(&message.client_id.0)
        + draft.mentions.len() * NUMBER_BYTES
        + files
        + metadata
        + reactions
        + external
}

/// How many bytes a room's settings have on the wire, at most.
#[must_use]
pub fn bytes_of_info(info: &RoomInfo) -> usize {
    let texts = [&info.name, &info.description, &info.picture, &info.encryption_data];
    FIXED_BYTES + texts.iter().map(|text| text.len() + TEXT_BYTES).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_what_fits_and_its_first_always() {
        let mut page = Filling::new(PageBound { bytes: 10, ..PageBound::from(3) });
        assert!(page.takes(50), "the first");
        assert!(!page.takes(1), "nothing more");
        let mut page = Filling::new(PageBound { bytes: 10, ..PageBound::from(3) });
        assert!(page.takes(6) && !page.takes(5) && page.takes(4) && page.takes(0), "up to the bound");
        assert_eq!((page.items_left(), page.bytes_left()), (0, 0));
        assert!(!page.takes(0), "three are three");
        assert!(!Filling::new(PageBound::from(0)).takes(1));
    }
}
