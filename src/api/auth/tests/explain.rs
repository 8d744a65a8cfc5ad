//! What people are told who ask why a token is refused.

use super::*;

async fn told(claims: &Value, options: AuthOptions) -> Explained {
    let token = sign(Algorithm::HS256, None, claims);
    Verifier::from_options(options).unwrap().explain(&token, NOW_MS).await
}

fn failed(told: &Explained) -> Vec<(&'static str, &'static str)> {
    told.checks.iter().filter_map(|(name, found)| Some((*name, found.as_ref().err()?.cause()))).collect()
}

#[tokio::test]
async fn a_good_token_passes_every_check() {
    let told = told(&good(), AuthOptions::new(vec![hmac()])).await;
    assert_eq!(failed(&told), []);
    assert_eq!(told.verdict.unwrap().user_id, 42);
    assert_eq!((told.algorithm.as_deref(), told.key_id), (Some("HS256"), None));
    assert_eq!(told.claims.unwrap()["name"], "Ada");
}

#[tokio::test]
async fn all_that_is_wrong_is_said_and_not_the_first_thing_alone() {
    let mut options = AuthOptions::new(vec![KeySource::HmacSecret(SecretString::from("f".repeat(32)))]);
    options.audience = Some("chat".to_owned());
    let claims = json!({"sub": "07", "name": 5, "exp": NOW_MS / 1000 - 60, "nbf": NOW_MS / 1000 + 60, "aud": ["web"]});
    let told = told(&claims, options).await;
    let expected = [
        ("signature", "bad_signature"),
        ("expiry", "expired"),
        ("not before", "not_yet_valid"),
        ("audience", "bad_claim"),
        ("user id", "bad_claim"),
        ("name", "bad_claim"),
    ];
    assert_eq!(failed(&told), expected);
    assert_eq!(told.verdict, Err(AuthError::BadSignature));
}

#[tokio::test]
async fn what_is_no_token_is_not_taken_apart() {
    let verifier = verifier(hmac());
    for text in ["", "a.b", "a.b.c", "Bearer x"] {
        let told = verifier.explain(text, NOW_MS).await;
        assert_eq!(failed(&told)[0].0, "form", "{text}");
        assert!(told.verdict.is_err() && told.claims.is_none());
    }
}
