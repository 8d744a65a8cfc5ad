//! What each command runs, and with which flags.
//!
//! The flags are chosen so that nothing is compiled twice: every step selects the whole workspace, and every step that
//! may touches dev-dependencies too, because cargo unifies features over what is selected. A step that selected one
//! package only would build most dependencies again with fewer features.

use anyhow::{Result, bail};

use crate::{step::Step, tools};

/// The commands that are lists of steps.
pub(crate) const NAMES: [&str; 5] = ["test", "ci", "fast", "soak", "deny"];

/// The feature under which contracts' conformance suites and test backends are built.
const TESTKIT: &str = "--features=tertulia/testkit";
/// Runs a command with Cassandra, PostgreSQL and Redis up, and takes them down.
const SERVERS: &str = "deploy/local/run";
/// The official Connect suite.
const CONFORMANCE: &str = "tools/conformance/run.sh";
/// The rules of the `.proto` files.
const PROTO: &str = "tools/proto/check.sh";
/// Brings what operators have beside the server.
const OPERATORS: &str = "tools/operators/run.sh";
/// Small clients in other languages.
const CLIENTS: &str = "tools/clients/run.sh";

/// The steps of a command; none if there is no such command.
pub(crate) fn named(command: &str) -> Option<Vec<Step>> {
    match command {
        "test" => Some(test()),
        "ci" => Some(test().into_iter().chain(deny()).collect()),
        "fast" => Some(fast()),
        "soak" => Some(soak()),
        "deny" => Some(deny()),
        _ => None,
    }
}

fn test() -> Vec<Step> {
    vec![
        step("fmt", "the code is formatted", fmt),
        step("proto", "the rules of the .proto files; no client of theirs breaks", proto),
        step("clippy", "lints, default features", || clippy(&[])),
        step("clippy-kit", "lints, with the test kit", || clippy(&[TESTKIT])),
        step("doc", "the documentation builds without a warning", doc),
        step("build", "everything the tests run", build),
        step("tests", "unit, property, conformance on every store, integration, simulation, real input", tests),
        step("it-postgres", "integration tests over PostgreSQL", || integration_over("postgres")),
        step("it-scylla", "integration tests over Cassandra or ScyllaDB", || integration_over("scylla")),
        step("operators", "metrics, nginx and Caddy as operators use them; the README's tour", operators),
        step("doctests", "examples in the documentation", doctests),
        step("connect", "the official Connect conformance suite", connect),
        step("budget", "sizes of files and functions", budget),
    ]
}

fn fast() -> Vec<Step> {
    vec![
        step("fmt", "format the code", || tools::cargo(["fmt", "--all"], &[])),
        step("check", "the workspace compiles", || {
            tools::cargo(["check", "--workspace", "--all-targets", TESTKIT], &[])
        }),
        step("unit", "unit tests of the library", || {
            tools::cargo(["test", "--package=tertulia", "--lib", TESTKIT], &[])
        }),
    ]
}

fn soak() -> Vec<Step> {
    vec![
        step("ring", "real input over three Cassandra nodes, one of them away for a minute", ring),
        step("conformance", "the CQL store over three Cassandra nodes", conformance_ring),
        step("clients", "clients in Go, Java, Python and TypeScript, generated, compiled and run", clients),
    ]
}

fn deny() -> Vec<Step> {
    vec![step("deny", "licences, advisories, bans, sources (deny.toml)", tools::deny)]
}

fn step(name: &'static str, what: &'static str, run: impl Fn() -> Result<()> + 'static) -> Step {
    Step { name, what, run: Box::new(run) }
}

fn fmt() -> Result<()> {
    tools::cargo(["fmt", "--all", "--check"], &[])
}

fn clippy(extra: &[&str]) -> Result<()> {
    let args = ["clippy", "--workspace", "--all-targets"];
    let deny = ["--", "-D", "warnings"];
    tools::cargo(args.iter().chain(extra).chain(&deny).copied(), &[])
}

/// `--examples` selects dev-dependencies, so that the features are those of the clippy steps and what these compiled
/// is used again. Binaries are left out: the server's has the name of the library, and all of its code is there.
fn doc() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--lib", "--examples", TESTKIT];
    tools::cargo(args, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn build() -> Result<()> {
    tools::cargo(["build", "--workspace", "--all-targets", TESTKIT], &[])
}

/// With real servers beside the tests. One that does not start fails the step: tests of a backend pass without their
/// server, so that they can run alone, and would be green for nothing.
fn tests() -> Result<()> {
    let args = ["test", "--workspace", "--lib", "--bins", "--tests", "--examples", TESTKIT, "--no-fail-fast"];
    tools::run(tools::root()?.join(SERVERS), tools::cargo_line(args), &[])
}

/// The integration tests once more, with the truth in another store.
fn integration_over(store: &str) -> Result<()> {
    let args = ["test", "--workspace", "--test=it", TESTKIT, "--no-fail-fast"];
    tools::run(tools::root()?.join(SERVERS), tools::cargo_line(args), &[("TERTULIA_TEST_BACKEND", store)])
}

/// Three Cassandra nodes with three copies of everything, under the conformance suite.
fn conformance_ring() -> Result<()> {
    let args = ["test", "--workspace", "--lib", TESTKIT, "--no-fail-fast", "storage::scylla"];
    let servers = ["--cassandra-ring".into()].into_iter().chain(tools::cargo_line(args));
    tools::run(tools::root()?.join(SERVERS), servers, &[])
}

/// The test starts its own ring, because it kills nodes of it.
fn ring() -> Result<()> {
    let args = ["test", "--workspace", "--test=real_input", TESTKIT, "--", "--ignored", "--nocapture", "ring"];
    tools::cargo(args, &[])
}

/// With the tools of operators on the path.
fn operators() -> Result<()> {
    needs_go("grpcurl")?;
    let args = ["test", "--workspace", "--test=it", TESTKIT, "--", "operators", "tour"];
    tools::run(tools::root()?.join(OPERATORS), tools::cargo_line(args).into_iter().skip(1), &[])
}

fn doctests() -> Result<()> {
    tools::cargo(["test", "--workspace", "--doc", TESTKIT], &[])
}

fn proto() -> Result<()> {
    needs_go("buf")?;
    tools::run(tools::root()?.join(PROTO), [] as [&str; 0], &[])
}

fn clients() -> Result<()> {
    let build = format!("--workspace --all-targets {TESTKIT}");
    tools::run(tools::root()?.join(CLIENTS), [] as [&str; 0], &[("CLIENTS_BUILD", &build)])
}

fn needs_go(what: &str) -> Result<()> {
    if tools::run("go", ["version"], &[]).is_err() {
        bail!("Go is missing; {what} is written in it (https://go.dev/dl, 1.26 or newer)");
    }
    Ok(())
}

fn connect() -> Result<()> {
    needs_go("the Connect conformance runner")?;
    let build = format!("--workspace --all-targets {TESTKIT}");
    tools::run(tools::root()?.join(CONFORMANCE), [] as [&str; 0], &[("CONFORMANCE_BUILD", &build)])
}

fn budget() -> Result<()> {
    let args = ["test", "--workspace", "--test=architecture", TESTKIT, "--", "--nocapture", "--exact", "size::report"];
    tools::cargo(args, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_steps_with_names_of_their_own() {
        for name in NAMES {
            let steps = named(name).unwrap();
            assert!(!steps.is_empty(), "{name}");
            for (index, step) in steps.iter().enumerate() {
                assert!(steps[..index].iter().all(|other| other.name != step.name), "{name}: {}", step.name);
            }
        }
        assert!(named("nonsense").is_none());
    }
}
