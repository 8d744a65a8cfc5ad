//! Settings of the ScyllaDB/Cassandra store.

use std::{fmt, str::FromStr, time::Duration};

use scylla::statement::{Consistency, SerialConsistency};
use secrecy::SecretString;

/// How a keyspace that is not there is created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replication {
    /// So many copies, wherever they are: for one machine and for tests.
    Simple(u8),
    /// So many copies in each of these datacenters.
    PerDatacenter(Vec<(String, u8)>),
}

/// How many replicas confirm a write, and answer a read that decides something.
///
/// Reads must see what writes confirmed, so only levels that overlap are offered. [`StoreConsistency::One`] overlaps in
/// a keyspace with one copy and is refused in any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StoreConsistency {
    /// One replica, of one.
    One,
    /// Most replicas of the nearest datacenter: all nodes of the product run in that one.
    #[default]
    LocalQuorum,
    /// Most replicas of all datacenters together.
    Quorum,
}

impl StoreConsistency {
    pub(super) fn level(self) -> Consistency {
        match self {
            Self::One => Consistency::One,
            Self::LocalQuorum => Consistency::LocalQuorum,
            Self::Quorum => Consistency::Quorum,
        }
    }

    /// The level of lightweight transactions that overlap with each other as reads and writes do.
    pub(super) fn serial(self) -> SerialConsistency {
        match self {
            Self::One | Self::Quorum => SerialConsistency::Serial,
            Self::LocalQuorum => SerialConsistency::LocalSerial,
        }
    }
}

impl FromStr for StoreConsistency {
    type Err = UnknownConsistency;

    /// As drivers and `cqlsh` write them, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().replace('-', "_").as_str() {
            "ONE" | "LOCAL_ONE" => Ok(Self::One),
            "LOCAL_QUORUM" => Ok(Self::LocalQuorum),
            "QUORUM" => Ok(Self::Quorum),
            _ => Err(UnknownConsistency(text.to_owned())),
        }
    }
}

/// A consistency level that does not exist or that this store cannot keep its promises with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no consistency level for this store: LOCAL_QUORUM, QUORUM, or ONE with one copy")]
pub struct UnknownConsistency(pub String);

/// Where the database is and how it is used.
#[derive(Clone)]
pub struct Options {
    /// Hosts to begin with, `host` or `host:port`; at least one.
    pub contact_points: Vec<String>,
    /// Port of contact points that name none.
    pub port: u16,
    /// Keyspace: letters, digits and underscores, at most 48, beginning with a letter.
    pub keyspace: String,
    /// Datacenter to prefer, if there are several.
    pub datacenter: Option<String>,
    /// User, if the database asks for one.
    pub username: Option<String>,
    /// Their password.
    pub password: Option<SecretString>,
    /// For writes and for reads that decide something.
    pub consistency: StoreConsistency,
    /// How to create the keyspace when it is missing; none: it must be there.
    pub create_keyspace: Option<Replication>,
    /// Longest wait for one answer; at least 100 ms.
    pub request_timeout: Duration,
    /// Name of this node, for people who read the tables.
    pub node: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1".to_owned()],
            port: 9042,
            keyspace: "tertulia".to_owned(),
            datacenter: None,
            username: None,
            password: None,
            consistency: StoreConsistency::default(),
            create_keyspace: Some(Replication::Simple(1)),
            request_timeout: Duration::from_secs(3),
            node: "tertulia".to_owned(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("contact_points", &self.contact_points)
            .field("port", &self.port)
            .field("keyspace", &self.keyspace)
            .field("consistency", &self.consistency)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The contact points, each with a port.
    pub(super) fn nodes(&self) -> Vec<String> {
        let with_port = |host: &String| match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() && !host.ends_with(']') => host.clone(),
            _ => format!("{host}:{}", self.port),
        };
        self.contact_points.iter().map(with_port).collect()
    }

    /// Checks what can be checked without a database.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let name = self.keyspace.as_bytes();
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.len() <= 48
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !is_name {
            return Err("a keyspace's name is letters, digits and underscores, at most 48");
        }
        if self.contact_points.is_empty() {
            return Err("no contact point");
        }
        if self.username.is_some() != self.password.is_some() {
            return Err("a username and a password go together");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_points_get_a_port() {
        let options = Options {
            contact_points: ["db", "db:9999", "10.0.0.1", "[::1]", "[::1]:7"].map(str::to_owned).to_vec(),
            ..Options::default()
        };
        assert_eq!(options.nodes(), ["db:9042", "db:9999", "10.0.0.1:9042", "[::1]:9042", "[::1]:7"]);
    }

    #[test]
    fn names_of_keyspaces_cannot_carry_statements() {
        for keyspace in ["", "1a", "a b", "a;drop", "ä", &"x".repeat(49)] {
            assert!(Options { keyspace: keyspace.to_owned(), ..Options::default() }.check().is_err(), "{keyspace}");
        }
        assert!(Options { keyspace: "chat_1".to_owned(), ..Options::default() }.check().is_ok());
    }

    #[test]
    fn levels_that_do_not_overlap_are_unknown() {
        assert_eq!("local_quorum".parse(), Ok(StoreConsistency::LocalQuorum));
        assert_eq!("Quorum".parse(), Ok(StoreConsistency::Quorum));
        for level in ["ANY", "TWO", "EACH_QUORUM", "SERIAL", ""] {
            assert!(level.parse::<StoreConsistency>().is_err(), "{level}");
        }
    }
}
