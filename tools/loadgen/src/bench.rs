//! What all runs share: the server's address and process, users and their tokens, and making rooms.

use std::{
    cell::Cell,
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tertulia_proto::chat::v1::{self, chat_service_client::ChatServiceClient};
use tonic::{
    Request,
    transport::{Channel, Endpoint, Uri},
};

use crate::{cli::Args, hub::Hub, procfs, token::Minter, world::Role, world::Seat};

/// Rooms made at the same time.
const CREATING_MAX: usize = 16;
/// How long the connection that makes the rooms may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long making a room may take.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Files that the generator or the server needs beside its connections.
const FILES_SPARE: u64 = 100;

/// A room to make: its first member makes it.
#[derive(Clone, Debug)]
pub(crate) struct RoomPlan {
    /// Who makes it.
    pub(crate) owner: i64,
    /// The others.
    pub(crate) others: Vec<i64>,
}

/// What all runs share.
pub(crate) struct Bench {
    /// The command line.
    pub(crate) args: Args,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// Host and port as the URL has them.
    pub(crate) authority: String,
    /// Processes of the server; empty if not known.
    pub(crate) pids: Vec<u32>,
    minter: Minter,
    endpoint: Endpoint,
    user_next: Cell<i64>,
}

impl Bench {
    /// Looks for the server and the key.
    ///
    /// # Errors
    /// When the URL or the key is of no use.
    pub(crate) async fn new(args: Args) -> Result<Self> {
        let uri: Uri = args.server.parse().with_context(|| format!("--server {}", args.server))?;
        if uri.scheme_str() != Some("http") {
            bail!("--server must be an http:// URL: the generator speaks no TLS");
        }
        let authority = uri.authority().ok_or_else(|| anyhow!("--server has no host"))?.to_string();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let mut addresses = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
            .await
            .with_context(|| format!("cannot resolve {authority}"))?;
        let address = addresses.next().ok_or_else(|| anyhow!("{authority} has no address"))?;
        let minter = match &args.secret {
            Some(secret) => Minter::from_text(secret)?,
            None => Minter::from_file(&args.dev_key)?,
        };
        let pids = match args.server_pid.as_slice() {
            [] => procfs::listener(address).into_iter().collect(),
            pids => pids.to_vec(),
        };
        let user_next = Cell::new(args.user_base.unwrap_or_else(user_base));
        Ok(Self {
            endpoint: Endpoint::from(uri).connect_timeout(CONNECT_MAX).timeout(CALL_MAX),
            address,
            authority,
            pids,
            minter,
            user_next,
            args,
        })
    }

    /// New users.
    pub(crate) fn users(&self, count: u32) -> Vec<i64> {
        let first = self.user_next.get();
        self.user_next.set(first + i64::from(count));
        (first..first + i64::from(count)).collect()
    }

    /// A user with a token.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn seat(&self, user: i64, role: Role) -> Result<Seat> {
        Ok(Seat { user, bearer: self.minter.bearer(user)?, role })
    }

    /// The role of one that sends and receives, as the flags want it.
    pub(crate) fn sender_role(&self) -> Role {
        match (self.args.unary, self.args.commands_only) {
            (true, true) => Role::Calls,
            (true, false) => Role::Events,
            (false, commands_only) => Role::Session { commands_only },
        }
    }

    /// The state of a new run.
    pub(crate) fn hub(&self, clients: usize) -> Hub {
        let tag = u32::try_from(random() >> 32).unwrap_or(0);
        Hub::new(crate::clock::Clock::start(), tag, self.args.content as usize, clients)
    }

    /// Makes rooms and gives their ids, in order.
    ///
    /// # Errors
    /// When the server refuses one.
    pub(crate) async fn create_rooms(&self, plans: Vec<RoomPlan>) -> Result<Vec<String>> {
        let channel =
            self.endpoint.connect().await.with_context(|| format!("cannot connect to {}", self.args.server))?;
        stream::iter(plans.into_iter().map(|plan| self.create_room(channel.clone(), plan)))
            .buffered(CREATING_MAX)
            .try_collect()
            .await
    }

    async fn create_room(&self, channel: Channel, plan: RoomPlan) -> Result<String> {
        let mut request = Request::new(v1::CreateRoomRequest {
            r#type: v1::RoomType::Group.into(),
            participants: plan.others,
            name: "loadgen".into(),
            ..Default::default()
        });
        request.metadata_mut().insert("authorization", self.minter.admin_bearer(plan.owner)?.parse()?);
        let answer = ChatServiceClient::new(channel).create_room(request).await.map_err(|status| {
            let reason = status.metadata().get("tertulia-reason").and_then(|r| r.to_str().ok()).unwrap_or("no reason");
            anyhow!("CreateRoom: {:?}, {reason}: {}", status.code(), status.message())
        })?;
        let room = answer.into_inner().room.ok_or_else(|| anyhow!("CreateRoom answered without a room"))?;
        Ok(room.id)
    }

    /// Makes sure that so many connections can be open on both sides.
    ///
    /// # Errors
    /// When a limit is too low.
    pub(crate) fn check_files(&self, connections: u32) -> Result<()> {
        let needed = u64::from(connections) + FILES_SPARE;
        let own = [("self".to_owned(), "loadgen")];
        let servers = self.pids.iter().map(|pid| (pid.to_string(), "the server"));
        for (pid, who) in own.into_iter().chain(servers) {
            if let Some(max) = procfs::files_max(&pid).filter(|max| *max < needed) {
                bail!("{who} may open {max} files and needs {needed}: start it after `ulimit -n {needed}`");
            }
        }
        Ok(())
    }
}

/// Far from where another run starts, and exact in a double.
fn user_base() -> i64 {
    i64::try_from((random() >> 26 | 1) << 14).unwrap_or(1)
}

/// The standard library seeds its hash maps from the system; good enough to tell runs apart.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
