//! Product pictures. There is no real provider yet: the mock draws a placeholder.

mod mock;
mod picture;
mod webhook;

use std::{sync::Arc, time::Duration};

use services::{Config, Name};

pub use picture::{ImageProvider, ImageRequest, Original, Pictures, Pixels};
pub use webhook::{FalWebhooks, Signed, WebhookError};

use crate::{chain::Service, error::ProviderError};

#[expect(clippy::unnecessary_wraps, reason = "every service is built by a function of this form")]
pub(crate) fn service(config: &Config) -> Result<Service<dyn ImageProvider>, ProviderError> {
    Ok(Service::new(
        Name::Images,
        config.is_real(Name::Images),
        Vec::new(),
        Arc::new(mock::Placeholder),
        Duration::from_secs(280),
    ))
}
