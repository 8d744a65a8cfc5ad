//! Values that do not fit, alone or together.

use super::*;

#[test]
fn addresses() {
    let takes = |text: &str| from_flags(&[("server.listen", text)]).is_ok();
    for good in ["127.0.0.1:0", "0.0.0.0:65535", "[::]:8080", "[::1]:1", "localhost:8080", "chat.example.com:443"] {
        assert!(takes(good), "{good}");
    }
    for bad in [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "::1:80",
        "[::1]",
        "[x]:1",
        "a:65536",
        "a:-1",
        "a:+1",
        "a:",
        "http://a:1",
        "a b:1",
    ] {
        assert!(!takes(bad), "{bad}");
    }
}

#[test]
fn texts_words_and_directives() {
    for (path, value) in [
        ("server.data_dir", ""),
        ("auth.user_id_claim", ""),
        ("auth.jwks_url", "example.com/keys"),
        ("auth.jwks_url", "file:///etc/keys"),
        ("storage.fsync", "Always"),
        ("log.level", ""),
        ("log.level", "info,tertulia=loud"),
        ("log.format", "xml"),
        ("storage.worker_id", "1024"),
        ("encryption.key", "00"),
        ("encryption.iv", KEY),
        ("encryption.old_keys", "1:2"),
    ] {
        assert!(from_flags(&[(path, value)]).is_err(), "{path} = {value}");
    }
    assert_eq!(from_flags(&[("log.level", "off")]).unwrap().log.level, "off");
}

#[test]
fn secrets_that_do_not_fit_together() {
    let key = ("encryption.key", KEY);
    let iv = ("encryption.iv", IV);
    let old = format!("1:{KEY}:{IV}");
    let twice = format!("2:{KEY}:{IV}, 2:{KEY}:{IV}");
    assert!(from_flags(&[key, iv, ("encryption.key_id", "2"), ("encryption.old_keys", &old)]).is_ok());
    assert_eq!(message(from_flags(&[key])), "flag: `encryption.key` is set without `encryption.iv`");
    assert_eq!(message(from_flags(&[iv])), "flag: `encryption.iv` is set without `encryption.key`");
    assert!(message(from_flags(&[("encryption.key_id", "2")])).contains("without `encryption.key`"));
    assert!(message(from_flags(&[key, iv, ("encryption.old_keys", &old)])).contains("key id 1 a second time"));
    assert!(message(from_flags(&[key, iv, ("encryption.old_keys", &twice)])).contains("key id 2 a second time"));
}

#[test]
fn sources_of_verification_keys() {
    let secret = ("auth.hmac_secret", "0123456789abcdef0123456789abcdef");
    let file = ("auth.hmac_secret_file", "/run/secrets/jwt");
    assert!(message(from_flags(&[secret, file])).contains("both set"));
    assert!(message(from_flags(&[("auth.hmac_secret", "short")])).contains("shorter than 32 bytes"));
    let config = from_flags(&[
        file,
        ("auth.public_key_file", "a.pem"),
        ("auth.jwks_file", "b.json"),
        ("auth.jwks_url", "https://example.com/c"),
        ("auth.jwks_refresh_s", "60"),
        ("auth.issuer", "me"),
        ("auth.audience", "chat"),
        ("auth.admin_value", "chat-admin"),
    ])
    .unwrap();
    let options = config.auth.options();
    assert_eq!(options.sources.len(), 4);
    assert_eq!(options.refresh_every.as_secs(), 60);
    assert_eq!((options.issuer.as_deref(), options.audience.as_deref()), (Some("me"), Some("chat")));
    assert_eq!(options.claims.admin_value, "chat-admin");
}

#[test]
fn a_batch_fits_its_queue() {
    let flags = [("rooms.batch_max", "100"), ("rooms.queue_max", "99")];
    assert_eq!(message(from_flags(&flags)), "flag: `rooms.batch_max` is greater than `rooms.queue_max`");
}

#[test]
fn lanes_have_connections() {
    let flags = [("postgres.append_lanes", "9"), ("postgres.pool_size", "8")];
    assert_eq!(message(from_flags(&flags)), "flag: `postgres.append_lanes` is greater than `postgres.pool_size`");
}
