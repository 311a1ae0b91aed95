//! Product pictures: from fal, or placeholders of the mock.
//!
//! Order, lowest first: `picture`, `price`, `mock`, `answer`, `media`, `fal`, `webhook`.

mod answer;
mod fal;
mod media;
mod mock;
mod picture;
mod price;
mod webhook;

use std::{sync::Arc, time::Duration};

use services::{Config, Name};

pub use picture::{
    Addresses, Begin, Begun, Fetch, Fetched, ImageProvider, ImageRequest, Look, Original, Pictures, Pixels, Run,
    RunFailure, RunState, Stop,
};
pub use webhook::{FalWebhooks, Signed, WebhookError};

use crate::{chain::Service, error::ProviderError};

/// Of one call, of which a picture takes several.
const TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) fn service(config: &Config) -> Result<Service<dyn ImageProvider>, ProviderError> {
    let fal = fal::configured(config)?.map(|fal| Arc::new(fal) as Arc<dyn ImageProvider>);
    let mock = Arc::new(mock::Placeholder);
    Ok(Service::new(Name::Images, config.is_real(Name::Images), fal.into_iter().collect(), mock, TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn lamp() -> ImageRequest {
        ImageRequest {
            name: "Lampe « Étoile »".to_owned(),
            prompt: None,
            style: None,
            width: 1024,
            height: 768,
            count: 1,
            seed: None,
            safety_tolerance: None,
        }
    }

    #[test]
    fn it_is_real_when_it_is_configured() {
        let service = |variables: &[(&str, &str)]| {
            let var = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            service(&Config::from_vars(var)).unwrap()
        };
        let (real, key) = (("MOCK_MODE", "false"), ("FAL_KEY", "id:hush"));
        assert!(service(&[real, key]).is_real());
        assert!(
            !service(&[real]).is_real()
                && !service(&[key]).is_real()
                && !service(&[real, ("FAL_KEY", "hush")]).is_real()
        );
        assert!(!format!("{:?}", service(&[real, key])).contains("hush"));
    }
}
