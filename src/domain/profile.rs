//! What the product's tokens say of a user: name and picture, each by the newest token that says it.
//!
//! A user has several tokens at a time: one is refreshed, an older one is still in use on another device. So what was
//! issued last decides, not what came last. A token that does not say a name says nothing about it. Without `iat`, or with
//! one that is yet to come, a token counts as older than any that has one; among equals the one that expires later
//! decides, and among those the greater text, so that every node comes to the same.

/// How far ahead of the clock a token may have been issued, milliseconds.
const AHEAD_MS: i64 = 60_000;

/// How new what a token says is: the greater one holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamp {
    /// When the token was issued, milliseconds since the Unix epoch; 0 if it does not say.
    pub issued_at_ms: i64,
    /// When it expires, milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

impl Stamp {
    /// Of a token that is seen at `now_ms`.
    #[must_use]
    pub fn new(issued_at_ms: Option<i64>, expires_at_ms: i64, now_ms: i64) -> Self {
        let in_time = |issued: &i64| (1..=now_ms.saturating_add(AHEAD_MS)).contains(issued);
        Self { issued_at_ms: issued_at_ms.filter(in_time).unwrap_or(0), expires_at_ms }
    }
}

/// One thing that tokens say, and how new it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamped {
    /// Of the token that said it.
    pub stamp: Stamp,
    /// What it said; empty if unknown.
    pub text: String,
}

/// What one token says of its user.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Display name; none if the token does not say.
    pub name: Option<String>,
    /// Picture URL; none if the token does not say.
    pub picture: Option<String>,
    /// How new it is.
    pub stamp: Stamp,
}

/// Names and pictures are personal data: they stay out of logs.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Said").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

/// What all tokens together say of a user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Display name.
    pub name: Stamped,
    /// Picture URL.
    pub picture: Stamped,
}

impl Names {
    /// With what one more token says.
    #[must_use]
    pub fn after(&self, said: &Said) -> Self {
        let newer = |known: &Stamped, text: &Option<String>| match text {
            Some(text) => known.clone().max(Stamped { stamp: said.stamp, text: text.clone() }),
            None => known.clone(),
        };
        Self { name: newer(&self.name, &said.name), picture: newer(&self.picture, &said.picture) }
    }

    /// Whether `said` adds nothing.
    #[must_use]
    pub fn knows(&self, said: &Said) -> bool {
        let is_known = |known: &Stamped, text: &Option<String>| match text {
            Some(text) => (said.stamp, text) <= (known.stamp, &known.text),
            None => true,
        };
        is_known(&self.name, &said.name) && is_known(&self.picture, &said.picture)
    }

    /// Of two accounts, of each thing the newer.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self { name: self.name.max(other.name), picture: self.picture.max(other.picture) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(name: Option<&str>, issued: i64) -> Said {
        let stamp = Stamp { issued_at_ms: issued, expires_at_ms: issued + 10 };
        Said { name: name.map(str::to_owned), picture: None, stamp }
    }

    #[test]
    fn the_newest_token_that_says_it_decides() {
        let names = Names::default().after(&said(Some("new"), 20));
        for other in [said(Some("old"), 10), said(None, 30), said(Some("sans iat"), 0)] {
            assert!(names.knows(&other));
            assert_eq!(names.after(&other).name.text, "new");
        }
        assert_eq!(names.after(&said(Some(""), 30)).name.text, "", "a name can be taken back by saying so");
    }

    #[test]
    fn a_token_from_the_future_decides_nothing() {
        assert_eq!(Stamp::new(Some(200_000), 9, 100_000).issued_at_ms, 0);
        assert_eq!(Stamp::new(Some(100_500), 9, 100_000).issued_at_ms, 100_500);
        assert_eq!(Stamp::new(None, 9, 100_000), Stamp { issued_at_ms: 0, expires_at_ms: 9 });
    }

    fn a_token() -> impl Strategy<Value = Said> {
        let text = prop::option::of(prop::sample::select(vec!["", "a", "b", "c"]));
        (text.clone(), text, 0_i64..4, 0_i64..3).prop_map(|(name, picture, issued_at_ms, expires_at_ms)| Said {
            name: name.map(str::to_owned),
            picture: picture.map(str::to_owned),
            stamp: Stamp { issued_at_ms, expires_at_ms },
        })
    }

    proptest! {
        /// Whatever order tokens come in, on however many nodes, the outcome is one.
        #[test]
        fn order_does_not_matter(tokens in prop::collection::vec(a_token(), 0..8), cut in 0_usize..8) {
            let of = |tokens: &mut dyn Iterator<Item = &Said>| tokens.fold(Names::default(), |n, said| n.after(said));
            let all = of(&mut tokens.iter());
            prop_assert_eq!(&of(&mut tokens.iter().rev()), &all);
            let (here, there) = tokens.split_at(cut.min(tokens.len()));
            prop_assert_eq!(&of(&mut here.iter()).merge(of(&mut there.iter())), &all);
            prop_assert!(tokens.iter().all(|said| all.knows(said)));
        }
    }
}
