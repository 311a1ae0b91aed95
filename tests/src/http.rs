//! A client for what runs on this machine.

/// A client that goes past any proxy.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn client() -> reqwest::Client {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client can be built")
}
