//! Shapes of lines, one by one.

use crate::client::irc::{
    Counts, Kind, Line, ReadError, clock,
    decode::Encoding,
    parse, read_dir,
    tests::{hour_of, real_dir, ten_hours},
};

fn one(raw: &str) -> Line {
    let mut hour = hour_of(raw);
    assert_eq!(hour.lines.len(), 1, "{raw}");
    hour.lines.remove(0)
}

#[track_caller]
fn reads(raw: &str, kind: Kind, nick: &str, text: &str) {
    let line = one(raw);
    assert_eq!((line.kind, line.nick.as_str(), line.text.as_str()), (kind, nick, text), "{raw}");
}

#[test]
fn messages() {
    reads("[12:18] <|tea|> hello:  you :)", Kind::Message, "|tea|", "hello:  you :)");
    reads("[00:00] <a[]> <b> nested", Kind::Message, "a[]", "<b> nested");
    reads("[12:18] <quiet>", Kind::Message, "quiet", "");
    reads("[12:18] <t>   indented ", Kind::Message, "t", "  indented ");
    reads("[12:18] <t> === not a notice", Kind::Message, "t", "=== not a notice");
}

#[test]
fn actions_of_both_styles() {
    reads("[07:35]  * Mint slaps Chai around a bit", Kind::Action, "Mint", "slaps Chai around a bit");
    reads("[07:35] * Mint waves", Kind::Action, "Mint", "waves");
    reads("[07:09]  * sieve", Kind::Action, "sieve", "");
    reads("=== |tea| nods off", Kind::Action, "|tea|", "nods off");
    reads("=== urn *shrugs*", Kind::Action, "urn", "*shrugs*");
    reads("=== Mint has joined forces", Kind::Action, "Mint", "has joined forces");
    reads("=== Mint [sic] has quit smoking", Kind::Quit, "Mint", "smoking");
}

#[test]
fn arrivals_and_departures() {
    reads("=== Mint [~m@host.example]  has joined #tea", Kind::Join, "Mint", "");
    reads("=== [kettle]  [~k@192.0.2.1]  has joined #tea", Kind::Join, "[kettle]", "");
    reads("=== Mint [~m@host]  has left #Tea [\"Bye]", Kind::Leave, "Mint", "\"Bye");
    reads("=== Mint [~m@host]  has left #tea []", Kind::Leave, "Mint", "");
    reads("=== Mint [~m@host]  has quit [Ping timeout]", Kind::Quit, "Mint", "Ping timeout");
    reads("=== Mint [~m@host]  has quit", Kind::Quit, "Mint", "");
}

#[test]
fn renames_and_notices() {
    reads("=== a_ is now known as a[away]", Kind::Rename, "a_", "a[away]");
    reads("=== a is now known as the boss", Kind::Action, "a", "is now known as the boss");
    reads("=== ..[topic/#tea:Mint] : Tea | only", Kind::Topic, "", "..[topic/#tea:Mint] : Tea | only");
    reads("=== mode/#tea [-b *!*@x]  by Mint", Kind::Notice, "", "mode/#tea [-b *!*@x]  by Mint");
    for odd in ["", "garbage", "[99:00] <a> b", "[1:00] <a> b", "[12:00] ?", "[12:00] <> b", "[12:00] <a b> c", "=== "]
    {
        // The shortest has no line at all, the others are kept whole.
        let hour = hour_of(odd);
        assert_eq!(hour.lines.len(), usize::from(!odd.is_empty()), "{odd}");
        assert!(hour.lines.iter().all(|line| line.kind == Kind::Notice), "{odd}");
    }
    assert_eq!(one("[99:00] <a> b").text, "[99:00] <a> b");
}

#[test]
fn line_ends_and_empty_lines_are_lines() {
    let hour = hour_of("[12:00] <a> b\r\n\n[12:01] <a> c");
    let texts: Vec<_> = hour.lines.iter().map(|line| (line.number, line.text.as_str())).collect();
    assert_eq!(texts, [(0, "b"), (1, ""), (2, "c")]);
    assert_eq!(hour.counts(), Counts { messages: 2, notices: 1, ..Counts::default() });
}

#[test]
fn lines_that_are_not_utf8_are_kept_and_flagged() {
    let hour = parse("2004-11-15", b"[12:00] <Zo\xeb> caf\xe9\n[12:00] <a> caf\xc3\xa9\n", b"").unwrap();
    assert_eq!((hour.lines[0].nick.as_str(), hour.lines[0].text.as_str()), ("Zoë", "café"));
    assert_eq!(hour.lines[0].encoding, Encoding::Windows1252);
    assert_eq!((hour.lines[1].text.as_str(), hour.lines[1].encoding), ("café", Encoding::Utf8));
}

#[test]
fn times_come_from_the_name_and_the_lines() {
    let hour = hour_of("=== a [h]  has joined #tea\n[23:59] <a> b\n=== a shrugs\n[00:01] <a> c\n");
    let at: Vec<_> = hour.lines.iter().map(|line| line.at - 1_100_476_800).collect();
    assert_eq!(at, [86_340, 86_340, 86_340, 86_460]);
    let error = parse("tea", b"", b"").unwrap_err();
    assert_eq!(error, ReadError::NoDate { name: "tea".to_owned() });
}

#[test]
fn a_known_nick_at_the_head_of_a_line_is_a_mention() {
    let hour = hour_of(
        "[12:00] <a> |Tea|: before anybody knows\n[12:00] <|Tea|> hi\n[12:00] <a> |tea|, hello\n\
         [12:01] <a> |tea| : no\n[12:01] <a> http://x\n=== |Tea| is now known as Mint\n[12:02] <a> |Tea|: gone\n\
         [12:02] <a> mint:there\n=== Mint [h]  has left #tea []\n[12:03] <a> Mint: gone\n",
    );
    let mentions: Vec<_> = hour.lines.iter().filter_map(|l| Some((l.number, l.mention.as_deref()?))).collect();
    assert_eq!(mentions, [(2, "|Tea|"), (7, "Mint")]);
}

#[test]
fn links_become_replies_to_messages() {
    let raw = b"[12:00] <a> one\n=== b [h]  has joined #tea\n[12:00] <b> two\n[12:00] <c>\n[12:00] <c> three\n";
    let hour = parse("2004-11-15", raw, b"0 0 -\n0 2 -\n1 2 -\n0 4 -\n3 4 -\n2 4 -\n").unwrap();
    let replies: Vec<_> = hour.lines.iter().map(|line| line.reply_to).collect();
    assert_eq!(replies, [None, None, Some(0), None, Some(2)]);
    assert!(hour.lines[0].starts_conversation);
    assert_eq!((hour.links.total, hour.links.not_messages, hour.links.farther), (6, 2, 1));
}

#[test]
fn every_line_of_ten_hours_is_accounted_for() {
    for hour in ten_hours() {
        assert_eq!(hour.counts().total(), hour.lines.len());
        assert_eq!(hour.lines.len(), 1250, "{}", hour.name);
        assert!(hour.lines.iter().enumerate().all(|(at, line)| line.number == at));
        assert!(hour.lines.is_sorted_by_key(|line| line.at), "{}", hour.name);
        let links = hour.links;
        let judged = links.replies + links.starts + links.farther + links.not_messages;
        assert_eq!(links.total, judged + links.out_of_range + links.malformed);
        assert_eq!(links.out_of_range + links.malformed, 0);
        for line in &hour.lines {
            let answered = line.reply_to.map(|earlier| &hour.lines[earlier]);
            assert!(answered.is_none_or(|earlier| earlier.number < line.number && earlier.is_message()));
        }
    }
}

/// Counted by hand with other tools.
#[test]
fn the_real_logs_hold_what_they_are_known_to_hold() {
    let Some(dir) = real_dir() else { return };
    let mut counts = Counts::default();
    let hours = read_dir(&dir).unwrap();
    hours.iter().flat_map(|hour| &hour.lines).for_each(|line| counts.add(line.kind));
    let known =
        Counts { messages: 11_615, actions: 69, joins: 496, leaves: 48, quits: 0, renames: 268, topics: 1, notices: 3 };
    assert_eq!(counts, known);
    let links: usize = hours.iter().map(|hour| hour.links.total).sum();
    let starts: usize = hours.iter().map(|hour| hour.links.starts).sum();
    assert_eq!((links, starts), (2_607, 462));
}

#[test]
fn the_real_logs_begin_when_they_began() {
    let Some(dir) = real_dir() else { return };
    let begins = [
        ("2004-11-15_03", "2004-11-15", 18),
        ("2005-06-27_12", "2005-06-27", 9 * 60 + 19),
        // The evening before.
        ("2005-08-08_01", "2005-08-07", 23 * 60 + 29),
        ("2008-12-11_11", "2008-12-11", 8 * 60 + 24),
        ("2009-02-23_10", "2009-02-23", 7 * 60 + 35),
        ("2009-03-03_10", "2009-03-03", 6 * 60 + 22),
        ("2009-10-01_17", "2009-10-01", 14 * 60 + 3),
        ("2011-05-29_19", "2011-05-29", 15 * 60 + 29),
        ("2011-11-13_02", "2011-11-12", 21 * 60 + 29),
        ("2016-12-19_20", "2016-12-19", 4 * 60 + 14),
    ];
    let hours = read_dir(&dir).unwrap();
    for (hour, (name, date, minutes)) in hours.iter().zip(begins) {
        assert_eq!(hour.name, name);
        let midnight = |name: &str| clock::midnight_of(name).unwrap();
        assert_eq!(hour.lines[0].at, midnight(date) + minutes * 60, "{name}");
        let annotated = midnight(name) + clock::hour_of(name).unwrap() * 3600;
        assert!((annotated..annotated + 3600).contains(&hour.lines[1000].at), "{name}");
    }
}
