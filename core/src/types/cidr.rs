//! Networks that a token may be used from. An address that isn't known lies in none of them.

use std::{fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net};

use super::limits::{BOUND_CIDRS_MAX, CIDR_TEXT_BYTES_MAX};

/// Bits of an IPv6 address before the IPv4 address that is mapped into it.
const MAPPED_BITS: u8 = 96;

/// Networks in canonical form: without host bits, IPv4 that is mapped into IPv6 as IPv4, sorted,
/// each once. None: no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cidrs(Vec<IpNet>);

/// Why a text can't be a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Neither a network nor an address.
    #[error("not a network: use an address, or one with a prefix length, such as 10.0.0.0/8")]
    Malformed,
    /// Over the bound.
    #[error("at most {BOUND_CIDRS_MAX} networks")]
    TooMany,
}

impl Cidrs {
    /// Reads networks; an address alone is the network that holds nothing else.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, CidrError> {
        let mut nets = Vec::new();
        for text in texts {
            if nets.len() >= BOUND_CIDRS_MAX {
                return Err(CidrError::TooMany);
            }
            nets.push(network(text.trim()).ok_or(CidrError::Malformed)?);
        }
        nets.sort_unstable();
        nets.dedup();
        Ok(Self(nets))
    }

    /// Whether there is no bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether who calls from `address` is within the bound.
    pub fn admit(&self, address: Option<IpAddr>) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return false;
        };
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Whether everything that `other` admits lies within this bound.
    pub fn cover(&self, other: &Self) -> bool {
        let covered = |inner: &IpNet| self.0.iter().any(|net| net.contains(inner));
        self.is_empty() || (!other.is_empty() && other.0.iter().all(covered))
    }

    /// The networks as texts.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

impl fmt::Display for Cidrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().collect::<Vec<_>>().join(", "))
    }
}

fn network(text: &str) -> Option<IpNet> {
    if text.len() > CIDR_TEXT_BYTES_MAX {
        return None;
    }
    let net: IpNet = match text.parse() {
        Ok(net) => net,
        Err(_) => text.parse::<IpAddr>().ok()?.into(),
    };
    // An address is compared in its canonical form, and so must be what it is compared with.
    let mapped = match net {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED_BITS => {
            let bits = v6.prefix_len() - MAPPED_BITS;
            let address = v6.addr().to_ipv4_mapped();
            address.and_then(|address| Ipv4Net::new(address, bits).ok())
        }
        _ => None,
    };
    Some(mapped.map_or(net, IpNet::V4).trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Cidrs {
        Cidrs::parse(texts.iter().copied()).unwrap()
    }

    fn admits(texts: &[&str], address: &str) -> bool {
        cidrs(texts).admit(Some(address.parse().unwrap()))
    }

    /// Planted bug: the peer's address isn't made canonical. Caught.
    #[test]
    fn a_bound_admits_what_lies_in_it_alone() {
        for (net, address, wanted) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            // A socket for both families shows an IPv4 peer as one that is mapped into IPv6.
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::ffff:11.0.0.1", false),
            ("::ffff:10.0.0.0/104", "10.7.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:10.7.0.1", true),
            ("::ffff:10.0.0.0/104", "11.7.0.1", false),
            // IPv4 isn't IPv6, however wide the network is.
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
        ] {
            assert_eq!(admits(&[net], address), wanted, "{net} {address}");
        }
        assert!(cidrs(&[]).admit(None));
        assert!(!cidrs(&["0.0.0.0/0", "::/0"]).admit(None));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "a",
            "10.0.0.1:80",
            "10.0.0.0/-1",
            "*",
        ] {
            assert_eq!(Cidrs::parse([text]), Err(CidrError::Malformed), "{text}");
        }
        let many = vec!["10.0.0.1"; BOUND_CIDRS_MAX + 1];
        assert_eq!(Cidrs::parse(many), Err(CidrError::TooMany));
        assert_eq!(
            cidrs(&["10.1.2.3/8", " 10.0.0.0/8", "::1"]).to_string(),
            "10.0.0.0/8, ::1/128"
        );
    }

    #[test]
    fn a_bound_covers_what_is_within_it() {
        let outer = cidrs(&["10.0.0.0/8", "::1"]);
        assert!(outer.cover(&cidrs(&["10.2.0.0/16"])));
        assert!(!outer.cover(&cidrs(&["10.2.0.0/16", "11.0.0.0/16"])));
        assert!(!outer.cover(&cidrs(&[])));
        assert!(cidrs(&[]).cover(&outer) && cidrs(&[]).cover(&cidrs(&[])));
    }
}
