//! Other programs: how they are found, installed and run.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The version of cargo-deny that `deny.toml` is written for.
const DENY_VERSION: &str = "0.20.2";

/// The root of the workspace.
///
/// # Errors
/// When this program's manifest is no longer where it was built.
pub(crate) fn root() -> Result<PathBuf> {
    // Cargo says where the package is now; where it was built is second best.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&here).parent().context("xtask has no parent folder")?;
    root.canonicalize().with_context(|| format!("{} is gone", root.display()))
}

/// Where cargo puts what it builds.
///
/// # Errors
/// As [`root`].
pub(crate) fn target_dir() -> Result<PathBuf> {
    let root = root()?;
    Ok(env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir)))
}

/// Runs cargo, the same one that started this program.
///
/// # Errors
/// When it does not start or does not succeed.
pub(crate) fn cargo<I, S>(args: I, vars: &[(&str, &str)]) -> Result<()>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    run(cargo_program(), args, vars)
}

fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The arguments with which another program runs cargo, as [`cargo`] does.
pub(crate) fn cargo_line<'a>(args: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    ["--".into(), cargo_program()].into_iter().chain(args.into_iter().map(OsString::from)).collect()
}

/// Runs a program from the root of the workspace.
///
/// # Errors
/// When it does not start or does not succeed.
pub(crate) fn run<I, S>(program: impl AsRef<OsStr>, args: I, vars: &[(&str, &str)]) -> Result<()>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args).current_dir(root()?).envs(vars.iter().copied());
    for (name, _) in env::vars_os() {
        if is_ours(&name) {
            command.env_remove(name);
        }
    }
    let line = line(&command);
    println!("    {line}");
    let status = command.status().with_context(|| format!("cannot start {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Checks the dependencies by `deny.toml`. Builds the tool into the target folder once: it takes minutes, which is why
/// it is no step of `test`.
///
/// # Errors
/// When the tool cannot be built, or finds something.
pub(crate) fn deny() -> Result<()> {
    let home = target_dir()?.join("tools").join(format!("cargo-deny-{DENY_VERSION}"));
    let tool = home.join("bin").join("cargo-deny");
    if !tool.exists() {
        let home = home.to_string_lossy().into_owned();
        let version = format!("--version={DENY_VERSION}");
        cargo(["install", "cargo-deny", &version, "--locked", "--root", &home], &[])?;
    }
    run(tool, ["--workspace", "--all-features", "check"], &[])
}

/// What `cargo run` sets for this package; a nested cargo would take it for its own and build more than it must.
fn is_ours(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
    })
}

fn line(command: &Command) -> String {
    let mut parts: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={:?}", name.to_string_lossy(), value?)))
        .collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    parts.push(program.to_string_lossy().into_owned());
    parts.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_or_is_absent_is_an_error() {
        assert!(run("true", [] as [&str; 0], &[]).is_ok());
        let error = run("false", ["x"], &[("A", "b")]).unwrap_err().to_string();
        assert!(error.starts_with("A=\"b\" false x: "), "{error}");
        let error = run("no-such-program", [] as [&str; 0], &[]).unwrap_err().to_string();
        assert_eq!(error, "cannot start no-such-program");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().unwrap().join("rust-toolchain.toml").exists());
    }

    #[test]
    fn only_the_packages_own_variables_are_taken_away() {
        for ours in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "OUT_DIR"] {
            assert!(is_ours(OsStr::new(ours)), "{ours}");
        }
        for other in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "PATH", "CARGO_NET_OFFLINE"] {
            assert!(!is_ours(OsStr::new(other)), "{other}");
        }
    }
}
