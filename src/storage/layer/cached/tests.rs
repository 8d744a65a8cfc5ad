//! Against a real Redis: that it is used, that it is never believed, and that it may go.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::{
    circuit::{CircuitOptions, CircuitState},
    domain::ids::{Seq, UserId},
    redis_link::{RedisOptions, testkit::OwnRedis},
    storage::{
        Direction, LogStore as _, RoomStore as _,
        conformance::{Fixture, event, filled, head, member, message, room},
        embedded::EmbeddedStore,
        layer::encrypted::{Encrypted, toy::ToySealer},
    },
    store_conformance,
};

fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory())
}

/// The common Redis under a prefix of the test's own, or an address where nobody is.
fn link() -> RedisLink {
    RedisLink::new(&crate::redis_link::testkit::options()).expect("an address")
}

fn nobody() -> RedisLink {
    RedisLink::new(&RedisOptions::at("127.0.0.1", 1)).expect("an address")
}

fn cached(link: RedisLink) -> Cached {
    Cached::new(memory(), link, CacheOptions::default(), Arc::new(()))
}

fn sealed() -> Encrypted {
    Encrypted::new(Arc::new(cached(link())), Arc::new(ToySealer::default()))
}

// Without a Redis in the environment these run as well, and test that nothing depends on it.
store_conformance!(over_memory, Fixture::new(cached(link())));
store_conformance!(under_encryption, Fixture::new(sealed()));
store_conformance!(with_nobody_there, Fixture::new(cached(nobody())));

/// Counts hits, to tell a kept answer from a read one.
#[derive(Debug, Default)]
struct Hits(AtomicUsize);

impl CacheObserver for Hits {
    fn looked_up(&self, _: &'static str, hit: bool) {
        self.0.fetch_add(usize::from(hit), Relaxed);
    }
}

struct Bench {
    store: Cached,
    hits: Arc<Hits>,
}

impl Bench {
    fn over(inner: Arc<dyn Store>, link: RedisLink) -> Self {
        let hits = Arc::new(Hits::default());
        let store = Cached::new(inner, link, CacheOptions::default(), Arc::clone(&hits) as _);
        Self { store, hits }
    }

    async fn page(&self) -> Vec<Record> {
        self.store.read_log(room(1), Seq(0), Direction::Forward, 50).await.expect("page")
    }

    /// Reads until the answer comes from the cache: fills are sent in the background.
    async fn warm(&self) {
        let before = self.hits.0.load(Relaxed);
        for _ in 0..200 {
            self.page().await;
            if self.hits.0.load(Relaxed) > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nothing was ever kept");
    }
}

#[tokio::test]
async fn a_page_is_kept_until_the_room_changes_whoever_changes_it() {
    let Some(redis) = OwnRedis::start() else { return };
    let inner = memory();
    let (here, there) = (Bench::over(Arc::clone(&inner), redis.link()), Bench::over(Arc::clone(&inner), redis.link()));
    let (epoch, _) = filled(&*inner, room(1), 20).await;
    here.warm().await;
    there.warm().await;
    // Past both caches: nobody is told, and still nobody answers what was.
    inner.append(room(1), epoch, &[event(21)], &head(21)).await.unwrap();
    assert_eq!((here.page().await.len(), there.page().await.len()), (21, 21));
}

#[tokio::test]
async fn a_deleted_body_is_not_answered_even_if_nobody_was_told() {
    let Some(redis) = OwnRedis::start() else { return };
    let inner = memory();
    let bench = Bench::over(Arc::clone(&inner), redis.link());
    let (epoch, _) = filled(&*inner, room(1), 20).await;
    bench.warm().await;
    let redact = Projection { redacted: vec![(Seq(7), Bytes::from_static(b"gone"))], ..head(21) };
    inner.append(room(1), epoch, &[event(21)], &redact).await.unwrap();
    assert_eq!(bench.page().await[6].body, "gone");
    bench.warm().await;
    assert_eq!(bench.page().await[6].body, "gone");
}

#[tokio::test]
async fn a_fill_that_comes_late_is_not_believed() {
    let Some(redis) = OwnRedis::start() else { return };
    let inner = memory();
    let bench = Bench::over(Arc::clone(&inner), redis.link());
    let (epoch, old) = filled(&*inner, room(1), 20).await;
    let old_head = inner.head(room(1)).await.unwrap().unwrap();
    inner.append(room(1), epoch, &[event(21)], &head(21)).await.unwrap();
    bench.store.keep(&through::LOG, room(1), "log:0:Forward:50".to_owned(), &old_head, &old);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.page().await.len(), 21);
}

#[tokio::test]
async fn members_states_pins_and_places_are_kept_as_well() {
    let Some(redis) = OwnRedis::start() else { return };
    let bench = Bench::over(memory(), redis.link());
    let store = &bench.store;
    let epoch = store.claim(room(1)).await.unwrap();
    let rows = Projection {
        members: vec![member(1, "a"), member(2, "b")],
        states: vec![(Seq(1), Bytes::from_static(b"edited"))],
        pinned: vec![(Seq(1), Seq(2))],
        ..head(2)
    };
    let sent = message(room(1), 1, 1);
    store.append(room(1), epoch, &[sent.clone(), event(2)], &rows).await.unwrap();
    let read = || async {
        (
            store.members(room(1), UserId(i64::MIN), 100).await.unwrap(),
            store.message_states(room(1), Seq(0), Seq(100)).await.unwrap(),
            store.pins(room(1), 10).await.unwrap(),
            store.find_message(sent.message.as_ref().unwrap().id).await.unwrap(),
        )
    };
    let first = read().await;
    assert_eq!((first.0.len(), first.1.len(), first.2.len()), (2, 1, 1));
    for _ in 0..200 {
        let before = bench.hits.0.load(Relaxed);
        assert_eq!(read().await, first);
        if bench.hits.0.load(Relaxed) == before + 4 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not all four are kept");
}

#[tokio::test]
async fn a_projection_without_an_event_removes_what_is_kept_before_it_returns() {
    let Some(redis) = OwnRedis::start() else { return };
    let bench = Bench::over(memory(), redis.link());
    let (epoch, _) = filled(&bench.store, room(1), 20).await;
    bench.warm().await;
    let redact = Projection { redacted: vec![(Seq(7), Bytes::from_static(b"gone"))], ..head(20) };
    bench.store.append(room(1), epoch, &[], &redact).await.unwrap();
    assert_eq!(bench.page().await[6].body, "gone");
}

#[tokio::test]
async fn emptied_killed_and_frozen_in_the_middle_it_only_gets_slower() {
    let Some(redis) = OwnRedis::start() else { return };
    let options = RedisOptions {
        circuit: CircuitOptions { open_min: Duration::from_millis(200), ..redis.options().circuit },
        ..redis.options()
    };
    let link = RedisLink::new(&options).unwrap();
    let bench = Bench::over(memory(), link.clone());
    let (epoch, _) = filled(&bench.store, room(1), 20).await;
    let mut len = 20;
    bench.warm().await;
    for trouble in ["flush", "kill", "freeze"] {
        match trouble {
            "flush" => redis.flush().await,
            "kill" => redis.ctl("kill"),
            _ => redis.ctl("freeze"),
        }
        let began = tokio::time::Instant::now();
        for _ in 0..50 {
            len += 1;
            bench.store.append(room(1), epoch, &[event(len)], &head(len)).await.unwrap();
            let page = bench.store.read_log(room(1), Seq(u64::MAX), Direction::Backward, 50).await.unwrap();
            assert_eq!((page[0].seq, page.len()), (Seq(len), 50.min(usize::try_from(len).unwrap())), "{trouble}");
        }
        if trouble != "flush" {
            assert_eq!(link.circuit().state(), CircuitState::Open, "{trouble}");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{trouble}: {:?}", began.elapsed());
        match trouble {
            "flush" => {}
            "kill" => redis.ctl("start"),
            _ => redis.ctl("thaw"),
        }
        bench.warm().await;
        assert_ne!(link.circuit().state(), CircuitState::Open, "{trouble}");
    }
}

#[test]
fn forms_come_back_and_damage_is_no_answer() {
    let mut records: Vec<Record> = (1..4).map(|seq| message(room(1), seq, 5)).collect();
    records[1].message.as_mut().unwrap().external = Some(crate::storage::conformance::external("tg", "c", "m"));
    records.push(event(4));
    let bytes = form::encode_records(&records).unwrap();
    assert_eq!(form::decode_records(&bytes).unwrap(), records);
    for len in 0..bytes.len() {
        assert_eq!(form::decode_records(&bytes[..len]), None, "{len}");
    }
    assert_eq!(form::decode_records(&[&bytes[..], b"x"].concat()), None);
    assert_eq!(form::decode_records(&[0xff; 40]), None);
    let states = vec![(Seq(1), Bytes::from_static(b"")), (Seq(2), Bytes::from_static(b"x"))];
    assert_eq!(form::decode_states(&form::encode_states(&states).unwrap()), Some(states));
    let pins = vec![(Seq(1), Seq(u64::MAX))];
    assert_eq!(form::decode_pins(&form::encode_pins(&pins).unwrap()), Some(pins));
}
