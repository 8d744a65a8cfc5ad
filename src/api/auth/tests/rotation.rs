//! Keys that change while the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A key server whose answer can be changed and held back.
#[derive(Clone)]
struct KeyServer {
    url: String,
    state: Arc<ServerState>,
}

struct ServerState {
    answer: Mutex<(StatusCode, Vec<u8>)>,
    requests: AtomicUsize,
    held: Mutex<Option<Arc<Notify>>>,
}

impl KeyServer {
    async fn start(tasks: &mut JoinSet<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let state = Arc::new(ServerState {
            answer: Mutex::new((StatusCode::OK, bytes("jwks.json"))),
            requests: AtomicUsize::new(0),
            held: Mutex::new(None),
        });
        let app = Router::new().route("/jwks.json", get(answer)).with_state(state.clone());
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    fn set(&self, status: StatusCode, body: Vec<u8>) {
        *self.state.answer.lock() = (status, body);
    }

    fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    fn options(&self) -> AuthOptions {
        AuthOptions::new(vec![KeySource::JwksUrl(self.url.clone())])
    }

    fn hold(&self) -> Arc<Notify> {
        let release = Arc::new(Notify::new());
        *self.state.held.lock() = Some(release.clone());
        release
    }
}

async fn answer(State(state): State<Arc<ServerState>>) -> (StatusCode, Vec<u8>) {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let held = state.held.lock().clone();
    if let Some(release) = held {
        release.notified().await;
    }
    state.answer.lock().clone()
}

fn old_token() -> String {
    sign(Algorithm::RS256, Some("rsa-1"), &good())
}

fn new_token() -> String {
    let key = EncodingKey::from_rsa_pem(&bytes("rs256-next.private.pem")).unwrap();
    sign_with(Algorithm::RS256, Some("rsa-2"), &good(), &key)
}

fn running(options: AuthOptions, tasks: &mut JoinSet<()>) -> Verifier {
    let verifier = Verifier::from_options(options).unwrap();
    tasks.spawn(verifier.clone().run());
    verifier
}

async fn ready(verifier: &Verifier) {
    let first_keys = async {
        while !verifier.is_ready() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, first_keys).await.expect("the first keys arrive");
}

async fn id(verifier: &Verifier, token: &str) -> Result<i64, AuthError> {
    let answer = timeout(PATIENCE, verifier.verify(token, NOW_MS)).await;
    answer.expect("verification is bounded").map(|identity| identity.user_id)
}

#[tokio::test]
async fn the_first_call_waits_for_the_first_keys() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let verifier = running(server.options(), &mut tasks);
    assert!(!verifier.is_ready());
    assert_eq!(verifier.verify_now(&old_token(), NOW_MS), Err(AuthError::KeysUnavailable));
    assert_eq!(id(&verifier, &old_token()).await, Ok(42));
    assert!(verifier.is_ready());
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let verifier = running(server.options(), &mut tasks);
    ready(&verifier).await;
    let mut options = server.options();
    options.refresh_on_demand_every = Duration::ZERO;
    let eager = running(options, &mut tasks);
    ready(&eager).await;

    server.set(StatusCode::OK, bytes("jwks-rotated.json"));
    assert_eq!(id(&eager, &old_token()).await, Ok(42), "nobody asked yet");
    assert_eq!(id(&eager, &new_token()).await, Ok(42));
    let gone = id(&eager, &old_token()).await;
    assert_eq!(gone, Err(AuthError::UnknownKey), "a withdrawn key counts no more, remembered or not");
    assert_eq!(id(&verifier, &old_token()).await, Ok(42));
}

#[tokio::test]
async fn keys_are_refreshed_in_the_background() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let mut options = server.options();
    options.refresh_every = Duration::from_secs(1);
    let verifier = running(options, &mut tasks);
    assert_eq!(id(&verifier, &old_token()).await, Ok(42));
    server.set(StatusCode::OK, bytes("jwks-rotated.json"));
    let rotated = async {
        while verifier.verify_now(&new_token(), NOW_MS).is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, rotated).await.expect("the new key arrives unasked");
    assert_eq!(verifier.verify_now(&old_token(), NOW_MS), Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn unknown_keys_cause_one_refresh_in_ten_seconds() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let verifier = running(server.options(), &mut tasks);
    ready(&verifier).await;
    let before = server.requests();
    let mut calls = JoinSet::new();
    for kid in 0..50 {
        let verifier = verifier.clone();
        let token = sign(Algorithm::RS256, Some(&format!("forged-{kid}")), &good());
        calls.spawn(async move { id(&verifier, &token).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), Err(AuthError::UnknownKey));
    }
    assert_eq!(id(&verifier, &new_token()).await, Err(AuthError::UnknownKey));
    assert_eq!(server.requests(), before + 1);
}

#[tokio::test]
async fn all_who_wait_for_a_new_key_get_the_same_refresh() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let verifier = running(server.options(), &mut tasks);
    ready(&verifier).await;
    let before = server.requests();
    let release = server.hold();
    server.set(StatusCode::OK, bytes("jwks-rotated.json"));
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let verifier = verifier.clone();
        calls.spawn(async move { id(&verifier, &new_token()).await });
    }
    while server.requests() == before {
        sleep(Duration::from_millis(5)).await;
    }
    // One that comes while the refresh is under way, and one that has given up.
    assert!(timeout(Duration::from_millis(50), id(&verifier, &new_token())).await.is_err());
    release.notify_one();
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), Ok(42));
    }
    assert_eq!(server.requests(), before + 1);
}

#[tokio::test]
async fn a_slow_key_server_holds_up_only_unknown_keys() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let mut options = server.options();
    options.refresh_wait_max = Duration::from_millis(300);
    let verifier = running(options, &mut tasks);
    ready(&verifier).await;
    let release = server.hold();
    server.set(StatusCode::OK, bytes("jwks-rotated.json"));
    let unknown = new_token();
    let mut waiting = Box::pin(id(&verifier, &unknown));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it waits");
    assert_eq!(verifier.verify_now(&old_token(), NOW_MS).map(|identity| identity.user_id), Ok(42));
    assert_eq!(waiting.await, Err(AuthError::KeysUnavailable), "but not for ever");

    // The caller is gone; the refresh it asked for goes on.
    release.notify_one();
    let arrived = async {
        while verifier.verify_now(&new_token(), NOW_MS).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("the refresh outlives its caller");
}

#[tokio::test]
async fn a_failing_key_server_takes_no_key_away() {
    let mut tasks = JoinSet::new();
    let server = KeyServer::start(&mut tasks).await;
    let verifier = Verifier::from_options(server.options()).unwrap();
    assert!(verifier.refresh().await);
    let secret = json!({"keys": [{"kty": "oct", "kid": "s", "k": URL_SAFE_NO_PAD.encode(SECRET)}]});
    let failures = [
        (StatusCode::INTERNAL_SERVER_ERROR, bytes("jwks-rotated.json")),
        (StatusCode::FOUND, Vec::new()),
        (StatusCode::OK, b"<html>".to_vec()),
        (StatusCode::OK, br#"{"keys":[]}"#.to_vec()),
        (StatusCode::OK, vec![b' '; 2 << 20]),
        (StatusCode::OK, secret.to_string().into_bytes()),
    ];
    for (status, body) in failures {
        server.set(status, body);
        assert!(!verifier.refresh().await, "{status}");
        assert!(verifier.verify_now(&old_token(), NOW_MS).is_ok(), "{status}");
    }
    server.set(StatusCode::OK, bytes("jwks-rotated.json"));
    assert!(verifier.refresh().await);
    assert!(verifier.verify_now(&new_token(), NOW_MS).is_ok());
}

#[tokio::test]
async fn without_keys_the_answer_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    drop(listener);
    let mut tasks = JoinSet::new();
    let verifier = running(AuthOptions::new(vec![KeySource::JwksUrl(url)]), &mut tasks);
    let error = id(&verifier, &old_token()).await.unwrap_err();
    assert_eq!(error.reason(), "auth_unavailable");
    assert_eq!(id(&verifier, &old_token()).await, Err(AuthError::KeysUnavailable));
}

#[tokio::test]
async fn a_key_set_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::copy(testdata("jwks.json"), &path).unwrap();
    let mut tasks = JoinSet::new();
    let options = AuthOptions::new(vec![KeySource::JwksFile(path.clone())]);
    let verifier = running(options, &mut tasks);
    assert_eq!(id(&verifier, &old_token()).await, Ok(42));
    std::fs::copy(testdata("jwks-rotated.json"), &path).unwrap();
    assert_eq!(id(&verifier, &new_token()).await, Ok(42));
    assert_eq!(id(&verifier, &old_token()).await, Err(AuthError::UnknownKey));
}
