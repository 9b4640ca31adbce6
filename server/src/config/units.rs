//! The types of values: durations, addresses, names. Each is checked once, here. Never resolves a
//! host name and never opens a file.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Longest duration that any setting accepts: 100 years.
const DURATION_MAX_SECONDS: u64 = 100 * 366 * 24 * 3600;
/// Longest stable name of a node.
const NODE_NAME_CHARS_MAX: usize = 128;
/// Longest host name that DNS allows.
const HOST_CHARS_MAX: usize = 253;

/// Reads a duration as Vault does: `90` (seconds), `60s`, `20m`, `10h`, `10d`, `1h30m`, `1.5h`,
/// `250ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty; write a duration such as 90, 60s, 20m, 10h or 10d".into());
    }
    if text.starts_with('-') {
        return Err("must not be negative".into());
    }
    let nanos = match text.parse::<u64>() {
        Ok(seconds) => u128::from(seconds) * 1_000_000_000,
        Err(_) => sum_of_parts(text)?,
    };
    if nanos > u128::from(DURATION_MAX_SECONDS) * 1_000_000_000 {
        return Err("is longer than 100 years".into());
    }
    let seconds = (nanos / 1_000_000_000) as u64;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

fn sum_of_parts(text: &str) -> Result<u128, String> {
    let bad = || format!("{text:?} is not a duration such as 90, 60s, 20m, 10h or 10d");
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_nanos: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            "d" => 86_400 * 1_000_000_000,
            _ => return Err(bad()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Twelve digits of any unit stay far inside the arithmetic, and far above the maximum.
        if whole.is_empty() || whole.len() > 12 || fraction.len() > 9 || number.ends_with('.') {
            return Err(bad());
        }
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        total += whole * unit_nanos;
        if !fraction.is_empty() {
            let scale = 10u128.pow(fraction.len() as u32);
            let fraction: u128 = fraction.parse().map_err(|_| bad())?;
            total += fraction * unit_nanos / scale;
        }
        rest = tail;
    }
    Ok(total)
}

/// Reads an address to listen on: `IP:port`, `[IPv6]:port`, `localhost:port` or `:port` (all
/// addresses).
pub fn parse_listen_address(text: &str) -> Result<SocketAddr, String> {
    if text.contains("{{") {
        return Err("address templates are not supported; write an IP address and a port".into());
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port_number(port)?)));
    }
    if let Some(port) = text.strip_prefix(':') {
        return Ok(SocketAddr::new(
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            port_number(port)?,
        ));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is not an IP address with a port, such as 0.0.0.0:8200"))
}

fn port_number(text: &str) -> Result<u16, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a port"));
    }
    text.parse().map_err(|_| format!("{text:?} is not a port"))
}

/// A host (name or address) and a port that others reach us at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Checks and keeps a host and a port. IPv6 addresses come without brackets.
    pub fn new(host: &str, port: u16) -> Result<Self, String> {
        if port == 0 {
            return Err("port 0 can't be reached by others".into());
        }
        let is_address = host.parse::<IpAddr>();
        if let Ok(address) = is_address {
            if address.is_unspecified() {
                return Err(format!("{host} is no address that others can reach"));
            }
        } else if !is_host_name(host) {
            return Err(format!("{host:?} is not a host name or IP address"));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Reads `host:port`, `[IPv6]:port`, or the URL forms of Vault (`https://host:port`).
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let authority = text.strip_prefix("https://").unwrap_or(text);
        if authority.starts_with("http://") {
            return Err("nodes speak mutual TLS only; write host:port or https://host:port".into());
        }
        Self::parse_authority(
            authority.strip_suffix('/').unwrap_or(authority),
            default_port,
        )
    }

    fn parse_authority(authority: &str, default_port: Option<u16>) -> Result<Self, String> {
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, tail) = rest
                .split_once(']')
                .ok_or_else(|| format!("{authority:?} lacks a ]"))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(format!("{host:?} is not an IPv6 address"));
            }
            match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if tail.is_empty() => (host, None),
                None => return Err(format!("{authority:?} is not host:port")),
            }
        } else {
            match authority.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(format!("{authority:?}: write an IPv6 address in brackets"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let port = match (port, default_port) {
            (Some(port), _) => port_number(port)?,
            (None, Some(port)) => port,
            (None, None) => return Err(format!("{authority:?} lacks a port")),
        };
        Self::new(host, port)
    }

    /// The host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    !host.is_empty()
        && host.len() <= HOST_CHARS_MAX
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Where clients reach a node: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiUrl {
    tls: bool,
    at: HostPort,
}

impl ApiUrl {
    /// Puts an address together.
    pub fn new(tls: bool, at: HostPort) -> Self {
        Self { tls, at }
    }

    /// Reads `https://host:port` or `http://host:port`. Without a port it is the scheme's own.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(format!("{text:?} must begin with https:// or http://"));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err("must be scheme, host and port alone".into());
        }
        let at = HostPort::parse_authority(rest, Some(if tls { 443 } else { 80 }))?;
        Ok(Self { tls, at })
    }

    /// Host and port.
    pub fn host_port(&self) -> &HostPort {
        &self.at
    }

    /// Whether clients use TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.at)
    }
}

/// The stable name of a node: the same after its data folder was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// Letters, digits, `.`, `_` and `-`, at most 128 of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > NODE_NAME_CHARS_MAX || !text.bytes().all(good) {
            return Err(format!(
                "{text:?} is not a name of 1 to {NODE_NAME_CHARS_MAX} letters, digits, '.', '_', '-'"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_vault() {
        let table: &[(&str, Option<u64>)] = &[
            ("90", Some(90_000)),
            ("60s", Some(60_000)),
            ("20m", Some(1_200_000)),
            ("10h", Some(36_000_000)),
            ("10d", Some(864_000_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            (" 5s ", Some(5_000)),
            ("", None),
            ("-1", None),
            ("-5m", None),
            ("5", Some(5_000)),
            ("5x", None),
            ("h", None),
            ("1.h", None),
            (".5h", None),
            ("1h5", None),
            ("18446744073709551615", None),
            ("99999999999999999999h", None),
            ("101y", None),
            ("40000d", None),
            ("1 h", None),
            ("٣s", None),
        ];
        for (text, expected_ms) in table {
            let got = parse_duration(text).ok().map(|d| d.as_millis() as u64);
            assert_eq!(got, *expected_ms, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(
            HostPort::parse("https://a.example:8201", None)
                .unwrap()
                .to_string(),
            "a.example:8201"
        );
        assert_eq!(
            HostPort::parse("[::1]:1", None).unwrap().to_string(),
            "[::1]:1"
        );
        assert_eq!(
            HostPort::parse("node-0", Some(8201)).unwrap().to_string(),
            "node-0:8201"
        );
        for bad in [
            "",
            "a",
            "a:",
            "a:0",
            "a:70000",
            "::1:5",
            "[::1",
            "http://a:1",
            "0.0.0.0:1",
            "a b:1",
            "-a:1",
            "a:+1",
        ] {
            assert!(HostPort::parse(bad, None).is_err(), "{bad:?}");
        }
        assert_eq!(
            ApiUrl::parse("https://a/").unwrap().to_string(),
            "https://a:443"
        );
        for bad in [
            "a:1",
            "ftp://a",
            "https://",
            "https://u@a:1",
            "https://a:1/v1",
        ] {
            assert!(ApiUrl::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            parse_listen_address(":8200").unwrap().to_string(),
            "[::]:8200"
        );
        assert_eq!(
            parse_listen_address("localhost:1").unwrap().to_string(),
            "127.0.0.1:1"
        );
        assert!(parse_listen_address("{{ GetPrivateIP }}:8200").is_err());
        assert!(parse_listen_address("example.com:1").is_err());
    }

    #[test]
    fn node_names_are_plain() {
        assert!(NodeName::parse("tenure-0.a_b").is_ok());
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(NodeName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
