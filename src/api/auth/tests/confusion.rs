//! Tokens made to be taken for what they are not.

use super::*;

const SUPPORTED: [(Algorithm, &str); 4] = [
    (Algorithm::HS256, "HS256"),
    (Algorithm::RS256, "RS256"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::EdDSA, "EdDSA"),
];

fn source(algorithm: Algorithm) -> KeySource {
    match algorithm {
        Algorithm::HS256 => hmac(),
        Algorithm::RS256 => pem("rs256.public.pem"),
        Algorithm::ES256 => pem("es256.public.pem"),
        _ => pem("eddsa.public.pem"),
    }
}

fn check(source: KeySource, token: &str) -> Result<i64, AuthError> {
    let verifier = verifier(source);
    let first = verifier.verify_now(token, NOW_MS).map(|identity| identity.user_id);
    let again = verifier.verify_now(token, NOW_MS).map(|identity| identity.user_id);
    assert_eq!(first, again, "what is remembered answers the same");
    first
}

#[test]
fn each_algorithm_verifies_with_its_key_only() {
    for (signed, _) in SUPPORTED {
        let token = sign(signed, None, &good());
        for (held, _) in SUPPORTED {
            let expected = if held == signed { Ok(42) } else { Err(AuthError::WrongAlgorithm) };
            assert_eq!(check(source(held), &token), expected, "{signed:?} with a key for {held:?}");
        }
    }
}

#[test]
fn tokens_of_another_signer_verify() {
    let tokens = String::from_utf8(bytes("openssl.jwt")).unwrap();
    assert_eq!(tokens.lines().count(), SUPPORTED.len());
    for (line, (algorithm, name)) in tokens.lines().zip(SUPPORTED) {
        let token = line.strip_prefix(name).unwrap().trim_start();
        assert_eq!(check(source(algorithm), token), Ok(42), "{name}");
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let public = bytes("rs256.public.pem");
    let trimmed = public.strip_suffix(b"\n").unwrap();
    for secret in [public.as_slice(), trimmed] {
        for alg in ["HS256", "RS256"] {
            let token = sign_by_hand(&json!({"alg": alg, "typ": "JWT"}), &good(), secret);
            let expected = if alg == "HS256" { AuthError::WrongAlgorithm } else { AuthError::BadSignature };
            assert_eq!(check(pem("rs256.public.pem"), &token), Err(expected));
        }
    }
    // The same with the key's name, against a key set.
    let token = sign_by_hand(&json!({"alg": "HS256", "kid": "rsa-1"}), &good(), &public);
    let jwks = KeySource::JwksFile(testdata("jwks.json"));
    assert_eq!(check(jwks, &token), Err(AuthError::WrongAlgorithm));
}

#[test]
fn no_signature_is_no_token() {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "NONE", ""] {
        let unsigned = format!("{}.{}.", encode(&json!({"alg": alg})), encode(&good()));
        assert_eq!(check(hmac(), &unsigned), Err(AuthError::WrongAlgorithm), "{alg}");
        let signed = sign_by_hand(&json!({"alg": alg}), &good(), SECRET.as_bytes());
        assert_eq!(check(hmac(), &signed), Err(AuthError::WrongAlgorithm), "{alg}");
    }
    for (algorithm, name) in SUPPORTED {
        let stripped = format!("{}.{}.", encode(&json!({"alg": name})), encode(&good()));
        assert_eq!(check(source(algorithm), &stripped), Err(AuthError::BadSignature), "{name}");
    }
}

#[test]
fn a_header_that_disagrees_with_the_key_is_refused() {
    for alg in ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "PS256", "dir"] {
        let token = sign_by_hand(&json!({"alg": alg}), &good(), SECRET.as_bytes());
        assert_eq!(check(hmac(), &token), Err(AuthError::WrongAlgorithm), "{alg}");
    }
    let rsa = signing_key(Algorithm::RS256);
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = sign_with(algorithm, None, &good(), &rsa);
        assert_eq!(check(pem("rs256.public.pem"), &token), Err(AuthError::WrongAlgorithm));
    }
}

#[test]
fn a_key_in_the_header_is_not_used() {
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256"});
    let header = json!({"alg": "HS256", "jwk": jwk, "jku": "https://evil.example/jwks", "kid": "../../dev/null"});
    let token = sign_by_hand(&header, &good(), &[7; 32]);
    assert_eq!(check(hmac(), &token), Err(AuthError::BadSignature));
}

#[test]
fn every_changed_character_is_noticed() {
    for (algorithm, _) in SUPPORTED {
        let verifier = verifier(source(algorithm));
        let token = sign(algorithm, None, &good());
        assert!(verifier.verify_now(&token, NOW_MS).is_ok());
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verifier.verify_now(&changed, NOW_MS).is_err(), "{algorithm:?} at {index}");
        }
    }
}

#[test]
fn another_key_of_the_same_kind_does_not_verify() {
    let other = EncodingKey::from_rsa_pem(&bytes("rs256-next.private.pem")).unwrap();
    let token = sign_with(Algorithm::RS256, None, &good(), &other);
    assert_eq!(check(pem("rs256.public.pem"), &token), Err(AuthError::BadSignature));
    let token = sign_by_hand(&json!({"alg": "HS256"}), &good(), b"0123456789abcdef0123456789abcdeF");
    assert_eq!(check(hmac(), &token), Err(AuthError::BadSignature));
}

#[test]
fn what_is_no_token_is_malformed() {
    let good_token = sign(Algorithm::HS256, None, &good());
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let long = format!("{good_token}{}", "A".repeat(9000));
    let padded = format!("{good_token}=");
    let four = format!("{good_token}.x");
    let crit = sign_by_hand(&json!({"alg": "HS256", "crit": ["exp"]}), &good(), SECRET.as_bytes());
    let no_alg = sign_by_hand(&json!({"typ": "JWT"}), &good(), SECRET.as_bytes());
    let list = sign_by_hand(&json!({"alg": "HS256"}), &json!([1]), SECRET.as_bytes());
    let broken = format!("{}.e30.x", encode("{\"alg\":"));
    for token in [&long, &four, &crit, &no_alg, &list, &broken, "a", "..", "a.b.c", "\u{1f980}.b.c"] {
        assert_eq!(check(hmac(), token), Err(AuthError::Malformed), "{token:.60}");
    }
    assert_eq!(check(hmac(), ""), Err(AuthError::Missing));
    assert_eq!(check(hmac(), &padded), Err(AuthError::BadSignature));
}

#[test]
fn a_forged_token_is_not_told_that_it_expired() {
    let claims = json!({"sub": 1, "exp": 1});
    let token = sign_by_hand(&json!({"alg": "HS256"}), &claims, &[7; 32]);
    assert_eq!(check(hmac(), &token), Err(AuthError::BadSignature));
}
