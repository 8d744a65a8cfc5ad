//! The generator against a stand-in: what is right is measured, what is wrong is found.
#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod fake;

use std::{
    net::SocketAddr,
    process::{Command, Output},
};

use fake::{Faults, SECRET};
use serde_json::Value;

/// Runs the generator with short windows.
fn loadgen(server: SocketAddr, flags: &str) -> (Output, Vec<Value>) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--server", &format!("http://{server}"), "--json", "--secret", SECRET])
        .args(["--warmup", "0.2", "--measure", "0.5", "--drain", "1"])
        .args(flags.split_whitespace())
        .output()
        .unwrap();
    let rows =
        String::from_utf8(output.stdout.clone()).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    (output, rows)
}

/// The only row of a run that must succeed.
fn good(server: SocketAddr, flags: &str) -> Value {
    let (output, rows) = loadgen(server, flags);
    assert!(output.status.success(), "{flags}: {output:?}");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["ok"], true);
    rows[0].clone()
}

/// The only row of a run that must fail.
fn bad(faults: Faults, flags: &str) -> Value {
    let (output, rows) = loadgen(fake::start(faults), flags);
    assert_eq!(output.status.code(), Some(1), "{flags}: {output:?}");
    assert_eq!(rows[0]["ok"], false);
    rows[0].clone()
}

fn figure(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} in {row}"))
}

#[test]
fn sends_and_fan_out() {
    let server = fake::start(Faults::default());
    for flags in ["", " --unary", " --commands-only", " --unary --commands-only"] {
        let row = good(server, &format!("--workload w1 --in-flight 8{flags}"));
        let (acks, deliveries) = (figure(&row, "acks_per_s"), figure(&row, "deliveries_per_s"));
        assert!(acks > 10.0, "{row}");
        assert!((deliveries / acks - 9.0).abs() < 1.0, "nine receivers: {row}");
        assert!(figure(&row, "ack_p99_ms") >= figure(&row, "ack_p50_ms"));
        assert!(figure(&row, "cpu_s_per_1000_acks") > 0.0);
        assert_eq!(row["durability"], "buffered");
    }
    let row = good(server, "--workload w2 --receivers 20 --rate 50");
    assert!((figure(&row, "acks_per_s") - 50.0).abs() < 10.0, "{row}");
    let row = good(server, "--workload w2 --receivers 20 --rate max");
    assert!(figure(&row, "deliveries_per_s") > 100.0, "{row}");
}

#[test]
fn rooms_idle_and_history() {
    let server = fake::start(Faults::default());
    for flags in ["", " --unary"] {
        let row = good(server, &format!("--workload w3 --rooms 20 --in-flight 16{flags}"));
        let ratio = figure(&row, "deliveries_per_s") / figure(&row, "acks_per_s");
        assert!((ratio - 3.0).abs() < 0.5, "three receivers: {row}");
    }
    let row = good(server, "--workload w4 --clients 151");
    assert!(row["rss_kib_per_conn"].is_number());
    assert_eq!(figure(&row, "clients_reached"), 151.0);
    let row = good(server, "--workload w5 --messages 500 --readers 3");
    assert!(figure(&row, "pages_per_s") > 10.0, "{row}");
}

#[test]
fn several_runs_and_a_table() {
    let server = fake::start(Faults::default());
    let row = good(server, "--workload w1 --in-flight 1 --runs 3");
    let range = row["range"]["acks_per_s"].as_array().unwrap();
    assert!(range[0].as_f64().unwrap() <= figure(&row, "acks_per_s"));
    assert!(figure(&row, "acks_per_s") <= range[1].as_f64().unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--server", &format!("http://{server}"), "--secret", SECRET, "--workload", "w1", "--in-flight", "2"])
        .args(["--warmup", "0.1", "--measure", "0.2"])
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("W1 10 members, 2 in flight  acks/s"), "{table}");
}

#[test]
fn what_goes_wrong_is_found() {
    let refuse = Faults { refuse_after: Some(20), ..Faults::default() };
    for flags in ["", " --unary"] {
        let row = bad(refuse, &format!("--workload w1 --in-flight 4{flags}"));
        assert!(figure(&row["errors"], "rate_limited") > 1.0, "{row}");
        assert!(row["error_examples"]["rate_limited"].as_str().unwrap().contains("slow down"), "{row}");
    }
    let row = bad(Faults { lose: Some(20), ..Faults::default() }, "--workload w1 --in-flight 4");
    assert_eq!(figure(&row["errors"], "out_of_order"), 9.0 + 1.0, "all ten members: {row}");
    assert_eq!(figure(&row["errors"], "unfinished"), 1.0, "{row}");
    let row = bad(Faults { double: Some(20), ..Faults::default() }, "--workload w1 --in-flight 4");
    assert_eq!(figure(&row["errors"], "doubled"), 9.0, "{row}");
    let row = bad(Faults { hang_up: Some(20), ..Faults::default() }, "--workload w2 --receivers 5 --rate 100");
    assert!(row["errors"].as_object().unwrap().contains_key("stream_ended"), "{row}");
}

#[test]
fn no_server_and_no_key() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (output, rows) = loadgen(nobody, "--workload w1");
    assert_eq!(output.status.code(), Some(1));
    assert!(rows[0]["error_examples"]["setup"].as_str().unwrap().contains("cannot connect"), "{rows:?}");

    let server = fake::start(Faults::default());
    let run = |flags: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["--server", &format!("http://{server}"), "--workload", "w1"])
            .args(flags)
            .output()
            .unwrap()
    };
    let wrong = run(&["--secret", "00ff"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("Unauthenticated"), "{wrong:?}");
    let none = run(&["--dev-key", "/nowhere/dev-jwt.key"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--dev-key"), "{none:?}");
}

/// What the generator itself costs; run with `--release -- --ignored --nocapture own_cost`.
#[test]
#[ignore = "prints figures, checks nothing"]
fn own_cost() {
    let server = fake::start(Faults::default());
    for (flags, rate) in [
        ("--workload w1 --in-flight 1", "acks_per_s"),
        ("--workload w1 --in-flight 64", "acks_per_s"),
        ("--workload w2 --receivers 100 --rate max", "deliveries_per_s"),
        ("--workload w2 --receivers 1000 --rate max", "deliveries_per_s"),
        ("--workload w3", "acks_per_s"),
        ("--workload w4", "clients_reached"),
        ("--workload w5", "pages_per_s"),
    ] {
        let row = good(server, &format!("{flags} --measure 2 --drain 20"));
        let (rate, cores) = (figure(&row, rate), figure(&row, "cpu_loadgen"));
        println!("{flags}: {rate:.0}/s, {:.2} us of the generator for each, {row}", cores / rate * 1e6);
    }
}
