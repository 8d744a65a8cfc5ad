//! Claims, times and the header value.

use super::*;
use crate::domain::form::UrlSchemes;

fn check(options: AuthOptions, claims: &Value) -> Result<Identity, AuthError> {
    let token = sign(Algorithm::HS256, None, claims);
    Verifier::from_options(options).unwrap().verify_now(&token, NOW_MS)
}

fn check_default(claims: &Value) -> Result<Identity, AuthError> {
    check(AuthOptions::new(vec![hmac()]), claims)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn bad(claim: &str) -> AuthError {
    AuthError::BadClaim { claim: claim.to_owned() }
}

#[test]
fn a_full_token_is_read() {
    let claims = json!({
        "sub": 7, "name": "Zoë", "picture": "https://example.com/p.png", "role": "admin",
        "exp": 1_795_219_260.5, "nbf": 1_795_219_200, "iat": 1_795_219_200, "extra": [1, 2],
    });
    let expected = Identity {
        user_id: 7,
        name: Some("Zoë".to_owned()),
        picture: Some("https://example.com/p.png".to_owned()),
        issued_at_ms: Some(1_795_219_200_000),
        admin: true,
        expiry: Expiry::new(1_795_219_260_500, 30_000),
    };
    assert_eq!(check_default(&claims).unwrap(), expected);
}

#[test]
fn a_sparse_token_is_read() {
    let identity = check_default(&json!({"sub": "9223372036854775807", "exp": u32::MAX, "name": null})).unwrap();
    assert_eq!(identity.user_id, i64::MAX);
    assert_eq!((identity.name, identity.picture, identity.issued_at_ms), (None, None, None));
    assert!(!identity.admin);
}

#[test]
fn a_user_id_is_an_integer_from_1() {
    for value in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(true),
        json!([1]),
        json!(null),
        json!(""),
        json!("0"),
        json!("-5"),
        json!("+5"),
        json!("05"),
        json!(" 5"),
        json!("5 "),
        json!("0x5"),
        json!("five"),
        json!("9223372036854775808"),
        json!("٣"),
    ] {
        assert_eq!(check_default(&with("sub", value.clone())), Err(bad("sub")), "{value}");
    }
    let mut claims = good();
    claims.as_object_mut().unwrap().remove("sub");
    assert_eq!(check_default(&claims), Err(bad("sub")));
}

#[test]
fn texts_are_texts() {
    assert_eq!(check_default(&with("name", json!(5))), Err(bad("name")));
    assert_eq!(check_default(&with("picture", json!({}))), Err(bad("picture")));
}

#[test]
fn times_are_checked_with_leeway() {
    let at = |name: &str, offset_s: i64| check_default(&with(name, json!(NOW_MS / 1000 + offset_s)));
    assert!(at("exp", -29).is_ok());
    assert_eq!(at("exp", -30), Err(AuthError::Expired));
    assert_eq!(at("exp", -31), Err(AuthError::Expired));
    assert!(at("nbf", 30).is_ok());
    assert_eq!(at("nbf", 31), Err(AuthError::NotYetValid));
}

#[test]
fn an_expiry_is_required_and_a_number() {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove("exp");
    assert_eq!(check_default(&claims), Err(bad("exp")));
    assert_eq!(check_default(&with("exp", json!("4102444800"))), Err(bad("exp")));
    assert_eq!(check_default(&with("nbf", json!("0"))), Err(bad("nbf")));
    assert_eq!(check_default(&with("exp", json!(i64::MIN))), Err(AuthError::Expired));
    let far = check_default(&with("exp", json!(1e300))).unwrap();
    assert_eq!(far.expiry, Expiry::new(i64::MAX, 0));
}

#[test]
fn a_remembered_token_expires_too() {
    let verifier = verifier(hmac());
    let token = sign(Algorithm::HS256, None, &with("nbf", json!(NOW_MS / 1000)));
    assert!(verifier.verify_now(&token, NOW_MS).is_ok());
    assert!(verifier.verify_now(&token, NOW_MS + 89_999).is_ok());
    assert_eq!(verifier.verify_now(&token, NOW_MS + 90_000), Err(AuthError::Expired));
    assert_eq!(verifier.verify_now(&token, NOW_MS - 30_001), Err(AuthError::NotYetValid));
    assert!(verifier.verify_now(&token, NOW_MS).is_ok());
}

#[test]
fn issuer_and_audience_are_checked_when_configured() {
    let mut options = AuthOptions::new(vec![hmac()]);
    options.issuer = Some("https://id.example.com".to_owned());
    options.audience = Some("chat".to_owned());
    let claims = |iss: Value, aud: Value| {
        let mut claims = with("iss", iss);
        claims["aud"] = aud;
        claims
    };
    let issuer = json!("https://id.example.com");
    let check = |claims: &Value| check(options.clone(), claims).map(|_| ());
    assert_eq!(check(&claims(issuer.clone(), json!("chat"))), Ok(()));
    assert_eq!(check(&claims(issuer.clone(), json!(["other", "chat"]))), Ok(()));
    assert_eq!(check(&claims(issuer.clone(), json!("cha"))), Err(bad("aud")));
    assert_eq!(check(&claims(issuer.clone(), json!([]))), Err(bad("aud")));
    assert_eq!(check(&with("iss", issuer.clone())), Err(bad("aud")));
    assert_eq!(check(&claims(json!([issuer]), json!("chat"))), Err(bad("iss")));
    assert_eq!(check(&claims(json!("https://evil.example"), json!("chat"))), Err(bad("iss")));
    assert_eq!(check(&with("aud", json!("chat"))), Err(bad("iss")));
}

#[test]
fn the_admin_role_is_a_value_or_in_a_list() {
    let is_admin = |role: Value| check_default(&with("role", role)).unwrap().admin;
    assert!(is_admin(json!("admin")));
    assert!(is_admin(json!(["member", "admin"])));
    for role in [json!("Admin"), json!("admin,member"), json!(["administrator"]), json!(true), json!({"admin": 1})] {
        assert!(!is_admin(role.clone()), "{role}");
    }
}

#[test]
fn claims_can_be_mapped() {
    let mut options = AuthOptions::new(vec![hmac()]);
    options.claims = ClaimNames {
        user_id: "https://example.com/uid".to_owned(),
        name: "profile.display.name".to_owned(),
        picture: "avatar".to_owned(),
        admin: "realm.chat_admin".to_owned(),
        admin_value: "true".to_owned(),
    };
    let claims = json!({
        "sub": "not a number", "exp": NOW_MS / 1000 + 1, "https://example.com/uid": 3,
        "profile": {"display": {"name": "Bo"}}, "avatar": "https://p", "realm": {"chat_admin": true},
    });
    let identity = check(options, &claims).unwrap();
    let (name, picture) = (identity.name.as_deref(), identity.picture.as_deref());
    assert_eq!((identity.user_id, name, picture), (3, Some("Bo"), Some("https://p")));
    assert!(identity.admin);
}

#[test]
fn names_and_pictures_that_may_not_be_are_taken_as_far_as_they_can_be() {
    for picture in [
        "javascript:alert(1)",
        "data:image/png,x",
        "p.png",
        "https:/e.org",
        &format!("https://e/{}", "x".repeat(2_048)),
    ] {
        assert_eq!(check_default(&with("picture", json!(picture))).unwrap().picture, None, "{picture}");
    }
    for (name, taken) in [("An\0a\u{202e}", "Ana"), ("\u{200b}", ""), (" Zoë\n", "Zoë")] {
        assert_eq!(check_default(&with("name", json!(name))).unwrap().name.as_deref(), Some(taken), "{name:?}");
    }
    let mut options = AuthOptions::new(vec![hmac()]);
    options.url_schemes = UrlSchemes::parse("mxc").unwrap();
    let identity = check(options, &with("picture", json!("mxc://e.org/1"))).unwrap();
    assert_eq!(identity.picture.as_deref(), Some("mxc://e.org/1"));
}

#[test]
fn the_header_value_is_taken_apart() {
    let token = |value: &'static [u8]| bearer_token(Some(value));
    assert_eq!(token(b"Bearer a.b.c"), Ok("a.b.c"));
    assert_eq!(token(b"  bEARER \t a.b.c "), Ok("a.b.c"));
    for empty in [&b""[..], b" ", b"Bearer", b"bearer  "] {
        assert_eq!(token(empty), Err(AuthError::Missing), "{empty:?}");
    }
    assert_eq!(bearer_token(None), Err(AuthError::Missing));
    for other in [&b"Basic YTpi"[..], b"a.b.c", b"Bearer a b", b"Bearer \xff", b"Bearer \xc3\xa9", b"Bearera.b.c"] {
        assert_eq!(token(other), Err(AuthError::Malformed), "{other:?}");
    }
}

#[test]
fn reasons_are_stable() {
    let reasons = [
        (AuthError::Missing, "token_missing"),
        (AuthError::Malformed, "token_invalid"),
        (AuthError::Expired, "token_expired"),
        (AuthError::NotYetValid, "token_invalid"),
        (AuthError::UnknownKey, "token_invalid"),
        (AuthError::BadSignature, "token_invalid"),
        (AuthError::WrongAlgorithm, "token_invalid"),
        (bad("sub"), "token_invalid"),
        (AuthError::KeysUnavailable, "auth_unavailable"),
    ];
    for (error, reason) in reasons {
        assert_eq!(error.reason(), reason);
    }
}

#[test]
fn personal_data_stays_out_of_debug_output() {
    let identity = check_default(&with("picture", json!("https://p"))).unwrap();
    let printed = format!("{identity:?}");
    assert!(printed.contains("42") && !printed.contains("Ada") && !printed.contains("https"));
}
