//! How outside services are spoken to over HTTP.

/// A client to be built. TLS is the program's choice; where it made none, as in tests, ring's.
pub(crate) fn client() -> reqwest::ClientBuilder {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
