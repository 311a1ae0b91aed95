//! Outside services: one trait a service, a real provider and a mock behind it, and the one way that a call
//! goes ([`Service::call`]).

mod chain;
mod config;
pub mod content;
pub mod email;
mod error;
pub mod image;
pub mod publication;
pub mod scraping;

pub use chain::{Answer, Policy, Provider, Service};
pub use config::{Config, OpenAi, Scraping, Smtp, SmtpTls};
pub use error::ProviderError;

/// All outside services, one field each.
#[derive(Debug)]
pub struct Providers {
    /// Product texts.
    pub content: Service<dyn content::ContentProvider>,
    /// Product pictures.
    pub image: Service<dyn image::ImageProvider>,
    /// Competitors' prices.
    pub scraping: Service<dyn scraping::Scraper>,
    /// Notifications.
    pub email: Service<dyn email::Mailer>,
    /// Products to shops.
    pub publication: Service<dyn publication::Publisher>,
    /// Where the API is reached from outside, without a slash at its end.
    pub public_url: Option<String>,
}

impl Providers {
    /// The services as `config` says.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when a client cannot be built from the configuration.
    pub fn from_config(config: &Config) -> Result<Self, ProviderError> {
        Ok(Self {
            content: content::service(config)?,
            image: image::service(config)?,
            scraping: scraping::service(config)?,
            email: email::service(config)?,
            publication: publication::service(config)?,
            public_url: config.public_url.clone(),
        })
    }
}
