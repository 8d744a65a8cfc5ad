//! The generator's logs, and how near they are to the real ones.

use crate::client::irc::{
    Counts, Hour, Kind,
    decode::Encoding,
    generate::{Log, generate},
    read_dir,
    tests::{made_up, real_dir},
};

fn sum(hours: &[Hour]) -> Counts {
    let mut counts = Counts::default();
    hours.iter().flat_map(|hour| &hour.lines).for_each(|line| counts.add(line.kind));
    counts
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (first, again) = (Log::make(7, 3, 400), Log::make(7, 3, 400));
    assert_eq!((&first.raw, &first.annotation), (&again.raw, &again.annotation));
    assert_ne!(first.raw, Log::make(8, 3, 400).raw);
    assert_ne!(first.raw, Log::make(7, 5, 400).raw);
}

#[test]
fn files_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), 42, 10, 200).unwrap();
    let hours = read_dir(dir.path()).unwrap();
    assert_eq!(hours.len(), 10);
    assert_eq!(sum(&hours).total(), 2000);
    assert_eq!(hours[4], made_up(42, 4, 200));
}

#[test]
fn every_shape_occurs() {
    let hours: Vec<_> = (0..10).map(|hour| made_up(1, hour, 1250)).collect();
    let counts = sum(&hours);
    for kind in [counts.actions, counts.joins, counts.leaves, counts.quits, counts.renames] {
        assert!(kind > 10, "{counts:?}");
    }
    assert!(counts.messages > 9_000 && counts.topics > 0 && counts.notices > 0, "{counts:?}");
    let lines = || hours.iter().flat_map(|hour| &hour.lines);
    assert!(lines().filter(|line| line.encoding == Encoding::Windows1252).count() > 20);
    assert!(lines().filter(|line| line.mention.is_some()).count() > 1_000);
    assert!(lines().filter(|line| line.reply_to.is_some()).count() > 500);
    assert!(lines().any(|line| line.text.len() > 2_000));
    assert!(lines().any(|line| line.kind == Kind::Message && line.text.is_empty()));
    for hour in &hours {
        assert!(hour.lines.is_sorted_by_key(|line| line.at), "{}", hour.name);
        assert!(hour.links.starts > 20 && hour.links.farther > 0, "{:?}", hour.links);
    }
}

#[test]
fn the_proportions_are_those_of_the_real_logs() {
    let Some(dir) = real_dir() else { return };
    let real = sum(&read_dir(&dir).unwrap());
    let made: Vec<_> = (0..10).map(|hour| made_up(1, hour, 1250)).collect();
    let made = sum(&made);
    let near = |made: usize, real: usize| made < real * 4 + 100 && real < made * 4 + 100;
    assert!(near(made.messages, real.messages), "{made:?} {real:?}");
    assert!(near(made.joins, real.joins) && near(made.renames, real.renames), "{made:?} {real:?}");
    assert!(near(made.actions, real.actions) && near(made.leaves, real.leaves), "{made:?} {real:?}");
}
