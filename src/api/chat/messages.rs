//! Commands about messages.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::BytesMut;
use prost::Message as _;
use tertulia_proto::chat::v1 as pb;

use super::{Caller, ChatService, Reply, encoded};
use crate::{
    actors::ops::{PageAt, Turn},
    api::{convert, status::ApiError, wire},
    domain::{
        form,
        ids::{ClientMessageId, MessageId, RoomId, Seq, UserId},
        limits,
        message::Message,
        reject::{Flaw, Reject, text},
        status::Status,
    },
};

/// Messages on a page when the caller does not say.
const HISTORY_DEFAULT: usize = 50;
/// See above.
const HISTORY_MAX: usize = 200;
/// Messages found by a search when the caller does not say.
const SEARCH_DEFAULT: usize = 20;
/// See above.
const SEARCH_MAX: usize = 100;
/// Receipts on a page when the caller does not say.
const RECEIPTS_DEFAULT: usize = 100;
/// See above.
const RECEIPTS_MAX: usize = 1_000;

impl ChatService {
    pub(super) async fn send_message(&self, caller: &Caller, request: pb::SendMessageRequest) -> Reply {
        self.send_message_in_turn(caller, request, Turn::default()).await
    }

    pub(super) async fn send_message_in_turn(
        &self,
        caller: &Caller,
        mut request: pb::SendMessageRequest,
        turn: Turn,
    ) -> Reply {
        let room = convert::room_id(&request.room_id)?;
        if self.door.node.belongs(caller.author, room).await? {
            self.door.limits.room(room).await?;
        }
        text("client_message_id", &request.client_message_id, 0, limits::CLIENT_ID_BYTES_MAX)?;
        let client_id = match std::mem::take(&mut request.client_message_id) {
            empty if empty.is_empty() => uuid::Uuid::now_v7().to_string().into(),
            given => given.into(),
        };
        let sender_name = std::mem::take(&mut request.original_sender_name);
        if !sender_name.is_empty() {
            caller.must_be_admin()?;
            text("original_sender_name", &sender_name, 0, limits::NAME_BYTES_MAX)?;
            form::name("original_sender_name", &sender_name)?;
        }
        let sender_name = if sender_name.is_empty() { &*caller.name } else { &sender_name };
        let draft = convert::draft(request, sender_name, &self.door.url_schemes)?;
        let ack = self.door.node.send_in_turn(caller.author, room, draft, ClientMessageId(client_id), turn).await?;
        let rest = pb::SendMessageResponse {
            message: None,
            duplicate: ack.duplicate,
            durability: convert::durability(ack.durability) as i32,
            epoch: convert::number(ack.epoch.0),
        };
        // Nobody can have got what is new; of what was sent before it is told how far it has come since.
        let status = match ack.duplicate {
            false => Some(Status::default()),
            true => self.door.node.statuses(caller.author, std::slice::from_ref(&ack.message)).await?.of(&ack.message),
        };
        let mut out = BytesMut::with_capacity(512);
        wire::put_message(&mut out, 1, &ack.message, status);
        rest.encode_raw(&mut out);
        Ok(out.freeze())
    }

    pub(super) async fn get_message(&self, caller: &Caller, request: pb::GetMessageRequest) -> Reply {
        let node = &self.door.node;
        let page = match request.external_ref {
            Some(external) if request.message_id == 0 => {
                node.message_by_external(caller.author, &convert::external_in(external)).await?
            }
            Some(_) => return Err(Reject::invalid("external_ref", Flaw::NotAllowedHere).into()),
            None => node.message(caller.author, convert::message_id(request.message_id)?).await?,
        };
        let mut out = BytesMut::new();
        self.put_messages(&mut out, caller, &page.messages).await?;
        Ok(out.freeze())
    }

    pub(super) async fn get_message_history(&self, caller: &Caller, request: pb::GetMessageHistoryRequest) -> Reply {
        let limit = convert::limit(request.limit, HISTORY_DEFAULT, HISTORY_MAX)?;
        let page = match convert::optional_room_id(&request.room_id)? {
            Some(room) => {
                let at = self.page_at(caller, room, &request).await?;
                self.door.node.history(caller.author, room, at, limit).await?
            }
            None => {
                let only_before = request.after_message_id == 0
                    && request.around_message_id == 0
                    && request.before_seq == 0
                    && request.after_seq.is_none();
                if !only_before {
                    return Err(Reject::invalid("room_id", Flaw::Missing).into());
                }
                let before = (request.before_message_id != 0).then_some(MessageId(request.before_message_id));
                self.door.node.merged_history(caller.author, before, limit).await?
            }
        };
        let rest = pb::GetMessageHistoryResponse {
            messages: Vec::new(),
            has_more_before: page.has_more_before,
            has_more_after: page.has_more_after,
            next_before_seq: page.next_before.map_or(0, |seq| convert::number(seq.0)),
            next_after_seq: page.next_after.map_or(0, |seq| convert::number(seq.0)),
            next_before_message_id: page.next_before_id.map_or(0, |id| id.0),
        };
        let mut out = BytesMut::with_capacity(page.messages.len() * 256 + 16);
        self.put_messages(&mut out, caller, &page.messages).await?;
        rest.encode_raw(&mut out);
        Ok(out.freeze())
    }

    async fn page_at(
        &self,
        caller: &Caller,
        room: RoomId,
        request: &pb::GetMessageHistoryRequest,
    ) -> Result<PageAt, ApiError> {
        let given = [
            request.before_message_id != 0,
            request.after_message_id != 0,
            request.around_message_id != 0,
            request.before_seq != 0,
            request.after_seq.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err(Reject::invalid("before_message_id", Flaw::NotAllowedHere).into());
        }
        let anchor = async |id| {
            self.door.node.page_anchor(caller.author, room, convert::message_id(id)?).await.map_err(ApiError::from)
        };
        Ok(match given.iter().position(|given| *given) {
            Some(0) => PageAt::Before(anchor(request.before_message_id).await?),
            Some(1) => PageAt::After(anchor(request.after_message_id).await?),
            Some(2) => PageAt::Around(anchor(request.around_message_id).await?),
            Some(3) => PageAt::Before(convert::seq("before_seq", request.before_seq)?),
            Some(_) => PageAt::After(convert::seq("after_seq", request.after_seq.unwrap_or_default())?),
            None => PageAt::Newest,
        })
    }

    pub(super) async fn edit_message(&self, caller: &Caller, request: pb::EditMessageRequest) -> Reply {
        let id = convert::message_id(request.message_id)?;
        let mentions: Vec<UserId> = request.mentions.into_iter().map(UserId).collect();
        let content = form::content(request.content, request.encrypted)?;
        let edited = self.door.node.edit(caller.author, id, &content, request.encrypted, &mentions).await?;
        let status = self.door.node.statuses(caller.author, std::slice::from_ref(&edited)).await?.of(&edited);
        encoded(&pb::EditMessageResponse { message: Some(convert::message_with(&edited, status)) })
    }

    pub(super) async fn delete_message(&self, caller: &Caller, request: pb::DeleteMessageRequest) -> Reply {
        let id = convert::message_id(request.message_id)?;
        if request.for_me {
            self.door.node.hide(caller.author, id).await?;
        } else {
            self.door.node.delete(caller.author, id).await?;
        }
        encoded(&pb::DeleteMessageResponse {})
    }

    pub(super) async fn react_to_message(&self, caller: &Caller, request: pb::ReactToMessageRequest) -> Reply {
        let id = convert::message_id(request.message_id)?;
        if !request.remove {
            // One from before there were rules can still be taken back.
            form::reaction(&request.reaction)?;
        }
        let message = self.door.node.react(caller.author, id, &request.reaction, request.remove).await?;
        encoded(&pb::ReactToMessageResponse { reactions: convert::message(&message).reactions })
    }

    pub(super) async fn mark_messages_as_read(&self, caller: &Caller, request: pb::MarkMessagesAsReadRequest) -> Reply {
        let room = convert::room_id(&request.room_id)?;
        let to = match (request.up_to_message_id, request.up_to_seq) {
            (0, 0) => None,
            (0, seq) => Some(convert::seq("up_to_seq", seq)?),
            (id, 0) => Some(self.door.node.seq_of(caller.author, room, convert::message_id(id)?).await?),
            _ => return Err(Reject::invalid("up_to_seq", Flaw::NotAllowedHere).into()),
        };
        let (position, unread) = self.door.node.mark(caller.author, room, to, false).await?;
        let (read_seq, unread_count) = (convert::number(position.read_seq.0), convert::number(unread));
        encoded(&pb::MarkMessagesAsReadResponse { read_seq, unread_count })
    }

    pub(super) async fn mark_messages_as_delivered(
        &self,
        caller: &Caller,
        request: pb::MarkMessagesAsDeliveredRequest,
    ) -> Reply {
        let room = convert::room_id(&request.room_id)?;
        let to = convert::seq("up_to_seq", request.up_to_seq)?;
        let (position, _) = self.door.node.mark(caller.author, room, Some(to), true).await?;
        encoded(&pb::MarkMessagesAsDeliveredResponse { delivered_seq: convert::number(position.delivered_seq.0) })
    }

    pub(super) async fn search_messages(&self, caller: &Caller, request: pb::SearchMessagesRequest) -> Reply {
        let room = convert::optional_room_id(&request.room_id)?;
        let limit = convert::limit(request.limit, SEARCH_DEFAULT, SEARCH_MAX)?;
        let from = search_place(&request.cursor)?;
        let found = self.door.node.search(caller.author, room, &request.query, from, limit).await?;
        let mut out = BytesMut::new();
        self.put_messages(&mut out, caller, &found.messages).await?;
        let next_cursor = found.next.map(search_cursor).unwrap_or_default();
        pb::SearchMessagesResponse { messages: Vec::new(), next_cursor }.encode_raw(&mut out);
        Ok(out.freeze())
    }

    pub(super) async fn pin_message(&self, caller: &Caller, request: pb::PinMessageRequest) -> Reply {
        self.door.node.pin(caller.author, convert::message_id(request.message_id)?, true).await?;
        encoded(&pb::PinMessageResponse {})
    }

    pub(super) async fn unpin_message(&self, caller: &Caller, request: pb::UnpinMessageRequest) -> Reply {
        self.door.node.pin(caller.author, convert::message_id(request.message_id)?, false).await?;
        encoded(&pb::UnpinMessageResponse {})
    }

    pub(super) async fn get_pinned_messages(&self, caller: &Caller, request: pb::GetPinnedMessagesRequest) -> Reply {
        let room = convert::room_id(&request.room_id)?;
        let limit = convert::limit(request.limit, limits::PINS_MAX, limits::PINS_MAX)?;
        let before = pin_place(&request.cursor)?;
        let found = self.door.node.pinned(caller.author, room, before, limit).await?;
        let mut out = BytesMut::new();
        self.put_messages(&mut out, caller, &found.messages).await?;
        let next_cursor = found.next.map(pin_cursor).unwrap_or_default();
        pb::GetPinnedMessagesResponse { messages: Vec::new(), next_cursor }.encode_raw(&mut out);
        Ok(out.freeze())
    }

    pub(super) async fn get_message_receipts(&self, caller: &Caller, request: pb::GetMessageReceiptsRequest) -> Reply {
        let id = convert::message_id(request.message_id)?;
        let limit = convert::limit(request.limit, RECEIPTS_DEFAULT, RECEIPTS_MAX)?;
        let found = self.door.node.receipts(caller.author, id, UserId(request.after_user_id), limit).await?;
        let receipt = |receipt: &crate::actors::ops::Receipt| pb::Receipt {
            user_id: receipt.user.0,
            status: convert::reached(receipt.reached) as i32,
        };
        encoded(&pb::GetMessageReceiptsResponse {
            receipts: found.receipts.iter().map(receipt).collect(),
            read_count: convert::small(found.read),
            delivered_count: convert::small(found.delivered),
            has_more: found.has_more,
        })
    }

    /// Puts messages into field 1, where every answer of messages has them, and says of the caller's own how far they
    /// have come.
    async fn put_messages(
        &self,
        out: &mut BytesMut,
        caller: &Caller,
        messages: &[Arc<Message>],
    ) -> Result<(), ApiError> {
        let statuses = self.door.node.statuses(caller.author, messages).await?;
        messages.iter().for_each(|message| wire::put_message(out, 1, message, statuses.of(message)));
        Ok(())
    }
}

/// A place in a search as an opaque cursor.
fn search_cursor((room, seq): (RoomId, Seq)) -> String {
    URL_SAFE_NO_PAD.encode([&room.0[..], &seq.0.to_be_bytes()].concat())
}

/// Reads [`search_cursor`]; none for an empty one.
fn search_place(cursor: &str) -> Result<Option<(RoomId, Seq)>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ApiError::cursor())?;
    let (room, seq) = bytes.split_at_checked(16).ok_or_else(ApiError::cursor)?;
    match (room.try_into(), seq.try_into()) {
        (Ok(room), Ok(seq)) => Ok(Some((RoomId(room), Seq(u64::from_be_bytes(seq))))),
        _ => Err(ApiError::cursor()),
    }
}

/// A place among pinned messages as an opaque cursor.
fn pin_cursor(pin: Seq) -> String {
    URL_SAFE_NO_PAD.encode(pin.0.to_be_bytes())
}

/// Reads [`pin_cursor`]; none for an empty one.
fn pin_place(cursor: &str) -> Result<Option<Seq>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ApiError::cursor())?;
    let pin = bytes.try_into().map_err(|_| ApiError::cursor())?;
    Ok(Some(Seq(u64::from_be_bytes(pin))))
}
