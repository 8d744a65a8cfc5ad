//! Two servers that share a Redis, and what becomes of them without it.

use serde_json::json;
use tertulia::redis_link::testkit::OwnRedis;
use tonic::Code;

use crate::{
    caller::{each, group, say},
    listener::stream_request,
    sandbox::Sandbox,
    web::Http,
};

async fn server(redis: &OwnRedis, more: &[(&str, &str)]) -> Sandbox {
    let port = redis.options().port.to_string();
    let flags = [&[("redis.host", "127.0.0.1"), ("redis.port", &port), ("redis.timeout_ms", "100")], more].concat();
    Sandbox::with(&flags).await
}

/// Asks until the answer is as it should be; other answers may come first.
async fn eventually<T: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> T, good: impl Fn(&T) -> bool) {
    let mut last = None;
    for _ in 0..500 {
        let answer = ask().await;
        if good(&answer) {
            return;
        }
        last = Some(answer);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the last answer was {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_and_streams_are_those_of_all_nodes() {
    let Some(redis) = OwnRedis::start() else { return };
    let most = [("streams.per_user_max", "2")];
    let (one, two) = (server(&redis, &most).await, server(&redis, &most).await);
    let (ana, ana_there, ben_there) = (one.user(1), two.user(1), two.user(2));
    let online = async || {
        let answer = ben_there.ok("GetPresence", json!({"userIds": ["1", "3"]})).await;
        each(&answer, "/presences", "online")
    };
    group(&ana_there, &[2, 3]).await;
    assert_eq!(online().await, [json!(false), json!(false)]);
    let phone = ana.listen("phone", &[]).await;
    assert_eq!(online().await, [json!(true), json!(false)]);
    let laptop = ana_there.listen("laptop", &[]).await;
    for user in [&ana, &ana_there] {
        let refused = user.try_listen(stream_request("watch", &[])).await.err().unwrap();
        refused.is(Code::ResourceExhausted, "too_many_streams", "");
    }
    drop((phone, laptop));
    eventually(online, |answer| answer[0] == json!(false)).await;
    eventually(async || ana.try_listen(stream_request("watch", &[])).await.is_ok(), |opened| *opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_calls_are_counted_on_all_nodes() {
    let Some(redis) = OwnRedis::start() else { return };
    let rate = [("limits.user_per_s", "1"), ("limits.user_burst", "10")];
    let (one, two) = (server(&redis, &rate).await, server(&redis, &rate).await);
    let (mut passed, mut refused) = (0, 0);
    for user in [one.user(1), two.user(1), one.user(1), two.user(1)] {
        for _ in 0..6 {
            match user.ask("GetRooms", json!({})).await {
                Ok(_) => passed += 1,
                Err(refusal) => {
                    refusal.is(Code::ResourceExhausted, "rate_limited", "");
                    refused += 1;
                }
            }
        }
    }
    assert!((10..=14).contains(&passed) && refused >= 10, "{passed} passed, {refused} were refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_all_goes_on_and_health_says_so() {
    let Some(redis) = OwnRedis::start() else { return };
    let sandbox = server(&redis, &[("limits.user_per_s", "10000"), ("limits.user_burst", "10000")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let room = group(&ana, &[2]).await;
    let mut listening = ben.listen("phone", &[]).await;
    let http = Http::new(&sandbox, 1);
    let get = async |path: &str| {
        let response = http.client.get(sandbox.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, ready) = get("/health/ready").await;
    assert!(status == 200 && ready.contains(r#"{"name":"redis","status":"ok"}"#), "{ready}");
    for trouble in ["kill", "freeze"] {
        redis.ctl(trouble);
        for n in 0..20 {
            say(&ana, &room, &format!("{trouble} {n}")).await;
            ana.ok("SetTyping", json!({"roomId": room, "typing": true})).await;
        }
        let last = format!("{trouble} 19");
        assert_eq!(listening.contents_until(&last).await.len(), 20, "{trouble}");
        // A report is shared by all who ask within a moment.
        let says = r#"{"name":"redis","status":"degraded","reason":"does not answer"#;
        eventually(async || get("/health/ready").await, |(status, ready)| *status == 200 && ready.contains(says)).await;
        let (_, metrics) = get("/metrics").await;
        assert!(metrics.contains("chat_circuit_openings{service=\"redis\"}"), "{metrics}");
        redis.ctl(if trouble == "kill" { "start" } else { "thaw" });
        let again = async || {
            ana.ok("GetRooms", json!({})).await;
            get("/health/ready").await.1
        };
        eventually(again, |ready| ready.contains(r#"{"name":"redis","status":"ok"}"#)).await;
    }
    let (_, metrics) = get("/metrics").await;
    assert!(metrics.contains("chat_active_connections{client_type=\"stream\"} 1"), "{metrics}");
    assert!(metrics.contains("chat_circuit_state{service=\"redis\",state=\"closed\"} 1"), "{metrics}");
}

/// A Redis that answers and does not serve is no Redis: health says why, and it is used again when it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_is_seen_and_comes_back() {
    let Some(redis) = OwnRedis::start() else { return };
    let sandbox = server(&redis, &[("limits.user_per_s", "10000"), ("limits.user_burst", "10000")]).await;
    let ana = sandbox.user(1);
    let http = Http::new(&sandbox, 1);
    let ready = async || {
        ana.ok("GetRooms", json!({})).await;
        let response = http.client.get(sandbox.url("/health/ready")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let says = |what: &str| {
        let what = format!(r#"{{"name":"redis","status":{what}}}"#);
        move |(status, ready): &(u16, String)| *status == 200 && ready.contains(&what)
    };
    eventually(ready, says(r#""ok""#)).await;
    redis.told(None, &[&["CONFIG", "SET", "maxmemory", "1"]]).await;
    eventually(ready, says(r#""degraded","reason":"is out of memory""#)).await;
    redis.told(None, &[&["CONFIG", "SET", "maxmemory", "0"]]).await;
    eventually(ready, says(r#""ok""#)).await;
}
