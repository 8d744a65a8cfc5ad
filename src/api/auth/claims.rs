//! From the claims of a verified token to an [`Identity`].

use serde_json::{Map, Value};

use super::options::AuthOptions;
use super::{AuthError, ClaimNames, Expiry, Identity};
use crate::domain::{
    form::{self, UrlSchemes},
    limits,
};

type Claims = Map<String, Value>;

/// What a token says, and when it says so.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    not_before_ms: i64,
}

/// What is required of claims.
#[derive(Debug)]
pub(super) struct Rules {
    issuer: Option<String>,
    audience: Option<String>,
    names: ClaimNames,
    leeway_ms: i64,
    url_schemes: UrlSchemes,
}

impl Rules {
    pub(super) fn new(options: &AuthOptions) -> Self {
        Self {
            issuer: options.issuer.clone(),
            audience: options.audience.clone(),
            names: options.claims.clone(),
            leeway_ms: options.leeway_ms.max(0),
            url_schemes: options.url_schemes.clone(),
        }
    }

    /// Reads the claims of a token whose signature verified. Times are checked apart, by
    /// [`Rules::check_time`], because they are to be checked at every use.
    pub(super) fn read(&self, claims: &Claims) -> Result<Verified, AuthError> {
        let exp_ms = time_ms(claims, "exp")?.ok_or_else(|| AuthError::bad_claim("exp"))?;
        let not_before_ms = time_ms(claims, "nbf")?.unwrap_or(i64::MIN);
        require(claims, "iss", self.issuer.as_deref())?;
        require(claims, "aud", self.audience.as_deref())?;
        let names = &self.names;
        let identity = Identity {
            user_id: user_id(claims, &names.user_id)?,
            // The product's own data, and no reason to keep its user out: taken as far as it can be.
            name: text(claims, &names.name)?.map(|name| form::cleaned_name(&name)),
            picture: text(claims, &names.picture)?
                .filter(|url| url.is_empty() || (url.len() <= limits::URL_BYTES_MAX && self.url_schemes.allow(url))),
            // Nothing is refused for it: one that cannot be read is as good as none.
            issued_at_ms: time_ms(claims, "iat").ok().flatten(),
            admin: find(claims, &names.admin).is_some_and(|value| is_or_holds(value, &names.admin_value)),
            expiry: Expiry::new(exp_ms, self.leeway_ms),
        };
        Ok(Verified { identity, not_before_ms })
    }

    /// Each requirement by itself. What [`Rules::read`] and [`Rules::check_time`] ask together, so that one who wonders
    /// hears of all that is wrong and not of the first.
    pub(super) fn each(&self, claims: &Claims, now_ms: i64) -> Vec<(&'static str, Result<(), AuthError>)> {
        let names = &self.names;
        let expiry = time_ms(claims, "exp").and_then(|exp| exp.ok_or_else(|| AuthError::bad_claim("exp")));
        let expiry = expiry.and_then(|exp_ms| {
            if Expiry::new(exp_ms, self.leeway_ms).has_passed(now_ms) { Err(AuthError::Expired) } else { Ok(()) }
        });
        let begin = time_ms(claims, "nbf").and_then(|nbf| {
            let early = nbf.is_some_and(|nbf| now_ms.saturating_add(self.leeway_ms) < nbf);
            if early { Err(AuthError::NotYetValid) } else { Ok(()) }
        });
        vec![
            ("expiry", expiry),
            ("not before", begin),
            ("issuer", require(claims, "iss", self.issuer.as_deref())),
            ("audience", require(claims, "aud", self.audience.as_deref())),
            ("user id", user_id(claims, &names.user_id).map(drop)),
            ("name", text(claims, &names.name).map(drop)),
            ("picture", text(claims, &names.picture).map(drop)),
        ]
    }

    pub(super) fn check_time(&self, verified: &Verified, now_ms: i64) -> Result<(), AuthError> {
        if verified.identity.expiry.has_passed(now_ms) {
            return Err(AuthError::Expired);
        }
        if now_ms.saturating_add(self.leeway_ms) < verified.not_before_ms {
            return Err(AuthError::NotYetValid);
        }
        Ok(())
    }
}

/// The claim of that very name, or the one at the end of the dotted path; `null` counts as absent.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    let found = claims.get(name).or_else(|| {
        let mut steps = name.split('.');
        let first = claims.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    });
    found.filter(|value| !value.is_null())
}

/// A NumericDate (seconds, possibly with a fraction) in milliseconds. A time too far away for the
/// type is as far away as the type can say.
fn time_ms(claims: &Claims, name: &str) -> Result<Option<i64>, AuthError> {
    let Some(value) = claims.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let Value::Number(number) = value else {
        return Err(AuthError::bad_claim(name));
    };
    if let Some(seconds) = number.as_i64() {
        return Ok(Some(seconds.saturating_mul(1000)));
    }
    match number.as_f64() {
        // The cast saturates, which is what is wanted.
        Some(seconds) if seconds.is_finite() => Ok(Some((seconds * 1000.0) as i64)),
        _ => Err(AuthError::bad_claim(name)),
    }
}

fn require(claims: &Claims, name: &str, wanted: Option<&str>) -> Result<(), AuthError> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let holds = match claims.get(name) {
        Some(Value::String(value)) => value == wanted,
        // Only `aud` may be a list (RFC 7519, 4.1.3).
        Some(Value::Array(values)) if name == "aud" => values.iter().any(|value| value.as_str() == Some(wanted)),
        _ => false,
    };
    if holds { Ok(()) } else { Err(AuthError::bad_claim(name)) }
}

/// An integer or its canonical decimal string: `07` and `+7` are no second names of user 7.
fn user_id(claims: &Claims, name: &str) -> Result<i64, AuthError> {
    let id = match find(claims, name) {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(digits)) => digits.parse::<i64>().ok().filter(|id| id.to_string() == *digits),
        _ => None,
    };
    id.filter(|id| *id >= 1).ok_or_else(|| AuthError::bad_claim(name))
}

fn text(claims: &Claims, name: &str) -> Result<Option<String>, AuthError> {
    match find(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(AuthError::bad_claim(name)),
    }
}

fn is_or_holds(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Bool(flag) => *flag && wanted == "true",
        Value::Array(values) => values.iter().any(|value| value.as_str() == Some(wanted)),
        _ => false,
    }
}
