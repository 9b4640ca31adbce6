//! TLS of the client port: loaded from files, replaced while running. A bad new file never
//! replaces a good old one. Never logs a key.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::config::{TlsFiles, TlsVersion};
use crate::limits::FILE_BYTES_MAX;

/// What is spoken inside TLS. `http/1.1` joins when something answers it: offering it now would
/// turn a clear handshake error into a broken connection.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{key}: {}: {source}", path.display())]
    Read {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file doesn't hold what it should.
    #[error("{key}: {}: {problem}", path.display())]
    Content {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The parts don't fit together (a key of another certificate, for example).
    #[error("certificate and key: {0}")]
    Mismatch(#[from] rustls::Error),
    /// The reading thread was cut off.
    #[error("interrupted")]
    Interrupted,
}

/// What a file looked like when it was read; enough to see that it was replaced.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

/// The TLS of one listener. Clones share it; the clone that the caller keeps is its reload handle.
#[derive(Clone)]
pub struct TlsReload {
    inner: Arc<Inner>,
}

struct Inner {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Stamp>,
}

impl std::fmt::Debug for TlsReload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsReload")
            .field("files", &self.inner.files)
            .finish_non_exhaustive()
    }
}

impl TlsReload {
    /// Loads the files for the first time. Blocks on the disk.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = stamp(&files);
        let config = build(&files)?;
        warn_if_readable_by_all(&files.key_file);
        let inner = Inner {
            files,
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(seen),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The configuration for the next handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.inner.current.load_full()
    }

    /// Reads the files again (on SIGHUP). On an error the old ones stay in use.
    pub async fn reload(&self) -> Result<(), TlsError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.reload_now(stamp(&this.inner.files)))
            .await
            .unwrap_or(Err(TlsError::Interrupted))
    }

    fn reload_now(&self, stamp: Stamp) -> Result<(), TlsError> {
        // Remembered also on failure: one bad file is reported once, not at every look.
        *self
            .inner
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = stamp;
        let config = build(&self.inner.files)?;
        self.inner.current.store(Arc::new(config));
        Ok(())
    }

    fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let now = stamp(&self.inner.files);
        if *self
            .inner
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            == now
        {
            return None;
        }
        Some(self.reload_now(now))
    }

    /// Looks at the files every so often, until told to stop.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let interval = self.inner.files.reload_interval;
        while stop
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_some()
        {
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload_if_changed()).await {
                Ok(Some(Ok(()))) => tracing::info!("new TLS certificate in use"),
                Ok(Some(Err(error))) => {
                    tracing::error!(%error, "new TLS files are not usable, the old ones stay in use");
                }
                Ok(None) | Err(_) => {}
            }
        }
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    let all = [
        Some(&files.cert_file),
        Some(&files.key_file),
        files.client_ca_file.as_ref(),
    ];
    let of = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len(), meta.ino()))
    };
    all.into_iter().flatten().map(of).collect()
}

fn warn_if_readable_by_all(key: &Path) {
    let mode = std::fs::metadata(key).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        tracing::warn!(file = %key.display(), "the TLS key is readable by every user of this machine");
    }
}

fn build(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates("tls_cert_file", &files.cert_file)?;
    let key_pem = read("tls_key_file", &files.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::Content {
        key: "tls_key_file",
        path: files.key_file.clone(),
        // The parser's own words are left out: they may quote the file.
        problem: "holds no private key in PEM form".into(),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match files.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let problem = |problem: String| TlsError::Content {
                key: "tls_client_ca_file",
                path: path.clone(),
                problem,
            };
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls_client_ca_file", path)? {
                roots.add(certificate).map_err(|e| problem(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = match files.require_client_cert {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| problem(e.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |problem: String| TlsError::Content {
        key,
        path: path.to_owned(),
        problem,
    };
    let pem = read(key, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(format!("not PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(content("holds no certificate in PEM form".into()));
    }
    Ok(certificates)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::Read {
        key,
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(error)?.len() > FILE_BYTES_MAX {
        return Err(error(std::io::Error::other("too large")));
    }
    std::fs::read(path).map_err(error)
}
