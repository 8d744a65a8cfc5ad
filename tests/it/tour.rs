//! The README's tour, word for word, as somebody new types it: the commands of its sections against the program, which
//! is killed and started again in between. `tools/operators/run.sh` brings `grpcurl`.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::operators::tool;

/// What the README says the server's address is.
const ADDRESS: &str = "127.0.0.1:8080";
/// Streams are left open by whoever reads the README; here they are ended after this long, in seconds.
const STREAM_S: &str = "3";

/// The commands of a section.
fn commands(heading: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).expect("the README has the section");
    let (_, block) = section.split_once("```sh\n").expect("it has commands");
    block.split_once("```\n").expect("they end").0.to_owned()
}

/// The program as it serves in a directory; killed with `kill -9` when it is dropped.
struct Serving {
    program: Child,
    addr: String,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(dir.join("target/release/tertulia"));
        // `cargo run --release` without the address, which may be somebody else's.
        command.args(["--listen", "127.0.0.1:0", "--set", "log.format=json"]).current_dir(dir).env_clear();
        let mut program = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["fields"]["message"] == "serving").then(|| line["fields"]["addr"].as_str().unwrap().to_owned())
        });
        // It must be able to go on writing.
        thread::spawn(move || lines.for_each(drop));
        Self { program, addr: ready.expect("it says where it serves") }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Runs commands as a shell at a terminal does; what they print.
fn shell(dir: &Path, script: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-u", "-O", "expand_aliases", "-c"]).arg("source /dev/stdin").current_dir(dir).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut bash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let mut out = String::new();
    bash.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let ended = bash.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(err.is_empty(), "{err}\n{out}");
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_does_what_it_says() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir_all(dir.path().join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_tertulia"), dir.path().join("target/release/tertulia")).unwrap();
    let serving = Serving::start(dir.path());
    let here = |script: &str| script.replace(ADDRESS, &serving.addr);

    let curl = here(&commands("Two minutes with curl")) + "echo \"$BEN\"; echo \"$ROOM\"\n";
    let out = shell(dir.path(), &curl);
    let lines: Vec<&str> = out.lines().collect();
    let [sent, again, rooms, history, read, answered, refused, ben, room] = lines[..] else { panic!("{out}") };
    let [sent, again, rooms, history, answered] =
        [sent, again, rooms, history, answered].map(|line| serde_json::from_str::<Value>(line).expect(line));
    assert_eq!(sent.get("duplicate"), None, "{sent}");
    assert_eq!((&again["duplicate"], &again["message"]["id"]), (&json!(true), &sent["message"]["id"]));
    assert_eq!((&rooms["rooms"][0]["id"], &rooms["rooms"][0]["unreadCount"]), (&json!(room), &json!("1")), "{rooms}");
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1), "{history}");
    assert!(serde_json::from_str::<Value>(read).is_ok(), "{read}");
    assert_eq!(answered["message"]["content"], "Yo");
    assert!(refused.contains("room_not_found"), "{refused}");

    if let Some(grpcurl) = tool("grpcurl") {
        let grpcurl = grpcurl.display();
        let script = format!(
            "BEN={ben}; ROOM={room}\ngrpcurl() {{ timeout {STREAM_S} {grpcurl} \"$@\"; }}\n{}",
            here(&commands("And with grpcurl"))
        );
        let out = shell(dir.path(), &script);
        for part in ["chat.v1.ChatService", "rpc StreamMessages", "\"connected\"", "¿Quién viene?", "\"Yo\""] {
            assert!(out.contains(part), "{part}: {out}");
        }
    }

    drop(serving);
    let serving = Serving::start(dir.path());
    let url = format!("http://{}/chat.v1.ChatService/GetMessageHistory", serving.addr);
    let asked = reqwest::Client::new().post(url).bearer_auth(ben).json(&json!({"roomId": room})).send();
    let history: Value = asked.await.unwrap().json().await.unwrap();
    let contents: Vec<_> = history["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(contents.len(), 2, "all is there: {history}");
}
