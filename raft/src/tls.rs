//! TLS of the peer port: version 1.3 only, both sides show a certificate and prove that
//! they hold its key, and the key itself is what is trusted.
//!
//! A listener lets every key in and tags the connection with it; `peer_server` decides per
//! request what that key may do. A dialler pins the key it expects. Names and validity
//! periods in self-signed certificates mean nothing here. With an operator's CA both sides
//! demand a chain to it **on top**: a certificate of that CA alone opens nothing.
//!
//! Must never use a process-wide crypto provider, session resumption or early data: each
//! connection is a full handshake, so that a removed key can't come back by a ticket.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsFailure,
    OtherError, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    server::{
        NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::identity::NodeKey;

/// Protocol that both sides must agree on.
const ALPN: &[u8] = b"h2";
/// Server name in every handshake: a constant, for keys and not names identify peers.
pub(crate) const SERVER_NAME: &str = "tenure-peer";

/// What an operator may demand of the peer port beyond pinned keys.
#[derive(Clone, Debug, Default)]
pub struct PeerTlsOptions {
    /// PEM certificates of an authority that must have signed every peer's certificate.
    pub ca_pem: Option<Vec<u8>>,
    /// Certificate and key of this node, in place of the pair that it makes for itself. A
    /// renewed certificate must keep the key: the membership pins it.
    pub certificate: Option<OperatorCertificate>,
}

/// A certificate chain and its key, given by the operator. Its extended key usage, if it
/// has one, must allow both server and client authentication.
#[derive(Clone)]
pub struct OperatorCertificate {
    /// The chain, leaf first, PEM.
    pub certificate_pem: Vec<u8>,
    /// The private key, PEM.
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OperatorCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorCertificate(..)")
    }
}

/// Why TLS can't be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The operator's CA can't be read.
    #[error("the configured CA of the peer port can't be used: {0}")]
    Authority(String),
    /// A CA is demanded of others, and this node has no certificate of it.
    #[error("a CA for the peer port is configured without a certificate and key of it")]
    AuthorityWithoutCertificate,
    /// rustls refuses.
    #[error("setting up TLS failed: {0}")]
    Setup(#[from] TlsFailure),
}

/// The key that a dialler expects.
#[derive(Clone, Debug)]
pub(crate) enum Pin {
    /// Exactly this SubjectPublicKeyInfo.
    Key(Bytes),
    /// One whose SHA-256 is among these.
    Fingerprints(Arc<[[u8; 32]]>),
    /// Any: the caller checks by other means whom it talks to.
    Any,
}

impl Pin {
    fn admits(&self, public_key: &[u8]) -> bool {
        match self {
            Self::Key(expected) => expected.as_ref() == public_key,
            Self::Fingerprints(expected) => expected.contains(&fingerprint(public_key)),
            Self::Any => true,
        }
    }
}

#[derive(Debug, Error)]
#[error("the peer holds another key than the one that is pinned for it")]
struct OtherKey;

/// A failed handshake in words: rustls shows our own verdict in its debug form.
pub(crate) fn explain(error: io::Error) -> io::Error {
    let other_key = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsFailure>())
        .is_some_and(|failure| {
            matches!(
                failure,
                TlsFailure::InvalidCertificate(CertificateError::Other(OtherError(verdict)))
                    if verdict.is::<OtherKey>()
            )
        });
    if other_key {
        io::Error::new(io::ErrorKind::PermissionDenied, OtherKey)
    } else {
        error
    }
}

/// SHA-256 of a public key (DER SubjectPublicKeyInfo).
pub fn fingerprint(public_key: &[u8]) -> [u8; 32] {
    use ::aws_lc_rs::digest::{SHA256, digest};
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, public_key).as_ref());
    bytes
}

/// [`fingerprint`] in lower-case hex.
pub fn fingerprint_hex(public_key: &[u8]) -> String {
    use fmt::Write;
    fingerprint(public_key)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The DER SubjectPublicKeyInfo of a certificate.
pub(crate) fn public_key_of(certificate: &CertificateDer<'_>) -> Result<Bytes, TlsFailure> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Bytes::copy_from_slice(
        parsed.subject_public_key_info().as_ref(),
    ))
}

/// What both sides of the peer port need.
pub(crate) struct TlsContext {
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<RootCertStore>>,
    identity: Arc<SingleCertAndKey>,
    server: Arc<ServerConfig>,
}

impl TlsContext {
    pub(crate) fn new(key: &NodeKey, options: &PeerTlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = match &options.ca_pem {
            Some(_) if options.certificate.is_none() => {
                return Err(TlsError::AuthorityWithoutCertificate);
            }
            Some(pem) => Some(Arc::new(parse_roots(pem)?)),
            None => None,
        };
        let identity = Arc::new(SingleCertAndKey::from(key.certified()));
        let verifier = Arc::new(AnyKeyClient::new(roots.clone(), provider.clone())?);
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(identity.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self {
            provider,
            roots,
            identity,
            server: Arc::new(server),
        })
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    pub(crate) fn client(&self, pin: Pin) -> Result<Arc<ClientConfig>, TlsFailure> {
        let verifier = PinnedServer {
            pin,
            roots: self.roots.clone(),
            algorithms: self.provider.signature_verification_algorithms,
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.identity.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(Arc::new(config))
    }
}

fn parse_roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| TlsError::Authority(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| TlsError::Authority(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::Authority("no certificate found".into()));
    }
    Ok(roots)
}

fn only_tls13() -> TlsFailure {
    TlsFailure::General("the peer port speaks TLS 1.3 only".into())
}

/// The listener's side: any key may connect once it is proven; with a CA, only under it.
#[derive(Debug)]
struct AnyKeyClient {
    authority: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyKeyClient {
    fn new(
        roots: Option<Arc<RootCertStore>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let algorithms = provider.signature_verification_algorithms;
        let authority = roots
            .map(|roots| WebPkiClientVerifier::builder_with_provider(roots, provider).build())
            .transpose()
            .map_err(|e| TlsError::Authority(e.to_string()))?;
        Ok(Self {
            authority,
            algorithms,
        })
    }
}

impl ClientCertVerifier for AnyKeyClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsFailure> {
        match &self.authority {
            Some(authority) => authority.verify_client_cert(end_entity, intermediates, now),
            None => {
                ParsedCertificate::try_from(end_entity)?;
                Ok(ClientCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The dialler's side: the pinned key and, with a CA, a chain to it.
#[derive(Debug)]
struct PinnedServer {
    pin: Pin,
    roots: Option<Arc<RootCertStore>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsFailure> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if !self.pin.admits(parsed.subject_public_key_info().as_ref()) {
            return Err(CertificateError::Other(OtherError(Arc::new(OtherKey))).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
