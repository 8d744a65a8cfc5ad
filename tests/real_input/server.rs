//! The built binary as a child process on a temp directory: started, killed, started again on the same port.
//!
//! Whatever happens to the test, the child is killed by its own id; after a failure the directory and the log stay.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tertulia::{
    api::auth::{
        AuthOptions, DevKey,
        dev_key::{self, TokenSpec},
    },
    client::{Client, ClientOptions},
    clock::{Clock as _, SystemClock},
};
use tertulia_proto::{
    admin::v1::{GetStatusRequest, admin_service_client::AdminServiceClient},
    tokens::v1::tokens_service_client::TokensServiceClient,
};
use tokio::time::{Instant, sleep};
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// The user of the admin calls; a member of nothing.
const OPERATOR: i64 = 9_000_001;
/// Longest time from the start of the process to its first answer, recovery and the first making of tables included.
const START_MAX: Duration = Duration::from_secs(120);
/// Longest time from SIGTERM to the end: every stage of the drain may take its own timeout.
const DRAIN_MAX: Duration = Duration::from_secs(45);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Tokens are good for longer than a server's clock is wrong by.
const TOKEN_TTL: Duration = Duration::from_secs(3 * 3_600);
/// Lines of the server's log that are printed after a failure.
const LOG_TAIL: usize = 40;

pub(crate) type Admin = AdminServiceClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Devices = TokensServiceClient<InterceptedService<Channel, Bearer>>;

/// A child that does not outlive its owner.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; either way it must be reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the server is and who may call it: all that clients need. Survives the server.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) url: String,
    key: DevKey,
}

impl Address {
    pub(crate) fn token(&self, user_id: i64, name: &str, admin: bool) -> String {
        let spec = TokenSpec { user_id, name, picture: "", admin, ttl: TOKEN_TTL, now_ms: SystemClock.now_ms() };
        let options = AuthOptions::new(Vec::new());
        self.key.mint(&spec, &options)
    }

    /// Tokens for attackers, also such as end in a moment or have ended.
    pub(crate) fn mint(&self) -> attack::Mint {
        let at = self.clone();
        std::sync::Arc::new(move |who| {
            const TTL: Duration = Duration::from_secs(3_600);
            let ttl_ms = i64::try_from(TTL.as_millis()).expect("an hour");
            let spec = TokenSpec {
                user_id: who.user,
                name: &format!("attacker {}", who.user),
                picture: "",
                admin: who.admin,
                ttl: TTL,
                now_ms: SystemClock.now_ms() - ttl_ms + who.valid_s * 1_000,
            };
            at.key.mint(&spec, &AuthOptions::new(Vec::new()))
        })
    }

    /// A connection of its own for a user.
    pub(crate) fn client(&self, user: i64, admin: bool) -> Client {
        let token = self.token(user, &format!("user {user}"), admin);
        let options = ClientOptions::new(&self.url, token);
        Client::connect_lazy(&options).expect("address and token are well formed")
    }

    pub(crate) fn admin(&self) -> Admin {
        let bearer = self.bearer(OPERATOR, "operator", true);
        AdminServiceClient::with_interceptor(self.channel(), bearer).max_decoding_message_size(64 << 20)
    }

    /// The tokens of a user's devices.
    pub(crate) fn devices(&self, user: i64) -> Devices {
        let bearer = self.bearer(user, &format!("user {user}"), false);
        TokensServiceClient::with_interceptor(self.channel(), bearer)
    }

    fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.url.clone()).expect("the address is a URL");
        endpoint.connect_timeout(Duration::from_secs(5)).connect_lazy()
    }

    fn bearer(&self, user: i64, name: &str, admin: bool) -> Bearer {
        Bearer(format!("Bearer {}", self.token(user, name, admin)).parse().expect("a token is ASCII"))
    }

    /// The operator as a user of the chat service.
    pub(crate) fn operator(&self) -> Client {
        self.client(OPERATOR, true)
    }
}

#[derive(Clone)]
pub(crate) struct Bearer(tonic::metadata::MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub(crate) struct TestServer {
    pub(crate) at: Address,
    /// What the server finds in its environment: where its store is.
    store: Vec<(&'static str, String)>,
    /// Settings, `key=value`.
    settings: &'static [&'static str],
    dir: Option<TempDir>,
    port: u16,
    /// How far the server's clock is ahead of the time.
    clock_ahead: Duration,
    running: Option<Running>,
}

/// No limits; and queues so small that a slow reader's does overflow.
const UNLIMITED: &[&str] =
    &["limits.user_per_s=0", "limits.room_per_s=0", "limits.adds_per_h=0", "streams.queue_bytes_max=65536"];

impl TestServer {
    /// Starts on an empty directory, with the store that `store` names; on the embedded one if that is empty.
    pub(crate) async fn start(store: Vec<(&'static str, String)>) -> Self {
        Self::start_with(store, UNLIMITED).await
    }

    /// The same with these settings, `key=value`.
    pub(crate) async fn start_with(store: Vec<(&'static str, String)>, settings: &'static [&'static str]) -> Self {
        let dir = TempDir::with_prefix("tertulia-real-input-").unwrap();
        let port = free_port();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let key = dev_key::load_or_create(&data).unwrap();
        let at = Address { url: format!("http://127.0.0.1:{port}"), key };
        let mut server = Self { at, store, settings, dir: Some(dir), port, clock_ahead: Duration::ZERO, running: None };
        server.start_again().await;
        server
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_ref().expect("taken only when dropped").path()
    }

    fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("server.log")
    }

    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it finds in its environment from its next start on.
    pub(crate) fn set_store(&mut self, store: Vec<(&'static str, String)>) {
        self.store = store;
    }

    /// The binary with an environment that says nothing to it but what is given here.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
        for (name, _) in std::env::vars_os() {
            let named = name.to_string_lossy();
            if ["TERTULIA_", "CHAT_", "POSTGRES_", "SCYLLA_", "USE_SCYLLA", "REDIS_"]
                .iter()
                .any(|prefix| named.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command.envs(self.store.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("RUST_LOG", "warn").env("RUST_BACKTRACE", "1").current_dir(self.dir()).stdin(Stdio::null());
        command
    }

    fn append(&self, name: &str) -> File {
        let path = self.dir().join(name);
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    /// Starts on the same directory and port; returns when it answers.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let mut command = self.command();
        command.env("TESTKIT_CLOCK_MS", self.clock_ahead.as_millis().to_string());
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        for set in self.settings {
            command.args(["--set", set]);
        }
        let log = self.append("server.log");
        let command = &mut deaf_to_limits(&command);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.running = Some(Running(command.spawn().unwrap()));
        let (mut admin, deadline) = (self.at.admin(), Instant::now() + START_MAX);
        while let Err(status) = admin.get_status(GetStatusRequest {}).await {
            self.assert_alive();
            assert!(Instant::now() < deadline, "no answer yet: {status}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Sets its clock ahead of the time, from its next start on.
    pub(crate) fn set_clock_ahead(&mut self, by: Duration) {
        self.clock_ahead = by;
    }

    /// Sets how long the server may make a file: with 1 byte it can write none.
    pub(crate) fn limit_files(&mut self, bytes: &str) {
        self.assert_alive();
        let pid = self.running.as_ref().expect("it was started").0.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
        assert!(set.success(), "{set:?}");
    }

    /// It has not ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        let running = self.running.as_mut().expect("it was started");
        let ended = running.0.try_wait().unwrap();
        assert!(ended.is_none(), "the server ended by itself: {ended:?}");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.assert_alive();
        let mut running = self.running.take().expect("it was started");
        running.0.kill().unwrap();
        let status = running.0.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status:?}");
    }

    /// SIGTERM, and the end that follows.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.assert_alive();
        let running = self.running.take().expect("it was started");
        let pid = running.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success(), "{sent:?}");
        ended(running, DRAIN_MAX).await
    }

    /// Runs the binary against the server; its exit status and what it wrote to stdout.
    pub(crate) async fn run(&self, args: &[&str], longest: Duration) -> (ExitStatus, String) {
        let args = [args, &["--server", &self.at.url]].concat();
        let (status, out, _) = self.run_alone(&args, longest).await;
        (status, out)
    }

    /// Runs the binary with the server's environment and directory; what it wrote to stdout and to stderr.
    pub(crate) async fn run_alone(&self, args: &[&str], longest: Duration) -> (ExitStatus, String, String) {
        let [out, err] = ["out", "err"].map(|kind| self.dir().join(format!("{}.{kind}", args[0])));
        let mut command = self.command();
        command.args(args).arg("--data-dir").arg(self.data_dir());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let status = ended(Running(command.spawn().unwrap()), longest).await;
        (status, std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap())
    }

    /// `/health/ready` as it is answered: the status, and the reason for each check that is not well.
    pub(crate) async fn health(&self) -> (u16, HashMap<String, String>) {
        let answer = reqwest::get(format!("{}/health/ready", self.at.url)).await.unwrap();
        let status = answer.status().as_u16();
        let report: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "ok");
        (status, checks.map(|check| (text(&check["name"]), text(&check["reason"]))).collect())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.running = None;
        if !std::thread::panicking() {
            return;
        }
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n");
        if let Some(dir) = self.dir.take() {
            eprintln!("the server's log ends with:\n{tail}");
            eprintln!("kept: {} (server.log, data)", dir.keep().display());
        }
    }
}

/// The same command, for which a file that may not grow is an error and not the end.
fn deaf_to_limits(command: &Command) -> Command {
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    deaf.stdin(Stdio::null()).current_dir(command.get_current_dir().expect("the test's directory"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => deaf.env(name, value),
            None => deaf.env_remove(name),
        };
    }
    deaf
}

async fn ended(mut running: Running, longest: Duration) -> ExitStatus {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "still running after {longest:?}");
        sleep(LOOK_EVERY).await;
    }
}

/// A port below those that the system gives to outgoing connections. A client that tries again and again to reach a
/// port among those, while nobody listens, will at some time be given that very port and be connected to itself.
pub(crate) fn free_port() -> u16 {
    // No port twice in this process: who is given one may not listen on it at once.
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    loop {
        let port = first + GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "one of thousands of ports is free");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
