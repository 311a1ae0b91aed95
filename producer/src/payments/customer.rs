//! Who a tenant is at Stripe: one customer.

use std::time::Duration;

use providers::{
    ProviderError,
    payments::{Customer, NewCustomer},
};
use sha2::{Digest, Sha256};
use store::StoredSubscription;

use super::{desk::Desk, refusal::problem};
use crate::answer::{Problem, Type};

/// How often a call is made of which nobody knows what became, or whose object another call holds.
const TRIES: u32 = 4;
/// Before the second; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// A key towards Stripe: of the same parts it is the same, whatever is in them.
pub(crate) fn key(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        digest.chain_update(length.to_le_bytes()).chain_update(part)
    });
    format!("api:{}", hex::encode(digest.finalize()))
}

/// Carries out a write until it is known what became of it: repeated with the same key, it is done once. When it stays unknown, `look` tells
/// whether it was done; if it was not, Stripe has stored a failure for the key, and another one is taken.
pub(super) async fn carry_out<T, W, L>(
    key: &str,
    write: impl Fn(String) -> W,
    look: impl FnOnce() -> L,
) -> Result<T, ProviderError>
where
    W: Future<Output = Result<T, ProviderError>>,
    L: Future<Output = Result<Option<T>, ProviderError>>,
{
    match repeat(key, &write).await {
        Err(ProviderError::UnknownOutcome { .. }) => {}
        known => return known,
    }
    match look().await? {
        Some(done) => Ok(done),
        None => repeat(&format!("{key}:again"), &write).await,
    }
}

async fn repeat<T, W>(key: &str, write: impl Fn(String) -> W) -> Result<T, ProviderError>
where
    W: Future<Output = Result<T, ProviderError>>,
{
    let (mut pause, mut n_tries) = (PAUSE, 1);
    loop {
        match write(key.to_owned()).await {
            Err(ProviderError::UnknownOutcome { .. } | ProviderError::Deferred { .. }) if n_tries < TRIES => {}
            known => return known,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        n_tries += 1;
    }
}

impl Desk {
    /// The customer that a tenant has, by what is kept of it.
    pub(super) fn known_customer(kept: Option<&StoredSubscription>) -> Result<&str, Problem> {
        kept.and_then(|kept| kept.customer.as_deref()).ok_or_else(|| {
            Problem::new(Type::NotFound, "the tenant has never subscribed: POST /api/payments/checkout begins that")
        })
    }

    /// The customer of a tenant, which is made if there is none: once, however many ask at the same time.
    pub(super) async fn customer(&self, tenant: &str, kept: Option<&StoredSubscription>) -> Result<String, Problem> {
        let known = kept.and_then(|kept| kept.customer.as_deref());
        let calls = self.calls(tenant);
        if let Some(id) = known
            && calls.customer(id).await.map_err(|error| problem(&error))?.is_some()
        {
            return Ok(id.to_owned());
        }
        let found = match self.look_for_customer(tenant).await.map_err(|error| problem(&error))? {
            Some(found) => found.id,
            None => self.make_customer(tenant, known).await?,
        };
        // From now on our own record names it.
        self.read_again(tenant, &found).await;
        Ok(found)
    }

    /// By Stripe's search, which is a minute behind, and among the newest, which are not. Of several, the oldest.
    async fn look_for_customer(&self, tenant: &str) -> Result<Option<Customer>, ProviderError> {
        let calls = self.calls(tenant);
        let mut found = calls.customers_of(tenant).await?;
        if found.is_empty() {
            let newest = calls.customers(None, None).await?.items;
            found.extend(newest.into_iter().filter(|customer| customer.tenant.as_deref() == Some(tenant)));
        }
        // One that was deleted a moment ago is still found by the search.
        found.sort_by_key(|customer| (customer.created, customer.id.clone()));
        for customer in found {
            if let Some(customer) = calls.customer(&customer.id).await? {
                return Ok(Some(customer));
            }
        }
        Ok(None)
    }

    /// `deleted`: the one that it had.
    async fn make_customer(&self, tenant: &str, deleted: Option<&str>) -> Result<String, Problem> {
        let known = self.store()?.tenant(tenant).await.map_err(Problem::store_away)?;
        let (email, name) = known.map(|known| (known.email, known.name)).unwrap_or_default();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (email, name) = (some(&email), some(&name));
        let new = NewCustomer { tenant, email: email.as_deref(), name: name.as_deref() };
        // Not of the request: whoever else asks at the same time asks for the same.
        let parts = [email.as_deref(), name.as_deref(), deleted].map(Option::unwrap_or_default);
        let key = key(&["customer", tenant, parts[0], parts[1], parts[2]]);
        let (calls, new) = (self.calls(tenant), &new);
        let write = |key: String| async move { calls.create_customer(&key, new).await };
        let made = carry_out(&key, write, || self.look_for_customer(tenant)).await;
        let made = made.map_err(|error| problem(&error))?;
        tracing::info!(tenant, customer = made.id, "the tenant has a customer at stripe now");
        Ok(made.id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn unknown() -> ProviderError {
        ProviderError::UnknownOutcome { service: "stripe", message: "no answer".to_owned() }
    }

    /// The keys that were used, and what came of it.
    async fn carried_out(
        answers: Vec<Result<u8, ProviderError>>,
        found: Result<Option<u8>, ProviderError>,
    ) -> (Vec<String>, Result<u8, ProviderError>) {
        let (answers, keys) = (Mutex::new(answers.into_iter()), Mutex::new(Vec::new()));
        let write = |key: String| {
            keys.lock().unwrap().push(key);
            std::future::ready(answers.lock().unwrap().next().unwrap())
        };
        let done = carry_out("k", write, || std::future::ready(found)).await;
        (keys.into_inner().unwrap(), done)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_asked_for_with_the_same_key() {
        let held = ProviderError::Deferred { service: "stripe", message: "held".to_owned() };
        let (keys, done) = carried_out(vec![Err(unknown()), Err(held), Ok(7)], Ok(None)).await;
        assert_eq!((keys, done), (vec!["k".to_owned(); 3], Ok(7)));
        let rejected = ProviderError::Rejected { service: "stripe", message: "no".to_owned() };
        let (keys, done) = carried_out(vec![Err(rejected.clone())], Ok(None)).await;
        assert_eq!((keys.len(), done), (1, Err(rejected)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_unknown_is_looked_up_before_another_key_is_used() {
        let lost = || vec![Err(unknown()); 4];
        let (keys, done) = carried_out(lost(), Ok(Some(8))).await;
        assert_eq!((keys.len(), done), (4, Ok(8)));
        let (keys, done) = carried_out(lost().into_iter().chain([Ok(9)]).collect(), Ok(None)).await;
        assert_eq!((keys[4].as_str(), done), ("k:again", Ok(9)));
        let away = ProviderError::Transient { service: "stripe", message: "away".to_owned(), retry_after: None };
        let (keys, done) = carried_out(lost(), Err(away.clone())).await;
        assert_eq!((keys.len(), done), (4, Err(away)), "nobody knows, so nothing else is tried");
    }

    #[test]
    fn a_key_tells_its_parts_apart() {
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
        assert_ne!(key(&["customer", "acme"]), key(&["customer", "acme", ""]));
        assert!(key(&["x"]).len() + ":again".len() <= 255);
    }
}
