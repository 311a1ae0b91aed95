//! Products to stores: what a job says of a product, the shops' interfaces behind one trait ([`StoreApi`]), and what brings the one into the
//! other ([`carry_out`]). [`Shops`] has what all stores share.
//!
//! Order, lowest first: `shop`, `store`, `patch`, `fields`, `plain`, `fault`, `error`, `listing`, `send`, `api`, `action`, `turns`, `engine`, `mock`,
//! `prestashop`, `shopify`, `woocommerce`.

mod action;
mod api;
mod engine;
mod error;
mod fault;
mod fields;
mod listing;
mod mock;
mod patch;
mod plain;
mod prestashop;
mod send;
mod shop;
mod shopify;
mod store;
mod turns;
mod woocommerce;

use std::{sync::Arc, time::Duration};

use fleet::Fleet;
use services::{Config, Name};

pub use action::{Action, Order, Publication, PublicationStatus};
pub use api::{Found, Key, Seen, StoreApi};
pub use engine::carry_out;
pub use error::PublishError;
pub use fault::{Fault, Wrong};
pub use fields::{Change, Fields, folded, money};
pub use listing::{Brought, Creating, Desk, Listing, Notes, Originals, Written};
pub use mock::{mock_id, mock_store};
pub use patch::{Field, Original, Patch, Picture, ProductOption, Status, Texts, Variant};
pub use plain::plain;
pub use send::{Body, Calls, Http, Reply, Request, Transport};
pub use shop::Shop;
pub use shopify::{SHOPIFY_QUERIES, ShopifyQuery};
pub use store::{Credentials, DEFAULT_STORE, Store};
pub use woocommerce::Item;

use crate::{
    chain::{AllServices, Caps, Policy, Provider, Service},
    error::{Hold, ProviderError},
};

/// A call that brings pictures may take as long as a job's attempt.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The shops' interfaces, one service each, and the stores that the environment tells of.
#[derive(Debug)]
pub struct Shops {
    http: Arc<Http>,
    shopify: Service<dyn Transport>,
    shopify_known: Arc<shopify::Known>,
    woocommerce: Service<dyn Transport>,
    woocommerce_limits: woocommerce::Limits,
    prestashop: Service<dyn Transport>,
    stores: Vec<Store>,
}

impl Shops {
    /// What the variables tell of, sharing what all services share.
    pub(crate) fn from_config(config: &Config, shared: &AllServices) -> Result<Self, ProviderError> {
        let http = Arc::new(Http::new(&allowed_hosts(config))?);
        let service = |transport: Option<Arc<dyn Transport>>| {
            let real = config.is_real(Name::Publication);
            let reals = transport.into_iter().collect();
            Service::new(Name::Publication, real, reals, Arc::new(Nobody) as Arc<dyn Transport>, TIMEOUT)
                .sharing(shared, config.pace.limits(Name::Publication))
        };
        // A value that cannot be right is told at start.
        let in_flight =
            |variable| Some(config.value(Name::Publication, variable).and_then(|n| n.parse().ok()).unwrap_or(1));
        Ok(Self {
            http: Arc::clone(&http),
            shopify: service(Some(Arc::new(shopify::Shopify::new(
                Arc::clone(&http),
                shared.fleet.clone(),
                config.ring.clone(),
            )))),
            shopify_known: Arc::new(shopify::Known::new(
                config.value(Name::Publication, "SHOPIFY_API_VERSION").unwrap_or(shopify::VERSION).to_owned(),
            )),
            woocommerce: service(Some(Arc::new(woocommerce::Rest::new(Arc::clone(&http), in_flight("WOO_IN_FLIGHT"))))),
            woocommerce_limits: woocommerce::Limits::default(),
            prestashop: service(Some(Arc::new(prestashop::PrestaShop::new(
                Arc::clone(&http),
                in_flight("PRESTA_IN_FLIGHT"),
            )))),
            stores: store::of_environment(config),
        })
    }

    /// The same for whoever needs nothing else of the services.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when no client can be built.
    pub fn new(config: &Config, fleet: &Fleet) -> Result<Self, ProviderError> {
        let (fleet, secrets) = (fleet.clone(), config.secrets.clone());
        Self::from_config(
            config,
            &AllServices { fleet, spending_cap: config.pace.spending_cap, plan_caps: Caps::default(), secrets },
        )
    }

    /// Whether products go to real stores: as switched at run time, else as the variables say.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.woocommerce.is_real()
    }

    /// The environment's stores, at most one a shop. All are named [`DEFAULT_STORE`].
    #[must_use]
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// The bytes of a picture at an address that a job names.
    ///
    /// # Errors
    /// As [`Http::picture`].
    pub async fn picture(&self, address: &url::Url) -> Result<bytes::Bytes, ProviderError> {
        self.http.picture(address).await
    }

    /// Carries out many orders at one store within one attempt: the outcomes are in their order, each its own. Shops that take many
    /// products in a call get them so.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] for an address that is never asked.
    pub async fn carry_out_all(
        &self,
        store: &Store,
        policy: Policy<'_>,
        items: &mut [Item<'_>],
    ) -> Result<Vec<Result<Publication, PublishError>>, ProviderError> {
        if store.shop() == Shop::Woocommerce {
            let api = woocommerce::WooCommerce::new(Calls::new(&self.woocommerce, store, policy));
            return Ok(woocommerce::bulk(&api, &self.woocommerce_limits, items).await);
        }
        let api = self.open(store, policy)?;
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            outcomes.push(carry_out(&*api, item.order, &mut item.desk).await);
        }
        Ok(outcomes)
    }

    /// Why a store's address is never asked; `None`: it may be.
    #[must_use]
    pub fn refusal(&self, store: &Store) -> Option<String> {
        self.http.refusal(store)
    }

    /// Whether `STORE_ALLOW_HOSTS` names this host.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        self.http.allows(host)
    }

    /// Sees within this time whether a store takes its credentials; see [`StoreApi::test`].
    ///
    /// # Errors
    /// As [`StoreApi::test`]; its credentials are not in the words.
    pub async fn test(&self, store: &Store, time: Duration) -> Result<(), ProviderError> {
        let policy = Policy { allow_fallback: false, last_attempt: true, tenant: &store.tenant, time };
        let tested = async { self.open(store, policy)?.test().await };
        tested.await.map_err(|error| store.redacted(error))
    }

    /// A store for the calls of one attempt, whatever the mode is.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] for an address that is never asked.
    pub fn open<'a>(&'a self, store: &'a Store, policy: Policy<'a>) -> Result<Box<dyn StoreApi + 'a>, ProviderError> {
        if let Some(message) = self.http.refusal(store) {
            return Err(ProviderError::Misconfigured { service: store.shop().name(), message });
        }
        let calls = |service: &'a Service<dyn Transport>| Calls::new(service, store, policy);
        Ok(match store.shop() {
            Shop::Shopify => {
                let known = Arc::clone(&self.shopify_known);
                Box::new(shopify::ShopifyStore::new(calls(&self.shopify), known))
            }
            Shop::Woocommerce => Box::new(woocommerce::WooCommerce::new(calls(&self.woocommerce))),
            Shop::Prestashop => Box::new(prestashop::Presta::new(calls(&self.prestashop))),
        })
    }
}

/// Hosts that the guard lets pass, from `STORE_ALLOW_HOSTS`.
fn allowed_hosts(config: &Config) -> Vec<String> {
    let hosts = config.value(Name::Publication, "STORE_ALLOW_HOSTS").unwrap_or_default();
    hosts.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty()).collect()
}

/// What is asked in mock mode: nobody, because no call is made then.
#[derive(Debug)]
struct Nobody;

impl Provider for Nobody {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl Transport for Nobody {
    fn send<'a>(
        &'a self,
        store: &'a Store,
        _request: &'a Request,
    ) -> futures::future::BoxFuture<'a, Result<Reply, ProviderError>> {
        let message = "switched to mock while a job was under way".to_owned();
        let service = store.shop().name();
        let retry_in = Duration::from_secs(1);
        Box::pin(async move { Err(ProviderError::Held { service, hold: Hold::NotConfigured, message, retry_in }) })
    }
}
