//! Our client against the stand-in: the calls, and what becomes of them when it fails.

use std::{collections::BTreeMap, time::Duration};

use fleet::{BreakerState, Fleet, Settings};
use providers::{
    Policy, ProviderError, Providers,
    payments::{
        Calls, ChangePrice, InvoiceStatus, NewCustomer, NewSession, Payments, Proration, SessionStatus, Status, Trial,
        WhichEvents, WithoutCard, simulation::Card,
    },
    probe,
};
use servers::{PATIENCE, RedisKind, wait_until};
use services::{Config, Name};
use tests::standins::{Fault, stripe::Stripe};

use super::{KEY, stripe};

fn config(stripe: &Stripe, changes: &[(&str, &str)]) -> Config {
    let url = stripe.url();
    Config::from_vars(|name| {
        let changed = changes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let value = changed.or(match name {
            "MOCK_MODE_PAYMENTS" => Some("false"),
            "STRIPE_API_KEY" => Some(KEY),
            "STRIPE_BASE_URL" => Some(url.as_str()),
            "STRIPE_WEBHOOK_SECRET" => Some("whsec_standin"),
            "STRIPE_PRICE_ID_PRO" => Some("price_pro"),
            "STRIPE_PRICE_ID_PREMIUM" => Some("price_premium"),
            "STRIPE_PUBLISHABLE_KEY" => Some("pk_test_standin"),
            _ => None,
        });
        value.map(str::to_owned)
    })
}

fn providers(stripe: &Stripe) -> Providers {
    Providers::from_config(&config(stripe, &[]), &Fleet::alone()).unwrap()
}

fn calls(payments: &Payments) -> Calls<'_> {
    payments.calls(Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: Duration::from_secs(10) })
}

const NEW: NewCustomer<'_> = NewCustomer { tenant: "acme", email: Some("a@shop.example"), name: Some("Acmé") };

fn session(customer: &str, trial: Option<Trial>) -> NewSession<'_> {
    NewSession {
        customer,
        tenant: "acme",
        price: "price_pro",
        trial,
        success_url: "https://app.example/ok?s={CHECKOUT_SESSION_ID}",
        cancel_url: "https://app.example/no",
        locale: Some("fr"),
        expires_at: None,
        metadata: BTreeMap::from([("plan", "pro")]),
    }
}

#[tokio::test]
async fn all_calls_work_from_the_first_customer_to_the_last_invoice() {
    let stripe = stripe().await;
    let Providers { payments, .. } = providers(&stripe);
    assert!(payments.is_real() && payments.livemode == Some(false));
    let calls = calls(&payments);
    let customer = calls.create_customer("k1", &NEW).await.unwrap();
    assert_eq!(calls.create_customer("k1", &NEW).await.unwrap().id, customer.id, "one key makes one customer");
    assert_eq!(calls.customer(&customer.id).await.unwrap().as_ref(), Some(&customer));
    assert_eq!(calls.customers_of("acme").await.unwrap(), std::slice::from_ref(&customer));
    assert_eq!(calls.customers(Some("a@shop.example"), None).await.unwrap().items.len(), 1);
    assert_eq!(calls.customer("cus_x").await.unwrap(), None);
    let id = customer.id.as_str();

    let trial = Some(Trial { days: 14, without_card: Some(WithoutCard::Pause) });
    let first = calls.create_session("k2", &session(id, trial)).await.unwrap();
    assert_eq!((&first.status, first.metadata["plan"].as_str()), (&SessionStatus::Open, "pro"));
    assert_eq!(calls.sessions(id).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(calls.expire_session("k3", &first.id).await.unwrap().unwrap().status, SessionStatus::Expired);
    assert_eq!(calls.expire_session("k4", &first.id).await.unwrap(), None);
    assert_eq!(calls.sessions(id).await.unwrap()[0].status, SessionStatus::Expired);

    let second = calls.create_session("k5", &session(id, trial)).await.unwrap();
    let subscription = stripe.complete(&second.id);
    let complete = calls.session(&second.id).await.unwrap().unwrap();
    assert_eq!(
        (complete.subscription.as_deref(), complete.payment_status.as_str()),
        (Some(subscription.as_str()), "no_payment_required")
    );
    let read = async || calls.subscription(&subscription).await.unwrap().unwrap();
    assert_eq!((read().await.status, read().await.tenant.as_deref()), (Status::Trialing, Some("acme")));
    assert_eq!(read().await.trial_end, read().await.current_period_end);
    stripe.advance_days(20);
    assert_eq!(calls.subscriptions(Some(id), None).await.unwrap().items, [read().await]);

    let item = read().await.item.unwrap();
    let at = chrono::DateTime::from_timestamp(stripe.with(|simulation| simulation.now_s()), 0);
    let change = ChangePrice {
        subscription: &subscription,
        item: &item,
        price: "price_premium",
        proration: Proration::AlwaysInvoice,
        proration_date: at,
    };
    let preview = calls.preview(&change).await.unwrap();
    assert!(preview.lines.len() == 2 && preview.lines.iter().all(|line| line.is_proration), "{preview:?}");
    stripe.set_card(id, Card::Declining);
    let declined = calls.change_price("k6", &change).await.unwrap().unwrap_err().to_string();
    assert!(
        declined.contains("the payment was declined (generic_decline)") && declined.contains("another payment method"),
        "{declined}"
    );
    stripe.set_card(id, Card::Good);
    let changed = calls.change_price("k7", &change).await.unwrap().unwrap();
    assert_eq!(changed.price.as_deref(), Some("price_premium"));
    let invoice = calls.invoice(changed.latest_invoice.as_deref().unwrap()).await.unwrap().unwrap();
    assert_eq!((&invoice.amount_due, &invoice.status), (&preview.amount_due, &InvoiceStatus::Paid));
    assert_eq!(
        (invoice.subscription.as_deref(), invoice.tenant.as_deref()),
        (Some(subscription.as_str()), Some("acme"))
    );
    assert_eq!(calls.invoices(id, None).await.unwrap().items.len(), 3);

    assert!(calls.cancel_at_period_end("k8", &subscription, None).await.unwrap().cancel_at.is_some());
    assert!(!calls.resume("k9", &subscription).await.unwrap().cancel_at_period_end);
    assert!(
        calls.create_portal_session("k10", id, "https://app.example/", None).await.unwrap().url.starts_with("http")
    );
    assert_eq!(calls.cancel_now(&subscription, None).await.unwrap().unwrap().status, Status::Canceled);
    assert_eq!(calls.cancel_now(&subscription, None).await.unwrap(), None);
    assert_eq!(read().await.status, Status::Canceled, "it can still be read");

    let price = calls.price("price_premium").await.unwrap().unwrap();
    assert_eq!(
        (price.unit_amount.unwrap().amount.to_string().as_str(), price.product_name.as_deref()),
        ("99.00", Some("Premium"))
    );
    let kinds = ["customer.subscription.deleted", "invoice.paid"];
    let events = calls.events(WhichEvents { kinds: &kinds, since: at, undelivered: true }, None).await.unwrap();
    assert_eq!(events.items[0].kind, "customer.subscription.deleted");
    assert_eq!(calls.event(&events.items[0].id).await.unwrap().as_ref(), Some(&events.items[0]));
}

#[tokio::test]
async fn what_fails_is_told_apart_by_whether_it_may_have_been_done() {
    let stripe = stripe().await;
    for (fault, code) in [
        (Fault::DropBefore, "unknown_outcome"),
        (Fault::DropAfter, "unknown_outcome"),
        (Fault::HalfBody, "unknown_outcome"),
        (Fault::WrongType, "unknown_outcome"),
        (Fault::status(500), "unknown_outcome"),
        (Fault::status(424), "provider_unavailable"),
        (Fault::status(409), "deferred"),
    ] {
        // Each with a breaker of its own, which would open otherwise.
        let Providers { payments, .. } = providers(&stripe);
        let calls = calls(&payments);
        stripe.faults().next(1, fault.clone());
        let error = calls.create_customer(&format!("{fault:?}"), &NEW).await.unwrap_err();
        assert_eq!(error.code(), code, "{fault:?}: {error}");
        let before = stripe.objects("cus_").len();
        let again = calls.create_customer(&format!("{fault:?}"), &NEW).await.unwrap();
        let added = stripe.objects("cus_").len() - before;
        assert_eq!(
            added,
            usize::from(!matches!(fault, Fault::DropAfter | Fault::HalfBody | Fault::WrongType)),
            "{fault:?}"
        );
        assert!(calls.customer(&again.id).await.unwrap().is_some());
        stripe.faults().next(1, fault.clone());
        let read = calls.customer(&again.id).await.unwrap_err();
        assert!(
            matches!(read, ProviderError::Transient { .. } | ProviderError::Deferred { .. }),
            "{fault:?}: {read:?}"
        );
    }
    let Providers { payments, .. } = providers(&stripe);
    let calls = calls(&payments);
    stripe.with(|simulation| simulation.break_next(500));
    assert_eq!(calls.create_customer("stored", &NEW).await.unwrap_err().code(), "unknown_outcome");
    let replayed = calls.create_customer("stored", &NEW).await.unwrap_err();
    assert!(replayed.to_string().contains("stored for the idempotency key \"stored\""), "{replayed}");
    let other = NewCustomer { name: None, ..NEW };
    calls.create_customer("k", &NEW).await.unwrap();
    let mismatch = calls.create_customer("k", &other).await.unwrap_err();
    assert!(mismatch.code() == "provider_rejected" && mismatch.to_string().contains("another key"), "{mismatch}");
    stripe.faults().next(1, Fault::retry_after(429, 7));
    assert_eq!(calls.customers(None, None).await.unwrap_err().code(), "rate_limited");
}

#[tokio::test]
async fn the_probe_finds_what_is_wrong_with_key_mode_and_prices() {
    let stripe = stripe().await;
    let probed = async |changes: &[(&str, &str)]| probe(&config(&stripe, changes), Name::Payments, false).await;
    assert!(probed(&[]).await.unwrap().is_ok());
    assert_eq!(probed(&[("STRIPE_API_KEY", "")]).await, None, "nobody can ask");
    for (changes, told) in [
        (&[("STRIPE_API_KEY", "sk_test_other")][..], "STRIPE_API_KEY is refused"),
        (&[("STRIPE_PRICE_ID_PREMIUM", "price_x")], "STRIPE_PRICE_ID_PREMIUM: No such price"),
        (&[("STRIPE_BASE_URL", "http://127.0.0.1:1")], "cannot be reached"),
    ] {
        let said = probed(changes).await.unwrap().unwrap_err();
        assert!(said.contains(told) && !said.contains("sk_test_other"), "{said}");
    }
    stripe.with(|simulation| simulation.withdraw_price("price_pro"));
    assert!(probed(&[]).await.unwrap().unwrap_err().contains("price_pro is archived"));
}

/// What replicas share.
fn shared() -> Fleet {
    let url = servers::redis(RedisKind::Valkey).unwrap();
    let redis = fleet::Redis::open_within(url, &servers::prefix(), servers::PATIENCE).unwrap();
    Fleet::with_settings(&redis, Settings { answer_within: Duration::from_secs(20), ..Settings::default() })
}

#[tokio::test]
async fn a_right_that_is_missing_fails_one_call_and_stops_no_other() {
    let stripe = Stripe::start(0, "rk_test_standin", &["price_pro", "price_premium"]).await.unwrap();
    let (fleet, config) = (shared(), config(&stripe, &[("STRIPE_API_KEY", "rk_test_standin")]));
    let Providers { payments, .. } = Providers::from_config(&config, &fleet).unwrap();
    assert!(probe(&config, Name::Payments, false).await.unwrap().is_ok());
    stripe.faults().on("/v1/events", None, Fault::status(403));
    let calls = calls(&payments);
    for _ in 0..20 {
        let error = calls.events(WhichEvents::default(), None).await.unwrap_err();
        assert!(matches!(error, ProviderError::NoRight { .. }), "{error:?}");
        assert!(error.to_string().contains("may not do GET /v1/events: give a restricted key this right"), "{error}");
    }
    wait_until("the calls are counted", PATIENCE, async || fleet.health("payments").await.unwrap().calls_1h >= 20)
        .await;
    assert_eq!(fleet.health("payments").await.unwrap().breaker, BreakerState::Closed);
    assert!(calls.price("price_pro").await.unwrap().is_some());
    let said = probe(&config, Name::Payments, false).await.unwrap().unwrap_err();
    assert!(said.contains("STRIPE_API_KEY may not do GET /v1/events"), "the status tells it: {said}");
}

#[tokio::test]
async fn a_replica_with_a_key_of_yesterday_stops_no_other() {
    let stripe = stripe().await;
    let fleet = shared();
    let with = |key| Providers::from_config(&config(&stripe, &[("STRIPE_API_KEY", key)]), &fleet).unwrap();
    let (old, new) = (with("sk_test_yesterday"), with(KEY));
    assert_eq!(calls(&old.payments).price("price_pro").await.unwrap_err().code(), "provider_misconfigured");
    let is_parked = async || calls(&old.payments).price("price_pro").await.unwrap_err().code() == "breaker_open";
    wait_until("it is parked", PATIENCE, is_parked).await;
    assert!(calls(&new.payments).price("price_pro").await.unwrap().is_some());
    let BreakerState::Open { reason, .. } = fleet.health("payments").await.unwrap().breaker else {
        panic!("the status shows that one of them is refused")
    };
    assert!(reason.contains("STRIPE_API_KEY is refused") && !reason.contains("yesterday"), "{reason}");
}

#[tokio::test]
async fn the_mode_decides_who_is_asked_and_nothing_of_the_mock_is_there_in_real_mode() {
    let stripe = stripe().await;
    let Providers { payments, .. } = providers(&stripe);
    let mock = Providers::from_config(&Config::mock(), &Fleet::alone()).unwrap();
    let made = calls(&mock.payments).create_customer("k", &NEW).await.unwrap();
    assert!(providers::payments::is_mock(&made.id) && !mock.payments.is_real() && !mock.is_real(Name::Payments));
    assert_eq!(calls(&payments).customer(&made.id).await.unwrap(), None);
    let unset = Config::from_vars(|name| (name == "MOCK_MODE").then(|| "false".to_owned()));
    let unset = Providers::from_config(&unset, &Fleet::alone()).unwrap();
    assert!(!unset.payments.is_real(), "without its variables it stays mock");
    assert_eq!(unset.payments.publishable_key, None);
}
