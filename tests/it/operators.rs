//! What operators are given, in the hands of their own tools: metrics before `promtool`, a server behind nginx and Caddy
//! with the configurations of `deploy/proxy`. `tools/operators/run.sh` brings the tools; a test without its tool says
//! `SKIPPED` and passes.

use std::{
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    caller::{User, group, say},
    sandbox::Sandbox,
    web::{ConnectStream, Http, frame},
};

/// A program on the path. With `TERTULIA_TEST_OPERATORS` it must be there.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("TERTULIA_TEST_OPERATORS").is_none(), "{name} is missing");
        println!("SKIPPED {name}: not on the path");
    }
    found
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxy").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_nothing_to_say_of_the_metrics() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let room = group(&ana, &[2]).await;
    say(&ana, &room, "hola").await;
    sandbox.caller(Some("no.token.at-all")).refused("GetRooms", json!({})).await;
    let metrics = reqwest::get(sandbox.url("/metrics")).await.unwrap();
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("# HELP chat_messages_sent_total ") && !metrics.contains("# EOF"), "{metrics}");
    assert!(metrics.contains(r#"chat_tokens_refused_total{cause="malformed"} 1"#), "{metrics}");
    let open = reqwest::Client::new().get(sandbox.url("/metrics"));
    let open = open.header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let open = open.send().await.unwrap().text().await.unwrap();
    assert!(open.contains("# HELP chat_messages_sent ") && open.ends_with("# EOF\n"), "{open}");
    let Some(promtool) = tool("promtool") else { return };
    let mut check = Command::new(promtool);
    let check = check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// All that a proxy must let through: a call, a stream whose events come at once, and gRPC both ways.
async fn passes(sandbox: &Sandbox, http: u16, grpc: u16) {
    let mut ben = Http::new(sandbox, 2);
    ben.base = format!("http://127.0.0.1:{http}");
    let begun = tokio::time::Instant::now();
    while reqwest::get(format!("{}/", ben.base)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the proxy does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for inside in ["/metrics", "/health/ready", "/admin.v1.AdminService/GetStatus"] {
        let answer = reqwest::get(format!("{}{inside}", ben.base)).await.unwrap();
        assert_eq!(answer.status(), 404, "{inside}");
    }
    let ana = User::new(([127, 0, 0, 1], grpc).into(), 1, Some(sandbox.token(1)));
    let room = group(&ana, &[2]).await;
    ben.connect_json("GetRooms", &json!({})).await.unwrap();
    ben.grpc_web("GetRooms", &json!({}), false).await.unwrap();
    let open = json!({"clientId": "tab", "cursors": {room.as_str(): "1"}}).to_string();
    let open = ben.post("StreamMessages", "application/connect+json", frame(0, open.as_bytes()));
    let mut tab = ConnectStream::new(open.send().await.unwrap());
    assert!(tab.next().await.1["connected"].is_object());
    let mut phone = ana.listen("phone", &[(&room, 1)]).await;
    say(&ana, &room, "por el proxy").await;
    assert_eq!(tab.next().await.1["message"]["content"], "por el proxy");
    assert_eq!(phone.contents_until("por el proxy").await, ["por el proxy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_passes_every_dialect() {
    let Some(nginx) = tool("nginx") else { return };
    let (sandbox, dir) = (Sandbox::start().await, TempDir::new().unwrap());
    let (http, grpc) = (free_port(), free_port());
    let server = shipped("nginx.conf")
        .replace("127.0.0.1:8080", &sandbox.addr().to_string())
        // Without TLS nginx speaks either HTTP/1.1 or HTTP/2 on a port.
        .replace("listen 443 ssl http2;", &format!("listen 127.0.0.1:{http}; listen 127.0.0.1:{grpc} http2;"))
        .lines()
        .filter(|line| !line.trim_start().starts_with("ssl_certificate"))
        .fold(String::new(), |text, line| text + line + "\n");
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {0}/{kind};\n", dir.path().display()))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n",
        dir.path().display()
    );
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(&nginx);
        command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&file).args(more);
        command
    };
    let checked = run(&["-t"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _proxy = Proxy(run(&[]).spawn().unwrap());
    passes(&sandbox, http, grpc).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_passes_every_dialect() {
    let Some(caddy) = tool("caddy") else { return };
    let (sandbox, dir) = (Sandbox::start().await, TempDir::new().unwrap());
    let port = free_port();
    let config = shipped("Caddyfile")
        .replace("127.0.0.1:8080", &sandbox.addr().to_string())
        .replace("chat.example.org {", &format!("http://127.0.0.1:{port} {{"));
    // HTTP/2 without TLS must be asked for.
    let servers = "{\n\tadmin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n}\n";
    let file = dir.path().join("Caddyfile");
    std::fs::write(&file, format!("{servers}{config}")).unwrap();
    let run = |what: &str| {
        let mut command = Command::new(&caddy);
        command.args([what, "--adapter", "caddyfile", "--config"]).arg(&file);
        command.env("HOME", dir.path()).env("XDG_DATA_HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path());
        command
    };
    let checked = run("validate").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _proxy = Proxy(run("run").stderr(Stdio::null()).spawn().unwrap());
    passes(&sandbox, port, port).await;
}
