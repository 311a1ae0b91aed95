//! The stores that products go to.

use std::time::Duration;

use providers::publication::{DEFAULT_STORE, Shop, Store};

use crate::handler::{Context, JobError};

/// When a job is looked at again whose store is not configured yet.
const NOT_CONFIGURED: Duration = Duration::from_secs(60);

/// The store that a job names: one of the environment, by its shop or as the only one.
///
/// # Errors
/// [`JobError::Snooze`] while the environment has no such store, [`JobError::Fatal`] for a name that nobody has.
pub(crate) async fn open(context: &Context, name: Option<&str>, shop: Option<Shop>) -> Result<Store, JobError> {
    let stores = context.providers.publication.stores();
    if let Some(name) = name.filter(|name| *name != DEFAULT_STORE) {
        let message = format!("the tenant has no store {name:?}");
        return Err(JobError::Fatal { code: "unknown_store", message });
    }
    let mut found = stores.iter().filter(|store| shop.is_none_or(|shop| store.shop() == shop));
    match (found.next(), found.next()) {
        (Some(store), None) => Ok(store.clone()),
        (Some(_), Some(_)) => {
            let message = "the environment has several stores: name one by its shop".to_owned();
            Err(JobError::Fatal { code: "unknown_store", message })
        }
        (None, _) => {
            let which = shop.map_or_else(|| "store".to_owned(), |shop| format!("{shop} store"));
            let message = format!("the environment has no {which}; see `ecomctl check-env`");
            Err(JobError::Snooze { code: "not_configured", message, after: NOT_CONFIGURED })
        }
    }
}
