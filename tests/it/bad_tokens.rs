//! Tokens that must not open the door.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tertulia::clock::{Clock as _, SystemClock};
use tertulia_proto::chat::v1 as pb;
use tonic::Code;

use crate::{listener::stream_request, sandbox::Sandbox};

fn claims() -> Value {
    json!({"sub": "1", "name": "Eva", "role": "admin", "exp": SystemClock.now_ms() / 1_000 + 600})
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/api/auth/testdata", name].iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_open_nothing() {
    let sandbox = Sandbox::start().await;
    let good = sandbox.token(1);
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let other_key =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(b"guess")).unwrap();
    let mut unknown_kid = Header::new(Algorithm::HS256);
    unknown_kid.kid = Some("nobody".to_owned());
    let unknown_kid = jsonwebtoken::encode(&unknown_kid, &claims(), &EncodingKey::from_secret(b"guess")).unwrap();
    let rs256 = EncodingKey::from_rsa_pem(&std::fs::read(testdata("rs256.private.pem")).unwrap()).unwrap();
    let rs256 = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &rs256).unwrap();
    let forged = [
        ("no dots", "abc".to_owned()),
        ("other claims", format!("{head}.{}.{signature}", part(&claims()))),
        ("cut", format!("{head}.{body}.")),
        ("alg none", format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims()))),
        ("alg None", format!("{}.{}.{signature}", part(&json!({"alg": "None"})), part(&claims()))),
        ("another key", other_key),
        ("unknown kid", unknown_kid),
        ("another algorithm", rs256),
        ("9 KB", format!("{head}.{}.{signature}", "A".repeat(9_000))),
    ];
    for (what, token) in forged {
        let eva = sandbox.caller(Some(&token));
        for (method, request) in [("GetRooms", json!({})), ("GetTokens", json!({})), ("GetStatus", json!({}))] {
            let refusal = eva.refused(method, request).await;
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::Unauthenticated, "token_invalid"),
                "{what}: {refusal:?}"
            );
        }
        let refusal = eva.try_listen(stream_request("c", &[])).await.err().unwrap();
        refusal.is(Code::Unauthenticated, "token_invalid", "");
        let refusal = eva.session(pb::SessionOpen::default()).await.err().unwrap();
        refusal.is(Code::Unauthenticated, "token_invalid", "");
    }
    let nobody = sandbox.caller(None);
    nobody.refused("GetRooms", json!({})).await.is(Code::Unauthenticated, "token_missing", "");
    let late = sandbox.mint(1, false, Duration::from_secs(60), 3_600_000);
    let late = sandbox.caller(Some(&late));
    late.refused("GetRooms", json!({})).await.is(Code::Unauthenticated, "token_expired", "");
    let refusal = late.try_listen(stream_request("c", &[])).await.err().unwrap();
    refusal.is(Code::Unauthenticated, "token_expired", "");
    sandbox.user(1).ok("GetRooms", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_is_no_secret() {
    let public = testdata("rs256.public.pem");
    let sandbox = Sandbox::with(&[("auth.public_key_file", public.to_str().unwrap())]).await;
    let pem = std::fs::read(&public).unwrap();
    let confused =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&pem)).unwrap();
    let trimmed =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(pem.trim_ascii()))
            .unwrap();
    for token in [confused, trimmed] {
        sandbox.caller(Some(&token)).refused("GetRooms", json!({})).await.is(
            Code::Unauthenticated,
            "token_invalid",
            "",
        );
    }
    let key = EncodingKey::from_rsa_pem(&std::fs::read(testdata("rs256.private.pem")).unwrap()).unwrap();
    let good = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &key).unwrap();
    sandbox.caller(Some(&good)).ok("GetRooms", json!({})).await;
}
