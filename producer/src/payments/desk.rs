//! Who is asked, and what is offered.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use api::FieldError;
use fleet::{Clock, Fleet};
use jobs::{
    payment::{Read, Reading},
    payments::Plans,
};
use providers::{
    Policy, ProviderError,
    payments::{Calls, Payments, Price},
};
use services::{Config, Name};
use store::{Moment, Store, StoredSubscription};

use super::{addresses::Hosts, refusal::problem, shelf::LateShelf};
use crate::answer::Problem;

/// Of one call: somebody waits for the answer.
const TIME: Duration = Duration::from_secs(10);
/// Nobody needs newer prices that much.
const TIME_TO_REFRESH: Duration = Duration::from_secs(3);
/// Prices change seldom.
const OFFERS_KEPT: Duration = Duration::from_secs(300);
/// While Stripe is away, it is asked for prices so much later again.
const OFFERS_AGAIN: Duration = Duration::from_secs(10);
/// Unless `PAYMENTS_TRIAL_DAYS` says otherwise.
const TRIAL_DAYS: u32 = 14;

/// A plan that can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its name in the table of plans: `pro`, `premium`.
    pub(crate) plan: String,
    /// What it costs.
    pub(crate) price: Price,
}

/// Offers, and until when they are good.
#[derive(Clone)]
struct Known {
    offers: Vec<Offer>,
    /// Whether they are Stripe's.
    is_real: bool,
    until: Instant,
}

/// Payments as the API has them. What it does about customers is in `customer`, about checkout in `checkout`, about subscriptions in
/// `changes`.
pub(crate) struct Desk {
    payments: Payments,
    plans: Plans,
    /// Where the pages of Stripe may send customers back to.
    pub(crate) hosts: Hosts,
    /// How long a trial may be; `None`: there is none.
    pub(crate) trial_days: Option<u32>,
    known: Mutex<Option<Known>>,
    /// Held while Stripe is asked for prices; how that failed last, and when.
    asking: tokio::sync::Mutex<Option<(Instant, ProviderError)>>,
    store: Arc<OnceLock<Store>>,
    clock: Clock,
}

impl Desk {
    /// As the variables say. `store` may be filled later.
    ///
    /// # Errors
    /// What is wrong with the variables.
    pub(crate) fn new(config: &Config, fleet: &Fleet, store: Arc<OnceLock<Store>>) -> Result<Self, String> {
        let shelf = Arc::new(LateShelf(store.clone()));
        let payments = Payments::new(config, fleet, shelf).map_err(|error| error.to_string())?;
        let plans = Plans::from_config(config, &payments.prices)?;
        let days = config.value(Name::Payments, "PAYMENTS_TRIAL_DAYS").and_then(|days| days.parse().ok());
        Ok(Self {
            plans,
            hosts: Hosts::new(config),
            trial_days: Some(days.unwrap_or(TRIAL_DAYS)).filter(|days| *days > 0),
            payments,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            store,
            clock: Clock::default(),
        })
    }

    /// Whether Stripe is to answer now.
    pub(crate) fn is_real(&self) -> bool {
        self.payments.is_real()
    }

    /// Stripe, or the mock.
    pub(crate) fn payments(&self) -> &Payments {
        &self.payments
    }

    /// What each plan allows.
    pub(crate) fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What can be subscribed to, with prices that are at most five minutes old; older ones while Stripe is away.
    pub(crate) async fn offers(&self) -> Result<Vec<Offer>, Problem> {
        let is_real = self.is_real();
        let known = || self.known().clone().filter(|read| read.is_real == is_real);
        let is_fresh = |read: &Known| Instant::now() < read.until;
        if let Some(read) = known().filter(is_fresh) {
            return Ok(read.offers);
        }
        // One asks. The others wait for it, unless they know something, and are answered as it is: one after the other they would wait for ever
        // longer.
        let came = Instant::now();
        let mut asking = match (self.asking.try_lock(), known()) {
            (Ok(asking), _) => asking,
            (Err(_), Some(read)) => return Ok(read.offers),
            (Err(_), None) => self.asking.lock().await,
        };
        let known = known();
        if let Some(read) = known.clone().filter(is_fresh) {
            return Ok(read.offers);
        }
        if let Some((_, error)) = asking.as_ref().filter(|(at, _)| *at >= came) {
            return Err(problem(error));
        }
        let time = if known.is_some() { TIME_TO_REFRESH } else { TIME };
        let (offers, until) = match (self.read_offers(time).await, known) {
            (Ok(offers), _) => (offers, OFFERS_KEPT),
            (Err(error), Some(read)) => {
                tracing::warn!(%error, "prices cannot be read from stripe: those that are known are shown");
                (read.offers, OFFERS_AGAIN)
            }
            (Err(error), None) => {
                let problem = problem(&error);
                *asking = Some((Instant::now(), error));
                return Err(problem);
            }
        };
        *self.known() = Some(Known { offers: offers.clone(), is_real, until: Instant::now() + until });
        Ok(offers)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_offers(&self, time: Duration) -> Result<Vec<Offer>, ProviderError> {
        let mut offers = Vec::new();
        let calls = self.payments.calls(Policy { time, ..policy("") });
        for id in [&self.payments.prices.pro, &self.payments.prices.premium] {
            let Some(plan) = self.plans.of_price(id) else { continue };
            match calls.price(id).await?.filter(|price| price.active) {
                Some(price) => offers.push(Offer { plan: plan.to_owned(), price }),
                None => tracing::warn!(
                    plan,
                    price = id,
                    "the price of a plan is archived or not there, so nobody can subscribe to it"
                ),
            }
        }
        Ok(offers)
    }

    /// The offer of this name.
    pub(super) async fn offer(&self, plan: &str) -> Result<Offer, Problem> {
        offer(self.offers().await?, plan)
    }

    pub(super) fn calls<'a>(&'a self, tenant: &'a str) -> Calls<'a> {
        self.payments.calls(policy(tenant))
    }

    pub(super) fn store(&self) -> Result<&Store, Problem> {
        self.store.get().ok_or_else(|| Problem::store_away("its address cannot be looked up"))
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_ms(self.clock.now_ms())
    }

    /// What is kept of a tenant's subscription, if that was said by who answers now.
    pub(crate) async fn kept(&self, tenant: &str) -> Result<Option<StoredSubscription>, Problem> {
        let kept = self.store()?.subscription(tenant).await.map_err(Problem::store_away)?;
        Ok(kept.filter(|kept| kept.mock != self.is_real()))
    }

    /// Who reads from Stripe what a customer has now, and keeps it: the same as jobs have.
    pub(super) fn reading<'a>(&'a self, tenant: &'a str) -> Result<Reading<'a>, Problem> {
        let (payments, plans) = (&self.payments, &self.plans);
        Ok(Reading { payments, plans, store: self.store()?, policy: policy(tenant), now: self.now() })
    }

    /// Reads and keeps it. `None`: it is not kept, and a webhook has to bring it.
    pub(super) async fn read_again(&self, tenant: &str, customer: &str) -> Option<StoredSubscription> {
        match self.reading(tenant).ok()?.of(customer).await {
            Ok(Read::Kept(kept)) => Some(kept.record),
            Ok(read) => {
                tracing::warn!(tenant, customer, ?read, "what a customer has is not kept");
                None
            }
            Err(error) => {
                tracing::warn!(tenant, customer, %error, "what a customer has could not be kept: a webhook has to bring it");
                None
            }
        }
    }
}

/// What is wrong with the name of a plan, if none of these has it.
pub(super) fn no_offer(offers: &[Offer], plan: &str) -> Option<FieldError> {
    let names: Vec<_> = offers.iter().map(|offer| offer.plan.as_str()).collect();
    let message = || format!("must be a plan that can be subscribed to: {}", names.join(", "));
    (!names.contains(&plan)).then(|| FieldError::new("/plan", message()))
}

/// The one of these that has this name.
pub(super) fn offer(offers: Vec<Offer>, plan: &str) -> Result<Offer, Problem> {
    let errors = no_offer(&offers, plan).into_iter().collect();
    offers.into_iter().find(|offer| offer.plan == plan).ok_or_else(|| Problem::invalid(errors))
}

pub(super) fn policy(tenant: &str) -> Policy<'_> {
    Policy { allow_fallback: false, last_attempt: true, tenant, time: TIME }
}
