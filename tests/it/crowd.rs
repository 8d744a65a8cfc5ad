//! Clients that take more than their share, and those beside them who must not notice.

use std::time::Duration;

use serde_json::json;
use tertulia_proto::chat::v1::event::Event as Happened;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    caller::{group, number, say},
    listener::stream_request,
    sandbox::Sandbox,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_of_one_user() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut beside = ben.listen("phone", &[]).await;
    let mut opening = JoinSet::new();
    let doors: Vec<_> = (0..4).map(|_| sandbox.user(1)).collect();
    for n in 0..1_000 {
        let eva = doors[n % doors.len()].clone();
        opening.spawn(async move { eva.try_listen(stream_request(&format!("c{n}"), &[])).await });
    }
    say(&ben, &id, "mientras").await;
    let (open, refused): (Vec<_>, Vec<_>) = opening.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((open.len(), refused.len()), (32, 968));
    for refusal in refused.into_iter().filter_map(Result::err) {
        refusal.is(Code::ResourceExhausted, "too_many_streams", "");
    }
    say(&ben, &id, "después").await;
    assert_eq!(beside.contents_until("después").await, ["mientras", "después"]);
    drop(open);
    let mut tries = 0;
    while ana.try_listen(stream_request("again", &[])).await.is_err() {
        tries += 1;
        assert!(tries < 200, "closed streams are not counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads() {
    let sandbox = Sandbox::with(&[("streams.queue_bytes_max", "65536")]).await;
    let (ana, ben, cleo) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    let id = group(&ana, &[2, 3]).await;
    let mut deaf = cleo.listen("deaf", &[(&id, 1)]).await;
    let mut awake = ben.listen("phone", &[(&id, 1)]).await;
    let filler = "x".repeat(4_000);
    let count: i64 = 1_200;
    let mut senders = JoinSet::new();
    for lane in 0..24 {
        let (ana, id, filler) = (ana.clone(), id.clone(), filler.clone());
        senders.spawn(async move {
            for n in 0..count / 24 {
                say(&ana, &id, &format!("{lane}-{n} {filler}")).await;
            }
        });
    }
    for seq in 2..count + 2 {
        assert_eq!(awake.durable().await.seq, seq, "who reads gets all");
    }
    senders.join_all().await;
    let observed = sandbox.admin().ok("ObserveUser", json!({"user_id": 3})).await;
    let queued = number(&observed, "/streams/0/queued_bytes");
    assert!((0..=65_536).contains(&queued), "{observed}");

    let mut next = 2;
    while next < count + 2 {
        let event = deaf
            .seek(|event| {
                (event.seq > 0 || matches!(event.event, Some(Happened::ResyncRequired(_)))).then(|| event.clone())
            })
            .await;
        match event.event {
            Some(Happened::ResyncRequired(resync)) => {
                assert_eq!(resync.from_seq, next, "what cannot be given is said");
                next = resync.resumed_after_seq + 1;
            }
            _ => {
                assert_eq!(event.seq, next, "in order, without a gap");
                next += 1;
            }
        }
    }
}
