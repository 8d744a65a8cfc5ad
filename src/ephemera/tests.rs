//! Two nodes over a real Redis, and one on its own.

use super::{over_redis::OverRedis, *};
use crate::redis_link::{RedisLink, RedisOptions, testkit::OwnRedis};

const ANA: UserId = UserId(1);
const BEN: UserId = UserId(2);
const ROOM: RoomId = RoomId([7; 16]);
const SOON: Duration = Duration::from_millis(100);

fn nodes(redis: &OwnRedis) -> (OverRedis, OverRedis) {
    let node = |name| OverRedis::beating(redis.link(), name, SOON);
    (node("a"), node("b"))
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    for _ in 0..500 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_rate_is_shared_by_the_nodes() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    let rate = Rate { per_s: 1, burst: 10 };
    let mut taken = 0;
    for turn in 0..20 {
        let node = if turn % 2 == 0 { &a } else { &b };
        match node.take(Bucket::User(ANA), rate).await {
            Ok(()) => taken += 1,
            Err(wait) => assert!(wait <= Duration::from_secs(1), "{wait:?}"),
        }
    }
    assert!((10..=12).contains(&taken), "{taken} of a burst of 10");
    assert!(b.take(Bucket::User(BEN), rate).await.is_ok(), "another bucket");
    assert!(b.take(Bucket::Room(ROOM), rate).await.is_ok(), "another kind");
    redis.flush().await;
    assert!(a.take(Bucket::User(ANA), rate).await.is_ok(), "emptied, it starts anew");
}

#[tokio::test]
async fn what_was_spent_counts_for_all_nodes_and_no_further_than_the_burst() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    let rate = Rate { per_s: 1, burst: 10 };
    a.spent(Bucket::User(ANA), rate, 9).await;
    b.take(Bucket::User(ANA), rate).await.unwrap();
    assert!(b.take(Bucket::User(ANA), rate).await.is_err());
    a.spent(Bucket::User(ANA), rate, 1_000).await;
    let wait = b.take(Bucket::User(ANA), rate).await.unwrap_err();
    assert!(wait <= Duration::from_secs(1), "{wait:?}: nothing is owed in the cluster");
    assert!(b.take(Bucket::User(BEN), rate).await.is_ok(), "another bucket");
}

#[tokio::test]
async fn a_rate_comes_back_with_time() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, _) = nodes(&redis);
    let rate = Rate { per_s: 20, burst: 1 };
    a.take(Bucket::User(ANA), rate).await.unwrap();
    let wait = a.take(Bucket::User(ANA), rate).await.unwrap_err();
    assert!(wait <= Duration::from_millis(50), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(2)).await;
    a.take(Bucket::User(ANA), rate).await.unwrap();
}

#[tokio::test]
async fn typing_is_seen_by_all_and_forgotten() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    a.set_typing(ROOM, BEN, true).await;
    a.set_typing(ROOM, ANA, true).await;
    assert_eq!(b.typing(ROOM).await, [ANA, BEN]);
    b.set_typing(ROOM, ANA, false).await;
    assert_eq!(a.typing(ROOM).await, [BEN]);
    let ttl: Vec<i64> = redis.link().run(redis::pipe().pttl(redis.link().key("typing", ROOM))).await.unwrap();
    assert!(ttl[0] > 0 && ttl[0] <= 10_000, "{ttl:?}");
}

#[tokio::test]
async fn streams_are_counted_over_the_nodes() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    assert!(a.stream_opens(ANA, "phone", 2).await);
    assert!(b.stream_opens(ANA, "laptop", 2).await);
    assert!(!b.stream_opens(ANA, "watch", 2).await, "two others on two nodes");
    assert!(b.stream_opens(ANA, "phone", 2).await, "the phone has moved");
    assert!(b.presence(&[ANA, BEN]).await[0].online);
    a.stream_closed(ANA, "phone", 1);
    b.stream_closed(ANA, "laptop", 1_700_000_000_000);
    b.stream_closed(ANA, "phone", 2);
    // Closings arrive in any order.
    let gone = Presence { online: false, last_seen_ms: Some(1_700_000_000_000) };
    eventually("offline", || async { a.presence(&[ANA]).await[0] == gone }).await;
    assert_eq!(a.presence(&[BEN]).await[0], Presence::default());
    assert!(b.stream_opens(ANA, "watch", 2).await);
}

#[tokio::test]
async fn one_stream_of_a_client_that_was_replaced_does_not_end_the_other() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    assert!(a.stream_opens(ANA, "phone", 9).await);
    assert!(a.stream_opens(ANA, "phone", 9).await);
    a.stream_closed(ANA, "phone", 1);
    tokio::time::sleep(SOON * 2).await;
    assert!(b.presence(&[ANA]).await[0].online);
}

#[tokio::test]
async fn an_emptied_redis_learns_again_who_is_there() {
    let Some(redis) = OwnRedis::start() else { return };
    let (a, b) = nodes(&redis);
    assert!(a.stream_opens(ANA, "phone", 9).await);
    redis.flush().await;
    eventually("online again", || async { b.presence(&[ANA]).await[0].online }).await;
    redis.ctl("kill");
    assert!(a.stream_opens(BEN, "phone", 9).await, "without Redis nothing is refused");
    redis.ctl("start");
    eventually("both online", || async { b.presence(&[ANA, BEN]).await.iter().all(|user| user.online) }).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_a_moment_and_then_not_at_all() {
    let Some(redis) = OwnRedis::start() else { return };
    let node = OverRedis::new(redis.link(), "a");
    let rate = Rate { per_s: 1, burst: 1 };
    assert!(node.take(Bucket::User(ANA), rate).await.is_ok());
    redis.ctl("freeze");
    for _ in 0..20 {
        assert!(node.take(Bucket::User(ANA), rate).await.is_ok(), "the node's own limits stand alone");
    }
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        let _ = node.take(Bucket::User(ANA), rate).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    redis.ctl("thaw");
    eventually("counted again", || async {
        node.take(Bucket::User(BEN), rate).await.is_ok() && node.take(Bucket::User(BEN), rate).await.is_err()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_alone_knows_who_types() {
    let alone = Alone::default();
    alone.set_typing(ROOM, BEN, true).await;
    alone.set_typing(ROOM, ANA, true).await;
    assert_eq!(alone.typing(ROOM).await, [ANA, BEN]);
    alone.set_typing(ROOM, BEN, false).await;
    assert_eq!(alone.typing(ROOM).await, [ANA]);
    tokio::time::advance(TYPING_FOR).await;
    assert!(alone.typing(ROOM).await.is_empty());
    assert!(alone.stream_opens(ANA, "x", 0).await, "the user's actor counts");
    assert_eq!(alone.presence(&[ANA]).await, [Presence::default()]);
}

#[tokio::test]
async fn without_redis_nothing_is_refused_and_nothing_fails() {
    let link = RedisLink::new(&RedisOptions::at("127.0.0.1", 1)).unwrap();
    let node = OverRedis::new(link, "a");
    for _ in 0..20 {
        assert!(node.take(Bucket::User(ANA), Rate { per_s: 1, burst: 1 }).await.is_ok());
        assert!(node.stream_opens(ANA, "x", 1).await);
        node.stream_closed(ANA, "x", 1);
        node.set_typing(ROOM, ANA, true).await;
        assert!(node.typing(ROOM).await.is_empty());
    }
}
