//! One row of a table, as JSON: known columns are taken out by any of their names, what remains is unknown.

use serde_json::{Map, Value};

use super::odd::Oddities;
use crate::domain::{
    ids::{RoomId, UserId},
    room::{Role, RoomType},
};

/// A row from which columns are taken one by one. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Row(Map<String, Value>);

impl Row {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// The first of these columns that is there and not NULL; all of them are taken.
    fn take(&mut self, names: &[&str]) -> Option<Value> {
        let mut found = None;
        for name in names {
            let value = self.0.remove(*name).filter(|value| !value.is_null());
            found = found.or(value);
        }
        found
    }

    pub(super) fn text(&mut self, names: &[&str]) -> Option<String> {
        self.take(names).map(shown).filter(|text| !text.is_empty())
    }

    pub(super) fn number(&mut self, names: &[&str]) -> Option<i64> {
        self.take(names).and_then(|value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()))
    }

    /// A switch, however it is kept; a time counts as on.
    pub(super) fn flag(&mut self, names: &[&str]) -> Option<bool> {
        self.take(names).map(|value| match value {
            Value::Bool(on) => on,
            Value::Number(number) => number.as_i64() != Some(0),
            Value::String(text) => !matches!(text.to_ascii_lowercase().as_str(), "" | "f" | "false" | "0" | "no"),
            _ => true,
        })
    }

    /// What nobody took and is not empty.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, String)> {
        let said = |value: &Value| !value.is_null() && value.as_str() != Some("") && *value != Value::Bool(false);
        self.0.into_iter().filter(move |(_, value)| said(value)).map(|(name, value)| (name, shown(value)))
    }
}

fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The last moment that clients can be told, 9999-12-31T23:59:59Z.
const FOREVER_MS: i64 = 253_402_300_799_000;

/// A row of `room`.
#[derive(Clone, Debug)]
pub(super) struct SourceRoom {
    pub(super) id: RoomId,
    pub(super) room_type: RoomType,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) picture: String,
    pub(super) created_ms: Option<i64>,
    pub(super) creator: Option<UserId>,
    pub(super) encryption_data: Option<String>,
    pub(super) members_can_send: bool,
    pub(super) join_all: bool,
    pub(super) deleted: bool,
    pub(super) deleted_ms: Option<i64>,
}

impl SourceRoom {
    pub(super) fn read(mut row: Row, odd: &Oddities) -> Option<Self> {
        let id = row.text(&["id"])?;
        let Ok(id) = id.parse::<RoomId>() else {
            odd.add("room: the id is no UUID; not brought", &id);
            return None;
        };
        let named = row.text(&["type"]).unwrap_or_default();
        let room_type = named.trim().to_ascii_lowercase().parse().unwrap_or_else(|()| {
            odd.add("room.type: unknown; brought as a group", format!("{id} {named:?}"));
            RoomType::Group
        });
        let deleted_ms = row.number(&["deleted_at"]);
        let room = Self {
            id,
            room_type,
            name: row.text(&["name"]).unwrap_or_default(),
            description: row.text(&["description"]).unwrap_or_default(),
            picture: row.text(&["image", "picture", "photo_url", "avatar"]).unwrap_or_default(),
            created_ms: row.number(&["created_at"]),
            creator: row.number(&["created_by", "creator_id", "owner_id", "user_id"]).map(UserId),
            encryption_data: row.text(&["encryption_data"]),
            members_can_send: row.flag(&["send_message"]).unwrap_or(room_type != RoomType::Channel),
            join_all: row.flag(&["join_all_user", "join_all_users"]).unwrap_or(false),
            deleted: deleted_ms.is_some() || row.flag(&["is_deleted"]).unwrap_or(false),
            deleted_ms,
        };
        // Both follow from the messages.
        row.take(&["updated_at", "last_message_at"]);
        for (column, _) in row.rest() {
            odd.add(format!("room.{column}: not brought"), id);
        }
        Some(room)
    }
}

/// A row of `room_member`.
#[derive(Clone, Debug)]
pub(super) struct SourceMember {
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) joined_ms: Option<i64>,
    pub(super) removed_ms: Option<i64>,
    pub(super) pinned: bool,
    pub(super) muted_until_ms: i64,
    pub(super) blocks_partner: bool,
    pub(super) read_ms: Option<i64>,
}

impl SourceMember {
    pub(super) fn read(mut row: Row, room: RoomId, odd: &Oddities) -> Option<Self> {
        let user = UserId(row.number(&["user_id"]).unwrap_or_default());
        if user.0 < 1 {
            odd.add("room_member.user_id: nobody; not brought", room);
            return None;
        }
        let named = row.text(&["role"]).unwrap_or_default();
        let role = match named.trim().to_ascii_uppercase().as_str() {
            "OWNER" => Role::Owner,
            "ADMIN" => Role::Admin,
            "MEMBER" => Role::Member,
            _ => {
                odd.add("room_member.role: unknown; brought as MEMBER", format!("{room} user {user} {named:?}"));
                Role::Member
            }
        };
        let until = row.number(&["muted_until"]).unwrap_or_default();
        let muted = row.flag(&["is_muted", "muted"]).unwrap_or(false);
        let member = Self {
            user,
            role,
            joined_ms: row.number(&["joined_at", "created_at"]),
            removed_ms: row.number(&["removed_at", "deleted_at", "left_at"]),
            pinned: row.flag(&["is_pinned", "pinned"]).unwrap_or(false),
            muted_until_ms: if muted && until == 0 { FOREVER_MS } else { until },
            blocks_partner: row.flag(&["is_partner_blocked", "partner_blocked"]).unwrap_or(false),
            read_ms: row.number(&["last_read_at", "read_at"]),
        };
        // The row's own number says nothing, and unread is counted.
        row.take(&["id", "room_id", "updated_at", "unread_count"]);
        for (column, _) in row.rest() {
            odd.add(format!("room_member.{column}: not brought"), format!("{room} user {user}"));
        }
        Some(member)
    }

    pub(super) fn is_current(&self) -> bool {
        self.removed_ms.is_none()
    }
}

/// A row of `room_message`.
#[derive(Clone, Debug)]
pub(super) struct SourceMessage {
    pub(super) id: String,
    pub(super) sender: UserId,
    pub(super) content: String,
    pub(super) is_system: bool,
    pub(super) at_ms: Option<i64>,
    pub(super) edited_ms: Option<i64>,
    pub(super) deleted: bool,
    pub(super) deleted_ms: Option<i64>,
    pub(super) client_id: Option<String>,
    pub(super) reply_to: Option<String>,
    /// Columns that have no place of their own.
    pub(super) rest: Vec<(String, String)>,
}

impl SourceMessage {
    pub(super) fn read(mut row: Row) -> Self {
        let deleted_ms = row.number(&["deleted_at"]);
        let at_ms = row.number(&["created_at"]);
        let is_edited = row.flag(&["is_edited", "edited"]).unwrap_or(false);
        let updated_ms = row.number(&["updated_at"]);
        let edited_ms = row.number(&["edited_at"]).or_else(|| updated_ms.or(at_ms).filter(|_| is_edited));
        let message = Self {
            id: row.text(&["id"]).unwrap_or_default(),
            sender: UserId(row.number(&["sender_id"]).unwrap_or_default()),
            content: row.text(&["content"]).unwrap_or_default(),
            is_system: row.text(&["type"]).is_some_and(|named| named.eq_ignore_ascii_case("system_message")),
            at_ms,
            edited_ms,
            deleted: deleted_ms.is_some() || row.flag(&["is_deleted"]).unwrap_or(false),
            deleted_ms,
            client_id: row.text(&["sender_message_id"]),
            reply_to: row.text(&["reply_id", "reply_to_id", "reply_message_id", "reply_to"]),
            rest: Vec::new(),
        };
        // Derived: delivery and reading are positions here, and the sender's name is a profile.
        row.take(&["room_id", "status", "sender_name", "sender_avatar", "content_decrypted"]);
        Self { rest: row.rest().collect(), ..message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        Row::parse(text).unwrap()
    }

    #[test]
    fn odd_rooms_are_counted_and_brought() {
        let odd = Oddities::default();
        let id = "00112233-4455-6677-8899-aabbccddeeff";
        let room = SourceRoom::read(row(&format!(r#"{{"id":"{id}","type":"Club","color":"red","x":null}}"#)), &odd);
        assert_eq!(room.unwrap().room_type, RoomType::Group);
        assert!(SourceRoom::read(row(r#"{"id":"7","type":"p2p"}"#), &odd).is_none());
        let rules: Vec<_> = odd.list().into_iter().map(|odd| (odd.rule, odd.times)).collect();
        assert_eq!(rules.len(), 3, "{rules:?}");
        assert!(rules.contains(&("room.color: not brought".to_owned(), 1)), "{rules:?}");
    }

    #[test]
    fn members_have_roles_and_flags_however_they_are_kept() {
        let (odd, room) = (Oddities::default(), RoomId([1; 16]));
        let read = |text: &str| SourceMember::read(row(text), room, &odd);
        let member = read(r#"{"user_id":"7","role":"admin","is_muted":1,"is_pinned":"t","removed_at":null}"#).unwrap();
        assert_eq!((member.user, member.role), (UserId(7), Role::Admin));
        assert_eq!((member.pinned, member.muted_until_ms, member.is_current()), (true, FOREVER_MS, true));
        assert!(read(r#"{"user_id":0,"role":"MEMBER"}"#).is_none());
        assert_eq!(read(r#"{"user_id":1,"role":"boss"}"#).unwrap().role, Role::Member);
        assert_eq!(odd.list().len(), 2);
    }

    #[test]
    fn what_has_no_place_stays_with_the_message() {
        let message = SourceMessage::read(row(
            r#"{"id":"a","sender_id":3,"content":"hi","type":"system_message","created_at":5,"updated_at":9,
                "is_edited":true,"mood":"good","file":null,"starred":false}"#,
        ));
        assert_eq!((message.is_system, message.edited_ms, message.deleted), (true, Some(9), false));
        assert_eq!(message.rest, [("mood".to_owned(), "good".to_owned())]);
    }
}
