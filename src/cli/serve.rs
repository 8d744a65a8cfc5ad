//! `tertulia serve`.

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use crate::{
    config::{Config, LogConfig, LogFormat},
    server::Server,
    telemetry::{logging, panics},
};

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address to listen on.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Start although the store has lost acknowledged writes (a damaged journal). They are gone then.
    #[arg(long)]
    accept_data_loss: bool,
}

impl ServeArgs {
    /// These, given before `serve`, and those given behind it, which win.
    pub(super) fn and(&self, later: Self) -> Self {
        Self {
            config: self.config.and(later.config),
            listen: later.listen.or_else(|| self.listen.clone()),
            accept_data_loss: self.accept_data_loss || later.accept_data_loss,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.listen.is_none() && !self.accept_data_loss
    }
}

/// Serves until SIGINT or SIGTERM.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<bool> {
    let listen = args.listen.iter().map(|listen| ("server.listen".to_owned(), listen.clone()));
    let config = args.config.load(listen.collect())?;
    start_logging(&config.log);
    panics::watch();
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.server.worker_threads > 0 {
        runtime.worker_threads(config.server.worker_threads);
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(serve(&config, args.accept_data_loss))?;
    Ok(true)
}

/// `RUST_LOG` overrides the configured level.
fn start_logging(config: &LogConfig) {
    let format = match config.format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    logging::start(&std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone()), format);
}

async fn serve(config: &Config, accept_data_loss: bool) -> anyhow::Result<()> {
    // Before anything is written: a signal from now on ends the server in order.
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let server = tokio::select! {
        started = Server::start(config, accept_data_loss) => started?,
        // A store that does not answer must not keep it.
        _ = int.recv() => return Ok(()),
        _ = term.recv() => return Ok(()),
    };
    // Whoever reads JSON reads nothing else; the log says where the server is.
    if config.log.format == LogFormat::Text {
        greet(config, server.addr());
    }
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    tracing::info!("draining");
    server.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Says what to do next, to whoever started it by hand.
fn greet(config: &Config, addr: SocketAddr) {
    let data = config.server.data_dir.display();
    eprintln!(
        "\nTertulia serves gRPC, gRPC-Web and Connect on http://{addr}, its data is in {data}.\n\n\
         Next:\n  tertulia token --user 1 --name Ana --data-dir {data}     a token to call it with\n  \
         tertulia chat --user 1 --name Ana --server http://{addr} --data-dir {data}\n  \
         curl http://{addr}/health/ready\n"
    );
}
