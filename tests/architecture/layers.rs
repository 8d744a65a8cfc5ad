//! Who may import whom.
//!
//! ```text
//! domain <- crypto <- storage --+
//! domain <- events, ephemera ---+- actors <- api <- server <- cli, main      (a <- b: b may import a)
//! proto  <- api, client, cli, tools
//! ```
//!
//! The small modules of [`BASE`] may be imported by everything but the domain; `config` imports the options of the
//! components and is imported only where these are put together. A new top-level module needs a row here.

use crate::source::{self, File};

/// Modules that everything above the domain may use. They import the domain and each other, nothing else.
const BASE: &[&str] = &["circuit", "clock", "error", "line_pace", "redis_link", "secret_file", "tasks"];

/// What a layer may import besides itself and [`BASE`]: modules, or single names of a module.
const LAYERS: &[(&str, &[&str])] = &[
    ("crypto", &["domain"]),
    ("storage", &["domain", "crypto"]),
    ("events", &["domain"]),
    ("ephemera", &["domain"]),
    ("actors", &["domain", "crypto", "storage", "events", "ephemera"]),
    // Counts what the layers below report through the traits they declare.
    ("telemetry", &["domain", "storage", "events", "ephemera", "actors"]),
    // Values that pass through, never the store itself: what is kept and when is for the actors to say.
    (
        "api",
        &[
            "domain",
            "crypto",
            "events",
            "ephemera",
            "actors",
            "telemetry",
            "storage::Durability",
            "storage::Outcome",
            "storage::RoomPrefs",
            "storage::StoreError",
            "storage::StoreErrorKind",
            // How the store stands, as the node's own write has found it.
            "storage::pulse",
        ],
    ),
    ("client", &["domain"]),
    // Writes rooms as they were lived elsewhere, through the rules' own state and the store contract.
    ("relational", &["domain", "storage"]),
    ("config", &["domain", "crypto", "storage", "events", "ephemera", "actors", "api"]),
    (
        "server",
        &["domain", "crypto", "storage", "events", "ephemera", "actors", "telemetry", "api", "config", "relational"],
    ),
    (
        "cli",
        &[
            "domain",
            "crypto",
            "storage",
            "events",
            "ephemera",
            "actors",
            "telemetry",
            "api",
            "config",
            "client",
            "relational",
            "server",
        ],
    ),
];

/// Modules that put everything together and may import anything.
const TOPS: &[&str] = &["", "main"];

/// Crates that are named in some places only, and these places.
const CRATES: &[(&str, &[&str])] = &[
    // Engines and drivers: each behind its own module, so that it can be replaced there.
    ("fjall", &["storage::embedded"]),
    // `server::store` names our module of that name, which reads like the crate.
    ("scylla", &["storage::scylla", "server::store"]),
    ("tokio_postgres", &["storage::postgres", "relational::source"]),
    ("deadpool_postgres", &["storage::postgres"]),
    ("redis", &["redis_link", "storage::layer::cached", "ephemera"]),
    ("async_nats", &["events"]),
    // Actors are an inner matter of one layer.
    ("ractor", &["actors"]),
    // The wire stops at its own layers.
    ("tertulia_proto", &["api", "client", "cli"]),
    ("tonic", &["api", "client", "cli"]),
    ("tonic_health", &["api"]),
    ("tonic_reflection", &["api"]),
    ("tonic_web", &["api"]),
    ("prost_reflect", &["api"]),
    ("axum", &["api"]),
    ("hyper", &["api"]),
    ("jsonwebtoken", &["api::auth", "cli"]),
    ("reqwest", &["api::auth"]),
    // Ciphers are used through the crypto layer.
    ("aes", &["crypto"]),
    ("cbc", &["crypto"]),
    ("hkdf", &["crypto"]),
    ("hmac", &["crypto"]),
    ("scrypt", &["crypto"]),
    // Terminals.
    ("ratatui", &["client::chat"]),
    ("crossterm", &["client::chat"]),
    ("indicatif", &["client", "cli"]),
    ("clap", &["cli", "main"]),
    // An error without a type is for those whose errors are only printed: what starts and stops a server.
    ("anyhow", &["server", "cli", "main"]),
    // The domain decides; it does not wait and does not speak to anyone.
    ("tokio", NOT_DOMAIN),
    ("tokio_stream", NOT_DOMAIN),
    ("tokio_util", NOT_DOMAIN),
    ("futures_util", NOT_DOMAIN),
    ("async_trait", NOT_DOMAIN),
    ("tracing", NOT_DOMAIN),
];

/// Every module but the domain.
const NOT_DOMAIN: &[&str] = &[
    "",
    "actors",
    "api",
    "cli",
    "client",
    "clock",
    "config",
    "crypto",
    "circuit",
    "ephemera",
    "error",
    "events",
    "line_pace",
    "main",
    "redis_link",
    "relational",
    "secret_file",
    "server",
    "storage",
    "tasks",
    "telemetry",
];

/// Breaches that are known, each with the reason it stands for now: file, what it imports, why.
const KNOWN: &[(&str, &str, &str)] = &[];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Breach {
    file: String,
    line: usize,
    imports: String,
}

fn breaches(files: &[File]) -> Vec<Breach> {
    let crates: Vec<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    let mut found = Vec::new();
    for file in files {
        for used in source::uses(file, &crates) {
            let allowed = match used.from.as_str() {
                "crate" => may_import(&file.module, &used.path),
                name => may_name(&file.module, name),
            };
            if !allowed {
                let imports = match used.from.as_str() {
                    "crate" => format!("crate::{}", used.path),
                    _ => used.from,
                };
                found.push(Breach { file: file.name.clone(), line: used.line, imports });
            }
        }
    }
    found
}

fn may_import(module: &[String], path: &str) -> bool {
    let target = path.split("::").next().unwrap_or(path);
    let layer = module.first().map_or("", String::as_str);
    if layer == target || TOPS.contains(&layer) {
        return true;
    }
    if BASE.contains(&layer) {
        return target == "domain" || BASE.contains(&target);
    }
    if layer == "domain" {
        return false;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return false;
    };
    BASE.contains(&target) || allowed.contains(&target) || allowed.contains(&path)
}

fn may_name(module: &[String], name: &str) -> bool {
    let module = if module.is_empty() { vec![String::new()] } else { module.to_vec() };
    let places = CRATES.iter().find(|(known, _)| *known == name).map_or(&[] as &[&str], |(_, places)| places);
    places.iter().any(|place| {
        let place: Vec<&str> = place.split("::").collect();
        module.len() >= place.len() && module.iter().zip(&place).all(|(have, want)| have == want)
    })
}

fn library() -> Vec<File> {
    source::crate_files(source::workspace(), "src/lib.rs")
}

/// The binary's own files: its root is a place of its own, not the library's root.
fn binary() -> Vec<File> {
    let mut files = source::crate_files(source::workspace(), "src/main.rs");
    for file in &mut files {
        if file.module.is_empty() {
            file.module = vec!["main".to_owned()];
        }
    }
    files
}

#[test]
fn layers_hold() {
    let files: Vec<File> = library().into_iter().chain(binary()).collect();
    let found = breaches(&files);
    let known = |breach: &Breach| KNOWN.iter().any(|(file, what, _)| breach.file == *file && breach.imports == *what);
    let new: Vec<String> = found
        .iter()
        .filter(|breach| !known(breach))
        .map(|breach| format!("{}:{}: {} is not for this module", breach.file, breach.line, breach.imports))
        .collect();
    assert!(new.is_empty(), "{}\nthe rules: tests/architecture/layers.rs", new.join("\n"));
    for (file, what, _) in KNOWN {
        let stands = found.iter().any(|breach| breach.file == *file && breach.imports == *what);
        assert!(stands, "{file} no longer imports {what}: take it off the list of known breaches");
    }
}

#[test]
fn every_module_has_a_layer() {
    for file in library() {
        let Some(layer) = file.module.first() else {
            continue;
        };
        let known = layer == "domain" || BASE.contains(&layer.as_str()) || LAYERS.iter().any(|(name, _)| name == layer);
        assert!(known, "{}: module {layer} has no row in tests/architecture/layers.rs", file.name);
    }
}

mod made_up {
    use super::*;

    fn check(module: &str, text: &str) -> Vec<String> {
        let module = module.split("::").map(str::to_owned).collect();
        let file = source::parse("x.rs", module, text);
        breaches(&[file]).into_iter().map(|breach| breach.imports).collect()
    }

    #[test]
    fn the_domain_knows_nobody() {
        assert_eq!(
            check("domain::room", "use crate::clock::Clock; use tokio::time;"),
            ["crate::clock::Clock", "tokio"]
        );
        assert!(check("domain::room", "use crate::domain::ids; use std::fmt;").is_empty());
    }

    #[test]
    fn no_layer_looks_up() {
        for (module, text) in [
            ("crypto", "use crate::storage::Store;"),
            ("storage::embedded", "fn f() { crate::actors::Node::new(); }"),
            ("events", "use crate::storage::Store;"),
            ("actors::room", "use super::super::api::x;"),
            ("actors::room", "use crate::config::Config;"),
            ("api::grpc", "use crate::{domain::ids, storage::Store};"),
            ("client", "use crate::api::auth;"),
            ("config", "use crate::server::Server;"),
            ("clock", "use crate::storage::Store;"),
            ("api", "use crate::storage::{Outcome, embedded};"),
            ("brand_new", "use crate::domain::ids;"),
        ] {
            assert_eq!(check(module, text).len(), 1, "{module}: {text}");
        }
    }

    #[test]
    fn looking_down_is_fine() {
        for (module, text) in [
            ("crypto", "use crate::domain::ids;"),
            ("storage", "use crate::{crypto::Keyring, clock};"),
            ("actors", "use crate::{domain, storage, events, crypto, tasks};"),
            ("api", "use crate::actors::Node;"),
            ("api", "use crate::storage::{Outcome, StoreError};"),
            ("server", "use crate::{api, actors, storage, config};"),
            ("main", "use tertulia::{cli, server, client};"),
        ] {
            assert!(check(module, text).is_empty(), "{module}: {text}");
        }
    }

    #[test]
    fn crates_stay_in_their_places() {
        assert_eq!(check("storage", "use fjall::Database;"), ["fjall"]);
        assert!(check("storage::embedded::disk", "use fjall::Database;").is_empty());
        assert_eq!(check("api", "use ractor::ActorRef;"), ["ractor"]);
        assert_eq!(check("actors", "fn f() -> tonic::Status { todo() }"), ["tonic"]);
        assert_eq!(check("actors", "use anyhow::Result;"), ["anyhow"]);
        assert!(check("main", "fn main() -> anyhow::Result<()> {}").is_empty());
    }
}
