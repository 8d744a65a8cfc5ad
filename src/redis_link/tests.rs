//! Every way in which a real Redis refuses to serve: an absence that is seen, and that ends by itself.

use std::time::Duration;

use redis::pipe;
use secrecy::SecretString;

use super::{testkit::OwnRedis, *};
use crate::circuit::CircuitState;

/// What an operator says.
type Commands<'a> = &'a [&'a [&'a str]];

/// A link that is tried again soon, and one call of it.
fn link(redis: &OwnRedis, password: Option<&str>) -> RedisLink {
    let circuit = CircuitOptions { open_max: Duration::from_millis(400), ..redis.options().circuit };
    let password = password.map(|password| SecretString::from(password.to_owned()));
    RedisLink::new(&RedisOptions { password, circuit, ..redis.options() }).expect("an address")
}

async fn write(link: &RedisLink) -> Result<i64, Gone> {
    let script = Script::new("redis.call('SET', KEYS[1], ARGV[1]) return 7");
    link.script(&script, |call| _ = call.key(link.key("test", 1)).arg("x")).await
}

async fn read(link: &RedisLink) -> Result<(Option<String>,), Gone> {
    let mut ask = pipe();
    ask.get(link.key("test", 1));
    link.run(&ask).await
}

/// Waits until the circuit says this.
async fn until(link: &RedisLink, trouble: Option<&str>) {
    for _ in 0..500 {
        let _ = (write(link).await, read(link).await);
        if link.circuit().trouble() == trouble {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} instead of {trouble:?}", link.circuit().trouble());
}

/// Refused, it is away for good reason, and stays so, also for who only reads; then it is back.
async fn is_seen(link: &RedisLink, trouble: &str) {
    until(link, Some(trouble)).await;
    for _ in 0..60 {
        let _ = read(link).await;
        assert_ne!(link.circuit().state(), CircuitState::Closed, "{trouble}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(write(link).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_wrong_at_the_start_and_right_later() {
    let Some(redis) = OwnRedis::start() else { return };
    redis.told(None, &[&["CONFIG", "SET", "requirepass", "other"]]).await;
    let (wrong, without) = (link(&redis, Some("right")), link(&redis, None));
    is_seen(&wrong, "refuses the password").await;
    is_seen(&without, "asks for a password").await;
    redis.told(Some("other"), &[&["CONFIG", "SET", "requirepass", "right"]]).await;
    until(&wrong, None).await;
    assert_eq!(write(&wrong).await.unwrap(), 7);
    redis.told(Some("right"), &[&["CONFIG", "SET", "requirepass", ""]]).await;
    until(&without, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_another_one_for_a_while() {
    let Some(redis) = OwnRedis::start() else { return };
    redis.told(None, &[&["CONFIG", "SET", "requirepass", "right"]]).await;
    let link = link(&redis, Some("right"));
    until(&link, None).await;
    let other: [&[&str]; 2] = [&["CONFIG", "SET", "requirepass", "other"], &["CLIENT", "KILL", "TYPE", "normal"]];
    redis.told(Some("right"), &other).await;
    is_seen(&link, "refuses the password").await;
    redis.told(Some("other"), &[&["CONFIG", "SET", "requirepass", "right"]]).await;
    until(&link, None).await;
    // And after that as ever: gone, and back.
    redis.ctl("kill");
    until(&link, Some("does not answer; circuit open")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_no_writes_or_not_ours() {
    let Some(redis) = OwnRedis::start() else { return };
    let link = link(&redis, None);
    until(&link, None).await;
    let troubles: [(&str, Commands<'_>, Commands<'_>); 4] = [
        (
            "is a replica that takes no writes",
            &[&["CONFIG", "SET", "replica-serve-stale-data", "yes"], &["REPLICAOF", "127.0.0.1", "1"]],
            &[&["REPLICAOF", "NO", "ONE"]],
        ),
        (
            "is a replica without its master",
            &[&["CONFIG", "SET", "replica-serve-stale-data", "no"], &["REPLICAOF", "127.0.0.1", "1"]],
            &[&["REPLICAOF", "NO", "ONE"]],
        ),
        ("is out of memory", &[&["CONFIG", "SET", "maxmemory", "1"]], &[&["CONFIG", "SET", "maxmemory", "0"]]),
        (
            "does not permit this user what is asked of it",
            &[&["ACL", "SETUSER", "default", "-@scripting"]],
            &[&["ACL", "SETUSER", "default", "+@scripting"]],
        ),
    ];
    for (trouble, begin, end) in troubles {
        redis.told(None, begin).await;
        is_seen(&link, trouble).await;
        redis.told(None, end).await;
        until(&link, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_to_ask_for_it_to_be_known() {
    let Some(redis) = OwnRedis::start() else { return };
    redis.told(None, &[&["CONFIG", "SET", "requirepass", "right"]]).await;
    let link = link(&redis, Some("wrong"));
    let is = async |state: CircuitState| {
        for _ in 0..1_000 {
            if link.circuit().state() == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?} instead of {state:?}", link.circuit());
    };
    is(CircuitState::Open).await;
    redis.told(Some("right"), &[&["CONFIG", "SET", "requirepass", "wrong"]]).await;
    is(CircuitState::Closed).await;
}
