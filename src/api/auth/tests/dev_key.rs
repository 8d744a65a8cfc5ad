//! The development key.

use std::time::Duration;

use super::super::dev_key::{FILE_NAME, TokenSpec, load, load_or_create};
use super::*;

fn spec() -> TokenSpec<'static> {
    TokenSpec {
        user_id: 5,
        name: "Eva",
        picture: "https://p",
        admin: true,
        ttl: Duration::from_secs(60),
        now_ms: NOW_MS,
    }
}

#[test]
fn looking_for_a_key_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert!(load(&data).unwrap().is_none());
    assert!(!data.exists());
    let made = load_or_create(&data).unwrap();
    let options = AuthOptions::new(vec![made.source()]);
    assert_eq!(load(&data).unwrap().unwrap().mint(&spec(), &options), made.mint(&spec(), &options));
    std::fs::write(data.join(FILE_NAME), "short").unwrap();
    load(&data).unwrap_err();
}

#[test]
fn mints_what_its_verifier_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let key = load_or_create(&dir.path().join("data")).unwrap();
    let mut options = AuthOptions::new(vec![key.source()]);
    options.issuer = Some("me".to_owned());
    options.audience = Some("chat".to_owned());
    options.claims.user_id = "uid".to_owned();
    options.claims.admin = "groups.chat".to_owned();
    let token = key.mint(&spec(), &options);
    let identity = Verifier::from_options(options).unwrap().verify_now(&token, NOW_MS).unwrap();
    let expected = Identity {
        user_id: 5,
        name: Some("Eva".to_owned()),
        picture: Some("https://p".to_owned()),
        issued_at_ms: identity.issued_at_ms,
        admin: true,
        expiry: Expiry::new(NOW_MS + 60_000, 30_000),
    };
    assert_eq!(identity, expected);
}

#[test]
fn is_the_same_after_a_restart_and_never_the_same_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = load_or_create(here.path()).unwrap();
    let options = AuthOptions::new(vec![load_or_create(here.path()).unwrap().source()]);
    let token = first.mint(&spec(), &options);
    assert!(Verifier::from_options(options).unwrap().verify_now(&token, NOW_MS).is_ok());
    let other = load_or_create(there.path()).unwrap();
    assert_eq!(verifier(other.source()).verify_now(&token, NOW_MS), Err(AuthError::BadSignature));
}

#[test]
fn its_file_is_a_secret_file_for_other_servers() {
    let dir = tempfile::tempdir().unwrap();
    let key = load_or_create(dir.path()).unwrap();
    let path = dir.path().join(FILE_NAME);
    assert!(!crate::secret_file::is_open_to_others(&path).unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim_end().len(), 64);
    assert!(!format!("{key:?}").contains(text.trim_end()));
    let token = key.mint(&spec(), &AuthOptions::new(Vec::new()));
    assert!(verifier(KeySource::HmacSecretFile(path)).verify_now(&token, NOW_MS).is_ok());
}

#[test]
fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    for content in ["", "abc", "not hexadecimal at all", &"ab".repeat(31), &"ab".repeat(33)] {
        std::fs::write(&path, content).unwrap();
        let message = load_or_create(dir.path()).unwrap_err().to_string();
        assert!(message.contains("64 hexadecimal digits"), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}
