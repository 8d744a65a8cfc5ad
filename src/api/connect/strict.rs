//! What protobuf's JSON would pass over in silence: names of enums that do not exist, and, when asked, names of fields.
//!
//! Protobuf tells readers to ignore both, for the sake of older servers; but a command of which half is ignored is done
//! wrong, and whoever misspelt it is never told. Names of enums are taken in any case, and with or without the enum's own
//! name before them (`owner`, `ROLE_OWNER`), as long as that says which is meant. Knows descriptors only.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

use super::error::{Code, ConnectError};

/// `1`: refuse fields that do not exist; `0`: ignore them.
const STRICT: HeaderName = HeaderName::from_static("tertulia-strict");
/// Types of protobuf's own have JSON of their own kind.
const WELL_KNOWN: &str = "google.protobuf.";

/// Whether the walk has put something else into the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is as it was.
    Same,
    /// Names of enums were replaced by their numbers.
    Changed,
}

/// Whether a request asks that fields that do not exist are refused.
///
/// # Errors
/// `invalid_argument` for another value than `0` and `1`.
pub(super) fn asked(headers: &HeaderMap, default: bool) -> Result<bool, ConnectError> {
    match headers.get(STRICT).map(http::HeaderValue::as_bytes) {
        None => Ok(default),
        Some(b"1") => Ok(true),
        Some(b"0") => Ok(false),
        Some(_) => Err(ConnectError::new(Code::InvalidArgument, format!("{STRICT} must be 0 or 1"))),
    }
}

/// Whether a message has an enum anywhere in it.
pub(super) fn has_enums(message: &MessageDescriptor) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![message.clone()];
    while let Some(message) = open.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            match field.kind() {
                Kind::Enum(_) => return true,
                Kind::Message(inner) => open.push(inner),
                _ => {}
            }
        }
    }
    false
}

/// Looks through a message as JSON, and writes enums by number where their name is not the canonical one. What does not
/// fit the types is passed over: the reader of the JSON complains about it.
///
/// # Errors
/// `out_of_range` for an enum's value that does not exist, and, if `strict`, `malformed` for a field that does not exist.
pub(super) fn check(message: &MessageDescriptor, json: &mut Value, strict: bool) -> Result<Checked, ConnectError> {
    let mut walk = Walk { strict, changed: false, path: Vec::new() };
    walk.message(message, json)?;
    Ok(if walk.changed { Checked::Changed } else { Checked::Same })
}

struct Walk {
    strict: bool,
    changed: bool,
    /// Names of fields as the `.proto` files have them, from the outermost.
    path: Vec<String>,
}

impl Walk {
    fn message(&mut self, message: &MessageDescriptor, json: &mut Value) -> Result<(), ConnectError> {
        let Value::Object(members) = json else { return Ok(()) };
        if message.full_name().starts_with(WELL_KNOWN) {
            return Ok(());
        }
        for (name, value) in members {
            let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
            match field {
                Some(field) => {
                    self.path.push(field.name().to_owned());
                    self.field(&field, value)?;
                    self.path.pop();
                }
                None if self.strict => return Err(self.unknown(message, name)),
                None => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, json: &mut Value) -> Result<(), ConnectError> {
        match (field.kind(), json) {
            (Kind::Message(entry), Value::Object(members)) if field.is_map() => {
                let kind = entry.map_entry_value_field().kind();
                members.values_mut().try_for_each(|value| self.value(&kind, value))
            }
            (kind, Value::Array(elements)) if field.is_list() => {
                elements.iter_mut().try_for_each(|value| self.value(&kind, value))
            }
            (kind, value) => self.value(&kind, value),
        }
    }

    fn value(&mut self, kind: &Kind, json: &mut Value) -> Result<(), ConnectError> {
        match kind {
            Kind::Message(message) => self.message(message, json),
            Kind::Enum(kind) if !kind.full_name().starts_with(WELL_KNOWN) => self.enumeration(kind, json),
            _ => Ok(()),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor, json: &mut Value) -> Result<(), ConnectError> {
        let known = match json {
            Value::String(name) if kind.get_value_by_name(name).is_some() => true,
            Value::String(name) => match meant(kind, name) {
                Some(number) => {
                    *json = number.into();
                    self.changed = true;
                    true
                }
                None => false,
            },
            Value::Number(number) => {
                // What is no integer at all is the reader's to refuse.
                let whole = number.as_i64().map(i32::try_from);
                whole.is_none_or(|number| number.is_ok_and(|number| kind.get_value(number).is_some()))
            }
            _ => true,
        };
        if known { Ok(()) } else { Err(self.out_of_range(kind, json)) }
    }

    fn unknown(&self, message: &MessageDescriptor, name: &str) -> ConnectError {
        let shown = shortened(name);
        let place = self.path.iter().map(String::as_str).chain([shown.as_str()]).collect::<Vec<_>>().join(".");
        let text = format!("{place}: {} has no field of this name", message.full_name());
        ConnectError::new(Code::InvalidArgument, text).about(place, "malformed")
    }

    fn out_of_range(&self, kind: &EnumDescriptor, json: &Value) -> ConnectError {
        let place = self.path.join(".");
        let names: Vec<String> = kind.values().map(|value| value.name().to_owned()).collect();
        let given = shortened(&json.to_string());
        let text = format!("{place}: {given} is none of {}", names.join(", "));
        ConnectError::new(Code::InvalidArgument, text).about(place, "out_of_range")
    }
}

/// A caller's text in an error, cut short.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The number of the value that a name means: in any case, with or without the enum's name before it. None if no value is
/// called so, or values of different numbers are.
fn meant(kind: &EnumDescriptor, name: &str) -> Option<i32> {
    let prefix = screaming(kind.name());
    let bare = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix(&prefix).map(str::to_owned).unwrap_or(upper)
    };
    let wanted = bare(name);
    let mut numbers = kind.values().filter(|value| bare(value.name()) == wanted).map(|value| value.number());
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

/// `SendRight` as `SEND_RIGHT_`, which protobuf's style puts before the names of an enum's values.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out + "_"
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap()
    }

    #[test]
    fn names_of_enums_are_read_as_they_are_meant() {
        let pool = pool();
        let number = |kind: &str, name: &str| meant(&pool.get_enum_by_name(kind).unwrap(), name);
        for (kind, name, expected) in [
            ("chat.v1.Role", "owner", Some(1)),
            ("chat.v1.Role", "ROLE_OWNER", Some(1)),
            ("chat.v1.Role", "role_Admin", Some(2)),
            ("chat.v1.Role", "unspecified", Some(0)),
            ("chat.v1.RoomType", "GROUP", Some(2)),
            ("chat.v1.RoomType", "Room_Type_P2P", Some(1)),
            ("chat.v1.SendRight", "deny", Some(3)),
            ("chat.v1.SendRight", "send_right_follow_room", Some(1)),
            ("chat.v1.SendRight", "followRoom", None),
            ("chat.v1.Role", "", None),
            ("chat.v1.Role", "ROLE_", None),
            ("chat.v1.Role", "ROLE_ROLE_OWNER", None),
            ("chat.v1.Role", "1", None),
            ("tokens.v1.Platform", "ios", Some(2)),
        ] {
            assert_eq!(number(kind, name), expected, "{kind} {name}");
        }
    }

    #[test]
    fn names_with_two_meanings_mean_nothing() {
        use prost_reflect::prost_types::{EnumDescriptorProto, EnumValueDescriptorProto, FileDescriptorProto};
        let value = |name: &str, number| EnumValueDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            ..Default::default()
        };
        let kind = EnumDescriptorProto {
            name: Some("Mood".to_owned()),
            value: vec![value("MOOD_GOOD", 0), value("GOOD", 1), value("Bad", 2), value("BAD", 3)],
            ..Default::default()
        };
        let file = FileDescriptorProto {
            name: Some("mood.proto".to_owned()),
            enum_type: vec![kind],
            syntax: Some("proto3".to_owned()),
            ..Default::default()
        };
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_proto(file).unwrap();
        let kind = pool.get_enum_by_name("Mood").unwrap();
        assert_eq!((meant(&kind, "good"), meant(&kind, "bad")), (None, None));
    }

    #[test]
    fn the_place_is_named() {
        let pool = pool();
        let walk = |message: &str, mut json: Value, strict| {
            let message = pool.get_message_by_name(message).unwrap();
            check(&message, &mut json, strict).map(|checked| (checked, json)).map_err(|error| format!("{error:?}"))
        };
        let register = "tokens.v1.RegisterTokenRequest";
        let (checked, json) = walk(register, json!({"token": {"platform": "ios", "clientId": "c"}}), true).unwrap();
        assert_eq!((checked, json), (Checked::Changed, json!({"token": {"platform": 2, "clientId": "c"}})));
        let same = json!({"token": {"platform": "IOS", "client_id": "c"}});
        assert_eq!(walk(register, same.clone(), true).unwrap(), (Checked::Same, same));
        for (json, strict, wanted) in [
            (json!({"token": {"platform": "PALM"}}), false, "token.platform"),
            (json!({"token": {"platform": 77}}), false, "token.platform"),
            (json!({"token": {"platform": -1}}), false, "token.platform"),
            (json!({"token": {"platform": 1_u64 << 40}}), false, "token.platform"),
            (json!({"token": {"plattform": "IOS"}}), true, "token.plattform"),
        ] {
            let error = walk(register, json.clone(), strict).unwrap_err();
            assert!(error.contains(&format!("field: {wanted:?}")), "{json}: {error}");
        }
        for passed in [
            json!({"token": {"plattform": "IOS"}}),
            json!({"token": 7}),
            json!([]),
            json!({"token": {"platform": null}}),
        ] {
            assert_eq!(walk(register, passed.clone(), false).unwrap(), (Checked::Same, passed));
        }
        let cursors = json!({"cursors": {"any": "1"}, "attempt": {"number": "1"}});
        assert_eq!(walk("chat.v1.StreamMessagesRequest", cursors.clone(), true).unwrap(), (Checked::Same, cursors));
        let muted = json!({"muted_until": "2030-01-01T00:00:00Z"});
        assert_eq!(walk("chat.v1.SetRoomPreferencesRequest", muted.clone(), true).unwrap(), (Checked::Same, muted));
    }

    #[test]
    fn what_has_enums_is_known() {
        let pool = pool();
        let has = |name: &str| has_enums(&pool.get_message_by_name(name).unwrap());
        assert!(has("chat.v1.CreateRoomRequest") && has("tokens.v1.RegisterTokenRequest"));
        assert!(!has("chat.v1.SendMessageRequest") && !has("chat.v1.GetRoomRequest"));
    }
}
