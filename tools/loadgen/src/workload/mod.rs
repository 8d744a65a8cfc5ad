//! The workloads: which rows there are, and how each sets up its rooms and clients.

mod fanout;
mod history;
mod idle;
mod inserts;
mod window;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, anyhow};
use serde_json::{Map, Value, json};

use crate::{
    bench::Bench,
    cli::{Args, Rate, Workload},
    hub::ErrorCount,
    tally::Figures,
    world::World,
};

/// How long all streams of a run may take to come alive, and a room to be filled.
const SETUP_MAX: Duration = Duration::from_secs(120);
/// What the rest of a run may take: making rooms, settling, closing.
const SLACK: Duration = Duration::from_secs(60);
/// Receivers from which fewer messages are under way.
const MANY_RECEIVERS: u32 = 500;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spec {
    /// One room of 10.
    W1 {
        /// Sends without an answer.
        in_flight: u32,
    },
    /// One room with receivers, paced.
    W2Paced {
        /// Beside the sender.
        receivers: u32,
        /// Sends a second.
        rate: f64,
    },
    /// One room with receivers, as fast as it goes.
    W2Max {
        /// Beside the sender.
        receivers: u32,
        /// Messages that not all have yet.
        in_flight: u32,
    },
    /// Rooms of 4.
    W3 {
        /// How many, and how many users.
        rooms: u32,
        /// Sends without an answer, in total.
        in_flight: u32,
    },
    /// Idle clients.
    W4 {
        /// How many.
        clients: u32,
    },
    /// Pages.
    W5 {
        /// Reading at the same time.
        readers: u32,
        /// In the room.
        messages: u32,
    },
    /// Plain inserts into the database, beside the server.
    Inserts {
        /// Without an answer.
        in_flight: u32,
    },
}

/// What one run brought.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Figures by name.
    pub(crate) figures: Figures,
    /// What should not have happened.
    pub(crate) errors: BTreeMap<String, ErrorCount>,
    /// Weakest durability in the answers.
    pub(crate) durability: Option<&'static str>,
}

impl Spec {
    /// The rows that a command line asks for.
    pub(crate) fn all(args: &Args) -> Vec<Self> {
        use Workload::{All, W1, W2, W3, W4, W5};
        let wanted: Vec<Workload> =
            args.workload.iter().flat_map(|w| if *w == All { vec![W1, W2, W3, W4, W5] } else { vec![*w] }).collect();
        wanted.into_iter().flat_map(|workload| Self::rows(workload, args)).collect()
    }

    fn rows(workload: Workload, args: &Args) -> Vec<Self> {
        let in_flight = |default: &[u32]| match args.in_flight.as_slice() {
            [] => default.to_vec(),
            given => given.to_vec(),
        };
        match workload {
            Workload::W1 => in_flight(&[1, 64]).into_iter().map(|in_flight| Self::W1 { in_flight }).collect(),
            Workload::W2 => {
                let mut rows = Vec::new();
                for rate in &args.rate {
                    for &receivers in &args.receivers {
                        let default = if receivers < MANY_RECEIVERS { 8 } else { 4 };
                        match *rate {
                            Rate::Paced(rate) => rows.push(Self::W2Paced { receivers, rate }),
                            Rate::Max => rows.extend(
                                in_flight(&[default]).into_iter().map(|in_flight| Self::W2Max { receivers, in_flight }),
                            ),
                        }
                    }
                }
                rows
            }
            Workload::W3 => {
                in_flight(&[128]).into_iter().map(|in_flight| Self::W3 { rooms: args.rooms, in_flight }).collect()
            }
            Workload::W4 => vec![Self::W4 { clients: args.clients }],
            Workload::W5 => vec![Self::W5 { readers: args.readers, messages: args.messages }],
            Workload::Inserts => {
                in_flight(&[1, 64, 128]).into_iter().map(|in_flight| Self::Inserts { in_flight }).collect()
            }
            Workload::All => Vec::new(),
        }
    }

    /// Short name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::W1 { .. } => "w1",
            Self::W2Paced { .. } | Self::W2Max { .. } => "w2",
            Self::W3 { .. } => "w3",
            Self::W4 { .. } => "w4",
            Self::W5 { .. } => "w5",
            Self::Inserts { .. } => "inserts",
        }
    }

    /// For people.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::W1 { in_flight } => format!("W1 10 members, {in_flight} in flight"),
            Self::W2Paced { receivers, rate } => format!("W2 {receivers} receivers, {rate}/s"),
            Self::W2Max { receivers, in_flight } => format!("W2 {receivers} receivers, max ({in_flight} in flight)"),
            Self::W3 { rooms, in_flight } => {
                format!("W3 {rooms} rooms of 4, {in_flight} in flight")
            }
            Self::W4 { clients } => format!("W4 {clients} idle clients"),
            Self::W5 { readers, messages } => {
                format!("W5 page of 50 of {messages}, {readers} readers")
            }
            Self::Inserts { in_flight } => format!("plain inserts, {in_flight} in flight"),
        }
    }

    /// For programs.
    pub(crate) fn params(&self, args: &Args) -> Map<String, Value> {
        let own = match *self {
            Self::W1 { in_flight } => {
                json!({ "members": fanout::W1_MEMBERS, "in_flight": in_flight })
            }
            Self::W2Paced { receivers, rate } => json!({ "receivers": receivers, "rate": rate }),
            Self::W2Max { receivers, in_flight } => {
                json!({ "receivers": receivers, "rate": "max", "in_flight": in_flight })
            }
            Self::W3 { rooms, in_flight } => {
                json!({ "rooms": rooms, "members": 4, "in_flight": in_flight })
            }
            Self::W4 { clients } => json!({ "clients": clients, "members": idle::ROOM_LEN }),
            Self::W5 { readers, messages } => {
                json!({ "readers": readers, "messages": messages, "page": history::PAGE_LEN })
            }
            Self::Inserts { in_flight } => json!({ "in_flight": in_flight }),
        };
        let mut params = own.as_object().cloned().unwrap_or_default();
        params.insert("content_bytes".into(), args.content.into());
        params.insert("warmup_s".into(), args.warmup.as_secs_f64().into());
        params.insert("measure_s".into(), args.measure.as_secs_f64().into());
        if !matches!(self, Self::W4 { .. } | Self::W5 { .. } | Self::Inserts { .. }) {
            params.insert("sends".into(), if args.unary { "unary" } else { "session" }.into());
            params.insert("commands_only".into(), args.commands_only.into());
        }
        params
    }

    /// Measures the row once, within a bounded time.
    ///
    /// # Errors
    /// When nothing could be measured.
    pub(crate) async fn run(&self, bench: &Bench) -> Result<Outcome> {
        let Args { warmup, measure, drain, .. } = &bench.args;
        let limit = SETUP_MAX * 2 + SLACK + *warmup + *measure + *drain * 2;
        let run = async {
            match *self {
                Self::W1 { in_flight } => fanout::w1(bench, in_flight).await,
                Self::W2Paced { receivers, rate } => fanout::w2_paced(bench, receivers, rate).await,
                Self::W2Max { receivers, in_flight } => fanout::w2_max(bench, receivers, in_flight).await,
                Self::W3 { rooms, in_flight } => fanout::w3(bench, rooms, in_flight).await,
                Self::W4 { clients } => idle::w4(bench, clients).await,
                Self::W5 { readers, messages } => history::w5(bench, readers, messages).await,
                Self::Inserts { in_flight } => inserts::inserts(bench, in_flight).await,
            }
        };
        tokio::time::timeout(limit, run).await.map_err(|_| anyhow!("not done after {} s", limit.as_secs()))?
    }
}

/// Closes the world and takes what it measured.
async fn finish(world: &World, figures: Figures) -> Outcome {
    world.close().await;
    let mut hub = world.hub.borrow_mut();
    Outcome { figures, errors: std::mem::take(&mut hub.errors), durability: hub.tally.durability_name() }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn rows(flags: &[&str]) -> Vec<Spec> {
        let always = ["loadgen", "--server", "http://h:1", "--workload"];
        Spec::all(&Args::try_parse_from(always.iter().chain(flags)).unwrap())
    }

    #[test]
    fn rows_of_the_workloads() {
        assert_eq!(rows(&["w1"]), [Spec::W1 { in_flight: 1 }, Spec::W1 { in_flight: 64 }]);
        assert_eq!(
            rows(&["w2"]),
            [
                Spec::W2Paced { receivers: 100, rate: 20.0 },
                Spec::W2Paced { receivers: 1_000, rate: 20.0 },
                Spec::W2Max { receivers: 100, in_flight: 8 },
                Spec::W2Max { receivers: 1_000, in_flight: 4 },
            ]
        );
        assert_eq!(rows(&["w3", "--in-flight", "16"]), [Spec::W3 { rooms: 500, in_flight: 16 }]);
        assert_eq!(rows(&["all"]).len(), 9);
    }
}
