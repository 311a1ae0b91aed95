//! Publishing, driven against the stand-ins of the shops: what `providers::publication` does with one product, without queue and MongoDB.

mod in_flight;
mod prestashop;
mod sequences;
mod shopify;
mod woocommerce;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fleet::{Fleet, Redis, Settings};
use futures::future::{BoxFuture, FutureExt};
use providers::{
    Policy, ProviderError, Providers,
    publication::{
        Action, Desk, Key, Listing, Notes, Order, Patch, Publication, PublishError, Shop, Store, StoreApi, carry_out,
    },
};
use services::Config;
use tests::standins::{Fault, Faults};

/// So often an order is repeated that failed for no fault of its own.
const MOST_RUNS: usize = 20;

/// What is remembered of one SKU.
#[derive(Default)]
struct Memory(Mutex<Listing>);

impl Notes for Memory {
    fn save<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
        async move {
            *self.0.lock().unwrap() = listing.clone();
            Ok(())
        }
        .boxed()
    }
}

/// One SKU at one store, with what is remembered of it from one run to the next.
pub(crate) struct Till {
    providers: Arc<Providers>,
    store: Store,
    sku: String,
    memory: Memory,
    now_ms: AtomicU64,
}

impl Till {
    /// The environment's store of this shop, as these variables tell of it.
    pub(crate) fn new(shop: Shop, variables: &[(&str, &str)], sku: &str) -> Self {
        Self::sharing(&Fleet::alone(), shop, variables, sku)
    }

    /// The same as one of several processes, which share what this fleet has.
    pub(crate) fn sharing(fleet: &Fleet, shop: Shop, variables: &[(&str, &str)], sku: &str) -> Self {
        let value = |name: &str| {
            let own = variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
            own.or_else(|| (name == "MOCK_MODE_PUBLICATION").then(|| "false".to_owned()))
        };
        let config = Config::from_vars(value);
        let providers = Arc::new(Providers::from_config(&config, fleet).unwrap());
        let store = providers.publication.stores().iter().find(|store| store.shop() == shop).cloned().unwrap();
        Self { providers, store, sku: sku.to_owned(), memory: Memory::default(), now_ms: AtomicU64::new(1_000_000) }
    }

    /// Another SKU at the same store, in the same process.
    pub(crate) fn beside(&self, sku: &str) -> Self {
        let (providers, store) = (Arc::clone(&self.providers), self.store.clone());
        Self { providers, store, sku: sku.to_owned(), memory: Memory::default(), now_ms: AtomicU64::new(1_000_000) }
    }

    /// The same with another store, as one of several languages.
    pub(crate) fn with(self, change: impl FnOnce(Store) -> Store) -> Self {
        Self { store: change(self.store), ..self }
    }

    /// What is remembered now.
    pub(crate) fn listing(&self) -> Listing {
        self.memory.0.lock().unwrap().clone()
    }

    /// Lets so much time go by.
    pub(crate) fn pass(&self, time: Duration) {
        self.now_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// What keeps it.
    pub(crate) fn notes(&self) -> &dyn Notes {
        &self.memory
    }

    /// The store's interface, as one attempt has it.
    pub(crate) fn api(&self) -> Box<dyn StoreApi + '_> {
        let policy =
            Policy { allow_fallback: false, last_attempt: false, tenant: "default", time: Duration::from_secs(60) };
        self.providers.publication.open(&self.store, policy).unwrap()
    }

    /// One run of the job `job`.
    pub(crate) async fn run(
        &self,
        job: &str,
        action: Action,
        patch: &Patch,
        force: bool,
    ) -> Result<Publication, PublishError> {
        self.run_noting(&self.memory, job, action, patch, force).await
    }

    /// The same with what is remembered kept by `notes`.
    pub(crate) async fn run_noting(
        &self,
        notes: &dyn Notes,
        job: &str,
        action: Action,
        patch: &Patch,
        force: bool,
    ) -> Result<Publication, PublishError> {
        let key = Key { sku: &self.sku, product_id: "p-12" };
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        let order = Order { job, key, action, patch, force, keep_edits: false, now_ms };
        let mut desk = Desk::new(self.listing(), notes);
        carry_out(&*self.api(), order, &mut desk).await
    }

    /// Whether the store's credentials are good.
    pub(crate) async fn test(&self) -> Result<(), ProviderError> {
        self.api().test().await
    }

    /// Runs the job until it is done or refused, as the queue would; waits pass at once.
    pub(crate) async fn try_carry_out(
        &self,
        job: &str,
        action: Action,
        patch: &Patch,
    ) -> Result<Publication, PublishError> {
        for _ in 0..MOST_RUNS {
            match self.run(job, action, patch, false).await {
                Err(PublishError::Provider(ProviderError::Held { retry_in, .. })) => {
                    self.now_ms.fetch_add(u64::try_from(retry_in.as_millis()).unwrap(), Ordering::Relaxed);
                }
                Err(PublishError::Provider(
                    ProviderError::Transient { .. }
                    | ProviderError::UnknownOutcome { .. }
                    | ProviderError::RateLimited { .. },
                )) => {}
                end => return end,
            }
        }
        panic!("{job} never came to an end");
    }

    /// The same of a job that is taken.
    pub(crate) async fn carry_out(&self, job: &str, action: Action, patch: &Patch) -> Publication {
        self.try_carry_out(job, action, patch).await.unwrap()
    }

    /// Publishes.
    pub(crate) async fn publish(&self, job: &str, patch: &Patch) -> Publication {
        self.carry_out(job, Action::Publish, patch).await
    }
}

/// Processes that share one Redis: a fleet each.
pub(crate) fn processes(n: usize) -> Vec<Fleet> {
    let url = servers::redis(servers::RedisKind::Valkey).unwrap();
    let redis = Redis::open_within(url, &servers::prefix(), servers::PATIENCE).unwrap();
    // A machine that builds beside may be slow.
    let settings = || Settings { answer_within: servers::PATIENCE, ..Settings::default() };
    (0..n).map(|_| Fleet::with_settings(&redis, settings())).collect()
}

/// Does the same again and again, each time with another request of it cut off: before or after it was carried out, in the middle of the
/// answer, or with a proxy's error. `start` makes a shop and brings it into its first state, `then` is what is cut off, `check` looks at
/// the shop afterwards. Returns how many requests were cut off.
pub(crate) async fn every_drop<S>(
    start: impl AsyncFn() -> (S, Till),
    faults: impl Fn(&S) -> &Faults,
    then: impl AsyncFn(&Till),
    check: impl Fn(&S, &str),
) -> usize {
    let mut n_cut = 0;
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::HalfBody, Fault::status(502)] {
        for nth in 1.. {
            let (shop, till) = start().await;
            faults(&shop).nth(nth, fault.clone());
            then(&till).await;
            let was_met = faults(&shop).all_met();
            faults(&shop).recover();
            check(&shop, &format!("{fault:?} at request {nth}"));
            if !was_met {
                break;
            }
            n_cut += 1;
        }
    }
    n_cut
}
