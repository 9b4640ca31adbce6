//! The `seal` stanza: who keeps the root key, so that nodes open themselves. Without one, key shares
//! do. Secrets in it are read when they are needed, and never shown.

use std::{fmt, os::unix::fs::PermissionsExt as _, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use tenure_core::types::Secret;
use zeroize::Zeroizing;

use super::error::ConfigError;
use super::foreign;
use super::section::{Section, as_bool, as_string};
use super::source::Value;
use super::units::ApiUrl;
use crate::limits::FILE_BYTES_MAX;

/// Bytes of the key of `seal "static"`.
const KEY_BYTES: usize = 32;

/// A `seal` stanza.
#[derive(Clone, Debug)]
pub enum SealStanza {
    /// `seal "static"`.
    Static(StaticSeal),
    /// `seal "transit"`.
    Transit(TransitSeal),
}

/// `seal "static"`: a key beside the node.
#[derive(Clone, Debug)]
pub struct StaticSeal {
    /// `current_key_id`.
    pub current_key_id: String,
    /// `current_key`.
    pub current_key: KeySource,
    /// `previous_key_id` and `previous_key`.
    pub previous: Option<(String, KeySource)>,
}

/// `seal "transit"`: another server's transit engine.
#[derive(Clone, Debug)]
pub struct TransitSeal {
    /// `address`.
    pub address: ApiUrl,
    /// `token`; without it VAULT_TOKEN or BAO_TOKEN.
    pub token: KeySource,
    /// `key_name`.
    pub key_name: String,
    /// `mount_path`, without slashes at its ends. Default: transit.
    pub mount_path: String,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `disable_renewal`: someone else keeps the token alive.
    pub disable_renewal: bool,
    /// `tls_ca_cert`: whose certificates are good. Default: the system's.
    pub tls_ca_cert: Option<PathBuf>,
    /// `tls_client_cert` and `tls_client_key`.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// `tls_server_name`: the name in the certificate, if it isn't that of `address`.
    pub tls_server_name: Option<String>,
}

/// Where a secret of the configuration is: in a file (`file://…`), in the environment (`env://…`), or
/// in the configuration itself.
#[derive(Clone)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// The text itself.
    Inline(Secret<String>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Env(name) => write!(f, "env://{name}"),
            Self::Inline(_) => f.write_str("[redacted]"),
        }
    }
}

impl KeySource {
    fn parse(text: String) -> Self {
        if let Some(path) = text.strip_prefix("file://") {
            Self::File(path.into())
        } else if let Some(name) = text.strip_prefix("env://") {
            Self::Env(name.to_owned())
        } else {
            Self::Inline(Secret::new(text))
        }
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match self {
            Self::Inline(text) => Ok(Zeroizing::new(text.expose().as_bytes().to_vec())),
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => Ok(Zeroizing::new(text.into_bytes())),
                Err(_) => Err(format!("the environment has no {name}")),
            },
            Self::File(path) => {
                let failed = |error: std::io::Error| format!("{}: {error}", path.display());
                let file = std::fs::metadata(path).map_err(failed)?;
                if file.permissions().mode() & 0o077 != 0 {
                    tracing::warn!(path = %path.display(), "others than its owner may use this key");
                }
                if file.len() > FILE_BYTES_MAX {
                    return Err(format!("{}: too large to be a key", path.display()));
                }
                std::fs::read(path).map(Zeroizing::new).map_err(failed)
            }
        }
    }

    /// The secret as text, without white space around it.
    ///
    /// # Errors
    /// It can't be read, or there is none. The text doesn't quote it.
    pub fn text(&self) -> Result<Secret<String>, String> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{self:?} is no text"))?;
        match text.trim() {
            "" => Err(format!("{self:?} is empty")),
            text => Ok(Secret::new(text.to_owned())),
        }
    }

    /// The secret as a key: 32 bytes, as they are or in hex or base64.
    ///
    /// # Errors
    /// It can't be read, or is none. The text doesn't quote it.
    pub fn key(&self) -> Result<Secret<[u8; KEY_BYTES]>, String> {
        let bytes = self.bytes()?;
        let decoded = || {
            let text = std::str::from_utf8(&bytes).ok()?.trim();
            let decoded = hex::decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
            Some(Zeroizing::new(decoded))
        };
        let exact = |bytes: &[u8]| bytes.try_into().ok().map(Secret::new);
        exact(&bytes)
            .or_else(|| exact(&decoded()?))
            .ok_or_else(|| format!("{self:?} is no key of {KEY_BYTES} bytes, raw, hex or base64"))
    }
}

fn source(value: &Value) -> Result<KeySource, String> {
    as_string(value).map(KeySource::parse)
}

/// Reads a stanza of this kind.
pub(super) fn read(
    kind: &str,
    section: Section,
    warnings: &mut Vec<String>,
) -> Result<SealStanza, ConfigError> {
    match kind {
        "static" => read_static(section, warnings).map(SealStanza::Static),
        "transit" => read_transit(section, warnings).map(SealStanza::Transit),
        _ => Err(section.error(
            "type",
            "only seal \"static\" and seal \"transit\" are supported",
        )),
    }
}

fn read_static(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<StaticSeal, ConfigError> {
    let current_key_id = section.parse("current_key_id", as_string)?;
    let current_key = section.parse("current_key", source)?;
    let previous_id = section.parse("previous_key_id", as_string)?;
    let previous = section.parse("previous_key", source)?;
    let current_key_id =
        current_key_id.ok_or_else(|| section.error("current_key_id", "is needed"))?;
    let current_key = current_key.ok_or_else(|| section.error("current_key", "is needed"))?;
    let previous = match (previous_id, previous) {
        (None, None) => None,
        (Some(id), Some(key)) if id.value != current_key_id.value => Some((id.value, key.value)),
        (Some(_), Some(_)) => {
            let problem = "must be another one than current_key_id";
            return Err(section.error("previous_key_id", problem));
        }
        _ => {
            let problem = "goes with previous_key_id: set both, or none";
            return Err(section.error("previous_key", problem));
        }
    };
    if matches!(current_key.value, KeySource::Inline(_)) {
        warnings.push(format!(
            "{}: current_key: the key stands in the configuration: keep it in a file (file://…)",
            current_key.origin
        ));
    }
    section.finish(foreign::SEAL, warnings)?;
    Ok(StaticSeal {
        current_key_id: current_key_id.value,
        current_key: current_key.value,
        previous,
    })
}

/// Part of a path of a request: nothing that would make another path of it.
fn segment(value: &Value) -> Result<String, String> {
    let text = as_string(value)?;
    let text = text.trim_matches('/');
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let whole = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !whole || !text.chars().all(good) {
        return Err("must be letters, digits, -, _, . and / between them".into());
    }
    Ok(text.to_owned())
}

fn read_transit(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<TransitSeal, ConfigError> {
    let path = |v: &Value| as_string(v).map(PathBuf::from);
    let address = section.parse("address", |v| ApiUrl::parse(&as_string(v)?))?;
    let token = section.parse("token", source)?;
    let key_name = section.parse("key_name", segment)?;
    let mount_path = section.parse("mount_path", segment)?;
    let namespace = section.parse("namespace", as_string)?;
    let disable_renewal = section.parse("disable_renewal", as_bool)?;
    let ca = section.parse("tls_ca_cert", path)?;
    let client_cert = section.parse("tls_client_cert", path)?;
    let client_key = section.parse("tls_client_key", path)?;
    let server_name = section.parse("tls_server_name", as_string)?;
    let address = address.ok_or_else(|| section.error("address", "is needed"))?;
    let key_name = key_name.ok_or_else(|| section.error("key_name", "is needed"))?;
    let token = match token {
        Some(set) => {
            if matches!(set.value, KeySource::Inline(_)) {
                warnings.push(format!(
                    "{}: token: it stands in the configuration: keep it in a file (file://…)",
                    set.origin
                ));
            }
            set.value
        }
        None => ["VAULT_TOKEN", "BAO_TOKEN"]
            .into_iter()
            .find(|name| std::env::var_os(name).is_some())
            .map(|name| KeySource::Env(name.to_owned()))
            .ok_or_else(|| section.error("token", "is needed, or VAULT_TOKEN"))?,
    };
    let tls_client = match (client_cert, client_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.value, key.value)),
        _ => {
            let problem = "goes with tls_client_cert: set both, or none";
            return Err(section.error("tls_client_key", problem));
        }
    };
    if !address.value.is_tls() {
        warnings.push(format!(
            "{}: address: the root key crosses the network in plain text",
            address.origin
        ));
    }
    section.finish(foreign::SEAL, warnings)?;
    Ok(TransitSeal {
        address: address.value,
        token,
        key_name: key_name.value,
        mount_path: mount_path.map_or_else(|| "transit".to_owned(), |set| set.value),
        namespace: namespace.map(|set| set.value),
        disable_renewal: disable_renewal.is_some_and(|set| set.value),
        tls_ca_cert: ca.map(|set| set.value),
        tls_client,
        tls_server_name: server_name.map(|set| set.value),
    })
}
