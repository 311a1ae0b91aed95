//! The way of every call, with providers that answer as they are told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use fleet::{Fleet, Mode, Redis, Settings};
use futures::{FutureExt, future::BoxFuture};
use providers::{
    AllServices, Answer, Ask, Caps, Hold, Policy, Provider, ProviderError, Providers, Service, Turn, Usage,
};
use servers::RedisKind;
use services::{Config, Limit, Limits, Name, Secrets};

/// A provider that gives these answers, and then its name.
struct Scripted {
    name: &'static str,
    answers: Mutex<VecDeque<Result<(), ProviderError>>>,
    asked: Mutex<u32>,
    /// What each answer takes.
    takes: Mutex<Duration>,
    /// Whoever has it may be asked.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What the headers of its answers ask for.
    pause: Mutex<Option<Duration>>,
}

impl Scripted {
    fn new(name: &'static str, answers: impl IntoIterator<Item = Result<(), ProviderError>>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        let (asked, takes, turn, pause) = Default::default();
        Arc::new(Self { name, answers, asked, takes, turn, pause })
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

impl Provider for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn take_pause(&self) -> Option<Duration> {
        self.pause.lock().unwrap().take()
    }
}

const COST: Usage = Usage { units: 10, micro_usd: Some(10_000) };

/// A question; an answer costs a cent. It is asked in turn.
struct Question;

impl Ask<Scripted> for Question {
    type Value = &'static str;

    fn ask<'a>(&'a self, provider: &'a Scripted) -> BoxFuture<'a, Result<&'static str, ProviderError>> {
        async {
            *provider.asked.lock().unwrap() += 1;
            let takes = *provider.takes.lock().unwrap();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let answer = provider.answers.lock().unwrap().pop_front();
            answer.unwrap_or(Ok(())).map(|()| provider.name)
        }
        .boxed()
    }

    fn turn<'a>(&'a self, provider: &'a Scripted, _: &'a Fleet) -> BoxFuture<'a, Result<Turn, Duration>> {
        let turn = Arc::clone(&provider.turn);
        async { Ok(turn.lock_owned().await.into()) }.boxed()
    }

    fn estimate(&self, _: &Scripted) -> Usage {
        COST
    }

    fn used(&self, _: &&'static str) -> Option<Usage> {
        Some(COST)
    }
}

fn transient() -> Result<(), ProviderError> {
    Err(ProviderError::Transient { service: "first", message: "500".to_owned(), retry_after: None })
}

fn parked() -> Result<(), ProviderError> {
    Err(ProviderError::Misconfigured { service: "first", message: "the key is refused".to_owned() })
}

fn rejected() -> Result<(), ProviderError> {
    Err(ProviderError::Rejected { service: "first", message: "no such product".to_owned() })
}

fn unable() -> Result<(), ProviderError> {
    Err(ProviderError::Unable { service: "first", message: "400 no schema".to_owned() })
}

fn deferred() -> Result<(), ProviderError> {
    Err(ProviderError::Deferred { service: "first", message: "451 greylisted".to_owned() })
}

struct World {
    fleet: Fleet,
    first: Arc<Scripted>,
    second: Arc<Scripted>,
    mock: Arc<Scripted>,
    service: Service<Scripted>,
}

/// A fleet that shares with nobody else.
fn fleet() -> Fleet {
    let url = servers::redis(RedisKind::Valkey).unwrap();
    let redis = Redis::open_within(url, &servers::prefix(), servers::PATIENCE).unwrap();
    // A machine that builds beside may be slow: that is no reason to let all calls go.
    Fleet::with_settings(&redis, Settings { answer_within: Duration::from_secs(20), ..Settings::default() })
}

/// A service that the variables make real, with two providers; the first gives these answers.
fn world(answers: impl IntoIterator<Item = Result<(), ProviderError>>) -> World {
    limited(answers, Limits::default(), None)
}

fn limited(
    answers: impl IntoIterator<Item = Result<(), ProviderError>>,
    limits: Limits,
    spending_cap: Option<u64>,
) -> World {
    let fleet = fleet();
    let first = Scripted::new("first", answers);
    let (second, mock) = (Scripted::new("second", []), Scripted::new("mock", []));
    let reals = vec![first.clone(), second.clone()];
    let shared =
        AllServices { fleet: fleet.clone(), spending_cap, plan_caps: Caps::default(), secrets: Secrets::default() };
    let service = Service::new(Name::Ai, true, reals, mock.clone(), Duration::from_secs(10)).sharing(&shared, limits);
    World { fleet, first, second, mock, service }
}

impl World {
    async fn call(&self, allow_fallback: bool, last_attempt: bool) -> Result<Answer<&'static str>, ProviderError> {
        let policy = Policy { allow_fallback, last_attempt, tenant: "acme", time: Duration::from_secs(10) };
        let answer = self.service.call(policy, &Question).await;
        // What came of it counts from now on.
        self.fleet.flush().await;
        answer
    }

    fn asked(&self) -> (u32, u32, u32) {
        (self.first.asked(), self.second.asked(), self.mock.asked())
    }
}

#[tokio::test]
async fn a_failure_passes_on_only_at_the_last_attempt_and_only_where_that_is_allowed() {
    let world = world([transient(), transient(), transient()]);
    assert_eq!(world.call(true, false).await.unwrap_err().code(), "provider_unavailable");
    assert_eq!(world.call(false, true).await.unwrap_err().code(), "provider_unavailable");
    let answer = world.call(true, true).await.unwrap();
    assert_eq!((answer.value, answer.provider), ("second", "second"));
    assert_eq!(answer.degraded_reason.as_deref(), Some("first: 500"));
    assert_eq!(world.asked(), (3, 1, 0));
    assert_eq!(world.call(true, false).await.unwrap().degraded_reason, None);
}

#[tokio::test]
async fn an_input_that_is_refused_goes_to_nobody_else_and_opens_no_breaker() {
    let world = world((0..20).map(|_| rejected()));
    for _ in 0..20 {
        assert_eq!(world.call(true, true).await.unwrap_err().code(), "provider_rejected");
    }
    assert_eq!(world.asked(), (20, 0, 0));
    assert_eq!(world.call(true, false).await.unwrap().provider, "first");
}

#[tokio::test]
async fn an_input_that_is_asked_for_later_opens_no_breaker() {
    let world = world((0..20).map(|_| deferred()));
    for _ in 0..20 {
        assert_eq!(world.call(false, false).await.unwrap_err().code(), "deferred");
    }
    assert_eq!(world.call(false, false).await.unwrap().provider, "first");
}

#[tokio::test]
async fn an_open_breaker_is_not_asked_through_and_holds_what_may_have_no_stand_in() {
    let world = world((0..9).map(|_| transient()));
    while world.call(false, false).await.unwrap_err().code() == "provider_unavailable" {}
    let asked = world.first.asked();
    let error = world.call(false, false).await.unwrap_err();
    let ProviderError::Held { hold: Hold::BreakerOpen, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(*retry_in > Duration::ZERO && *retry_in <= Duration::from_secs(30), "{retry_in:?}");
    let answer = world.call(true, false).await.unwrap();
    assert_eq!(answer.provider, "second");
    assert!(answer.degraded_reason.unwrap().contains("breaker of first is open"));
    assert_eq!(world.first.asked(), asked, "nobody asked it");
}

#[tokio::test]
async fn an_unusable_account_is_parked_for_all_at_once() {
    let world = world([parked()]);
    assert_eq!(world.call(true, false).await.unwrap().provider, "second");
    assert_eq!(world.call(false, false).await.unwrap_err().code(), "breaker_open");
    assert_eq!(world.asked(), (1, 1, 0));
}

#[tokio::test]
async fn a_wait_that_is_known_before_the_call_puts_the_job_off_also_where_a_stand_in_is_allowed() {
    let world = limited([], Limits { requests: Some(Limit::per_min(1)), units: None }, None);
    while let Ok(answer) = world.call(true, true).await {
        assert_eq!(answer.provider, "first");
        assert!(world.first.asked() < 10, "one in a minute");
    }
    let error = world.call(true, true).await.unwrap_err();
    let ProviderError::Held { hold: Hold::Limit, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(*retry_in > Duration::from_secs(2), "{retry_in:?}");
    assert_eq!((world.second.asked(), world.mock.asked()), (0, 0));
}

#[tokio::test]
async fn a_vendors_retry_after_holds_for_everybody() {
    let retry_after = Some(Duration::from_secs(40));
    let limited = ProviderError::RateLimited { service: "first", message: "429".to_owned(), retry_after };
    let world = world([Err(limited)]);
    assert_eq!(world.call(true, false).await.unwrap_err().code(), "rate_limited");
    let error = world.call(true, false).await.unwrap_err();
    let ProviderError::Held { hold: Hold::Limit, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(*retry_in > Duration::from_secs(30), "{retry_in:?}");
    assert_eq!(world.first.asked(), 1);
}

#[tokio::test]
async fn a_tenant_that_has_spent_its_money_gets_the_stand_in_and_others_do_not() {
    let world = limited([], Limits::default(), Some(25_000));
    for _ in 0..2 {
        assert_eq!(world.call(true, false).await.unwrap().provider, "first");
    }
    let answer = world.call(true, false).await.unwrap();
    assert_eq!(answer.provider, "mock");
    assert!(answer.degraded_reason.unwrap().contains("acme has spent"));
    let error = world.call(false, false).await.unwrap_err();
    let ProviderError::Held { hold: Hold::SpendingCap, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(*retry_in <= Duration::from_secs(24 * 3600 + 5));
    let policy = Policy { allow_fallback: false, last_attempt: false, tenant: "other", time: Duration::from_secs(10) };
    assert_eq!(world.service.call(policy, &Question).await.unwrap().provider, "first");
}

#[tokio::test]
async fn a_switch_takes_effect_at_the_next_call_and_a_mock_by_mode_is_not_degraded() {
    let world = world([]);
    assert_eq!(world.call(true, false).await.unwrap().provider, "first");
    world.fleet.switch(Some("ai"), Mode::Mock, "zoe", "budget").await.unwrap();
    let answer = world.call(false, false).await.unwrap();
    assert_eq!((answer.provider, answer.degraded_reason), ("mock", None));
    world.fleet.switch(None, Mode::Real, "zoe", "go live").await.unwrap();
    assert_eq!(world.call(true, false).await.unwrap().provider, "first");
}

#[tokio::test]
async fn what_is_switched_to_real_without_its_variables_is_degraded_or_waits() {
    let fleet = fleet();
    let shared = AllServices {
        fleet: fleet.clone(),
        spending_cap: None,
        plan_caps: Caps::default(),
        secrets: Secrets::default(),
    };
    let mock = Scripted::new("mock", []);
    let service = Service::new(Name::Images, true, Vec::new(), mock, Duration::from_secs(10));
    let service: Service<Scripted> = service.sharing(&shared, Limits::default());
    let policy =
        |allow_fallback| Policy { allow_fallback, last_attempt: false, tenant: "acme", time: Duration::from_secs(10) };
    assert_eq!(service.call(policy(true), &Question).await.unwrap().degraded_reason, None);
    fleet.switch(Some("images"), Mode::Real, "zoe", "forced").await.unwrap();
    let answer = service.call(policy(true), &Question).await.unwrap();
    assert!(answer.degraded_reason.unwrap().contains("not configured"));
    assert_eq!(service.call(policy(false), &Question).await.unwrap_err().code(), "not_configured");
}

#[tokio::test]
async fn healing_keeps_its_pace_and_says_when_to_come_again() {
    let config = Config::from_vars(|name| (name == "HEAL_PER_MIN").then(|| "3".to_owned()));
    let providers = Providers::from_config(&config, &fleet()).unwrap();
    let mut n_allowed = 0;
    let error = loop {
        match providers.pace_healing(Name::Ai).await {
            Ok(()) => n_allowed += 1,
            Err(error) => break error,
        }
        assert!(n_allowed < 10, "three in a minute");
    };
    let ProviderError::Held { hold: Hold::Limit, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(n_allowed == 3 && *retry_in > Duration::from_secs(2) && *retry_in <= Duration::from_secs(20), "{error:?}");
    assert!(providers.pace_healing(Name::Images).await.is_ok(), "each service has a pace of its own");
}

#[tokio::test]
async fn what_one_provider_cannot_do_goes_to_the_next_at_once_and_is_never_final() {
    let world = world((0..9).map(|_| unable()));
    let answer = world.call(true, false).await.unwrap();
    assert_eq!((answer.provider, answer.degraded_reason.as_deref()), ("second", Some("first: 400 no schema")));
    assert_eq!(world.call(false, false).await.unwrap_err().code(), "provider_unable");
    while world.call(false, false).await.unwrap_err().code() == "provider_unable" {}
    assert_eq!(world.call(false, false).await.unwrap_err().code(), "breaker_open", "it is left alone for a while");
}

#[tokio::test]
async fn the_reason_names_every_provider_that_was_asked() {
    let second = || ProviderError::Misconfigured { service: "second", message: "402 no money".to_owned() };
    let world = world([transient(), parked(), transient()]);
    world.second.answers.lock().unwrap().push_back(Err(second()));
    let answer = world.call(true, true).await.unwrap();
    assert_eq!(answer.provider, "mock");
    assert_eq!(answer.degraded_reason.as_deref(), Some("first: 500; second: 402 no money"));
    let answer = world.call(true, true).await.unwrap();
    let reason = answer.degraded_reason.unwrap();
    assert!(reason.starts_with("first: the key is refused; ai: breaker of second is open"), "{reason}");
}

#[tokio::test]
async fn the_reason_names_all_who_were_asked_before_the_one_that_answered_or_the_last_that_failed() {
    let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: Duration::from_secs(10) };
    let refused = || Err(ProviderError::Unable { service: "second", message: "422".to_owned() });
    let reals = || vec![Scripted::new("first", [parked()]), Scripted::new("second", [refused()])];
    let with = |third: Arc<Scripted>| [reals(), vec![third]].concat();
    let mock = || Scripted::new("mock", []);
    let service = Service::new(Name::Ai, true, with(Scripted::new("third", [])), mock(), Duration::from_secs(10));
    let answer = service.call(policy, &Question).await.unwrap();
    assert_eq!(answer.degraded_reason.as_deref(), Some("first: the key is refused; second: 422"));
    let broken = Scripted::new("broken", [transient()]);
    let service = Service::new(Name::Ai, true, reals(), mock(), Duration::from_secs(10)).with_stand_in(broken);
    let error = service.call(policy, &Question).await.unwrap_err();
    assert_eq!(error.to_string(), "first: 500; before: first: the key is refused; second: 422");
}

#[tokio::test]
async fn a_secret_that_a_vendor_quotes_is_in_no_error_and_in_no_reason() {
    let secret = "sk-proj-0123456789abcdef";
    let secrets = Config::from_vars(|name| (name == "OPENAI_API_KEY").then(|| secret.to_owned())).secrets;
    let shared = AllServices { fleet: Fleet::alone(), spending_cap: None, plan_caps: Caps::default(), secrets };
    let quoting = || Err(ProviderError::Unable { service: "first", message: format!("you sent {secret}") });
    let reals = vec![Scripted::new("first", [quoting(), quoting()])];
    let service = Service::new(Name::Ai, true, reals, Scripted::new("mock", []), Duration::from_secs(10))
        .sharing(&shared, Limits::default());
    let policy =
        |allow_fallback| Policy { allow_fallback, last_attempt: false, tenant: "acme", time: Duration::from_secs(10) };
    let reason = service.call(policy(true), &Question).await.unwrap().degraded_reason;
    assert_eq!(reason.as_deref(), Some("first: you sent [secret]"));
    let error = service.call(policy(false), &Question).await.unwrap_err().to_string();
    assert_eq!(error, "first: you sent [secret]");
}

#[tokio::test]
async fn what_headers_ask_for_is_no_longer_than_an_hour() {
    let world = world([]);
    *world.first.pause.lock().unwrap() = Some(Duration::MAX);
    assert_eq!(world.call(false, false).await.unwrap().provider, "first");
    let error = world.call(false, false).await.unwrap_err();
    let ProviderError::Held { hold: Hold::Limit, retry_in, .. } = &error else { panic!("{error:?}") };
    assert!(*retry_in <= Duration::from_secs(3600) && *retry_in > Duration::from_secs(1800), "{retry_in:?}");
}

#[tokio::test]
async fn an_error_tells_what_those_said_who_were_asked_before() {
    let world = world([parked()]);
    let refused = ProviderError::Rejected { service: "second", message: "not about knives".to_owned() };
    world.second.answers.lock().unwrap().push_back(Err(refused));
    let error = world.call(true, false).await.unwrap_err();
    assert_eq!(error.to_string(), "second: not about knives; before: first: the key is refused");
}

#[tokio::test]
async fn no_strangers_number_parks_an_account_for_longer_than_an_hour() {
    let hour = Duration::from_secs(3600);
    for retry_after in [Duration::from_secs(999_999_999), Duration::from_secs(u64::MAX)] {
        let message = || "busy".to_owned();
        let limited =
            ProviderError::RateLimited { service: "first", message: message(), retry_after: Some(retry_after) };
        let transient =
            ProviderError::Transient { service: "first", message: message(), retry_after: Some(retry_after) };
        for error in [limited, transient] {
            let world = world([Err(error)]);
            let told = match world.call(true, false).await.unwrap_err() {
                ProviderError::RateLimited { retry_after, .. } | ProviderError::Transient { retry_after, .. } => {
                    retry_after
                }
                error => panic!("{error:?}"),
            };
            assert_eq!(told, Some(hour));
            let error = world.call(true, false).await.unwrap_err();
            let ProviderError::Held { hold: Hold::Limit, retry_in, .. } = &error else { panic!("{error:?}") };
            assert!(*retry_in <= hour && *retry_in > hour / 2, "{retry_in:?}");
        }
    }
}

#[tokio::test]
async fn waiting_for_ones_turn_is_no_failure_of_the_service() {
    let world = world([]);
    *world.first.takes.lock().unwrap() = Duration::from_millis(350);
    let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: Duration::from_secs(216) };
    // A call may take 10 s, and the last of these waits for longer.
    let calls = (0..32).map(|_| world.service.call(policy, &Question));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap().provider, "first");
    }
    world.fleet.flush().await;
    assert_eq!(world.fleet.health("ai").await.unwrap().succeeded_1h, 32);
}

#[tokio::test]
async fn whoever_does_not_get_its_turn_comes_again_and_nobody_was_asked() {
    let world = world([]);
    let _taken = world.first.turn.clone().lock_owned().await;
    let time = Duration::from_millis(20);
    let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time };
    let error = world.service.call(policy, &Question).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Held { hold: Hold::Turn, .. }), "{error:?}");
    assert_eq!(world.asked(), (0, 0, 0));
    let health = world.fleet.health("ai").await.unwrap();
    assert_eq!((health.calls_1h, health.breaker), (0, fleet::BreakerState::Closed));
}

#[tokio::test]
async fn the_money_of_a_cancelled_call_is_given_back() {
    let world = limited([], Limits::default(), Some(10_000));
    *world.first.takes.lock().unwrap() = Duration::from_secs(3600);
    for n_asked in 0..3 {
        let mut call = Box::pin(world.call(false, false));
        while world.first.asked() == n_asked {
            assert!(tokio::time::timeout(Duration::from_millis(20), &mut call).await.is_err(), "it takes an hour");
        }
        drop(call);
        world.fleet.flush().await;
    }
    assert_eq!(world.fleet.health("ai").await.unwrap().calls_1h, 0, "it says nothing of the provider");
    *world.first.takes.lock().unwrap() = Duration::ZERO;
    assert_eq!(world.call(false, false).await.unwrap().provider, "first", "nothing was spent before");
    assert_eq!(world.call(false, false).await.unwrap_err().code(), "spending_cap");
}

#[tokio::test]
async fn a_call_that_failed_or_was_not_let_through_costs_nothing() {
    let failing = limited([transient(), transient()], Limits::default(), Some(10_000));
    for _ in 0..2 {
        assert_eq!(failing.call(false, false).await.unwrap_err().code(), "provider_unavailable");
    }
    assert_eq!(failing.call(false, false).await.unwrap().provider, "first");
    let limits = Limits { requests: Some(Limit::per_min(1)), units: None };
    let held = limited([], limits, Some(100_000));
    while held.call(false, false).await.is_ok() {}
    for _ in 0..12 {
        assert_eq!(held.call(false, false).await.unwrap_err().code(), "rate_limited");
    }
}

#[tokio::test]
async fn what_stands_in_is_not_the_mock_where_the_mock_would_lie() {
    let (mock, nothing) = (Scripted::new("mock", []), Scripted::new("nothing", []));
    let reals = vec![Scripted::new("only", [parked()])];
    let service =
        Service::new(Name::Scraping, true, reals, mock.clone(), Duration::from_secs(10)).with_stand_in(nothing);
    let policy = Policy { allow_fallback: true, last_attempt: false, tenant: "acme", time: Duration::from_secs(10) };
    let answer = service.call(policy, &Question).await.unwrap();
    assert_eq!((answer.provider, answer.degraded_reason.is_some(), mock.asked()), ("nothing", true, 0));
    let mocked = Service::new(Name::Scraping, false, Vec::new(), mock, Duration::from_secs(10))
        .with_stand_in(Scripted::new("nothing", []));
    let answer = mocked.call(policy, &Question).await.unwrap();
    assert_eq!((answer.value, answer.provider, answer.degraded_reason), ("mock", "mock", None));
}
