//! What an answer of Redis says about Redis itself: whether it serves, refuses to, or is not there. It must not ask
//! anything.

use redis::{ErrorKind, RedisError, RedisResult};

use crate::circuit::Verdict;

/// What one call says. An answer that says no to what was asked alone is a good one.
pub(super) fn verdict<T>(result: &RedisResult<T>) -> Verdict {
    let Err(error) = result else { return Verdict::Good };
    if is_absence(error) {
        return Verdict::Bad;
    }
    let in_pipe = error.clone().into_server_errors().and_then(|errors| Some(errors.first()?.1.code().to_owned()));
    if let Some(code) = in_pipe.as_deref().or_else(|| error.code()) {
        return refused(code).map_or(Verdict::Good, Verdict::Refused);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => Verdict::Refused("refuses the password"),
        // Whatever that is, it does not speak as Redis does.
        ErrorKind::Parse | ErrorKind::RESP3NotSupported => Verdict::Bad,
        _ => Verdict::Good,
    }
}

/// Whether there was no answer, rather than one that says no.
pub(super) fn is_absence(error: &RedisError) -> bool {
    error.is_timeout() || error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal()
}

/// Why Redis does not serve, if that is what a code of its means. What is not known is a refusal: to go on without Redis
/// is always right, to take it for well is not.
fn refused(code: &str) -> Option<&'static str> {
    Some(match code {
        // About what was asked, not about Redis: a script it has to be told, a key of another kind.
        "NOSCRIPT" | "WRONGTYPE" | "EXECABORT" => return None,
        "NOAUTH" => "asks for a password",
        "WRONGPASS" => "refuses the password",
        "NOPERM" => "does not permit this user what is asked of it",
        "READONLY" => "is a replica that takes no writes",
        "MASTERDOWN" => "is a replica without its master",
        "OOM" => "is out of memory",
        "LOADING" => "is loading its data",
        "MISCONF" => "takes no writes, as it cannot save them",
        "NOREPLICAS" => "takes no writes, as it has too few replicas",
        "BUSY" => "is busy with a script",
        "DENIED" => "is in protected mode",
        "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => "is a cluster, or a part of one that is down",
        _ => "answers with an error",
    })
}

#[cfg(test)]
mod tests {
    use redis::{ServerErrorKind, Value};

    use super::*;

    #[test]
    fn what_redis_says_about_itself_is_told_from_what_it_says_about_a_request() {
        let of = |kind: ErrorKind| verdict::<()>(&Err((kind, "test").into()));
        assert_eq!(verdict(&Ok(Value::Nil)), Verdict::Good);
        assert_eq!(of(ErrorKind::Io), Verdict::Bad);
        assert_eq!(of(ErrorKind::UnexpectedReturnType), Verdict::Good);
        assert_eq!(of(ErrorKind::AuthenticationFailed), Verdict::Refused("refuses the password"));
        assert_eq!(of(ErrorKind::Server(ServerErrorKind::NoScript)), Verdict::Good);
        assert_eq!(of(ErrorKind::Server(ServerErrorKind::BusyLoading)), Verdict::Refused("is loading its data"));
        assert_eq!(of(ErrorKind::Server(ServerErrorKind::ResponseError)), Verdict::Refused("answers with an error"));
        assert_eq!(refused("SOMETHINGNEW"), Some("answers with an error"));
    }
}
