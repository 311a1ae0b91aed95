//! Outside services: one trait a service, a real provider and a mock behind it, and the one way that a call
//! goes ([`Service::call`]).
//!
//! Order, lowest first: `wait`, `error`, `http`, `guard`, `chain`, `content`, `email`, `image`, `payments`, `publication`, `rates`,
//! `scraping`, `probe`.

mod chain;
pub mod content;
pub mod email;
mod error;
mod guard;
mod http;
pub mod image;
pub mod payments;
mod probe;
pub mod publication;
pub mod rates;
pub mod scraping;
mod wait;

pub use chain::{AllServices, Answer, Ask, Caps, PlanCaps, Policy, Provider, Service, Turn, Usage};
pub use error::{Hold, ProviderError};
pub use probe::probe;

use std::sync::Arc;

use async_recursion::async_recursion as boxed;
use fleet::Fleet;
use services::{Config, Limit, Links, Name, Ring};

/// All outside services, one field each.
#[derive(Debug)]
pub struct Providers {
    /// What all replicas share.
    pub fleet: Fleet,
    /// What tenants' plans let them spend.
    pub plan_caps: Caps,
    /// How many results of stand-ins are replaced in a minute, for each service.
    pub heal_per_min: u32,
    /// Product texts.
    pub content: Service<dyn content::ContentProvider>,
    /// Product pictures.
    pub image: Service<dyn image::ImageProvider>,
    /// Competitors' prices.
    pub scraping: Service<dyn scraping::Scraper>,
    /// Whether models read the pages in which nothing else finds a price.
    pub scrape_ai: bool,
    /// Subscriptions.
    pub payments: payments::Payments,
    /// Notifications.
    pub email: Service<dyn email::Mailer>,
    /// Products to shops.
    pub publication: publication::Shops,
    /// Where exchange rates are read, if that is configured.
    pub rates: Option<rates::RatesFile>,
    /// Addresses of the API that go out to people.
    pub links: Links,
    /// Under which the credentials of stores are kept.
    pub ring: Option<Ring>,
}

impl Providers {
    /// The services as `config` says, sharing what `fleet` holds with all other replicas.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when a client cannot be built from the configuration.
    pub fn from_config(config: &Config, fleet: &Fleet) -> Result<Self, ProviderError> {
        let shared = AllServices::configured(config, fleet);
        Ok(Self {
            fleet: fleet.clone(),
            plan_caps: shared.plan_caps.clone(),
            heal_per_min: config.pace.heal_per_min,
            content: content::service(config)?.sharing(&shared, config.pace.limits(Name::Ai)),
            image: image::service(config)?.sharing(&shared, config.pace.limits(Name::Images)),
            scraping: scraping::service(config)?.sharing(&shared, config.pace.limits(Name::Scraping)),
            scrape_ai: config.value(Name::Scraping, "SCRAPE_AI").and_then(services::truth).unwrap_or(false),
            payments: payments::Payments::from_config(config, &shared, Arc::new(payments::Memory::default()))?,
            email: email::service(config)?.sharing(&shared, email::limits(config)),
            publication: publication::Shops::from_config(config, &shared)?,
            rates: rates::RatesFile::configured(config)?,
            links: config.links.clone(),
            ring: config.ring.clone(),
        })
    }

    /// The same, whose mock of Stripe keeps what it knows on this shelf, which other processes share.
    ///
    /// # Errors
    /// As [`Self::from_config`].
    pub fn with_mock_payments_on(
        self,
        shelf: Arc<dyn payments::Shelf>,
        config: &Config,
    ) -> Result<Self, ProviderError> {
        let shared = AllServices::configured(config, &self.fleet);
        Ok(Self { payments: payments::Payments::from_config(config, &shared, shelf)?, ..self })
    }

    /// Whether the real providers of a service are to answer now.
    #[must_use]
    pub fn is_real(&self, service: Name) -> bool {
        match service {
            Name::Ai => self.content.is_real(),
            Name::Images => self.image.is_real(),
            Name::Scraping => self.scraping.is_real(),
            Name::Payments => self.payments.is_real(),
            Name::Email => self.email.is_real(),
            Name::Publication => self.publication.is_real(),
            _ => false,
        }
    }

    /// Waits until the next result of a stand-in may be replaced, in all replicas together.
    ///
    /// # Errors
    /// [`ProviderError::Held`] when that is more than 2 s away.
    #[boxed]
    pub async fn pace_healing(&self, service: Name) -> Result<(), ProviderError> {
        chain::pace(&self.fleet, service, Limit::per_min(self.heal_per_min)).await
    }
}
