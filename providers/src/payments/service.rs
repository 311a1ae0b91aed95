//! Payments as the programs have them: Stripe or the mock, as the mode says.

use std::{sync::Arc, time::Duration};

use fleet::{Clock, Fleet};
use services::{Config, Name};

use super::{
    calls::Calls,
    form::Form,
    gateway::{Gateway, Reply, Request},
    mock::Mock,
    shelf::Shelf,
    stripe,
    subscription::Price,
};
use crate::{
    chain::{AllServices, Policy, Service},
    error::ProviderError,
};

/// The client's own time is shorter: only it knows whether a call may have been carried out.
const TIMEOUT: Duration = Duration::from_secs(32);
/// What the mock asks for the plans, in cents of a euro a month.
const MOCK_PRO: i64 = 2_900;
const MOCK_PREMIUM: i64 = 9_900;

/// The prices of the two plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPrices {
    /// `STRIPE_PRICE_ID_PRO`; without it, one of the mock's.
    pub pro: String,
    /// `STRIPE_PRICE_ID_PREMIUM`; the same.
    pub premium: String,
}

/// Subscriptions: Stripe, or the mock.
#[derive(Debug)]
pub struct Payments {
    service: Service<dyn Gateway>,
    mock: Arc<Mock>,
    /// What the plans cost.
    pub prices: PlanPrices,
    /// What browsers may see of the account.
    pub publishable_key: Option<String>,
    /// Whether the key is for real money; `None` without a key.
    pub livemode: Option<bool>,
}

impl Payments {
    /// As the variables say, sharing what `fleet` holds with all other replicas. `shelf`: where the mock keeps what it knows.
    ///
    /// # Errors
    /// As [`Self::from_config`].
    pub fn new(config: &Config, fleet: &Fleet, shelf: Arc<dyn Shelf>) -> Result<Self, ProviderError> {
        Self::from_config(config, &AllServices::configured(config, fleet), shelf)
    }

    /// As the variables say. `shelf`: where the mock keeps what it knows.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when no client can be built.
    pub fn from_config(config: &Config, shared: &AllServices, shelf: Arc<dyn Shelf>) -> Result<Self, ProviderError> {
        Self::with_clock(config, shared, shelf, Clock::default())
    }

    /// The same, with the mock's clock.
    ///
    /// # Errors
    /// As [`Self::from_config`].
    pub fn with_clock(
        config: &Config,
        shared: &AllServices,
        shelf: Arc<dyn Shelf>,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let value = |variable| config.value(Name::Payments, variable);
        let price = |variable, else_mock: &str| value(variable).unwrap_or(else_mock).to_owned();
        let prices = PlanPrices {
            pro: price("STRIPE_PRICE_ID_PRO", "price_mock_pro"),
            premium: price("STRIPE_PRICE_ID_PREMIUM", "price_mock_premium"),
        };
        let offers = vec![
            (prices.pro.clone(), "ECOMSIMPLY Pro", MOCK_PRO),
            (prices.premium.clone(), "ECOMSIMPLY Premium", MOCK_PREMIUM),
        ];
        let mock = Arc::new(Mock::new(shelf, clock, config, offers));
        let real = stripe::configured(config)?.map(|stripe| Arc::new(stripe) as Arc<dyn Gateway>);
        let reals = real.into_iter().collect();
        let service =
            Service::new(Name::Payments, config.is_real(Name::Payments), reals, Arc::clone(&mock) as _, TIMEOUT)
                .sharing(shared, config.pace.limits(Name::Payments));
        Ok(Self {
            service,
            mock,
            prices,
            publishable_key: value("STRIPE_PUBLISHABLE_KEY").map(str::to_owned),
            livemode: stripe::livemode(config),
        })
    }

    /// Whether Stripe is to answer now.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.service.is_real()
    }

    /// Calls with one policy.
    #[must_use]
    pub fn calls<'a>(&'a self, policy: Policy<'a>) -> Calls<'a> {
        Calls::new(&self.service, policy)
    }

    /// The mock, for the pages that Stripe would show. Whoever uses it looks first whether it [is real](Self::is_real).
    #[must_use]
    pub fn mock(&self) -> &Mock {
        &self.mock
    }
}

/// Reads both prices, which costs nothing and proves key, mode and prices.
pub(crate) async fn probe(config: &Config) -> Result<(), String> {
    let stripe = stripe::configured(config).map_err(|error| error.to_string())?;
    let Some(stripe) = stripe else { return Err("it is not configured".to_owned()) };
    let live = stripe::livemode(config) == Some(true);
    for variable in ["STRIPE_PRICE_ID_PRO", "STRIPE_PRICE_ID_PREMIUM"] {
        let id = config.value(Name::Payments, variable).unwrap_or_default();
        let answered = stripe.send(&Request::get(format!("prices/{id}"), Form::new())).await;
        let price = match answered.map_err(|error| error.to_string())? {
            Reply::Done(object) => Price::read(&object).ok_or_else(|| format!("{variable}: {id} is no price"))?,
            Reply::Refused(refusal) => {
                let mode = if live { "live" } else { "test" };
                return Err(format!(
                    "{variable}: {}; look for the price's id in the dashboard's {mode} mode",
                    refusal.message
                ));
            }
        };
        if !price.active {
            return Err(format!(
                "{variable}: {id} is archived, so nobody can subscribe to it: activate it, or name another"
            ));
        }
        if price.interval.is_none() {
            return Err(format!("{variable}: {id} is paid once: a subscription needs a recurring price"));
        }
        if price.livemode != live {
            return Err(format!("{variable}: {id} is of the other mode than STRIPE_API_KEY"));
        }
    }
    Ok(())
}
