//! What a line means: a message, or a command that begins with a slash.
//!
//! Pure; must not know the rooms.

/// A line, understood. Targets are message numbers as shown beside each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Say(String),
    NewGroup { name: String, user_ids: Vec<i64> },
    Dm(i64),
    Edit { target: Option<i64>, text: String },
    Delete { target: Option<i64> },
    React { target: Option<i64>, reaction: String, remove: bool },
    Reply { target: i64, text: String },
    Pin { target: Option<i64>, pinned: bool },
    Star,
    Go(String),
    Leave,
    Search(String),
    Retry,
    Discard,
    Help,
    Quit,
}

/// One line for each command, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("/new group NAME USERID...", "make a group"),
    ("/dm USERID", "talk to one user"),
    ("/go NAME", "open the room whose name contains NAME"),
    ("/reply N [TEXT]", "answer message N"),
    ("/edit [#N] TEXT", "change your last message, or N"),
    ("/delete [#N]", "delete your last message, or N, for all"),
    ("/react [#N] :emoji", "react to the last message, or N"),
    ("/unreact [#N] :emoji", "take it back"),
    ("/pin [#N]  /unpin [#N]", "pin a message"),
    ("/search TEXT", "find in this room"),
    ("/star", "keep this room on top, or not"),
    ("/retry  /discard", "what could not be sent"),
    ("/leave", "leave this room"),
    ("/quit", "or Ctrl+C"),
];

const EMOJI: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("thumbsup", "👍"),
    ("-1", "👎"),
    ("thumbsdown", "👎"),
    ("heart", "❤️"),
    ("smile", "😄"),
    ("joy", "😂"),
    ("cry", "😢"),
    ("open_mouth", "😮"),
    ("angry", "😠"),
    ("tada", "🎉"),
    ("fire", "🔥"),
    ("eyes", "👀"),
    ("clap", "👏"),
    ("pray", "🙏"),
    ("rocket", "🚀"),
    ("ok", "👌"),
    ("100", "💯"),
];

/// Understands a line, or says how it should have been written.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(Command::Say(line.to_owned()));
    };
    if rest.starts_with('/') {
        // Two slashes: a message that begins with one.
        return Ok(Command::Say(rest.to_owned()));
    }
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    match name {
        "new" => new_group(rest),
        "dm" => user_id(rest).map(Command::Dm).ok_or_else(|| usage("/dm USERID")),
        "edit" => {
            let (target, text) = targeted(rest);
            filled(text, "/edit [#N] TEXT").map(|text| Command::Edit { target, text })
        }
        "delete" => Ok(Command::Delete { target: targeted(rest).0 }),
        "react" => react(rest, false),
        "unreact" => react(rest, true),
        "reply" => reply(rest),
        "pin" => Ok(Command::Pin { target: targeted(rest).0, pinned: true }),
        "unpin" => Ok(Command::Pin { target: targeted(rest).0, pinned: false }),
        "star" => Ok(Command::Star),
        "go" => filled(rest, "/go NAME").map(Command::Go),
        "leave" => Ok(Command::Leave),
        "search" => filled(rest, "/search TEXT").map(Command::Search),
        "retry" => Ok(Command::Retry),
        "discard" => Ok(Command::Discard),
        "help" | "?" => Ok(Command::Help),
        "quit" | "exit" => Ok(Command::Quit),
        _ => Err(format!("no command /{name}; /help lists them; // begins a message with a slash")),
    }
}

/// The trailing numbers are users, what stands before them is the name.
fn new_group(rest: &str) -> Result<Command, String> {
    const USAGE: &str = "/new group NAME USERID...";
    let words: Vec<&str> = rest.split_whitespace().collect();
    let Some((&"group", words)) = words.split_first() else {
        return Err(usage(USAGE));
    };
    let users = words.iter().rev().take_while(|word| user_id(word).is_some()).count();
    let (name, users) = words.split_at(words.len() - users);
    if name.is_empty() || users.is_empty() {
        return Err(usage(USAGE));
    }
    Ok(Command::NewGroup { name: name.join(" "), user_ids: users.iter().filter_map(|word| user_id(word)).collect() })
}

fn react(rest: &str, remove: bool) -> Result<Command, String> {
    let (target, word) = targeted(rest);
    let word = filled(word, "/react [#N] :emoji")?;
    let code = word.trim_matches(':');
    let known = EMOJI.iter().find(|(name, _)| *name == code);
    let reaction = known.map_or(code, |(_, emoji)| emoji).to_owned();
    if reaction.is_empty() || reaction.len() > 64 {
        return Err(usage("/react [#N] :emoji"));
    }
    Ok(Command::React { target, reaction, remove })
}

fn reply(rest: &str) -> Result<Command, String> {
    let (number, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let target = number.trim_start_matches('#').parse().map_err(|_| usage("/reply N [TEXT]"))?;
    Ok(Command::Reply { target, text: text.trim().to_owned() })
}

/// Splits a leading `#N` off.
fn targeted(rest: &str) -> (Option<i64>, &str) {
    let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match word.strip_prefix('#').and_then(|number| number.parse().ok()) {
        Some(number) => (Some(number), tail.trim()),
        None => (None, rest),
    }
}

fn user_id(word: &str) -> Option<i64> {
    word.parse().ok().filter(|id| *id > 0)
}

fn filled(text: &str, how: &str) -> Result<String, String> {
    if text.is_empty() { Err(usage(how)) } else { Ok(text.to_owned()) }
}

fn usage(how: &str) -> String {
    format!("write: {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_escaped_slashes() {
        assert_eq!(parse("hello /help"), Ok(Command::Say("hello /help".to_owned())));
        assert_eq!(parse("//etc"), Ok(Command::Say("/etc".to_owned())));
        assert!(parse("/nonsense").is_err());
    }

    #[test]
    fn groups_have_names_of_several_words() {
        let expected = Command::NewGroup { name: "Book club".to_owned(), user_ids: vec![2, 3] };
        assert_eq!(parse("/new group Book club 2 3"), Ok(expected));
        assert!(parse("/new group 2 3").is_err());
        assert!(parse("/new group Book club").is_err());
        assert!(parse("/new thing x 1").is_err());
    }

    #[test]
    fn targets_need_the_sharp() {
        assert_eq!(parse("/edit 5 apples"), Ok(Command::Edit { target: None, text: "5 apples".to_owned() }));
        assert_eq!(parse("/edit #5 apples"), Ok(Command::Edit { target: Some(5), text: "apples".to_owned() }));
        assert_eq!(parse("/delete #12"), Ok(Command::Delete { target: Some(12) }));
        assert_eq!(parse("/reply 7"), Ok(Command::Reply { target: 7, text: String::new() }));
        assert_eq!(parse("/reply #7 yes, so"), Ok(Command::Reply { target: 7, text: "yes, so".to_owned() }));
        assert!(parse("/reply yes").is_err());
    }

    #[test]
    fn reactions_by_code_or_as_they_are() {
        let react = |target, reaction: &str, remove| Command::React { target, reaction: reaction.to_owned(), remove };
        assert_eq!(parse("/react :+1:"), Ok(react(None, "👍", false)));
        assert_eq!(parse("/react :tada"), Ok(react(None, "🎉", false)));
        assert_eq!(parse("/react #3 🥳"), Ok(react(Some(3), "🥳", false)));
        assert_eq!(parse("/unreact :shipit:"), Ok(react(None, "shipit", true)));
        assert!(parse("/react").is_err());
        assert!(parse("/react ::").is_err());
    }
}
