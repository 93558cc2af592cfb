//! Whom we believe: one TLS set-up for every provider, HTTP or SMTP.
//!
//! The system's certificate authorities, plus those of a file where a private server needs it; TLS 1.2 and 1.3.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use usher_common::model::Timestamp;

use super::settings::{BuildError, ProviderConfig};

/// The TLS set-up for `config`, with its `ca_file` if it has one.
pub(super) fn client_tls(config: &ProviderConfig) -> Result<ClientConfig, BuildError> {
    let file = config.ca_file.as_deref();
    let fault = |why: String| BuildError::Trust {
        provider: config.name.clone(),
        file: file.map(|path| format!(" from {}", path.display())).unwrap_or_default(),
        why,
    };
    let further = file.map(authorities).transpose().map_err(fault)?.unwrap_or_default();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(further, Arc::clone(&ring)).map_err(|error| fault(error.to_string()))?;
    Ok(ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?
        .dangerous() // rustls calls any verifier so that is not its own; this one is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Until when a certificate in DER is good; `None` where it cannot be read.
pub(super) fn good_until(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp(certificate.validity().not_after.timestamp().saturating_mul(1000)))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}
