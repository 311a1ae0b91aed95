//! Outside services: one trait a service, a real provider and a mock behind it, and the one way that a call
//! goes ([`Service::call`]).

mod chain;
mod config;
pub mod content;
pub mod email;
mod error;
pub mod image;
mod links;
mod pace;
mod probe;
pub mod publication;
pub mod scraping;
mod secrets;
pub mod services;
mod wait;

pub use chain::{Answer, Ask, Limits, Policy, Provider, Service, Shared, Turn, Usage};
pub use config::{Config, OpenAi, Scraping, ServiceState, Smtp, SmtpTls};
pub use error::{Hold, ProviderError};
pub use links::Links;
pub use pace::{Pace, micro_usd};
pub use probe::probe;
pub use secrets::Secrets;

use fleet::Fleet;

/// All outside services, one field each.
#[derive(Debug)]
pub struct Providers {
    /// What all replicas share.
    pub fleet: Fleet,
    /// How many results of stand-ins are replaced in a minute, for each service.
    pub heal_per_min: u32,
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
    /// Addresses of the API that go out to people.
    pub links: Links,
}

impl Providers {
    /// The services as `config` says, sharing what `fleet` holds with all other replicas.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when a client cannot be built from the configuration.
    pub fn from_config(config: &Config, fleet: &Fleet) -> Result<Self, ProviderError> {
        let shared =
            Shared { fleet: fleet.clone(), spending_cap: config.pace.spending_cap, secrets: config.secrets.clone() };
        Ok(Self {
            fleet: fleet.clone(),
            heal_per_min: config.pace.heal_per_min,
            content: content::service(config)?.sharing(&shared, config.pace.limits("ai")),
            image: image::service(config)?.sharing(&shared, config.pace.limits("images")),
            scraping: scraping::service(config)?.sharing(&shared, config.pace.limits("scraping")),
            email: email::service(config)?.sharing(&shared, email::limits(config)),
            publication: publication::service(config)?.sharing(&shared, config.pace.limits("publication")),
            links: config.links.clone(),
        })
    }

    /// Whether the real providers of a service are to answer now.
    #[must_use]
    pub fn is_real(&self, service: &str) -> bool {
        match service {
            "ai" => self.content.is_real(),
            "images" => self.image.is_real(),
            "scraping" => self.scraping.is_real(),
            "email" => self.email.is_real(),
            "publication" => self.publication.is_real(),
            _ => false,
        }
    }

    /// Waits until the next result of a stand-in may be replaced, in all replicas together.
    ///
    /// # Errors
    /// [`ProviderError::Held`] when that is more than 2 s away.
    pub async fn pace_healing(&self, service: &'static str) -> Result<(), ProviderError> {
        let limits = Limits { requests_per_min: Some(self.heal_per_min), tokens_per_min: None };
        chain::pace(&self.fleet, service, limits).await
    }
}
