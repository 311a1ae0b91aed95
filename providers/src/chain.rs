//! The way of every call to an outside service: mode → breaker and limits → the call, with a timeout → what its outcome means →
//! the next provider, or the mock.
//!
//! What all replicas must agree on (the mode switched at run time, breakers, limits, spending) is in [`Fleet`]: it is asked once before
//! a call and told afterwards.

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
    time::Duration,
};

use fleet::{Admission, Begun, Call, Clock, Fleet, InFlight, Level, Mode, Permit, Reported, Reserved};
use futures::future::{self, BoxFuture, FutureExt};
use services::{Config, Limit, Limits, Name, Secrets};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use crate::{
    error::{Hold, ProviderError},
    wait,
};

/// A wait known before the call that is longer than this puts the job off instead of holding a worker's slot.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Where as many calls are under way as may be, it is looked at again after this time, then after twice as much, and so on.
const FULL_AGAIN: Duration = Duration::from_millis(10);
/// At least so often.
const FULL_AGAIN_AT_LEAST: Duration = Duration::from_millis(160);
/// When a job comes again for which none of them ended in time.
const FULL_LATER: Duration = Duration::from_secs(1);

/// Whoever sets no time has this much.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(24 * 3600);
/// When whoever did not get its turn comes again.
const NEXT_TURN: Duration = Duration::from_secs(5);

/// One outside service: its real providers in the order in which they are asked, the mock, and what stands in for the real ones.
#[derive(Debug)]
pub struct Service<P: ?Sized> {
    name: Name,
    real_by_variables: bool,
    reals: Vec<Arc<P>>,
    mock: Arc<P>,
    stand_in: Arc<P>,
    timeout: Duration,
    limits: Limits,
    shared: AllServices,
}

/// What tenants' plans let them spend.
pub trait PlanCaps: Debug + Send + Sync {
    /// What a tenant may spend in a UTC day, in millionths of a US dollar; `None`: its plan does not say.
    fn of<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Option<u64>>;
}

/// Where a process says what tenants' plans let them spend, once it knows.
#[derive(Debug, Clone, Default)]
pub struct Caps(Arc<OnceLock<Arc<dyn PlanCaps>>>);

impl Caps {
    /// Says it; the first one stays.
    pub fn set(&self, caps: Arc<dyn PlanCaps>) {
        self.0.get_or_init(|| caps);
    }

    /// The lower of what all tenants may spend and what this one's plan says.
    async fn lowest(&self, of_all: Option<u64>, tenant: &str) -> Option<u64> {
        let of_plan = match self.0.get() {
            Some(caps) => caps.of(tenant).await,
            None => None,
        };
        [of_all, of_plan].into_iter().flatten().min()
    }
}

/// What all services of a process share.
#[derive(Debug, Clone)]
pub struct AllServices {
    /// Mode, breakers, limits, spending.
    pub fleet: Fleet,
    /// What a tenant may spend in a UTC day, in millionths of a US dollar; `None`: as much as it takes.
    pub spending_cap: Option<u64>,
    /// What its plan lets it spend.
    pub plan_caps: Caps,
    /// What no error may show.
    pub secrets: Secrets,
}

impl AllServices {
    /// As the variables say, shared through `fleet`.
    pub(crate) fn configured(config: &Config, fleet: &Fleet) -> Self {
        Self {
            fleet: fleet.clone(),
            spending_cap: config.pace.spending_cap,
            plan_caps: Caps::default(),
            secrets: config.secrets.clone(),
        }
    }
}

/// What every provider tells of itself.
pub trait Provider: Send + Sync {
    /// The name that results carry: `openai`, `smtp`, `mock`, …
    fn name(&self) -> &'static str;

    /// For how long the headers of its last answer say that nothing is left; told once.
    fn take_pause(&self) -> Option<Duration> {
        None
    }
}

/// What a service is asked.
pub trait Ask<P: ?Sized>: Sync {
    /// What it answers.
    type Value: Send;

    /// Asks `provider`.
    fn ask<'a>(&'a self, provider: &'a P) -> BoxFuture<'a, Result<Self::Value, ProviderError>>;

    /// Whose breaker and limits hold, when that is not the whole of `provider`: the part behind its name.
    fn account(&self) -> Option<&str> {
        None
    }

    /// Waits until it may be asked, where one goes after the other, or tells how long to wait when that is long. The time of the call begins
    /// after it, so that waiting is no failure of the service.
    fn turn<'a>(&'a self, _provider: &'a P, _fleet: &'a Fleet) -> BoxFuture<'a, Result<Turn, Duration>> {
        future::ready(Ok(Turn::default())).boxed()
    }

    /// Whether the real providers are ways to the same answer: they are asked in the order of what an answer costs, the next one also where
    /// the job allows no fallback, and an answer of any of them is as good. `None`: they are not; otherwise what one try of `provider` costs,
    /// compared with the others.
    fn cost_of_way(&self, _provider: &P) -> Option<f64> {
        None
    }

    /// Whether a wait that `provider` is asked for is the wish of what is behind all the others too.
    fn waits_for_all(&self, _provider: &P) -> bool {
        false
    }

    /// Whether it changes something at the service: then nobody knows what became of a call that was not answered in time.
    fn is_write(&self) -> bool {
        false
    }

    /// Whether it counts against the limits of the service: not what only follows from an earlier call.
    fn is_limited(&self) -> bool {
        true
    }

    /// How many calls of its account may be under way at `provider` at the same time; `None`: as many as there are, and nobody counts them.
    fn in_flight(&self, _provider: &P) -> Option<InFlight> {
        None
    }

    /// What the last answer told of the units that its account has left at `provider`; told once.
    fn take_level(&self, _provider: &P) -> Option<Level> {
        None
    }

    /// What it will use at most.
    fn estimate(&self, _provider: &P) -> Usage {
        Usage::default()
    }

    /// What it has used; `None` when that is not known.
    fn used(&self, _value: &Self::Value) -> Option<Usage> {
        None
    }

    /// Keeps what counts as spent for this answer, where it may turn out later that nothing is billed: see [`Service::give_back`].
    fn keep_spent(&self, _value: &mut Self::Value, _spent: Reserved) {}
}

/// One's turn; the next one has it when this is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    _held: Option<OwnedMutexGuard<()>>,
    _begun: Option<Begun>,
}

impl From<OwnedMutexGuard<()>> for Turn {
    fn from(guard: OwnedMutexGuard<()>) -> Self {
        Self { _held: Some(guard), _begun: None }
    }
}

impl From<Begun> for Turn {
    fn from(begun: Begun) -> Self {
        Self { _held: None, _begun: Some(begun) }
    }
}

impl Turn {
    /// The same, which ends that one, too.
    #[must_use]
    pub fn with(self, begun: Option<Begun>) -> Self {
        Self { _begun: begun, ..self }
    }
}

/// What a call uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of a language model, or messages.
    pub units: u64,
    /// Money, in millionths of a US dollar; `None` when the price is not known.
    pub micro_usd: Option<u64>,
}

/// What one attempt of a job allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// Whether another provider or the mock may answer when the first cannot.
    pub allow_fallback: bool,
    /// Whether this is the last attempt, after which only they are left.
    pub last_attempt: bool,
    /// Who pays.
    pub tenant: &'a str,
    /// How long the call may take in all.
    pub time: Duration,
}

/// An answer, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// Who made it.
    pub provider: &'static str,
    /// Why those did not that should have: what each said that was asked before.
    pub degraded_reason: Option<String>,
}

impl<P: Provider + ?Sized> Service<P> {
    /// The service `name`. `real_by_variables`: what the variables ask for. `reals`: those that are
    /// configured, whatever the mode.
    pub fn new(name: Name, real_by_variables: bool, reals: Vec<Arc<P>>, mock: Arc<P>, timeout: Duration) -> Self {
        let shared = AllServices {
            fleet: Fleet::alone(),
            spending_cap: None,
            plan_caps: Caps::default(),
            secrets: Secrets::default(),
        };
        let stand_in = Arc::clone(&mock);
        Self { name, real_by_variables, reals, mock, stand_in, timeout, limits: Limits::default(), shared }
    }

    /// The same service where something else than the mock stands in for real providers: what the mock makes up would be a lie.
    #[must_use]
    pub fn with_stand_in(self, stand_in: Arc<P>) -> Self {
        Self { stand_in, ..self }
    }

    /// The same service, with what it shares with other processes.
    #[must_use]
    pub fn sharing(self, shared: &AllServices, limits: Limits) -> Self {
        Self { shared: shared.clone(), limits, ..self }
    }

    /// Whether a real provider is to answer: as switched at run time; else as the variables say, if one is configured.
    #[must_use]
    pub fn is_real(&self) -> bool {
        match self.shared.fleet.mode(self.name.as_str()) {
            Some(mode) => mode == Mode::Real,
            None => self.real_by_variables && !self.reals.is_empty(),
        }
    }

    /// The real provider that is asked first, if one is to answer.
    #[must_use]
    pub fn first_real(&self) -> Option<&P> {
        if self.is_real() { self.reals.first().map(|real| &**real) } else { None }
    }

    /// Whether a real provider is to answer, and one of them is such a one.
    pub fn has_real(&self, is_such: impl Fn(&P) -> bool) -> bool {
        self.is_real() && self.reals.iter().any(|real| is_such(real))
    }

    /// Asks the real providers in their order, or the mock when the mode says so.
    ///
    /// The next one is asked, and the mock at last, when the job allows it and the one before cannot answer: not configured, its
    /// breaker open, its account unusable, the tenant's money spent, or any failure at the last attempt. Such an answer is degraded.
    ///
    /// # Errors
    /// The first provider's, when nothing may stand in for it. [`ProviderError::Held`] when nothing was asked.
    pub async fn call<A: Ask<P>>(&self, policy: Policy<'_>, what: &A) -> Result<Answer<A::Value>, ProviderError> {
        if !self.is_real() {
            let value = what.ask(&self.mock).await?;
            return Ok(Answer { value, provider: self.mock.name(), degraded_reason: None });
        }
        let mut time = CallTime::new(policy.time, self.timeout);
        let mut reasons = Vec::new();
        let order = self.order(what).await;
        // Ways to one page share its turn.
        let _turn = match order.first() {
            Some((first, true)) => Some(self.turn(first, &mut time, what).await?),
            _ => None,
        };
        for (position, (real, is_way)) in order.iter().enumerate() {
            let n_left = order.len() - position;
            match self.ask(real, *is_way, &mut time, n_left, policy, what).await {
                Ok(value) => {
                    let degraded_reason = (!is_way && !reasons.is_empty()).then(|| reasons.join("; "));
                    return Ok(Answer { value, provider: real.name(), degraded_reason });
                }
                Err(error) => {
                    let another_way = *is_way && n_left > 1 && error.leaves_other_ways(policy.last_attempt);
                    let stand_in = policy.allow_fallback && error.passes_on(policy.last_attempt);
                    if !(another_way || stand_in) {
                        return Err(error.after(&reasons));
                    }
                    tracing::debug!(service = self.name.as_str(), provider = real.name(), %error, "cannot answer, the next one is asked");
                    let reason = error.to_string();
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                    if *is_way && !another_way {
                        break;
                    }
                }
            }
        }
        if !policy.allow_fallback {
            // Only if there is none: the errors of others were returned.
            return Err(ProviderError::Held {
                service: self.name.as_str(),
                hold: Hold::NotConfigured,
                message: "switched to real, but not configured; see `ecomctl check-env`".to_owned(),
                retry_in: Duration::from_secs(60),
            });
        }
        if reasons.is_empty() {
            reasons.push(format!("{}: switched to real, but not configured", self.name));
        }
        self.ask_stand_in(what, &reasons).await
    }

    /// After calls that made one thing together and allowed no fallback, of which one failed with `error`: the stand-in's answer to
    /// `what`, where [`Service::call`] would have asked it.
    ///
    /// # Errors
    /// `error`, when nothing may stand in.
    pub async fn fall_back<A: Ask<P>>(
        &self,
        policy: Policy<'_>,
        what: &A,
        error: ProviderError,
    ) -> Result<Answer<A::Value>, ProviderError> {
        if policy.allow_fallback && error.passes_on(policy.last_attempt) {
            self.ask_stand_in(what, &[error.to_string()]).await
        } else {
            Err(error)
        }
    }

    async fn ask_stand_in<A: Ask<P>>(&self, what: &A, reasons: &[String]) -> Result<Answer<A::Value>, ProviderError> {
        let value = what.ask(&self.stand_in).await.map_err(|error| error.after(reasons))?;
        Ok(Answer { value, provider: self.stand_in.name(), degraded_reason: Some(reasons.join("; ")) })
    }

    /// The real providers in the order in which they are asked, and whether they are ways. Of ways that one comes first that costs least
    /// until it has answered, as often as it answered in the last hour.
    async fn order<A: Ask<P>>(&self, what: &A) -> Vec<(&P, bool)> {
        let mut order = Vec::with_capacity(self.reals.len());
        for real in &self.reals {
            let cost = what.cost_of_way(real);
            let tries = match cost.filter(|_| self.reals.len() > 1) {
                Some(_) => self.tries(&account(&**real, what)).await,
                None => 1.0,
            };
            order.push((cost.unwrap_or_default() * tries, &**real, cost.is_some()));
        }
        // Equal ones stay as they are.
        order.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        order.into_iter().map(|(_, real, is_way)| (real, is_way)).collect()
    }

    /// How often this account is asked for one answer. Of one that nobody has asked it is believed that it answers at once.
    async fn tries(&self, account: &str) -> f64 {
        let (calls, answered) = self.shared.fleet.calls_1h(self.name.as_str(), account).await.unwrap_or_default();
        (calls + 1) as f64 / (answered + 1) as f64
    }

    /// Asks one real provider, if it may be asked now; `n_left` are yet to share the time, this one included.
    async fn ask<A: Ask<P>>(
        &self,
        real: &P,
        has_turn: bool,
        time: &mut CallTime,
        n_left: usize,
        policy: Policy<'_>,
        what: &A,
    ) -> Result<A::Value, ProviderError> {
        let estimate = what.estimate(real);
        let account = account(real, what);
        let _turn = if has_turn { None } else { Some(self.turn(real, time, what).await?) };
        let reservation = self.reserve(policy.tenant, estimate).await?;
        let limits = if what.is_limited() { self.limits } else { Limits::default() };
        let call =
            Call { in_flight: what.in_flight(real), ..call(self.name.as_str(), &account, limits, estimate.units) };
        let permit = match admitted(&self.shared.fleet, self.name, &call).await {
            Ok(permit) => permit,
            Err(error) => {
                reservation.settle(0).await;
                return Err(error);
            }
        };
        let mut under_way = UnderWay { fleet: &self.shared.fleet, permit: Some(permit) };
        let time = time.share(n_left);
        let result = match tokio::time::timeout(time, what.ask(real)).await {
            Ok(result) => result,
            Err(_) => Err(too_late(real.name(), time, what.is_write())),
        };
        // A vendor may quote what it was sent; from here on the error is logged, stored and shown. And no wait that it asks for
        // is longer than is sensible.
        let mut result = result.map_err(|error| error.redacted(&self.shared.secrets).bounded());
        let used = result.as_ref().ok().and_then(|value| what.used(value));
        if let Some(wait) = result.as_ref().err().and_then(ProviderError::asks_to_wait)
            && what.waits_for_all(real)
        {
            for other in self.reals.iter().filter(|other| other.name() != real.name()) {
                self.shared.fleet.pause(self.name.as_str(), &self::account(&**other, what), wait);
            }
        }
        let pause = real.take_pause().map(|pause| pause.min(wait::LONGEST));
        under_way.told(what.take_level(real));
        under_way.ended(reported(result.as_ref().err(), used.map(|used| in_bucket(limits.units, used.units)), pause));
        // What a failed call cost is not known: a refusal was paid for, no answer most likely not.
        let spent = match &result {
            Ok(_) => used.unwrap_or(estimate).micro_usd,
            Err(ProviderError::Rejected { .. }) => estimate.micro_usd,
            // It may have been done.
            Err(ProviderError::UnknownOutcome { .. } | ProviderError::StoredFailure { .. }) if what.is_write() => {
                estimate.micro_usd
            }
            Err(_) => None,
        };
        let spent = spent.unwrap_or(0);
        let kept = reservation.reserved.as_ref().map(|reserved| reserved.settled(spent));
        reservation.settle(spent).await;
        if let (Ok(value), Some(kept)) = (&mut result, kept) {
            what.keep_spent(value, kept);
        }
        result
    }

    /// Gives a tenant back what counts as spent, because it is not billed after all. Once: whoever calls it makes sure of that.
    pub async fn give_back(&self, spent: Reserved) {
        if let Err(error) = self.shared.fleet.settle(spent, 0).await {
            tracing::warn!(%error, "money for what is not billed counts as spent until its day is over");
        }
    }

    /// Waits for its turn, where one goes after the other.
    async fn turn<A: Ask<P>>(&self, real: &P, time: &mut CallTime, what: &A) -> Result<Turn, ProviderError> {
        let turn = time.wait_for(what.turn(real, &self.shared.fleet)).await.unwrap_or(Err(NEXT_TURN));
        turn.map_err(|wait| ProviderError::Held {
            service: self.name.as_str(),
            hold: Hold::Turn,
            message: format!("others are ahead at {}", account(real, what)),
            retry_in: wait,
        })
    }

    /// Sets the money aside that a call will cost at most. Redis being away stops no call.
    async fn reserve(&self, tenant: &str, estimate: Usage) -> Result<Reservation<'_>, ProviderError> {
        let fleet = &self.shared.fleet;
        let nothing = Reservation { fleet, reserved: None };
        let Some(micro_usd) = estimate.micro_usd else { return Ok(nothing) };
        let cap = self.shared.plan_caps.lowest(self.shared.spending_cap, tenant).await;
        let Some(cap) = cap else { return Ok(nothing) };
        match fleet.reserve(tenant, micro_usd, cap).await {
            Ok(reserved) => Ok(Reservation { fleet, reserved: Some(reserved) }),
            Err(fleet::Error::OverCap { .. }) => Err(ProviderError::Held {
                service: self.name.as_str(),
                hold: Hold::SpendingCap,
                message: format!("tenant {tenant} has spent what it may in a day"),
                retry_in: until_midnight(),
            }),
            Err(error) => {
                tracing::warn!(%error, "spending is not limited");
                Ok(nothing)
            }
        }
    }
}

/// Whose breaker and limits hold.
fn account<P: Provider + ?Sized, A: Ask<P>>(real: &P, what: &A) -> String {
    match what.account() {
        Some(part) => format!("{}/{part}", real.name()),
        None => real.name().to_owned(),
    }
}

/// How long the calls of one attempt may take.
struct CallTime {
    began: Instant,
    /// In all, the waiting for turns included.
    in_all: Duration,
    /// Without it.
    calls: Duration,
    waited: Duration,
}

impl CallTime {
    fn new(in_all: Duration, calls: Duration) -> Self {
        Self { began: Instant::now(), in_all: in_all.min(LONGEST_ATTEMPT), calls, waited: Duration::ZERO }
    }

    /// Waits for a turn, but not so long that the call would be short of time: half of it is left in any case.
    async fn wait_for<T>(&mut self, turn: BoxFuture<'_, T>) -> Option<T> {
        let asked = Instant::now();
        let until = self.began + self.in_all.saturating_sub(self.calls).max(self.in_all / 2);
        let turn = tokio::time::timeout_at(until, turn).await.ok();
        self.waited += asked.elapsed();
        turn
    }

    /// An equal share of what is left, so that a provider that hangs leaves time for the others.
    fn share(&self, n_left: usize) -> Duration {
        let left = self.in_all.min(self.calls + self.waited).saturating_sub(self.began.elapsed());
        left / u32::try_from(n_left).unwrap_or(1)
    }
}

/// Money that is set aside for a call. Dropped before the call's end (its job was cancelled or its worker stops), it is given back.
struct Reservation<'a> {
    fleet: &'a Fleet,
    reserved: Option<Reserved>,
}

impl Reservation<'_> {
    async fn settle(mut self, micro_usd: u64) {
        let Some(reserved) = self.reserved.take() else { return };
        if let Err(error) = self.fleet.settle(reserved, micro_usd).await {
            tracing::warn!(%error, "what a call cost is counted as it was estimated");
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            self.fleet.give_back(reserved);
        }
    }
}

/// Waits until the next result of a stand-in of `service` may be replaced, in all replicas together.
pub(crate) async fn pace(fleet: &Fleet, service: Name, limit: Limit) -> Result<(), ProviderError> {
    let account = format!("healing/{service}");
    let limits = Limits { requests: Some(limit), units: None };
    let permit = admitted(fleet, service, &call("healing", &account, limits, 0)).await?;
    fleet.report(permit, Reported::Answered { units: None, pause: None });
    Ok(())
}

/// What [`Fleet`] is asked. It keeps buckets that hold a minute's worth, and are filled by as much in a minute.
fn call<'a>(service: &'a str, account: &'a str, limits: Limits, units: u64) -> Call<'a> {
    let per_min = |limit: Option<Limit>| limit.map(|limit| limit.n);
    let (requests_per_min, units_per_min) = (per_min(limits.requests), per_min(limits.units));
    let units = in_bucket(limits.units, units);
    Call { service, account, requests_per_min, units_per_min, units, in_flight: None }
}

/// How much is taken of a bucket of `n` a minute for so many units of a limit of `n` in its window: as many times as the window has
/// minutes. One more where that is more than one, because the first minute begins with a minute's worth in hand.
fn in_bucket(limit: Option<Limit>, units: u64) -> u64 {
    let minutes = limit.map_or(1, |limit| limit.window.as_secs() / 60);
    units * if minutes > 1 { minutes + 1 } else { 1 }
}

/// Waits for a permit if that is short.
async fn admitted(fleet: &Fleet, service: Name, call: &Call<'_>) -> Result<Permit, ProviderError> {
    let until = Instant::now() + LONGEST_WAIT;
    let mut full_again = FULL_AGAIN;
    let held =
        |hold, message, retry_in| Err(ProviderError::Held { service: service.as_str(), hold, message, retry_in });
    loop {
        match fleet.admit(call).await {
            Admission::Go(permit) => return Ok(permit),
            Admission::Wait(wait) if Instant::now() + wait <= until => tokio::time::sleep(wait).await,
            Admission::Wait(wait) => {
                let message = format!("{} may not be asked for another {:.1} s", call.account, wait.as_secs_f64());
                return held(Hold::Limit, message, wait);
            }
            Admission::Full if Instant::now() + full_again <= until => {
                tokio::time::sleep(full_again).await;
                full_again = (full_again * 2).min(FULL_AGAIN_AT_LEAST);
            }
            Admission::Full => {
                let message = format!("as many calls to {} are under way as may be", call.account);
                return held(Hold::Limit, message, FULL_LATER);
            }
            Admission::Open { retry_in, reason } => {
                return held(Hold::BreakerOpen, format!("breaker of {} is open: {reason}", call.account), retry_in);
            }
        }
    }
}

/// A call that was let through. Dropped before its end (its job was cancelled or its worker stops), it tells nothing of the
/// provider.
struct UnderWay<'a> {
    fleet: &'a Fleet,
    permit: Option<Permit>,
}

impl UnderWay<'_> {
    fn told(&mut self, level: Option<Level>) {
        if let (Some(permit), Some(level)) = (&mut self.permit, level) {
            permit.told(level);
        }
    }

    fn ended(mut self, reported: Reported) {
        if let Some(permit) = self.permit.take() {
            self.fleet.report(permit, reported);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.fleet.report(permit, Reported::Unused);
        }
    }
}

fn too_late(service: &'static str, time: Duration, is_write: bool) -> ProviderError {
    let message = format!("no answer within {:.0} s", time.as_secs_f64().ceil());
    match is_write {
        true => ProviderError::UnknownOutcome { service, message },
        false => ProviderError::Transient { service, message, retry_after: None },
    }
}

/// What the outcome of a call says of the provider.
fn reported(error: Option<&ProviderError>, units: Option<u64>, pause: Option<Duration>) -> Reported {
    let reason = || error.map(ToString::to_string).unwrap_or_default();
    match error {
        None => Reported::Answered { units, pause },
        Some(ProviderError::Forbidden { .. }) => Reported::Unused,
        Some(ProviderError::Rejected { .. } | ProviderError::Deferred { .. } | ProviderError::Held { .. }) => {
            Reported::Answered { units: None, pause }
        }
        Some(ProviderError::RateLimited { retry_after, .. }) => {
            Reported::Limited { pause: retry_after.or(pause).unwrap_or(LONGEST_WAIT), reason: reason() }
        }
        Some(ProviderError::Misconfigured { .. }) => Reported::Parked { reason: reason() },
        Some(ProviderError::Transient { retry_after: Some(wait), .. }) => {
            Reported::Limited { pause: *wait, reason: reason() }
        }
        Some(
            ProviderError::Transient { .. }
            | ProviderError::Unable { .. }
            | ProviderError::UnknownOutcome { .. }
            | ProviderError::StoredFailure { .. },
        ) => Reported::Failed { reason: reason() },
    }
}

/// The time to the next UTC day, with the day's first seconds left to others.
fn until_midnight() -> Duration {
    let now = Clock::default().now_ms() / 1000;
    Duration::from_secs(24 * 3600 - now % (24 * 3600) + 5)
}
