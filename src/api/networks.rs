//! Networks as an operator writes them: `private, 192.0.2.0/24, 2001:db8::1`.

use std::{net::IpAddr, str::FromStr};

use serde::Deserialize;

/// Addresses of loopback, of private networks and of the link, in one word.
const PRIVATE: &str = "private";

/// A list of networks; the empty one holds nobody.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Network {
    Private,
    Within { base: u128, bits: u32 },
}

/// What is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not an address, a network such as 192.0.2.0/24, or `private`")]
pub struct NoNetwork(String);

impl Networks {
    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| match *network {
            Network::Private => is_private(address),
            Network::Within { base, bits } => (as_v6(address) ^ base).leading_zeros() >= bits,
        })
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10 is what providers and clouds use within.
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Both kinds of addresses as one number.
fn as_v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        if text.eq_ignore_ascii_case(PRIVATE) {
            return Ok(Self::Private);
        }
        let no = || NoNetwork(text.to_owned());
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| no())?;
        let (longest, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = length.map_or(Ok(longest), str::parse).map_err(|_| no())?;
        if length > longest { Err(no()) } else { Ok(Self::Within { base: as_v6(address), bits: before + length }) }
    }
}

impl FromStr for Networks {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "none");
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Networks {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_what_holds_it() {
        let networks: Networks = "private, 192.0.2.0/24,2001:db8::/32 , 198.51.100.7".parse().unwrap();
        for inside in [
            "192.0.2.255",
            "::ffff:192.0.2.1",
            "2001:db8:ffff::1",
            "198.51.100.7",
            "127.0.0.1",
            "10.1.2.3",
            "::1",
            "172.31.0.1",
            "100.127.0.1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.3.0", "2001:db9::1", "198.51.100.8", "172.32.0.1", "100.128.0.1", "11.0.0.1"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
        let all: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.1".parse().unwrap()) && !all.contains("2001:db8::1".parse().unwrap()));
        for none in ["", "none", " , "] {
            assert!(!none.parse::<Networks>().unwrap().contains("127.0.0.1".parse().unwrap()));
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in ["10.0.0.0/33", "::/129", "localhost", "10.0.0", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Networks>(), Err(NoNetwork(wrong.to_owned())));
        }
    }
}
