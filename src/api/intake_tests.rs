//! Bodies that come in pieces, or do not come; tokio's clock is paused.

use std::convert::Infallible;

use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tonic::Code;

use super::*;

const USER: UserId = UserId(7);
const WAIT: Duration = Duration::from_secs(30);

fn intake() -> Arc<Intake> {
    Intake::new(IntakeOptions { process_max: 100, user_max: 60, connection_max: 40, wait_max: WAIT })
}

/// What is under way in the process, and of whom.
fn under_way(intake: &Intake) -> (usize, usize) {
    let users = intake.users.iter().map(|part| part.lock().len()).sum();
    (intake.process.load(Relaxed), users)
}

fn reason(error: ApiError) -> String {
    let status = Status::from(error);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.metadata().contains_key("tertulia-retry-after-ms"), "{status:?}");
    status.message().to_owned()
}

#[test]
fn each_has_its_bound_and_all_is_given_back() {
    let intake = intake();
    let (one, other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let first = intake.open(USER, Some(Arc::clone(&one)));
    first.add(30).unwrap();
    let second = intake.open(USER, Some(Arc::clone(&one)));
    assert!(reason(second.add(11).unwrap_err()).contains("connection"));
    assert_eq!((under_way(&intake), one.load(Relaxed)), ((30, 1), 30), "what was refused counts nowhere");
    let third = intake.open(USER, Some(Arc::clone(&other)));
    third.add(30).unwrap();
    assert!(reason(third.add(1).unwrap_err()).contains("this user"));
    let stranger = intake.hold(UserId(8), 40).unwrap();
    assert!(reason(intake.hold(UserId(9), 1).unwrap_err()).contains("too many bytes of requests are under way"));
    assert_eq!(under_way(&intake), (100, 2));
    drop((first, second, third, stranger));
    assert_eq!(under_way(&intake), (0, 0));
    assert_eq!((one.load(Relaxed), other.load(Relaxed)), (0, 0));
}

#[test]
fn what_takes_the_place_of_what_was_received_counts_once() {
    let intake = intake();
    let charge = intake.open(USER, None);
    charge.add(10).unwrap();
    charge.at_least(25).unwrap();
    charge.at_least(20).unwrap();
    assert_eq!(under_way(&intake).0, 25);
    charge.at_least(61).unwrap_err();
    assert_eq!(under_way(&intake).0, 25);
}

fn body(pieces: Vec<Vec<u8>>) -> Body {
    Body::from_stream(stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
}

/// One that never ends after its pieces.
fn endless(pieces: Vec<Vec<u8>>) -> Body {
    let pieces = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    Body::from_stream(pieces.chain(stream::pending()))
}

fn status(error: &(dyn std::error::Error + 'static)) -> Status {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<Status>()).expect("a status").clone()
}

#[tokio::test(start_paused = true)]
async fn a_whole_body_counts_until_its_call_is_over() {
    let intake = intake();
    let charge = intake.open(USER, None);
    let received = Received::new(body(vec![vec![0; 10]; 4]), Measure::Whole(Arc::clone(&charge)), WAIT);
    assert_eq!(received.collect().await.unwrap().to_bytes().len(), 40);
    assert_eq!(under_way(&intake).0, 40);
    drop(charge);
    assert_eq!(under_way(&intake), (0, 0));

    let charge = intake.open(USER, None);
    let received = Received::new(endless(vec![vec![0; 10]; 9]), Measure::Whole(charge), WAIT);
    let refused = status(&*received.collect().await.unwrap_err());
    assert_eq!(refused.metadata().get("tertulia-reason").unwrap(), "overloaded");
    assert_eq!(under_way(&intake), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_must_come_in_time_as_a_whole() {
    let slow = stream::unfold((), |()| async {
        tokio::time::sleep(WAIT / 4).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
    });
    for body in [Body::from_stream(slow), endless(Vec::new())] {
        let begun = Instant::now();
        let received = Received::new(body, Measure::Whole(intake().open(USER, None)), WAIT);
        let late = status(&*received.collect().await.unwrap_err());
        assert_eq!(late.code(), Code::DeadlineExceeded);
        assert_eq!(late.metadata().get("tertulia-reason").unwrap(), "deadline");
        assert_eq!(late.metadata().get("tertulia-outcome").unwrap(), "not_applied", "nothing was begun");
        assert_eq!(begun.elapsed(), WAIT);
    }
}

fn message(length: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, length];
    message.resize(PREFIX_LEN + usize::from(length), 7);
    message
}

/// What others have under way ends no session whose messages are of an ordinary size.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_where_others_have_used_up_what_there_is() {
    let intake = intake();
    let _others = intake.hold(UserId(8), 60).unwrap();
    let _more = intake.hold(UserId(9), 40).unwrap();
    let session = || Measure::Each(intake.open(USER, None));
    let small = [message(200), message(3)].concat();
    let mut received = Received::new(body(small.chunks(50).map(<[u8]>::to_vec).collect()), session(), WAIT);
    while let Some(frame) = received.frame().await {
        frame.unwrap();
    }
    assert_eq!(received.messages.ended, 2);
    let mut great = 200_000_u32.to_be_bytes().to_vec();
    great.insert(0, 0);
    let pieces = std::iter::once(great).chain(std::iter::repeat_n(vec![7; 10_000], 20)).collect();
    let refused = Received::new(body(pieces), session(), WAIT).collect().await.unwrap_err();
    assert_eq!(status(&*refused).code(), Code::ResourceExhausted, "a great message waits for better times");
    assert_eq!(under_way(&intake).0, 100, "what was let through counts nowhere");
}

#[tokio::test(start_paused = true)]
async fn of_a_session_only_the_message_that_has_begun_is_kept() {
    let whole = [message(3), message(0), message(20), message(1)].concat();
    for piece in 1..whole.len() {
        let intake = intake();
        let pieces: Vec<_> = whole.chunks(piece).map(<[u8]>::to_vec).collect();
        let mut received = Received::new(body(pieces), Measure::Each(intake.open(USER, None)), WAIT);
        while let Some(frame) = received.frame().await {
            frame.unwrap();
            assert!(under_way(&intake).0 < 25, "pieces of {piece}");
        }
        assert_eq!(under_way(&intake), (0, 0), "pieces of {piece}");
        assert_eq!(received.messages.ended, 4);
    }
    let mut cut =
        Received::new(endless(vec![message(20)[..9].to_vec()]), Measure::Each(intake().open(USER, None)), WAIT);
    cut.frame().await.unwrap().unwrap();
    assert_eq!(status(&*cut.frame().await.unwrap().unwrap_err()).code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_begun_may_be_silent() {
    let mut received = Received::new(endless(vec![message(1)]), Measure::Each(intake().open(USER, None)), WAIT);
    received.frame().await.unwrap().unwrap();
    tokio::time::timeout(10 * WAIT, received.frame()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_may_say_little() {
    let received = Received::new(endless(vec![vec![0; 10]; 3]), Measure::Small(25), WAIT);
    let refused = status(&*received.collect().await.unwrap_err());
    assert_eq!(refused.metadata().get("tertulia-reason").unwrap(), "too_long");
}
