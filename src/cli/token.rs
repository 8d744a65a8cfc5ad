//! `tertulia token`: mints tokens with the development key, and says of any token whether and why it is refused.
//!
//! Must not make a key: one that no server reads signs tokens that no server takes.

use std::{path::absolute, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigArgs, client::block_on};
use crate::{
    api::auth::{
        AuthError, AuthOptions, Explained, Verifier,
        dev_key::{self, DevKey, TokenSpec},
    },
    clock::{Clock as _, SystemClock},
};

/// Flags of `token`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: Option<TokenCommand>,
    #[command(flatten)]
    config: ConfigArgs,
    /// User id, at least 1.
    #[arg(long, value_name = "ID", required = true, value_parser = clap::value_parser!(i64).range(1..))]
    user: Option<i64>,
    /// Display name.
    #[arg(long, default_value = "")]
    name: String,
    /// Picture URL.
    #[arg(long, default_value = "")]
    picture: String,
    /// Give the token the admin role.
    #[arg(long)]
    admin: bool,
    /// Seconds until it expires.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    ttl: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Say what a token holds, and for each check of this configuration whether it passes. Exit code 0 only if a server
    /// would take it now.
    Verify(VerifyArgs),
}

/// Flags of `token verify`.
#[derive(Debug, Args)]
struct VerifyArgs {
    /// The token, what follows `Bearer`.
    #[arg(value_name = "JWT")]
    token: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The development key of the configured server, and what its tokens must hold.
pub(super) fn dev_key(config: &ConfigArgs) -> anyhow::Result<(DevKey, AuthOptions)> {
    let config = config.load(Vec::new())?;
    let (options, key) = config.auth.resolve_existing(&config.server.data_dir)?;
    if let Some(key) = key {
        return Ok((key, options));
    }
    if !options.sources.is_empty() {
        bail!("this server's tokens are not signed with the development key; pass a token of your own");
    }
    let path = config.server.data_dir.join(dev_key::FILE_NAME);
    let path = absolute(&path).unwrap_or(path);
    bail!(
        "no development key at {}: the server makes it at its first start. Say where its data is (--data-dir, --config \
         or TERTULIA_SERVER_DATA_DIR), or pass a token of your own",
        path.display()
    )
}

pub(super) fn mint(
    key: &DevKey,
    options: &AuthOptions,
    user_id: i64,
    name: &str,
    admin: bool,
    ttl: Duration,
) -> String {
    let spec = TokenSpec { user_id, name, picture: "", admin, ttl, now_ms: SystemClock.now_ms() };
    key.mint(&spec, options)
}

pub(super) fn run(args: &TokenArgs) -> anyhow::Result<bool> {
    if let Some(TokenCommand::Verify(args)) = &args.command {
        return verify(args);
    }
    let (key, options) = dev_key(&args.config)?;
    let user_id = args.user.context("--user is needed")?;
    let spec = TokenSpec {
        user_id,
        name: &args.name,
        picture: &args.picture,
        admin: args.admin,
        ttl: Duration::from_secs(args.ttl),
        now_ms: SystemClock.now_ms(),
    };
    let token = key.mint(&spec, &options);
    if args.json {
        println!("{}", json!({ "token": token, "user": user_id, "expires_in_s": args.ttl }));
    } else {
        println!("{token}");
    }
    Ok(true)
}

fn verify(args: &VerifyArgs) -> anyhow::Result<bool> {
    let config = args.config.load(Vec::new())?;
    let (options, _) = config.auth.resolve_existing(&config.server.data_dir)?;
    if options.sources.is_empty() {
        // Says where it looked.
        dev_key(&args.config)?;
    }
    let verifier = Verifier::from_options(options)?;
    let now_ms = SystemClock.now_ms();
    let told = block_on(async {
        verifier.refresh().await;
        Ok(verifier.explain(args.token.trim(), now_ms).await)
    })?;
    print!("{}", if args.json { format!("{}\n", as_json(&told)) } else { as_text(&told) });
    Ok(told.verdict.is_ok())
}

fn as_json(told: &Explained) -> serde_json::Value {
    let checks = told.checks.iter().map(|(name, found)| match found {
        Ok(()) => json!({ "check": name, "passed": true }),
        Err(error) => json!({ "check": name, "passed": false, "cause": error.cause(), "why": error.to_string() }),
    });
    json!({
        "accepted": told.verdict.is_ok(),
        "reason": told.verdict.as_ref().err().map(AuthError::reason),
        "algorithm": told.algorithm,
        "key_id": told.key_id,
        "claims": told.claims,
        "checks": checks.collect::<Vec<_>>(),
    })
}

fn as_text(told: &Explained) -> String {
    let mut lines = Vec::new();
    if let Some(algorithm) = &told.algorithm {
        let key_id = told.key_id.as_ref().map_or_else(|| "none".to_owned(), |kid| format!("{kid:?}"));
        lines.push(format!("algorithm {algorithm:?}, key id {key_id}"));
    }
    if let Some(claims) = &told.claims {
        lines.extend(claims.iter().map(|(name, value)| format!("claim     {name:?} = {value}")));
    }
    lines.extend(told.checks.iter().map(|(name, found)| match found {
        Ok(()) => format!("ok        {name}"),
        Err(error) => format!("REFUSED   {name}: {error}"),
    }));
    lines.push(match &told.verdict {
        Ok(identity) => {
            let role = if identity.admin { " with the admin role" } else { "" };
            format!("accepted: user {}{role}", identity.user_id)
        }
        Err(error) => format!("refused: {} ({error})", error.reason()),
    });
    lines.push(String::new());
    lines.join("\n")
}
