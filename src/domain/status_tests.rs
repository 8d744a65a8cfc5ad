use proptest::prelude::*;

use super::*;

const ANN: UserId = UserId(1);
const BEN: UserId = UserId(2);
const CEM: UserId = UserId(3);

fn sent(seq: u64, n: u64) -> Place {
    Place { seq: Seq(seq), n: Ordinal(n), sender: ANN }
}

fn read(seq: u64) -> Position {
    Position { read_seq: Seq(seq), delivered_seq: Seq(seq), ..Position::default() }
}

fn status(place: Place, members: &[(UserId, u64, Position)]) -> Status {
    let mut tally = Tally::new([place]);
    members.iter().for_each(|(user, joined, position)| tally.member(*user, Seq(*joined), position));
    let found = tally.statuses().next().unwrap();
    assert_eq!(found.0, place);
    found.1
}

#[test]
fn all_who_count_must_have_read() {
    let some = status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, read(5)), (CEM, 1, Position::default())]);
    assert_eq!((some.reached, some.read_by, some.delivered_to, some.of), (Reached::Sent, 1, 1, 2));
    let got = Position { delivered_seq: Seq(5), ..Position::default() };
    let got = status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, read(5)), (CEM, 1, got)]);
    assert_eq!((got.reached, got.read_by, got.delivered_to), (Reached::Delivered, 1, 2));
    let all = status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, read(5)), (CEM, 1, read(9))]);
    assert_eq!((all.reached, all.read_by, all.of), (Reached::Read, 2, 2));
}

#[test]
fn who_joins_later_changes_nothing() {
    let before = status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, read(5))]);
    for newcomer in [Position::default(), read(9)] {
        let after = status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, read(5)), (CEM, 6, newcomer)]);
        assert_eq!(after, before);
    }
}

#[test]
fn who_answers_has_read() {
    let answered = Position { sent_n: Ordinal(5), ..Position::default() };
    assert_eq!(status(sent(5, 4), &[(ANN, 1, read(0)), (BEN, 1, answered)]).reached, Reached::Read);
}

#[test]
fn when_none_who_counts_is_left_those_who_left_still_tell() {
    let mut tally = Tally::new([sent(5, 4)]);
    tally.member(ANN, Seq(1), &read(0));
    tally.member(CEM, Seq(6), &read(9));
    assert!(tally.wants_former());
    // Who came and went after it tells nothing, nor does the sender.
    tally.former(CEM, &Position { floor_n: Ordinal(4), ..read(9) });
    tally.former(ANN, &read(9));
    assert_eq!(tally.statuses().next().unwrap().1.reached, Reached::Sent);
    tally.former(BEN, &read(5));
    let status = tally.statuses().next().unwrap().1;
    assert_eq!((status.reached, status.read_by, status.of), (Reached::Read, 0, 0));
}

#[test]
fn of_too_many_members_it_says_what_is_true_at_least() {
    let mut tally = Tally::new([sent(5, 4)]);
    tally.set_at_least();
    tally.member(BEN, Seq(1), &Position::default());
    tally.member(CEM, Seq(1), &read(5));
    let status = tally.statuses().next().unwrap().1;
    assert_eq!((status.reached, status.read_by, status.at_least), (Reached::Read, 1, true));
}

fn a_position() -> impl Strategy<Value = Position> {
    (0_u64..12, 0_u64..12, 0_u64..8).prop_map(|(read, more, sent)| Position {
        read_seq: Seq(read),
        delivered_seq: Seq(read + more),
        sent_n: Ordinal(sent),
        ..Position::default()
    })
}

fn some_members() -> impl Strategy<Value = Vec<(UserId, u64, Position)>> {
    let member = (0_u64..12, a_position());
    prop::collection::vec(member, 1..6).prop_map(|members| {
        let place = |(id, (joined, position))| (UserId(id), joined, position);
        (1..).zip(members).map(place).collect()
    })
}

proptest! {
    /// One walk over the members says of each message what counting for it alone says.
    #[test]
    fn a_tally_is_what_counting_gives(
        members in some_members(),
        places in prop::collection::btree_map(1_u64..12, 1_i64..7, 0..8),
    ) {
        let places: Vec<Place> = (1..).zip(&places)
            .map(|(n, (seq, sender))| Place { seq: Seq(*seq), n: Ordinal(n), sender: UserId(*sender) })
            .collect();
        let mut tally = Tally::new(places.iter().rev().copied());
        members.iter().for_each(|(user, joined, position)| tally.member(*user, Seq(*joined), position));
        let found: Vec<_> = tally.statuses().collect();
        prop_assert_eq!(found.len(), places.len());
        for ((place, status), expected) in found.into_iter().zip(&places) {
            prop_assert_eq!(&place, expected);
            let counted: Vec<Reached> = members.iter()
                .filter(|(user, joined, _)| place.counts(*user, Seq(*joined)))
                .map(|(_, _, position)| place.reached(position))
                .collect();
            let at_least = |least| counted.iter().filter(|reached| **reached >= least).count() as u32;
            let numbers = (status.of, status.delivered_to, status.read_by);
            prop_assert_eq!(numbers, (counted.len() as u32, at_least(Reached::Delivered), at_least(Reached::Read)));
            prop_assert_eq!(status.reached, counted.iter().min().copied().unwrap_or_default());
        }
    }

    /// Nothing that happens in a room takes a status back: positions grow, members go, others come.
    #[test]
    fn a_status_never_goes_back(
        members in some_members(),
        steps in prop::collection::vec((0_usize..6, 0_usize..3, a_position()), 0..12),
        seq in 1_u64..12,
    ) {
        let place = Place { seq: Seq(seq), n: Ordinal(seq.min(7)), sender: UserId(1) };
        let (mut members, mut former) = (members, Vec::new());
        let now = |members: &[(UserId, u64, Position)], former: &[(UserId, Position)]| {
            let mut tally = Tally::new([place]);
            members.iter().for_each(|(user, joined, position)| tally.member(*user, Seq(*joined), position));
            former.iter().for_each(|(user, position)| tally.former(*user, position));
            tally.statuses().next().unwrap().1.reached
        };
        let mut before = now(&members, &former);
        for (who, what, position) in steps {
            match (what, members.is_empty()) {
                (0, false) => {
                    let index = who % members.len();
                    let member = &mut members[index];
                    member.2 = member.2.merge(position);
                }
                (1, false) => {
                    let index = who % members.len();
                    let (user, joined, position) = members.remove(index);
                    // The ordinal at which they joined is part of a position.
                    let floor_n = if joined < seq { Ordinal(0) } else { Ordinal(7) };
                    former.push((user, Position { floor_n, ..position }));
                }
                _ => {
                    let id = i64::try_from(members.len() + former.len()).unwrap() + 1;
                    members.push((UserId(id), seq + 1, position));
                }
            }
            let after = now(&members, &former);
            prop_assert!(after >= before, "{before:?} became {after:?}");
            before = after;
        }
    }
}
