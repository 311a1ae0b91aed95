//! Who a tenant is at Stripe: one customer.

use std::time::Duration;

use providers::{ProviderError, payments::NewCustomer};
use sha2::{Digest, Sha256};
use store::StoredSubscription;
use tokio::time::Instant;

use super::{desk::Desk, refusal::problem};
use crate::answer::{Problem, Type};

/// What Stripe takes of a customer, in letters.
const LONGEST_EMAIL: usize = 512;
const LONGEST_NAME: usize = 256;
/// How often a call is made of which nobody knows what became, or whose object another call holds.
const TRIES: u32 = 4;
/// Before the second; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(200);
/// For so long it is made again at most: who waits for a Stripe that hangs is not made to wait twice.
const REPEATED_FOR: Duration = Duration::from_secs(3);

/// A key towards Stripe: of the same parts it is the same, whatever is in them.
pub(crate) fn key(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        digest.chain_update(length.to_le_bytes()).chain_update(part)
    });
    format!("api:{}", hex::encode(digest.finalize()))
}

/// Carries out a write until it is known what became of it: repeated with the same key, it is done once. When it stays unknown, `look` tells
/// whether it was done. If it was not, another key is taken only where Stripe has stored a failure for this one: otherwise the write may
/// still be under way, and be done later, beside a second one. Whoever asks again then asks with the same key.
pub(super) async fn carry_out<T, W, L>(
    key: &str,
    write: impl Fn(String) -> W,
    look: impl FnOnce() -> L,
) -> Result<T, ProviderError>
where
    W: Future<Output = Result<T, ProviderError>>,
    L: Future<Output = Result<Option<T>, ProviderError>>,
{
    let error = match repeat(key, &write).await {
        Err(error @ (ProviderError::UnknownOutcome { .. } | ProviderError::StoredFailure { .. })) => error,
        known => return known,
    };
    match (look().await?, error) {
        (Some(done), _) => Ok(done),
        (None, ProviderError::StoredFailure { .. }) => repeat(&format!("{key}:again"), &write).await,
        (None, error) => Err(error),
    }
}

async fn repeat<T, W>(key: &str, write: impl Fn(String) -> W) -> Result<T, ProviderError>
where
    W: Future<Output = Result<T, ProviderError>>,
{
    let (began, mut pause, mut n_tries) = (Instant::now(), PAUSE, 1);
    loop {
        let done = write(key.to_owned()).await;
        let again = n_tries < TRIES && began.elapsed() < REPEATED_FOR;
        match done {
            Err(ProviderError::UnknownOutcome { .. } | ProviderError::Deferred { .. }) if again => {}
            known => return known,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        n_tries += 1;
    }
}

/// The customers of a tenant.
pub(super) struct Customers {
    /// The one that it subscribes with.
    pub(super) first: String,
    /// Those that there should not be. What they have counts all the same.
    pub(super) others: Vec<String>,
}

impl Customers {
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.others).map(String::as_str)
    }
}

impl Desk {
    /// The customer that a tenant has, by what is kept of it.
    pub(super) fn known_customer(kept: Option<&StoredSubscription>) -> Result<&str, Problem> {
        kept.and_then(|kept| kept.customer.as_deref()).ok_or_else(|| {
            Problem::new(Type::NotFound, "the tenant has never subscribed: POST /api/payments/checkout begins that")
        })
    }

    /// The customers of a tenant: the one that it has, which is made if there is none, once, however many ask at the same time; and others,
    /// which somebody has made at Stripe, or a write that came late.
    pub(super) async fn customers(
        &self,
        tenant: &str,
        kept: Option<&StoredSubscription>,
    ) -> Result<Customers, Problem> {
        let known = self.store()?.tenant(tenant).await.map_err(Problem::store_away)?;
        let (email, name) = known.map(|known| (known.email, known.name)).unwrap_or_default();
        let (email, name) = (email_for_stripe(&email), name_for_stripe(&name));
        let new = NewCustomer { tenant, email: email.as_deref(), name: name.as_deref() };
        let known = kept.and_then(|kept| kept.customer.as_deref());
        let mut found = self.look_for_customers(&new, known).await.map_err(|error| problem(&error))?;
        if found.is_empty() {
            found.push(self.make_customer(&new, known).await?);
        }
        let first = found.remove(0);
        if !found.is_empty() {
            tracing::warn!(tenant, customer = first, others = ?found, "a tenant has several customers at stripe");
        }
        if known != Some(first.as_str()) {
            // From now on our own record names it.
            self.read_again(tenant, &first).await;
        }
        Ok(Customers { first, others: found })
    }

    /// Those that Stripe's search finds, which is a minute behind, that have the tenant's address, or are among the newest, which is not; and
    /// the one that is known. That one first, and then the oldest.
    async fn look_for_customers(
        &self,
        new: &NewCustomer<'_>,
        known: Option<&str>,
    ) -> Result<Vec<String>, ProviderError> {
        let calls = self.calls(new.tenant);
        let mut found = calls.customers_of(new.tenant).await?;
        let listed = calls.customers(new.email, None).await?.items;
        found.extend(listed.into_iter().filter(|customer| customer.tenant.as_deref() == Some(new.tenant)));
        found.sort_by_key(|customer| (customer.created, customer.id.clone()));
        let ids = found.into_iter().map(|customer| customer.id).filter(|id| Some(id.as_str()) != known);
        let mut ids: Vec<String> = known.map(str::to_owned).into_iter().chain(ids).collect();
        ids.dedup();
        let mut there = Vec::with_capacity(ids.len());
        for id in ids {
            // One that was deleted a moment ago is still found by the search.
            if calls.customer(&id).await?.is_some() {
                there.push(id);
            }
        }
        Ok(there)
    }

    /// `deleted`: the one that it had.
    async fn make_customer(&self, new: &NewCustomer<'_>, deleted: Option<&str>) -> Result<String, Problem> {
        // Not of the request: whoever else asks at the same time asks for the same.
        let parts = [new.email, new.name, deleted].map(Option::unwrap_or_default);
        let key = key(&["customer", new.tenant, parts[0], parts[1], parts[2]]);
        let calls = self.calls(new.tenant);
        let write = |key: String| async move { calls.create_customer(&key, new).await.map(|made| made.id) };
        let look = || async move { self.look_for_customers(new, None).await.map(|found| found.into_iter().next()) };
        let made = carry_out(&key, write, look).await.map_err(|error| problem(&error))?;
        tracing::info!(tenant = new.tenant, customer = made, "the tenant has a customer at stripe now");
        Ok(made)
    }
}

/// As Stripe takes it. It refuses a customer whose address is none; what we were told of a tenant may be anything, and who has no address here
/// gives one when paying.
fn email_for_stripe(email: &str) -> Option<String> {
    services::ascii_address(email).ok().filter(|email| email.len() <= LONGEST_EMAIL)
}

/// The same: not more than Stripe keeps.
fn name_for_stripe(name: &str) -> Option<String> {
    let name: String = name.trim().chars().take(LONGEST_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
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
    async fn what_stays_unknown_is_looked_up_and_never_written_with_another_key() {
        let lost = || vec![Err(unknown()); 4];
        let (keys, done) = carried_out(lost(), Ok(Some(8))).await;
        assert_eq!((keys.len(), done), (4, Ok(8)));
        let (keys, done) = carried_out(lost(), Ok(None)).await;
        assert_eq!((keys, done), (vec!["k".to_owned(); 4], Err(unknown())), "it may still be done");
        let away = ProviderError::Transient { service: "stripe", message: "away".to_owned(), retry_after: None };
        let (keys, done) = carried_out(lost(), Err(away.clone())).await;
        assert_eq!((keys.len(), done), (4, Err(away)), "nobody knows, so nothing else is tried");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_that_stripe_has_stored_it_is_looked_up_before_another_key_is_used() {
        let stored = || Err(ProviderError::StoredFailure { service: "stripe", message: "500".to_owned() });
        let (keys, done) = carried_out(vec![Err(unknown()), stored()], Ok(Some(8))).await;
        assert_eq!((keys.len(), done), (2, Ok(8)));
        let (keys, done) = carried_out(vec![stored(), Ok(9)], Ok(None)).await;
        assert_eq!((keys, done), (vec!["k".to_owned(), "k:again".to_owned()], Ok(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stripe_that_hangs_is_not_waited_for_twice() {
        let began = Instant::now();
        let write = |_| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Err(unknown())
        };
        assert_eq!(carry_out("k", write, || async { Ok(Some(7)) }).await, Ok(7), "it is looked up instead");
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    }

    #[test]
    fn stripe_is_told_of_a_tenant_what_it_takes() {
        for bad in ["", "acme", "a@", "a b@shop.example", "a@shop..example", "a@127.0.0.1", "à@shop.example"] {
            assert_eq!(email_for_stripe(bad), None, "{bad}");
        }
        let long = format!("a@{}.example", "x".repeat(LONGEST_EMAIL));
        assert_eq!(email_for_stripe(&long), None);
        assert_eq!(email_for_stripe("a+b@shop.example").as_deref(), Some("a+b@shop.example"));
        assert_eq!(name_for_stripe(" \t"), None);
        assert_eq!(name_for_stripe(" Acmé ").as_deref(), Some("Acmé"));
        assert_eq!(name_for_stripe(&"é".repeat(5_000)), Some("é".repeat(LONGEST_NAME)));
    }

    #[test]
    fn a_key_tells_its_parts_apart() {
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
        assert_ne!(key(&["customer", "acme"]), key(&["customer", "acme", ""]));
        assert!(key(&["x"]).len() + ":again".len() <= 255);
    }
}
