//! Who this node is: its TLS key, and the identity that the cluster gave it. Both live in
//! the data folder and never leave the node.
//!
//! **What is trusted is the key**, not the certificate: a self-signed certificate only
//! carries the key through TLS. Its validity period means nothing to the peer port; a key
//! is trusted for as long as the membership holds it, and no longer.
//!
//! Must never show the private key: not in `Debug`, not in an error, not in a log.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tenure_proto::internal::Identity;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    files,
    limits::FORMAT,
    tls::{self, PeerTlsOptions},
    types::NodeId,
};

const KEY_FILE: &str = "identity.key";
const CERTIFICATE_FILE: &str = "identity.crt";
const IDENTITY_FILE: &str = "node";
/// Name in the certificates that nodes make for themselves. Nobody checks it.
const CERTIFICATE_NAME: &str = "tenure-peer";

/// Why the identity of this node can't be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The disk failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// The certificate and key that the operator configured don't work.
    #[error("the configured peer certificate or key can't be used: {0}")]
    Configured(String),
    /// A newer version of Tenure wrote the identity.
    #[error(
        "{path} has format {found}, this build reads up to {FORMAT}: upgrade this node",
        path = path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A key could not be made.
    #[error("making the node's key failed: {0}")]
    Generate(String),
}

impl IdentityError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn damaged(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The key pair by which the other nodes know this one, with its certificate.
pub struct NodeKey {
    certified: Arc<CertifiedKey>,
    public_key: Bytes,
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", tls::fingerprint_hex(&self.public_key))
    }
}

impl NodeKey {
    /// The operator's certificate and key if `options` hold them; else the pair in
    /// `data_dir`, which is made when there is none yet (ECDSA P-256, self-signed).
    pub fn open(data_dir: &Path, options: &PeerTlsOptions) -> Result<Self, IdentityError> {
        match &options.certificate {
            Some(configured) => Self::from_pem(&configured.certificate_pem, &configured.key_pem)
                .map_err(IdentityError::Configured),
            None => Self::load_or_create(data_dir),
        }
    }

    /// Loads the pair in `data_dir`, or makes it.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, IdentityError> {
        files::create_private_dir(data_dir).map_err(|e| IdentityError::io(data_dir, e))?;
        let key_path = data_dir.join(KEY_FILE);
        let certificate_path = data_dir.join(CERTIFICATE_FILE);

        let key_pem = match read_private(&key_path)? {
            Some(pem) => pem,
            None => {
                let pem = generate_key()?;
                write_atomically(data_dir, KEY_FILE, pem.as_bytes())?;
                pem
            }
        };
        let certificate_pem = match read_optional(&certificate_path)? {
            Some(pem) => pem,
            // A crash between the two files, or an operator who deleted it: the key is
            // what counts, a certificate for it can be made at any time.
            None => {
                let pem = self_signed(&key_path, &key_pem)?.into_bytes();
                write_atomically(data_dir, CERTIFICATE_FILE, &pem)?;
                pem
            }
        };
        // Told apart, so that the operator learns which file to restore.
        parse_key(key_pem.as_bytes()).map_err(|e| IdentityError::damaged(&key_path, e))?;
        Self::from_pem(&certificate_pem, key_pem.as_bytes())
            .map_err(|e| IdentityError::damaged(&certificate_path, e))
    }

    /// From a certificate chain and its key, both PEM.
    fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| format!("the certificate is not valid PEM: {e}"))?;
        let Some(leaf) = chain.first() else {
            return Err("no certificate found".into());
        };
        let public_key = tls::public_key_of(leaf).map_err(|e| format!("the certificate: {e}"))?;
        let certified = CertifiedKey::new(chain, parse_key(key_pem)?);
        certified
            .keys_match()
            .map_err(|_| "the certificate belongs to another key".to_owned())?;
        Ok(Self {
            certified: Arc::new(certified),
            public_key,
        })
    }

    /// The DER SubjectPublicKeyInfo that the membership holds for this node.
    pub fn public_key(&self) -> Bytes {
        self.public_key.clone()
    }

    /// SHA-256 of the public key in hex: what an operator compares.
    pub fn fingerprint(&self) -> String {
        tls::fingerprint_hex(&self.public_key)
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

/// Who this node is in its cluster. The cluster allocates the id through its log, and no id
/// is given twice: a data folder that lost this file is a new node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node's id in it.
    pub node_id: NodeId,
    /// The node's stable name.
    pub name: String,
}

impl NodeIdentity {
    /// The identity in `data_dir`, if the node has one.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = data_dir.join(IDENTITY_FILE);
        let Some(bytes) = read_optional(&path)? else {
            return Ok(None);
        };
        let identity =
            Identity::decode(bytes.as_slice()).map_err(|e| IdentityError::damaged(&path, e))?;
        if identity.format > FORMAT {
            return Err(IdentityError::NewerFormat {
                path,
                found: identity.format,
            });
        }
        if identity.format == 0 || identity.node_id == 0 || identity.name.is_empty() {
            return Err(IdentityError::damaged(
                &path,
                "format, id or name is missing",
            ));
        }
        let cluster_id = <[u8; 16]>::try_from(identity.cluster_id.as_ref())
            .map_err(|_| IdentityError::damaged(&path, "the cluster id has not 16 bytes"))?;
        Ok(Some(Self {
            cluster_id,
            node_id: identity.node_id,
            name: identity.name,
        }))
    }

    /// Writes the identity durably: after a crash the folder holds the old one or this one.
    pub fn save(&self, data_dir: &Path) -> Result<(), IdentityError> {
        files::create_private_dir(data_dir).map_err(|e| IdentityError::io(data_dir, e))?;
        let bytes = Identity {
            format: FORMAT,
            cluster_id: Bytes::copy_from_slice(&self.cluster_id),
            node_id: self.node_id,
            name: self.name.clone(),
        }
        .encode_to_vec();
        write_atomically(data_dir, IDENTITY_FILE, &bytes)
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(IdentityError::io(path, e)),
    }
}

/// Reads a file that only its owner may read. Wider rights are taken away: volume managers
/// add group rights to files that were written with 0600.
fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, IdentityError> {
    let Some(bytes) = read_optional(path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let mode = fs::metadata(path)
        .map_err(|e| IdentityError::io(path, e))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the key was readable by others: closing it");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|e| IdentityError::io(path, e))?;
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| IdentityError::damaged(path, "not a PEM file"))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// Replaces `dir/name` durably: written aside with mode 0600 and synced, renamed, and the
/// folder synced.
fn write_atomically(dir: &Path, name: &str, content: &[u8]) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let aside = dir.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        match fs::remove_file(&aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fail::fail_point!("identity::before_rename");
        fs::rename(&aside, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|e| IdentityError::io(&path, e))
}

fn generate_key() -> Result<Zeroizing<String>, IdentityError> {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .map(|pair| Zeroizing::new(pair.serialize_pem()))
        .map_err(|e| IdentityError::Generate(e.to_string()))
}

fn self_signed(key_path: &Path, key_pem: &str) -> Result<String, IdentityError> {
    let pair =
        rcgen::KeyPair::from_pem(key_pem).map_err(|e| IdentityError::damaged(key_path, e))?;
    rcgen::CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()])
        .and_then(|params| params.self_signed(&pair))
        .map(|certificate| certificate.pem())
        .map_err(|e| IdentityError::Generate(e.to_string()))
}

fn parse_key(pem: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, String> {
    let der = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "no private key found in PEM form".to_owned())?;
    let provider: CryptoProvider = aws_lc_rs::default_provider();
    provider
        .key_provider
        .load_private_key(der)
        .map_err(|_| "not a private key of a kind that TLS knows".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = NodeKey::load_or_create(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&data.join(CERTIFICATE_FILE)), 0o600);

        let again = NodeKey::load_or_create(&data).unwrap();
        assert_eq!(first.public_key(), again.public_key());

        fs::remove_file(data.join(CERTIFICATE_FILE)).unwrap();
        let without_certificate = NodeKey::load_or_create(&data).unwrap();
        assert_eq!(first.public_key(), without_certificate.public_key());

        fs::set_permissions(data.join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        NodeKey::load_or_create(&data).unwrap();
        assert_eq!(mode(&data.join(KEY_FILE)), 0o600);
    }

    #[test]
    fn a_damaged_key_is_named_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        NodeKey::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        let pem = fs::read_to_string(&path).unwrap();
        for damaged in [
            pem.replace("PRIVATE KEY", "SECRET KEY"),
            pem[..pem.len() / 2].to_owned(),
            pem.replacen("M", "A", 1),
            String::new(),
        ] {
            fs::write(&path, &damaged).unwrap();
            let error = NodeKey::load_or_create(dir.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(KEY_FILE), "{error}");
            let body = pem.lines().nth(1).unwrap();
            assert!(!error.to_string().contains(body));
        }
        // The key is never replaced by a new one behind the operator's back.
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let a = tempfile::tempdir().unwrap();
        let b = tempfile::tempdir().unwrap();
        NodeKey::load_or_create(a.path()).unwrap();
        NodeKey::load_or_create(b.path()).unwrap();
        fs::copy(
            b.path().join(CERTIFICATE_FILE),
            a.path().join(CERTIFICATE_FILE),
        )
        .unwrap();
        let error = NodeKey::load_or_create(a.path()).unwrap_err();
        assert!(error.to_string().contains("another key"), "{error}");
    }

    #[test]
    fn an_identity_survives_the_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NodeIdentity::load(dir.path()).unwrap(), None);
        let identity = NodeIdentity {
            cluster_id: [7; 16],
            node_id: 3,
            name: "tenure-0".into(),
        };
        identity.save(dir.path()).unwrap();
        identity.save(dir.path()).unwrap();
        assert_eq!(NodeIdentity::load(dir.path()).unwrap(), Some(identity));
        assert_eq!(mode(&dir.path().join(IDENTITY_FILE)), 0o600);
    }

    #[test]
    fn a_damaged_or_newer_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        fs::write(&path, b"\xff\xff\xff").unwrap();
        assert!(matches!(
            NodeIdentity::load(dir.path()),
            Err(IdentityError::Damaged { .. })
        ));
        fs::write(&path, b"").unwrap();
        assert!(matches!(
            NodeIdentity::load(dir.path()),
            Err(IdentityError::Damaged { .. })
        ));
        let newer = Identity {
            format: FORMAT + 1,
            ..Default::default()
        };
        fs::write(&path, newer.encode_to_vec()).unwrap();
        assert!(matches!(
            NodeIdentity::load(dir.path()),
            Err(IdentityError::NewerFormat { .. })
        ));
    }

    #[test]
    fn debug_shows_a_fingerprint_only() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::load_or_create(dir.path()).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("NodeKey({})", key.fingerprint())
        );
    }
}
