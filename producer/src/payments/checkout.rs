//! Where a tenant subscribes.

use std::collections::BTreeMap;

use api::FieldError;
use jobs::payments::{goes_on, state_of, way_on};
use providers::{
    ProviderError,
    payments::{NewSession, Session, SessionStatus, Subscription, Trial, WithoutCard},
};
use store::{StoredSubscription, SubscriptionState};

use super::{
    customer::{Customers, carry_out, key},
    desk::{Desk, Offer, no_offer, offer},
    refusal::{conflict, problem},
};
use crate::answer::Problem;

/// When others open and close checkouts of the same tenant at the same time.
const TRIES: u32 = 5;

/// A checkout that somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    /// Who subscribes.
    pub(crate) tenant: &'a str,
    /// The name of an offer.
    pub(crate) plan: &'a str,
    /// Before the first payment.
    pub(crate) trial_days: Option<u32>,
    /// Whether the trial begins without a payment method.
    pub(crate) without_card: bool,
    /// Where the customer comes back to with a subscription.
    pub(crate) success_url: String,
    /// And without.
    pub(crate) cancel_url: String,
}

impl Ask<'_> {
    fn trial(&self) -> Option<Trial> {
        let without_card = self.without_card.then_some(WithoutCard::Pause);
        self.trial_days.map(|days| Trial { days, without_card })
    }

    /// What tells one checkout from another, beside its addresses.
    fn metadata<'m>(&self, offer: &'m Offer, days: &'m str) -> BTreeMap<&'m str, &'m str> {
        let without_card = if self.without_card { "true" } else { "false" };
        BTreeMap::from([
            ("plan", offer.plan.as_str()),
            ("price", offer.price.id.as_str()),
            ("trial_days", days),
            ("without_card", without_card),
        ])
    }
}

/// An open checkout.
pub(crate) struct Opened {
    pub(crate) session: Session,
    /// Whether it was not open before.
    pub(crate) is_new: bool,
}

impl Desk {
    /// Opens a checkout, or finds the one that is open. A tenant has one open at a time: those for something else are closed.
    ///
    /// # Errors
    /// What is wrong with what is asked for; that the tenant has subscribed already; that Stripe or MongoDB is away.
    pub(crate) async fn checkout(&self, ask: &Ask<'_>) -> Result<Opened, Problem> {
        let offers = self.offers().await;
        // What is wrong is told whole, also while Stripe is away.
        let plan = offers.as_ref().ok().and_then(|offers| no_offer(offers, ask.plan));
        let errors: Vec<_> = plan.into_iter().chain(self.faults(ask)).collect();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        let offer = offer(offers?, ask.plan)?;
        let kept = self.kept(ask.tenant).await?;
        let customers = self.customers(ask.tenant, kept.as_ref()).await?;
        let customer = customers.first.clone();
        let calls = self.calls(ask.tenant);
        let days = ask.trial_days.map(|days| days.to_string()).unwrap_or_default();
        let new = NewSession {
            customer: &customer,
            tenant: ask.tenant,
            price: &offer.price.id,
            trial: ask.trial(),
            success_url: &ask.success_url,
            cancel_url: &ask.cancel_url,
            locale: None,
            expires_at: None,
            metadata: ask.metadata(&offer, &days),
        };
        let (new, customer) = (&new, &customer);
        for _ in 0..TRIES {
            // Before the subscriptions: one that is completed meanwhile is among those.
            let (before, subscriptions) = self.of_all(ask.tenant, &customers).await.map_err(|error| problem(&error))?;
            self.refuse_subscribed(ask.tenant, &subscriptions).await?;
            refuse_second_trial(ask, kept.as_ref(), &subscriptions)?;
            if let Some(session) = before.iter().find(|session| is_for(session, new)) {
                if self.close_others(ask.tenant, session, &before).await? {
                    self.refuse_second(ask.tenant, &customers, session).await?;
                }
                return Ok(Opened { session: session.clone(), is_new: false });
            }
            self.close_those_of_others(ask.tenant, customer, &before).await?;
            // Whoever asks for the same at the same time sees the same last one, and gets the same new one.
            let last = before.iter().find(|session| session.customer.as_deref() == Some(customer));
            let last = last.map(|session| session.id.as_str()).unwrap_or_default();
            let parts = [customer, &offer.price.id, &days, new.metadata["without_card"], &ask.success_url];
            let key = key(&[&["checkout", ask.tenant, &ask.cancel_url, last], &parts[..]].concat());
            let write = |key: String| async move { calls.create_session(&key, new).await };
            let look =
                || async move { Ok(calls.sessions(customer).await?.into_iter().find(|session| is_for(session, new))) };
            let made = carry_out(&key, write, look).await.map_err(|error| problem(&error))?;
            let after = calls.sessions(customer).await.map_err(|error| problem(&error))?;
            // What is answered for a key is as it was then, and may be closed by now.
            if let Some(at) = after.iter().position(|session| session.id == made.id && is_for(session, new)) {
                // Of several that are opened at the same time, the newest stays.
                self.close_others(ask.tenant, &made, &after[at..]).await?;
                self.refuse_second(ask.tenant, &customers, &made).await?;
                tracing::info!(tenant = ask.tenant, plan = ask.plan, session = made.id, "a checkout is open");
                return Ok(Opened { session: after[at].clone(), is_new: true });
            }
        }
        Err(conflict("others open and close checkouts of this tenant at the same time; try again"))
    }

    /// What can be told to be wrong without asking anybody.
    fn faults(&self, ask: &Ask<'_>) -> Vec<FieldError> {
        let days = match (ask.trial_days, self.trial_days) {
            (Some(_), None) => Some("must be absent: there are no trials".to_owned()),
            (Some(days), Some(most)) if !(1..=most).contains(&days) => Some(format!("must be from 1 to {most}")),
            _ => None,
        };
        let days = days.map(|message| FieldError::new("/trial_days", message));
        let without_card = (ask.without_card && ask.trial_days.is_none())
            .then(|| FieldError::new("/without_card", "needs trial_days: what is paid at once needs a payment method"));
        let addresses = [("/success_url", &ask.success_url), ("/cancel_url", &ask.cancel_url)];
        let addresses = addresses.into_iter().filter_map(|(pointer, address)| self.hosts.check(pointer, address));
        days.into_iter().chain(without_card).chain(addresses).collect()
    }

    /// The checkouts of a tenant, those of the customer that it has first, newest first; and then, so that none is missed that is completed
    /// meanwhile, its subscriptions.
    async fn of_all(
        &self,
        tenant: &str,
        customers: &Customers,
    ) -> Result<(Vec<Session>, Vec<Subscription>), ProviderError> {
        let (calls, mut sessions) = (self.calls(tenant), Vec::new());
        for customer in customers.all() {
            sessions.extend(calls.sessions(customer).await?);
        }
        Ok((sessions, self.subscriptions(tenant, customers).await?))
    }

    async fn subscriptions(&self, tenant: &str, customers: &Customers) -> Result<Vec<Subscription>, ProviderError> {
        let (calls, mut subscriptions) = (self.calls(tenant), Vec::new());
        for customer in customers.all() {
            subscriptions.extend(calls.subscriptions(Some(customer), None).await?.items);
        }
        Ok(subscriptions)
    }

    /// A second subscription would be paid beside the first.
    async fn refuse_subscribed(&self, tenant: &str, subscriptions: &[Subscription]) -> Result<(), Problem> {
        let Some(found) = subscriptions.iter().find(|found| goes_on(found)) else { return Ok(()) };
        // Whoever looks next sees it, also where no webhook has told of it.
        self.read_again(tenant, &found.customer).await;
        Err(subscribed(found))
    }

    /// After others were closed: one that was completed before it could be is a subscription by now. Then this checkout, of which nobody knows
    /// yet, is closed.
    async fn refuse_second(&self, tenant: &str, customers: &Customers, session: &Session) -> Result<(), Problem> {
        let subscriptions = self.subscriptions(tenant, customers).await.map_err(|error| problem(&error))?;
        let refused = self.refuse_subscribed(tenant, &subscriptions).await;
        if refused.is_err() {
            self.close(tenant, vec![session]).await?;
        }
        refused
    }

    /// Closes the tenant's open checkouts among these but for one: somebody could subscribe twice. Whether there were others.
    async fn close_others(&self, tenant: &str, session: &Session, sessions: &[Session]) -> Result<bool, Problem> {
        self.close(tenant, sessions.iter().filter(|other| other.id != session.id).collect()).await
    }

    /// The same for those of its other customers.
    async fn close_those_of_others(&self, tenant: &str, customer: &str, sessions: &[Session]) -> Result<bool, Problem> {
        let others = sessions.iter().filter(|other| other.customer.as_deref() != Some(customer));
        self.close(tenant, others.collect()).await
    }

    async fn close(&self, tenant: &str, sessions: Vec<&Session>) -> Result<bool, Problem> {
        let is_ours = |other: &&Session| other.client_reference_id.as_deref() == Some(tenant);
        let mut any = false;
        for other in sessions.into_iter().filter(|other| other.status == SessionStatus::Open).filter(is_ours) {
            let (calls, id) = (self.calls(tenant), &other.id);
            let write = |key: String| async move { calls.expire_session(&key, id).await };
            // `None`: somebody has completed it meanwhile.
            let closed = carry_out(&key(&["close", id]), write, || async { Ok(None) }).await;
            closed.map_err(|error| problem(&error))?;
            any = true;
        }
        Ok(any)
    }
}

/// Whether it is open, and for the same as the new one would be.
fn is_for(session: &Session, new: &NewSession<'_>) -> bool {
    let is_same = |(name, value): (&&str, &&str)| session.metadata.get(*name).map(String::as_str) == Some(*value);
    session.status == SessionStatus::Open
        && session.url.is_some()
        && session.customer.as_deref() == Some(new.customer)
        && session.client_reference_id.as_deref() == Some(new.tenant)
        && session.success_url.as_deref() == Some(new.success_url)
        && session.cancel_url.as_deref() == Some(new.cancel_url)
        && new.metadata.iter().all(is_same)
}

/// That there is a subscription, and what can be done with it as it is.
fn subscribed(found: &Subscription) -> Problem {
    let state = state_of(&found.status);
    let how = match state {
        Some(SubscriptionState::Active | SubscriptionState::Trialing) => {
            "POST /api/payments/change changes its plan, and /api/payments/resume takes back that it ends"
        }
        Some(state) => way_on(state),
        None => "POST /api/payments/portal gives a page that shows it",
    };
    conflict(format!("the tenant has a subscription already, which is {}: {how}", found.status.as_str()))
}

fn refuse_second_trial(
    ask: &Ask<'_>,
    kept: Option<&StoredSubscription>,
    subscriptions: &[Subscription],
) -> Result<(), Problem> {
    let had_one = kept.is_some_and(|kept| kept.trial_used || kept.subscription.is_some()) || !subscriptions.is_empty();
    if ask.trial_days.is_none() || !had_one {
        return Ok(());
    }
    let message = "must be absent: a tenant has one trial, and this one has subscribed before";
    Err(Problem::invalid(vec![FieldError::new("/trial_days", message)]))
}

#[cfg(test)]
mod tests {
    use providers::payments::Subscription;
    use serde_json::{Value, json};

    use super::*;

    fn subscription(status: &str) -> Subscription {
        Subscription::read(&json!({ "id": "sub_1", "customer": "cus_1", "status": status })).unwrap()
    }

    fn told(problem: Problem) -> Value {
        serde_json::to_value(problem).unwrap()
    }

    #[test]
    fn who_has_a_subscription_is_told_what_can_be_done_with_it_as_it_is() {
        for (status, calls) in [
            ("trialing", &["change", "resume"][..]),
            ("active", &["change", "resume"]),
            ("past_due", &["portal"]),
            ("unpaid", &["portal", "cancel", "checkout"]),
            ("paused", &["portal", "resume"]),
            ("hibernating", &["portal"]),
        ] {
            let problem = told(subscribed(&subscription(status)));
            assert_eq!(problem["status"], 409, "{status}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(status), "{detail}");
            for call in ["change", "resume", "portal", "cancel", "checkout"] {
                let named = detail.contains(&format!("/api/payments/{call}"));
                assert_eq!(named, calls.contains(&call), "{call}: {detail}");
            }
        }
    }

    fn ask(trial_days: Option<u32>) -> Ask<'static> {
        Ask {
            tenant: "acme",
            plan: "pro",
            trial_days,
            without_card: false,
            success_url: "https://app.example/ok".to_owned(),
            cancel_url: "https://app.example/no".to_owned(),
        }
    }

    #[test]
    fn a_tenant_has_one_trial() {
        let none = StoredSubscription::none("acme", store::Moment::from_ms(1));
        let used = StoredSubscription { trial_used: true, ..none.clone() };
        let ended = StoredSubscription { subscription: Some("sub_1".to_owned()), ..none.clone() };
        assert!(refuse_second_trial(&ask(Some(14)), None, &[]).is_ok());
        assert!(refuse_second_trial(&ask(Some(14)), Some(&none), &[]).is_ok());
        for kept in [&used, &ended] {
            let problem = told(refuse_second_trial(&ask(Some(14)), Some(kept), &[]).unwrap_err());
            assert_eq!((&problem["status"], &problem["errors"][0]["pointer"]), (&json!(422), &json!("/trial_days")));
            assert!(refuse_second_trial(&ask(None), Some(kept), &[]).is_ok());
        }
        assert!(refuse_second_trial(&ask(Some(14)), None, &[subscription("canceled")]).is_err());
    }

    #[test]
    fn an_open_checkout_is_found_again_by_what_it_is_for() {
        let ask = ask(Some(14));
        let price = json!({ "id": "price_pro", "active": true, "currency": "eur", "unit_amount": 2900 });
        let offer = Offer { plan: "pro".to_owned(), price: providers::payments::Price::read(&price).unwrap() };
        let new = NewSession {
            customer: "cus_1",
            tenant: "acme",
            price: "price_pro",
            trial: ask.trial(),
            success_url: &ask.success_url,
            cancel_url: &ask.cancel_url,
            locale: None,
            expires_at: None,
            metadata: ask.metadata(&offer, "14"),
        };
        let open = json!({ "id": "cs_1", "status": "open", "url": "https://stripe.example/c", "customer": "cus_1", "client_reference_id": "acme",
            "success_url": "https://app.example/ok", "cancel_url": "https://app.example/no",
            "metadata": { "tenant": "acme", "plan": "pro", "price": "price_pro", "trial_days": "14", "without_card": "false" } });
        assert!(is_for(&Session::read(&open).unwrap(), &new));
        for (pointer, value) in [
            ("/status", "expired"),
            ("/customer", "cus_2"),
            ("/client_reference_id", "bolt"),
            ("/success_url", "https://app.example/other"),
            ("/metadata/plan", "premium"),
            ("/metadata/price", "price_old"),
            ("/metadata/trial_days", ""),
            ("/metadata/without_card", "true"),
        ] {
            let mut other = open.clone();
            *other.pointer_mut(pointer).unwrap() = json!(value);
            assert!(!is_for(&Session::read(&other).unwrap(), &new), "{pointer}");
        }
    }
}
