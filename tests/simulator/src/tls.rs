//! Certificates of the simulator's own authority: one that is good, one that has expired.
//! Promises: made anew at each start, kept in memory; both are for `localhost`, 127.0.0.1 and [`NAME`].

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What a TLS server needs, twice.
#[derive(Clone)]
pub(crate) struct Certificates {
    /// The authority's certificate, for clients to trust.
    pub(crate) ca_pem: String,
    pub(crate) good: TlsAcceptor,
    pub(crate) expired: TlsAcceptor,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// Certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// By the certificate library.
    #[error("making the simulator's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// By the TLS library.
    #[error("setting up TLS with the simulator's certificates: {0}")]
    Setup(#[from] rustls::Error),
}

/// A name that a certificate of the simulator is good for, and that nobody's name server knows (RFC 6761).
pub const NAME: &str = "provider.test";

/// First and last years of a certificate's life.
const GOOD: (i32, i32) = (2020, 2099);
const EXPIRED: (i32, i32) = (2020, 2021);

impl Certificates {
    pub(crate) fn make() -> Result<Self, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Usher simulator authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, GOOD);
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { ca_pem, good: acceptor(&issuer, GOOD)?, expired: acceptor(&issuer, EXPIRED)? })
    }
}

fn set_life(params: &mut CertificateParams, (from, to): (i32, i32)) {
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 12, 31);
}

fn acceptor(issuer: &Issuer<'_, KeyPair>, life: (i32, i32)) -> Result<TlsAcceptor, TlsError> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), NAME.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, life);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
