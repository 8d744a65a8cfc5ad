//! Who has to go, and who must not.

use super::*;

const MAX: usize = 10;
const EACH: usize = 4;

fn guests() -> Arc<Guests> {
    let uncounted = "192.0.2.0/24".parse().unwrap();
    Guests::new(GuestsOptions { connections_max: MAX, per_address_max: EACH, uncounted })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn is_out(seat: &Seat) -> bool {
    seat.0.out.is_cancelled()
}

/// Seats, numbers of addresses, of crowds and of the reserve.
fn counts(guests: &Guests) -> (usize, usize, usize, usize) {
    let register = guests.register.lock();
    (register.seated, register.addresses.len(), register.crowds.len(), register.reserve.len())
}

#[tokio::test]
async fn of_a_full_house_the_oldest_stranger_of_the_largest_crowd_goes() {
    let guests = guests();
    let proxy = address("192.0.2.1");
    let early = guests.seat(address("198.51.100.1")).unwrap();
    let known = guests.seat(proxy).unwrap();
    known.0.is_known();
    let crowd: Vec<_> = (0..MAX - 2).map(|_| guests.seat(proxy).unwrap()).collect();
    assert_eq!(counts(&guests).0, MAX);
    let late = guests.seat(address("198.51.100.2")).unwrap();
    assert!(is_out(&crowd[0]) && !crowd[1..].iter().any(is_out), "the oldest of those many");
    assert!(!is_out(&early) && !is_out(&known) && !is_out(&late));
    assert_eq!(counts(&guests).0, MAX, "its seat is taken before its socket is closed");
    drop(crowd);
    assert_eq!(counts(&guests).0, 3);
    drop((early, known, late));
    assert_eq!(counts(&guests), (0, 0, 0, 0));
}

#[tokio::test]
async fn when_all_are_known_a_few_more_are_heard_for_health_alone() {
    let guests = guests();
    let known: Vec<_> = (0..MAX).map(|_| guests.seat(address("192.0.2.9")).unwrap()).collect();
    known.iter().for_each(|seat| seat.0.is_known());
    let reserve: Vec<_> = (0..RESERVE).map(|_| guests.seat(address("192.0.2.8")).unwrap()).collect();
    assert!(reserve.iter().all(|seat| seat.0.is_in_reserve()));
    let more = guests.seat(address("192.0.2.8")).unwrap();
    assert!(is_out(&reserve[0]) && !is_out(&reserve[1]) && !known.iter().any(is_out));
    drop((reserve, more));
    assert_eq!(counts(&guests), (MAX, 1, 0, 0));
    drop(known);
    assert!(!guests.seat(address("192.0.2.8")).unwrap().0.is_in_reserve());
    assert_eq!(counts(&guests), (0, 0, 0, 0));
}

#[tokio::test]
async fn an_address_has_its_share() {
    let guests = guests();
    let home = "2001:db8:1:2::";
    let mine: Vec<_> = (1..=EACH).map(|n| guests.seat(address(&format!("{home}{n}"))).unwrap()).collect();
    mine[0].0.is_known();
    let next = guests.seat(address(&format!("{home}ffff"))).unwrap();
    assert!(!is_out(&mine[0]) && is_out(&mine[1]), "its own oldest stranger makes room");
    mine[2..].iter().for_each(|seat| seat.0.is_known());
    next.0.is_known();
    assert!(guests.seat(address(&format!("{home}1"))).is_none(), "all of them are in use");
    guests.seat(address("2001:db8:1:3::1")).unwrap();
    let mapped: Vec<_> = (0..EACH).map(|_| guests.seat(address("198.51.100.7")).unwrap()).collect();
    mapped.iter().for_each(|seat| seat.0.is_known());
    assert!(guests.seat(address("::ffff:198.51.100.7")).is_none(), "one address in two forms");
    drop((mine, next, mapped));
    assert_eq!(counts(&guests), (0, 0, 0, 0));
}

#[tokio::test]
async fn who_comes_from_a_proxy_is_not_counted() {
    let guests = guests();
    let seats: Vec<_> = (0..MAX).map(|_| guests.seat(address("192.0.2.1")).unwrap()).collect();
    seats.iter().for_each(|seat| seat.0.is_known());
    assert_eq!(counts(&guests), (MAX, 1, 0, 0));
}

#[tokio::test]
async fn a_stranger_who_reads_no_answer_is_turned_out() {
    let guests = guests();
    let (stranger, known) =
        (guests.seat(address("198.51.100.1")).unwrap(), guests.seat(address("198.51.100.1")).unwrap());
    known.0.is_known();
    let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| stranger.0.waits()).collect();
    assert!(!is_out(&stranger));
    waiting.pop();
    waiting.push(stranger.0.waits());
    assert!(!is_out(&stranger), "what was read counts no more");
    waiting.push(stranger.0.waits());
    assert!(is_out(&stranger));
    waiting.extend((0..=WAITING_MAX).map(|_| known.0.waits()));
    assert!(!is_out(&known));
}

/// Whatever comes and goes in whatever order, the numbers are those of a plain count.
#[tokio::test]
async fn the_register_agrees_with_a_plain_count() {
    let guests = guests();
    let mut seats: Vec<Seat> = Vec::new();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        match random(4) {
            0 | 1 => seats.extend(guests.seat(address(&format!("198.51.100.{}", random(6))))),
            2 if !seats.is_empty() => drop(seats.swap_remove(random(seats.len()))),
            3 if !seats.is_empty() => seats[random(seats.len())].0.is_known(),
            _ => {}
        }
        let inside = || seats.iter().filter(|seat| !is_out(seat));
        let seated = inside().filter(|seat| !seat.0.in_reserve).count();
        let strangers = inside().filter(|seat| !seat.0.in_reserve && seat.0.is_stranger());
        let mut crowds = BTreeMap::<IpAddr, usize>::new();
        strangers.for_each(|seat| *crowds.entry(seat.0.address).or_default() += 1);
        let crowds: BTreeSet<_> = crowds.into_iter().map(|(address, count)| (count, address)).collect();
        let register = guests.register.lock();
        assert_eq!((register.seated, &register.crowds), (seated, &crowds));
        assert!(register.seated <= MAX && register.reserve.len() <= RESERVE);
        assert!(register.addresses.values().all(|place| place.all <= EACH));
    }
}
