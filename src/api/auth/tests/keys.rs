//! Sources of keys that are on this machine.

use super::*;

fn refused(source: KeySource) -> String {
    match Verifier::from_options(AuthOptions::new(vec![source])) {
        Ok(_) => panic!("the source was accepted"),
        Err(err) => err.to_string(),
    }
}

fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

#[test]
fn a_secret_comes_from_a_file() {
    for end in ["", "\n", "\r\n"] {
        let (_dir, path) = written(format!("{SECRET}{end}").as_bytes());
        let token = sign(Algorithm::HS256, Some("any"), &good());
        assert!(verifier(KeySource::HmacSecretFile(path)).verify_now(&token, NOW_MS).is_ok());
    }
}

#[test]
fn weak_and_wrong_keys_are_refused_at_the_start() {
    let short = SecretString::from(&SECRET[1..]);
    let message = refused(KeySource::HmacSecret(short));
    assert!(message.contains("at least 32 bytes, this one has 31") && !message.contains("1234"), "{message}");
    assert!(refused(pem("rs256-short.public.pem")).contains("less than 2048 bits"));
    assert!(refused(pem("es384.public.pem")).contains("not on P-256"));
    assert!(refused(pem("es256.private.pem")).contains("private key"));
    assert!(refused(pem("jwks.json")).contains("no PEM block"));
    assert!(refused(pem("absent.pem")).contains("absent.pem"));
    assert!(refused(KeySource::JwksUrl("ftp://example.com/k".to_owned())).contains("http"));
    assert!(refused(KeySource::JwksUrl("no address".to_owned())).contains("address"));
    assert!(Verifier::from_options(AuthOptions::new(Vec::new())).is_err());
}

#[test]
fn an_address_is_not_needed_at_the_start() {
    let verifier = verifier(KeySource::JwksUrl("http://id.invalid/keys".to_owned()));
    assert!(!verifier.is_ready());
    let token = sign(Algorithm::RS256, None, &good());
    let answer = verifier.verify_now(&token, NOW_MS);
    assert_eq!(answer, Err(AuthError::KeysUnavailable));
}

#[test]
fn a_pem_file_may_hold_the_old_and_the_new_key() {
    let mut both = bytes("rs256-next.public.pem");
    both.extend(b"# the old one\n");
    both.extend(bytes("rs256.public.pem"));
    both.extend(bytes("eddsa.public.pem"));
    let (_dir, path) = written(&both);
    let verifier = verifier(KeySource::PublicKeyFile(path));
    for algorithm in [Algorithm::RS256, Algorithm::EdDSA] {
        let token = sign(algorithm, None, &good());
        assert!(verifier.verify_now(&token, NOW_MS).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_key_set_file_is_used_by_name_and_without() {
    let verifier = verifier(KeySource::JwksFile(testdata("jwks.json")));
    let check = |algorithm, kid| {
        let token = sign(algorithm, kid, &good());
        verifier.verify_now(&token, NOW_MS).map(|identity| identity.user_id)
    };
    for (algorithm, kid) in [(Algorithm::RS256, "rsa-1"), (Algorithm::ES256, "ec-1"), (Algorithm::EdDSA, "ed-1")] {
        assert_eq!(check(algorithm, Some(kid)), Ok(42), "{kid}");
        assert_eq!(check(algorithm, None), Ok(42), "{kid}");
    }
    assert_eq!(check(Algorithm::RS256, Some("ec-1")), Err(AuthError::WrongAlgorithm));
    assert_eq!(check(Algorithm::RS256, Some("rsa-2")), Err(AuthError::UnknownKey));
    assert_eq!(check(Algorithm::RS256, Some("enc-1")), Err(AuthError::UnknownKey), "not for signatures");
    assert_eq!(check(Algorithm::HS256, None), Err(AuthError::WrongAlgorithm));
}

#[test]
fn a_key_set_without_a_usable_key_is_refused() {
    let refused_set = |content: &str| {
        let (_dir, path) = written(content.as_bytes());
        refused(KeySource::JwksFile(path))
    };
    assert!(refused_set(r#"{"keys": []}"#).contains("no keys"));
    assert!(refused_set("{").contains("line 1"));
    assert!(refused_set(r#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#).contains("too short"));
    assert!(refused_set(r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#).contains("2048"));
    let encryption = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "use": "enc"}]}"#;
    assert!(refused_set(encryption).contains("not for signatures"));
    let many = format!(r#"{{"keys": [{}]}}"#, vec!["{}"; 65].join(","));
    assert!(refused_set(&many).contains("more than 64"));
}

#[test]
fn a_local_key_set_may_hold_a_shared_secret() {
    let k = URL_SAFE_NO_PAD.encode(SECRET);
    let (_dir, path) = written(json!({"keys": [{"kty": "oct", "kid": "s", "k": k}]}).to_string().as_bytes());
    let verifier = verifier(KeySource::JwksFile(path));
    let token = sign(Algorithm::HS256, Some("s"), &good());
    assert!(verifier.verify_now(&token, NOW_MS).is_ok());
}

#[test]
fn several_sources_count_together() {
    let options = AuthOptions::new(vec![hmac(), KeySource::JwksFile(testdata("jwks.json"))]);
    let verifier = Verifier::from_options(options).unwrap();
    let check = |token: String| verifier.verify_now(&token, NOW_MS).map(|_| ());
    assert_eq!(check(sign(Algorithm::HS256, None, &good())), Ok(()));
    assert_eq!(check(sign(Algorithm::HS256, Some("mine"), &good())), Ok(()));
    assert_eq!(check(sign(Algorithm::ES256, Some("ec-1"), &good())), Ok(()));
    let confused = sign_by_hand(&json!({"alg": "HS256", "kid": "ec-1"}), &good(), SECRET.as_bytes());
    assert_eq!(check(confused), Err(AuthError::WrongAlgorithm), "a name leads to its key only");
}

#[test]
fn keys_stay_out_of_debug_output() {
    let printed = format!("{:?}", verifier(hmac()));
    assert!(printed.contains("HS256"), "{printed}");
    assert!(!printed.contains(SECRET), "{printed}");
    let printed = format!("{:?}", AuthOptions::new(vec![hmac()]));
    assert!(!printed.contains(SECRET), "{printed}");
}
