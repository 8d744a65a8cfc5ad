//! `attack`: lets attackers loose on a server of one's own, with a good client beside them.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use attack::{Good, Profile, Record, Scale, Span, Target, Who};
use clap::{Parser, ValueEnum as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Attacks a running Tertulia server that is your own, and says whether a good client felt it.
///
/// Start the server with its default limits. It is filled with rooms that stay: use a data directory that you can throw
/// away. Exit code 1 when a bound is exceeded, 2 when an attack could not be carried out.
#[derive(Debug, Parser)]
#[command(name = "attack", version)]
struct Args {
    /// The server, such as http://127.0.0.1:8080; on the loopback
    #[arg(long, value_name = "URL")]
    server: String,
    /// Which attackers, with commas between; one after the other. Default: all
    #[arg(long, value_enum, value_delimiter = ',')]
    profile: Vec<Profile>,
    /// Seconds of each attack; some take longer to show a fault
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// Runs a good client beside it and holds it to the bounds
    #[arg(long)]
    good: bool,
    /// A tenth of the size, for a debug build
    #[arg(long)]
    small: bool,
    /// The server's process, for its memory
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Bound of the good client's p99, in ms
    #[arg(long, default_value_t = 50.0)]
    p99_ms: f64,
    /// Bound of the server's memory, in MiB
    #[arg(long, default_value_t = 512.0)]
    rss_mib: f64,
    /// Calls a second of each attacking user
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls_per_s: u32,
    /// The server's development key
    #[arg(long, value_name = "FILE", default_value = "./data/dev-jwt.key")]
    dev_key: PathBuf,
    /// HS256 secret, instead of the key file
    #[arg(long, value_name = "SECRET", env = "ATTACK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Attack a server that is not on the loopback. Only ever say so of a server that is your own to break
    #[arg(long)]
    i_own_this_server: bool,
}

fn main() -> ExitCode {
    let run = || {
        let args = Args::parse();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
        runtime.block_on(run(&args))
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attack: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs all; whether every bound was kept.
async fn run(args: &Args) -> Result<bool> {
    let addr = address(&args.server)?;
    if !addr.ip().is_loopback() && !args.i_own_this_server {
        bail!("{addr} is not on the loopback. Attack servers of your own only; if it is one, say --i-own-this-server");
    }
    let secret = match &args.secret {
        Some(secret) => secret.clone(),
        None => std::fs::read_to_string(&args.dev_key).with_context(|| {
            format!("read {}: name the server's dev-jwt.key with --dev-key, or give --secret", args.dev_key.display())
        })?,
    };
    let key = EncodingKey::from_secret(secret.trim().as_bytes());
    let mint = Arc::new(move |who: Who| token(&key, who));
    let profiles = if args.profile.is_empty() { Profile::value_variants().to_vec() } else { args.profile.clone() };
    // Runs on one server do not meet.
    let base = i64::try_from(jsonwebtoken::get_current_timestamp())? * 10_000_000;
    let mut all_kept = true;
    for (index, profile) in (0..).zip(profiles) {
        let user_base = base + index * 100_000;
        let target = Target { addr, mint: mint.clone(), user_base, calls_per_s: args.calls_per_s };
        let exceeded = one(args, profile, &target).await.with_context(|| profile.name())?;
        for bound in &exceeded {
            println!("  EXCEEDED: {bound}");
        }
        all_kept &= exceeded.is_empty();
    }
    Ok(all_kept)
}

/// Runs one profile; what it exceeded.
async fn one(args: &Args, profile: Profile, target: &Target) -> Result<Vec<String>> {
    let scale = if args.small { Scale::Small } else { Scale::Full };
    println!("{}:", profile.name());
    let good = Good::prepare(target).await.context("the good client's room")?;
    let prepared = profile.prepare(target, scale, &good.room).await.context("prepare")?;
    let time = Duration::from_secs(args.seconds).max(profile.least(scale));
    let span = Span::of(time);
    let watch = async {
        let mut most: f64 = 0.0;
        while !span.is_over() {
            most = most.max(args.server_pid.and_then(rss_mib).unwrap_or(0.0));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        most
    };
    let live = async { if args.good { good.live(&span).await.map(Some) } else { Ok(None) } };
    let attacking = async {
        let seen = prepared.attack(&span).await;
        // An attack that is over before its time leaves the good client alone for the rest of it.
        span.end().await;
        seen
    };
    let (seen, record, rss) = tokio::join!(attacking, live, watch);
    let seen = seen?;
    let mut exceeded = seen.exceeded;
    for line in &seen.lines {
        println!("  {line}");
    }
    if let Some(record) = record.context("the good client")? {
        exceeded.extend(judge(args, &record));
    }
    if args.server_pid.is_some() {
        println!("  server: at most {rss:.0} MiB");
        if rss > args.rss_mib {
            exceeded.push(format!("{rss:.0} MiB of memory, bound {:.0}", args.rss_mib));
        }
    }
    Ok(exceeded)
}

fn judge(args: &Args, good: &Record) -> Vec<String> {
    let Record { acked, p50_ms, p99_ms, max_ms, errors, by_reason, not_once } = good;
    println!(
        "  good client: {acked} acknowledged, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, at most {max_ms:.0} ms; errors: {by_reason}"
    );
    let mut exceeded = Vec::new();
    if *p99_ms > args.p99_ms {
        exceeded.push(format!("p99 of {p99_ms:.1} ms, bound {:.0}", args.p99_ms));
    }
    if *errors > 0 {
        exceeded.push(format!("{errors} errors of a good client ({by_reason})"));
    }
    if *not_once > 0 {
        exceeded.push(format!("{not_once} acknowledged messages are not in history exactly once"));
    }
    exceeded
}

fn address(url: &str) -> Result<SocketAddr> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let mut found = host.to_socket_addrs().with_context(|| format!("{url}: not http://HOST:PORT"))?;
    found.next().with_context(|| format!("{url}: no address"))
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    name: String,
    role: &'static str,
    exp: i64,
}

fn token(key: &EncodingKey, who: Who) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap_or(i64::MAX);
    let claims = Claims {
        sub: who.user.to_string(),
        name: format!("attack {}", who.user),
        role: if who.admin { "admin" } else { "user" },
        exp: now + who.valid_s,
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key).unwrap_or_default()
}

/// Memory of a process; none where the kernel does not say.
fn rss_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1_024.0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[tokio::test]
    async fn only_the_loopback_is_attacked() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["attack", "--server", "http://192.0.2.1:8080"]).unwrap();
        let error = run(&args).await.unwrap_err().to_string();
        assert!(error.contains("--i-own-this-server"), "{error}");
        for own in ["http://127.0.0.1:1", "http://[::1]:1/", "localhost:1"] {
            assert!(address(own).unwrap().ip().is_loopback(), "{own}");
        }
    }

    #[test]
    fn bounds_are_held() {
        let args = Args::try_parse_from(["attack", "--server", "http://127.0.0.1:1"]).unwrap();
        let good = |p99_ms, errors, not_once| Record {
            acked: 9,
            p50_ms: 1.0,
            p99_ms,
            max_ms: p99_ms,
            errors,
            by_reason: String::new(),
            not_once,
        };
        assert!(judge(&args, &good(50.0, 0, 0)).is_empty());
        for bad in [good(50.1, 0, 0), good(1.0, 1, 0), good(1.0, 0, 1)] {
            assert_eq!(judge(&args, &bad).len(), 1);
        }
    }
}
