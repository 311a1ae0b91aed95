//! Products to shops. There is no real provider yet, and the mock publishes nothing.

mod mock;
mod product;

use std::{sync::Arc, time::Duration};

use services::{Config, Name};

pub use product::{Product, Publication, PublicationStatus, Publisher, Shop};

use crate::{chain::Service, error::ProviderError};

#[expect(clippy::unnecessary_wraps, reason = "every service is built by a function of this form")]
pub(crate) fn service(config: &Config) -> Result<Service<dyn Publisher>, ProviderError> {
    Ok(Service::new(
        Name::Publication,
        config.is_real(Name::Publication),
        Vec::new(),
        Arc::new(mock::NoShop),
        Duration::from_secs(110),
    ))
}
