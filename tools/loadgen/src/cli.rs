//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use crate::marker::MARKER_LEN;

/// Measures a running Tertulia server over its public API.
///
/// Start the server without rate limits (`tertulia serve --set limits.user_per_s=0 --set limits.room_per_s=0`).
/// Exit code 0 only when every row was measured without an error.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadgen", version, args_override_self = true)]
pub(crate) struct Args {
    /// The server, such as http://127.0.0.1:50051 (no TLS)
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// What to run; several separated by commas, or `all`
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    pub(crate) workload: Vec<Workload>,
    /// inserts: nodes of a Cassandra or ScyllaDB, such as 127.0.0.1:9042; the keyspace `loadgen` is made there
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) cql: Vec<String>,
    /// Print JSON, one object a row and line, instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure each row this many times; figures are medians, with the lowest and highest beside them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Sends under way: w1 (default 1,64), w2's greatest rate, as messages that not all have yet (default 8, from 500
    /// receivers on 4), w3 in total (default 128). Each value is a row
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: Vec<u32>,
    /// w2: connected receivers beside the sender, at most 1,000. Each value is a row
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "100,1000", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) receivers: Vec<u32>,
    /// w2: sends a second, or `max` for as fast as it goes. Each value is a row
    #[arg(long, value_delimiter = ',', value_name = "RATE", default_value = "20,max", value_parser = rate)]
    pub(crate) rate: Vec<Rate>,
    /// w3: rooms of 4 members; as many users, each in 4 rooms
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(4..=100_000))]
    pub(crate) rooms: u32,
    /// w4: idle clients, in rooms of 50
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(2..=60_000))]
    pub(crate) clients: u32,
    /// w5: readers, each asking for the next page when it has the last
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) readers: u32,
    /// w5: messages in the room
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=10_000_000))]
    pub(crate) messages: u32,
    /// Seconds before the measured window
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Seconds of the measured window
    #[arg(long, default_value = "6", value_parser = seconds)]
    pub(crate) measure: Duration,
    /// Seconds that answers and deliveries may take after the window; what is missing then is an error
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub(crate) drain: Duration,
    /// Bytes of each message's text
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(MARKER_LEN as i64..=8_192))]
    pub(crate) content: u32,
    /// Send by unary calls instead of a Session; events then come over StreamMessages
    #[arg(long)]
    pub(crate) unary: bool,
    /// w1, w2: the sender gets no events
    #[arg(long)]
    pub(crate) commands_only: bool,
    /// The server's development key, hex digits
    #[arg(long, value_name = "FILE", default_value = "./data/dev-jwt.key")]
    pub(crate) dev_key: PathBuf,
    /// HS256 secret as hex digits, instead of the key file
    #[arg(long, value_name = "SECRET", env = "LOADGEN_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// First user id; default: random, so that runs on one server do not meet
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..=1 << 53))]
    pub(crate) user_base: Option<i64>,
    /// The server's process, for processor time and memory; several are summed. Default: who listens, if on loopback
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Vec<u32>,
}

/// The workloads of docs/performance.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One room of 10, one sender
    W1,
    /// One room, one sender, many receivers
    W2,
    /// Many rooms of 4
    W3,
    /// Idle clients
    W4,
    /// The newest page of a long room
    W5,
    /// Plain prepared inserts into the database of --cql, to compare with; not part of `all`
    Inserts,
    /// All of them
    All,
}

/// Sends a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// So many, evenly.
    Paced(f64),
    /// As fast as it goes.
    Max,
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=10_000.0).contains(&rate) => Ok(Rate::Paced(rate)),
        _ => Err("`max` or a number from 0.1 to 10,000".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0.1 to 3,600".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line() {
        Args::command().debug_assert();
        let args =
            Args::try_parse_from(["loadgen", "--server", "http://h:1", "--workload", "w1,w4", "--rate", "20,max"])
                .unwrap();
        assert_eq!(args.workload, [Workload::W1, Workload::W4]);
        assert_eq!(args.rate, [Rate::Paced(20.0), Rate::Max]);
        assert!(
            Args::try_parse_from(["loadgen", "--server", "http://h:1", "--workload", "w1", "--content", "10"]).is_err()
        );
        assert!(Args::try_parse_from(["loadgen", "--server", "http://h:1"]).is_err());
    }
}
