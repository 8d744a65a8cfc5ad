//! How a client program reaches a server: the connection, the token on a call, what is worth another try and when.
//!
//! Knows no particular call.

use std::{error::Error as _, time::Duration};

use rand::Rng as _;
use tokio::time::Instant;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::error::is_final_reason;

/// Trailer that names the reason of an error; one page each under docs/errors.
const REASON: &str = "tertulia-reason";
/// Trailer with the milliseconds to wait before another try.
const RETRY_AFTER_MS: &str = "tertulia-retry-after-ms";

/// Largest answer that a client takes: a full page of log entries of the largest size.
pub(crate) const ANSWER_BYTES_MAX: usize = 128 << 20;

/// The server's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{server:?} is no address of a server")]
pub struct AddressError {
    /// What was given.
    pub server: String,
    #[source]
    source: tonic::transport::Error,
}

/// Opens a connection to `http://host:port` (or `host:port`) that connects at the first call, and again after it broke.
///
/// # Errors
/// When the address is no URL.
pub fn connect(server: &str) -> Result<Channel, AddressError> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|source| AddressError { server: server.to_owned(), source })?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok(endpoint.connect_lazy())
}

/// A call's request with its token and its deadline.
pub(crate) fn request<T>(message: T, bearer: &MetadataValue<Ascii>, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request.metadata_mut().insert("authorization", bearer.clone());
    request
}

/// A token as the value of the `authorization` header; none if it has characters that no token has.
pub(crate) fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The server's stable reason of an error.
#[must_use]
pub fn reason(status: &Status) -> Option<&str> {
    status.metadata().get(REASON)?.to_str().ok()
}

/// Whether the same call may succeed a little later.
///
/// Besides what the server calls temporary, that is whatever ended the connection: such a status was made on this side
/// and carries the cause of the break.
#[must_use]
pub fn is_transient(status: &Status) -> bool {
    if reason(status).is_some_and(is_final_reason) {
        return false;
    }
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => true,
        Code::Unauthenticated => reason(status) == Some("token_expired"),
        Code::Unknown | Code::Internal | Code::Cancelled => status.source().is_some(),
        _ => false,
    }
}

/// How long and how often to try again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Wait before the second try; doubled for each further one.
    pub first: Duration,
    /// Longest wait between two tries, unless the server asks for more.
    pub wait_max: Duration,
    /// After this long without success the error stands.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), wait_max: Duration::from_secs(2), budget: Duration::from_secs(60) }
    }
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: RetryPolicy,
    began: Instant,
    tries: u32,
}

impl Retries {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, began: Instant::now(), tries: 0 }
    }

    /// Waits until the next try; or gives the error back when it is final or the budget is spent.
    pub(crate) async fn pause(&mut self, status: Status) -> Result<(), Status> {
        let wait = self.wait(&status);
        if !is_transient(&status) || self.began.elapsed() + wait > self.policy.budget {
            return Err(status);
        }
        self.tries += 1;
        tracing::debug!(code = ?status.code(), tries = self.tries, ?wait, "call failed, trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Half of the wait is random, so that those who failed together do not come back together.
    fn wait(&self, status: &Status) -> Duration {
        let backoff = self.policy.first.saturating_mul(1 << self.tries.min(16)).min(self.policy.wait_max);
        let jittered = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
        jittered.max(retry_after(status).unwrap_or_default())
    }
}

fn retry_after(status: &Status) -> Option<Duration> {
    let hint = status.metadata().get(RETRY_AFTER_MS)?.to_str().ok()?;
    hint.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(mut status: Status, key: &'static str, value: &str) -> Status {
        status.metadata_mut().insert(key, value.parse().unwrap());
        status
    }

    #[test]
    fn temporary_errors_are_told_from_final_ones() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted] {
            assert!(is_transient(&Status::new(code, "")), "{code}");
        }
        for code in [Code::InvalidArgument, Code::NotFound, Code::Internal, Code::Unknown, Code::Unauthenticated] {
            assert!(!is_transient(&Status::new(code, "")), "{code}");
        }
        let expired = with(Status::unauthenticated(""), REASON, "token_expired");
        assert!(is_transient(&expired));
        let too_long = with(Status::resource_exhausted(""), REASON, "too_long");
        assert!(!is_transient(&too_long), "the request does not become smaller");
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert!(is_transient(&broken), "{broken}");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_follow_the_hint_and_end_with_the_budget() {
        let policy = RetryPolicy { budget: Duration::from_secs(10), ..RetryPolicy::default() };
        let mut retries = Retries::new(policy);
        let began = Instant::now();
        let busy = with(Status::resource_exhausted(""), RETRY_AFTER_MS, "3000");
        retries.pause(busy.clone()).await.unwrap();
        assert!((3000..3010).contains(&began.elapsed().as_millis()));
        let mut tries = 1;
        while retries.pause(Status::unavailable("")).await.is_ok() {
            tries += 1;
        }
        assert!((5..40).contains(&tries), "{tries}");
        assert!(began.elapsed() <= Duration::from_secs(10));
        assert!(Retries::new(policy).pause(Status::not_found("")).await.is_err());
    }

    #[test]
    fn addresses_may_come_without_a_scheme() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        connect("127.0.0.1:1").unwrap();
        connect("http://[::1]:1").unwrap();
        assert!(connect("http://a b").is_err());
    }

    /// A server that dies: at once, or after it has taken the request.
    fn dying_server(after_request: bool) -> String {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if after_request {
                    // An empty SETTINGS frame is all that the client's side of HTTP/2 needs to send its request.
                    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
                    let (mut request, mut len) = ([0; 4096], 0);
                    while len < 150 {
                        len += stream.read(&mut request).unwrap();
                    }
                }
            }
        };
        std::thread::spawn(serve);
        address
    }

    #[tokio::test]
    async fn a_server_that_dies_is_worth_another_try() {
        use tertulia_proto::admin::v1::{ListRoomsRequest, admin_service_client::AdminServiceClient};
        let token = bearer(&"t".repeat(100)).unwrap();
        let refused = "127.0.0.1:1".to_owned();
        for address in [refused, dying_server(false), dying_server(true)] {
            let mut client = AdminServiceClient::new(connect(&address).unwrap());
            let list = ListRoomsRequest::default();
            let answer = client.list_rooms(request(list, &token, Duration::from_secs(5))).await;
            let status = answer.unwrap_err();
            assert!(is_transient(&status), "{address}: {status:?}");
            assert_ne!(status.code(), Code::DeadlineExceeded, "{status:?}");
        }
    }
}
