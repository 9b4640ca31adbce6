//! The `listener "tcp"` stanza. TLS is on unless it is switched off by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::section::{Section, as_bool, as_duration, as_number, as_string};
use super::source::Value;
use super::units::parse_listen_address;
use super::{ListenerConfig, ListenerTls, OpenCalls, TlsFiles, TlsVersion, defaults, foreign};
use crate::limits::{self, EdgeLimits};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A listener whose longest request time may still come from the top level.
#[derive(Debug)]
pub(super) struct ListenerDraft {
    listener: ListenerConfig,
    request_duration_is_set: bool,
}

impl ListenerDraft {
    pub fn build(self, default_request_duration: Option<Duration>) -> ListenerConfig {
        let mut listener = self.listener;
        if let (false, Some(duration)) = (self.request_duration_is_set, default_request_duration) {
            listener.limits.request_duration_max = duration;
        }
        listener
    }
}

/// `max_request_duration`, and its default at the top level.
pub(super) fn request_duration(value: &Value) -> Result<Duration, String> {
    as_duration(
        value,
        SECOND,
        Duration::from_millis(limits::REQUEST_DURATION_CEILING_MS),
    )
}

pub(super) fn read(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<ListenerDraft, ConfigError> {
    let address = |v: &Value| parse_listen_address(&as_string(v)?);
    let listen = section.parse("address", address)?.map(|set| set.value);
    let cluster_address = section
        .parse("cluster_address", address)?
        .map(|set| set.value);
    let health_address = section
        .parse("health_address", address)?
        .map(|set| set.value);
    let tls = read_tls(&mut section)?;
    let (limits, request_duration_is_set) = read_limits(&mut section)?;
    let open_calls = read_open_calls(&mut section, warnings)?;
    section.finish(foreign::LISTENER, warnings)?;
    let listener = ListenerConfig {
        address: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], defaults::API_PORT))),
        cluster_address,
        tls,
        health_address,
        limits,
        open_calls,
    };
    Ok(ListenerDraft {
        listener,
        request_duration_is_set,
    })
}

/// The names are OpenBao's, and so is the default: nobody without a token.
fn read_open_calls(
    section: &mut Section,
    warnings: &mut Vec<String>,
) -> Result<OpenCalls, ConfigError> {
    let mut is_open = |key: &str| -> Result<bool, ConfigError> {
        let Some(set) = section.parse(key, as_bool)? else {
            return Ok(false);
        };
        if !set.value {
            warnings.push(format!(
                "{}: {key} is false: whoever reaches this listener can begin such attempts",
                set.origin
            ));
        }
        Ok(!set.value)
    };
    Ok(OpenCalls {
        rekey: is_open("disable_unauthed_rekey_endpoints")?,
        generate_root: is_open("disable_unauthed_generate_root_endpoints")?,
    })
}

fn read_tls(section: &mut Section) -> Result<ListenerTls, ConfigError> {
    let disabled = section
        .parse("tls_disable", as_bool)?
        .is_some_and(|set| set.value);
    let path = |v: &Value| as_string(v).map(PathBuf::from);
    let cert = section.parse("tls_cert_file", path)?;
    let key = section.parse("tls_key_file", path)?;
    let client_ca = section.parse("tls_client_ca_file", path)?;
    let require = section
        .parse("tls_require_and_verify_client_cert", as_bool)?
        .is_some_and(|set| set.value);
    let min_version = section.parse("tls_min_version", tls_version)?;
    let reload = section.parse("tls_reload_interval", |v| as_duration(v, SECOND, HOUR))?;
    if disabled {
        if let Some(set) = cert.as_ref().or(key.as_ref()).or(client_ca.as_ref()) {
            let problem = "is true and certificate files are set: which of the two?";
            return Err(section.error_at(set.origin.clone(), "tls_disable", problem));
        }
        return Ok(ListenerTls::Disabled);
    }
    let needed = "is needed; without TLS say tls_disable = true";
    let cert = cert.ok_or_else(|| section.error("tls_cert_file", needed))?;
    let key = key.ok_or_else(|| section.error("tls_key_file", needed))?;
    if require && client_ca.is_none() {
        let problem = "needs tls_client_ca_file: whose certificates are good?";
        return Err(section.error("tls_require_and_verify_client_cert", problem));
    }
    let mut files = TlsFiles::new(cert.value, key.value);
    files.client_ca_file = client_ca.map(|set| set.value);
    files.require_client_cert = require;
    if let Some(set) = min_version {
        files.min_version = set.value;
    }
    if let Some(set) = reload {
        files.reload_interval = set.value;
    }
    Ok(ListenerTls::Files(files))
}

fn tls_version(value: &Value) -> Result<TlsVersion, String> {
    match as_string(value)?.as_str() {
        "tls12" => Ok(TlsVersion::Tls12),
        "tls13" => Ok(TlsVersion::Tls13),
        "tls10" | "tls11" => Err("TLS below 1.2 is not offered".into()),
        other => Err(format!("{other:?} is not one of tls12, tls13")),
    }
}

fn read_limits(section: &mut Section) -> Result<(EdgeLimits, bool), ConfigError> {
    let mut limits = EdgeLimits::default();
    if let Some(set) = section.parse("max_request_size", |v| {
        as_number(v, 1 << 10, limits::REQUEST_BYTES_CEILING as u64)
    })? {
        limits.request_bytes_max = set.value as usize;
    }
    if let Some(set) = section.parse("max_connections", |v| {
        as_number(v, 1, limits::CONNECTIONS_CEILING as u64)
    })? {
        limits.connections_max = set.value as usize;
    }
    if let Some(set) = section.parse("max_concurrent_streams", |v| {
        as_number(v, 1, limits::CONCURRENT_STREAMS_CEILING.into())
    })? {
        limits.concurrent_streams_max = set.value as u32;
    }
    if let Some(set) = section.parse("max_inflight_requests", |v| {
        as_number(v, 1, limits::INFLIGHT_REQUESTS_CEILING as u64)
    })? {
        limits.inflight_requests_max = set.value as usize;
        limits.open_calls_max = limits.open_calls_max.max(limits.inflight_requests_max);
    }
    if let Some(set) = section.parse("max_header_size", |v| {
        as_number(v, 4 << 10, limits::HEADER_BYTES_CEILING.into())
    })? {
        limits.header_bytes_max = set.value as u32;
    }
    for (key, min, max, slot) in [
        (
            "max_connection_age",
            SECOND,
            DAY * 30,
            &mut limits.connection_age_max,
        ),
        (
            "max_connection_age_grace",
            SECOND,
            HOUR,
            &mut limits.connection_age_grace,
        ),
        (
            "max_connection_idle",
            SECOND,
            DAY,
            &mut limits.connection_idle_max,
        ),
        (
            "handshake_timeout",
            SECOND,
            SECOND * 60,
            &mut limits.handshake_max,
        ),
        (
            "drain_timeout",
            Duration::ZERO,
            SECOND * 600,
            &mut limits.drain_max,
        ),
    ] {
        if let Some(set) = section.parse(key, |v| as_duration(v, min, max))? {
            *slot = set.value;
        }
    }
    let duration = section.parse("max_request_duration", request_duration)?;
    if let Some(set) = &duration {
        limits.request_duration_max = set.value;
    }
    Ok((limits, duration.is_some()))
}
