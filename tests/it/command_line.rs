//! The program's own flags and subcommands, as a process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

fn tertulia(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    command.args(args).current_dir(dir).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(dir: &Path, args: &[&str]) -> (Output, String, String) {
    let output = tertulia(dir, args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

/// A server that is killed when it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tools_make_no_key_and_say_where_they_looked() {
    let dir = TempDir::new().unwrap();
    let looked = dir.path().canonicalize().unwrap().join("data").join("dev-jwt.key");
    for args in [
        &["token", "--user", "1"][..],
        &["token", "verify", "a.b.c"],
        &["chat", "--user", "1"],
        &["check"],
        &["import", "irc", "."],
    ] {
        let (output, _, err) = run(dir.path(), args);
        assert!(!output.status.success(), "{args:?}");
        assert!(err.contains(&*looked.to_string_lossy()), "{args:?}: {err}");
        assert!(!dir.path().join("data").exists(), "{args:?}");
    }
}

#[test]
fn a_token_is_verified_check_by_check() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("data").join("dev-jwt.key"), "ab".repeat(32)).unwrap();
    let (output, token, err) = run(dir.path(), &["token", "--user", "7", "--name", "Ana", "--admin"]);
    assert!(output.status.success(), "{err}");
    let token = token.trim();
    let (output, text, _) = run(dir.path(), &["token", "verify", token]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ok        signature") && text.contains("accepted: user 7 with the admin role"), "{text}");
    assert!(text.contains(r#"claim     "name" = "Ana""#), "{text}");
    // The same token for a server that wants an audience, and has another key.
    let other = ["token", "verify", token, "--json", "--set", "auth.audience=chat"];
    let secret = ["--set", "auth.hmac_secret=0123456789abcdef0123456789abcdef"];
    let (output, json, err) = run(dir.path(), &[&other[..], &secret].concat());
    assert_eq!(output.status.code(), Some(1), "{err}");
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&told["accepted"], &told["reason"]), (&Value::from(false), &Value::from("token_invalid")));
    let causes: Vec<_> =
        told["checks"].as_array().unwrap().iter().filter_map(|check| check["cause"].as_str()).collect();
    assert_eq!(causes, ["bad_signature", "bad_claim"]);
}

#[test]
fn flags_may_stand_before_serve_and_json_logs_are_json_alone() {
    let dir = TempDir::new().unwrap();
    let args = ["--set", "log.format=json", "--set", "server.listen=256.0.0.1:0", "serve", "--listen", "127.0.0.1:0"];
    let mut serving = Serving(tertulia(dir.path(), &args).spawn().unwrap());
    let lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let mut seen = false;
    for line in lines {
        let line: Value = serde_json::from_str(&line.unwrap()).expect("every line is JSON");
        if line["fields"]["message"] == "serving" {
            assert!(
                line["fields"]["addr"].as_str().unwrap().starts_with("127.0.0.1:"),
                "what stands later wins: {line}"
            );
            seen = true;
            // In order, so that whatever comes after it is read too.
            let pid = serving.0.id().to_string();
            assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        }
    }
    assert!(seen);
    let mut out = String::new();
    serving.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "");
    let (output, _, err) = run(dir.path(), &["--set", "log.format=json", "token", "--user", "1"]);
    assert!(!output.status.success() && err.contains("put them behind it"), "{err}");
}

#[test]
fn refused_tokens_are_a_few_lines_however_many_they_are() {
    let dir = TempDir::new().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--set", "log.format=json"];
    let mut serving = Serving(tertulia(dir.path(), &args).spawn().unwrap());
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines().map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).expect("every line is JSON");
        line["fields"].clone()
    });
    let ready = lines.find(|line| line["message"] == "serving").unwrap();
    let addr = ready["addr"].as_str().unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(addr).unwrap();
        let head = "POST /chat.v1.ChatService/GetRooms HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a.b.secret\r\n";
        let rest = "content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        socket.write_all([head, rest].concat().as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let most = 5 * (usize::try_from(begun.elapsed().as_secs()).unwrap() + 1);
    assert!(Command::new("kill").arg(serving.0.id().to_string()).status().unwrap().success());
    let refused: Vec<Value> = lines.filter(|line| line["message"] == "token refused").collect();
    assert!((1..=most).contains(&refused.len()), "{} lines, at most {most}", refused.len());
    assert_eq!((&refused[0]["cause"], &refused[0]["left_out"]), (&Value::from("malformed"), &Value::from(0)));
    assert!(!format!("{refused:?}").contains("secret"), "nothing of a token is logged");
}
