//! A certificate authority for one run: servers get certificates that clients can check, and
//! nothing of it outlives the run.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::Outcome;

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes one, with a key of its own.
    pub fn new() -> Outcome<Self> {
        Self::build().map_err(|error| format!("make a certificate authority: {error}"))
    }

    fn build() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Tenure test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its certificate: what clients trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a server's certificate for an address, and writes it and its key into a folder.
    pub fn server(&self, dir: &Path, ip: IpAddr) -> Outcome<(PathBuf, PathBuf)> {
        let failed = |error: String| format!("make a server certificate: {error}");
        let (chain, key) = self.sign(ip).map_err(|error| failed(error.to_string()))?;
        fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
        let paths = (dir.join("server.crt"), dir.join("server.key"));
        for (path, text) in [(&paths.0, chain), (&paths.1, key)] {
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(paths)
    }

    fn sign(&self, ip: IpAddr) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(vec![ip.to_string()])?;
        params.distinguished_name.push(DnType::CommonName, "tenure");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}
