//! The one HTTP client of all AWS calls: TLS roots and proxies. Timeouts belong to the clients that use it.
//!
//! The SDK's own client reads the system's roots (also `SSL_CERT_FILE`, `SSL_CERT_DIR`) and, by default only,
//! the proxy variables; it never reads `AWS_CA_BUNDLE`. Sharing one client means setting all of that here.

use std::path::Path;

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{api::Reason, core::Finding};

/// Which way a client's connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// As HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.
    Environment,
    /// Never through a proxy: the credential endpoints on link-local addresses (Pod Identity agent, IMDS)
    /// exist only on the node.
    Direct,
}

/// A client that trusts the system's roots and those of `ca_bundle`.
pub(super) fn client(ca_bundle: Option<&Path>, route: Route) -> Result<SharedHttpClient, Finding> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_bundle {
        trust.add_pem_certificate(read_bundle(path)?);
    }
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|_| bundle_finding("TLS cannot be set up with the certificates given"))?;
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder();
        // Asked without settings the SDK only wants roots loaded early, once per service client; ours are.
        let Some(settings) = settings else {
            return builder.build_http();
        };
        builder = builder.connector_settings(settings.clone());
        builder.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        let proxy = match route {
            Route::Environment => ProxyConfig::from_env(),
            Route::Direct => ProxyConfig::disabled(),
        };
        builder
            .proxy_config(proxy)
            .tls_provider(Provider::rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .build()
    });
    Ok(client)
}

/// Reads and checks a bundle: the HTTP client would panic on a bad one, at its first connection.
fn read_bundle(path: &Path) -> Result<Vec<u8>, Finding> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|e| {
        bundle_finding(&format!(
            "AWS_CA_BUNDLE {shown} cannot be read ({})",
            e.kind()
        ))
    })?;
    let mut roots = rustls::RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let good = certificate.ok().and_then(|der| roots.add(der).ok());
        if good.is_none() {
            return Err(bundle_finding(&format!(
                "AWS_CA_BUNDLE {shown}: certificate {} is not valid PEM",
                at + 1
            )));
        }
    }
    if roots.is_empty() {
        return Err(bundle_finding(&format!(
            "AWS_CA_BUNDLE {shown} holds no certificate"
        )));
    }
    Ok(pem)
}

fn bundle_finding(fact: &str) -> Finding {
    Finding::new(
        Reason::AwsUnavailable,
        format!("{fact}."),
        "Point AWS_CA_BUNDLE at a file of PEM certificates, or unset it.",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_bad_bundle_is_named_and_refused_before_it_can_panic() {
        let dir = std::env::temp_dir().join(format!("keyferry-bundle-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("bundle.pem");
        for (content, says) in [
            ("", "holds no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "certificate 1 is not valid",
            ),
        ] {
            std::fs::write(&file, content).unwrap();
            let finding = client(Some(&file), Route::Environment).unwrap_err();
            assert!(finding.fact.contains(says), "{finding}");
            assert!(finding.fact.contains("bundle.pem"), "{finding}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        let finding = client(Some(&file), Route::Environment).unwrap_err();
        assert!(finding.fact.contains("cannot be read"), "{finding}");
        assert!(client(None, Route::Direct).is_ok());
    }
}
