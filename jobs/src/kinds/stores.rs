//! The stores that products go to: those of the environment, and the tenants', whose credentials are kept sealed.

mod credentials;
mod parking;

use std::time::Duration;

use providers::{
    ProviderError,
    publication::{DEFAULT_STORE, Shop, Store},
};
use store::StoredStore;

pub use credentials::{as_given, credentials, described, opened, place_of, seal, shop_of};
pub use parking::park;

use crate::handler::{Context, JobError, NamedStore};

/// When a job is looked at again whose store is not configured, cannot be opened or is parked: so that it goes on soon once that is mended.
const MENDED_WITHIN: Duration = Duration::from_secs(60);
/// MongoDB being away is no fault of the job.
const AWAY: Duration = Duration::from_secs(5);

/// The store that a job names: a tenant's, or one of the environment, by its shop or as the only one.
///
/// # Errors
/// [`JobError::Snooze`] while it is parked, its credentials cannot be opened or the environment has no such store, [`JobError::Fatal`] with the code
/// `unknown_store` for a name that the tenant has not.
pub async fn open(context: &Context, name: Option<&str>, shop: Option<Shop>) -> Result<Store, JobError> {
    match name.filter(|name| *name != DEFAULT_STORE) {
        Some(name) => of_tenant(context, name).await,
        None => of_environment(context.providers.publication.stores(), shop),
    }
}

/// The store of its tenant that a payload names; `None` for those of the environment.
pub(super) fn named(pointer: &'static str, name: Option<&str>) -> Option<NamedStore> {
    name.filter(|name| *name != DEFAULT_STORE).map(|name| NamedStore { pointer, name: name.to_owned() })
}

/// What becomes of a job whose call to a store failed. A store that does not take its credentials is parked; whatever waits for it looks again
/// soon.
pub async fn failed(context: &Context, store: &Store, error: ProviderError) -> JobError {
    let error = store.redacted(error);
    if let ProviderError::Misconfigured { .. } = &error {
        park(context, store, &error.to_string()).await;
    }
    match error.into() {
        JobError::Snooze { code, message, after } => {
            JobError::Snooze { code, message, after: after.min(MENDED_WITHIN) }
        }
        error => error,
    }
}

async fn of_tenant(context: &Context, name: &str) -> Result<Store, JobError> {
    let stored = find(context, name).await?;
    if let Some(parked) = &stored.parked
        && !parking::works_again(context, &stored, parked).await
    {
        let message =
            format!("the store {name} is parked, because it does not take its credentials: {}", parked.reason);
        return Err(JobError::Snooze { code: "store_parked", message, after: MENDED_WITHIN });
    }
    opened(context.providers.ring.as_ref(), &stored).map_err(|reason| {
        let message = format!("the credentials of the store {name} cannot be used: {reason}");
        JobError::Snooze { code: "store_locked", message, after: MENDED_WITHIN }
    })
}

async fn find(context: &Context, name: &str) -> Result<StoredStore, JobError> {
    let unknown = || JobError::Fatal { code: "unknown_store", message: format!("the tenant has no store {name:?}") };
    let store = context.store.as_ref().ok_or_else(unknown)?;
    let found = store.tenant_store(&context.tenant, name).await;
    let found = found.map_err(|error| JobError::Snooze { code: "away", message: error.to_string(), after: AWAY })?;
    found.ok_or_else(unknown)
}

fn of_environment(stores: &[Store], shop: Option<Shop>) -> Result<Store, JobError> {
    let mut found = stores.iter().filter(|store| shop.is_none_or(|shop| store.shop() == shop));
    match (found.next(), found.next()) {
        (Some(store), None) => Ok(store.clone()),
        (Some(_), Some(_)) => {
            let shops: Vec<&str> = stores.iter().map(|store| store.shop().name()).collect();
            let message =
                format!("the environment has several stores: say by `shop` which one, of {}", shops.join(", "));
            Err(JobError::Fatal { code: "unknown_store", message })
        }
        (None, _) => {
            let which = shop.map_or_else(|| "store".to_owned(), |shop| format!("{shop} store"));
            let message = format!("the environment has no {which}; see `ecomctl check-env`");
            Err(JobError::Snooze { code: "not_configured", message, after: MENDED_WITHIN })
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet::Fleet;
    use providers::Providers;
    use services::Config;

    use super::*;
    use crate::{
        publication::Publication,
        testing::{context, mocks},
    };

    fn with_two() -> Providers {
        let var = |name: &str| {
            let value = match name {
                "WOO_STORE_URL" => "https://shop.example",
                "WOO_CONSUMER_KEY" => "ck_1",
                "WOO_CONSUMER_SECRET" => "cs_1",
                "PRESTA_STORE_URL" => "http://presta.example/shop/",
                "PRESTA_API_KEY" => "0123456789abcdef0123456789abcdef",
                _ => return None,
            };
            Some(value.to_owned())
        };
        Providers::from_config(&Config::from_vars(var), &Fleet::alone()).unwrap()
    }

    fn code(result: Result<Store, JobError>) -> &'static str {
        match result {
            Ok(store) => store.shop().name(),
            Err(JobError::Fatal { code, .. } | JobError::Snooze { code, .. }) => code,
            Err(error) => panic!("{error:?}"),
        }
    }

    #[tokio::test]
    async fn the_environments_store_is_found_by_its_shop_or_as_the_only_one() {
        let two = context::<Publication>(with_two());
        assert_eq!(code(open(&two, None, Some(Shop::Woocommerce)).await), "woocommerce");
        assert_eq!(code(open(&two, Some("default"), Some(Shop::Prestashop)).await), "prestashop");
        assert_eq!(code(open(&two, None, Some(Shop::Shopify)).await), "not_configured");
        let error = open(&two, Some("default"), None).await.unwrap_err();
        let said = "the environment has several stores: say by `shop` which one, of woocommerce, prestashop";
        assert_eq!(error.to_string(), said);
        assert_eq!(code(Err(error)), "unknown_store");
        assert_eq!(code(open(&two, Some("other"), None).await), "unknown_store");
        assert_eq!(code(open(&context::<Publication>(mocks()), None, None).await), "not_configured");
    }

    #[tokio::test]
    async fn what_waits_for_a_store_looks_again_soon_and_quotes_no_credentials() {
        let two = context::<Publication>(with_two());
        let store = open(&two, None, Some(Shop::Prestashop)).await.unwrap();
        let message = "the key 0123456789abcdef0123456789abcdef is unknown".to_owned();
        let error = ProviderError::Held {
            service: "prestashop",
            hold: providers::Hold::BreakerOpen,
            message,
            retry_in: Duration::from_secs(3600),
        };
        let JobError::Snooze { after, message, .. } = failed(&two, &store, error).await else { panic!("it waits") };
        assert_eq!((after, message.as_str()), (MENDED_WITHIN, "prestashop: the key [secret] is unknown"));
        let message = "503".to_owned();
        let error = ProviderError::Transient { service: "prestashop", message, retry_after: None };
        assert!(matches!(failed(&two, &store, error).await, JobError::Retry { .. }));
    }
}
