//! What every noun takes.

use anyhow::Result;
use clap::Args;
use secrecy::SecretString;

use crate::client::Api;

/// What every noun takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Address of the API
    #[arg(long, global = true, env = "ECOM_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Token for the API; when absent, `.dev/token` of the current folder is read
    #[arg(long, global = true, env = "ECOM_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// Print JSON for machines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    pub(crate) fn api(&self) -> Result<Api> {
        Api::new(&self.url, self.token.clone())
    }
}
