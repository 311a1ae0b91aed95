//! Stands in for Stripe without a key: all calls work, and no money moves. Its ids have `mock` in them, so that nothing of it counts
//! once payments are real.

use std::sync::Arc;

use fleet::Clock;
use futures::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use services::{Config, Links};
use sha2::{Digest, Sha256};

use super::{
    gateway::{Gateway, Method, Refusal, Reply, Request},
    shelf::Shelf,
    simulation::{Answered, Card, Params, Refused, Settings, Simulation},
};
use crate::{chain::Provider, error::ProviderError};

const NAME: &str = "mock";
/// Behind the type in all its ids; then the name of the customer's shelf place.
const MARK: &str = "mock";
const NAME_LETTERS: usize = 10;
/// What can be listed of all customers.
const LISTS: [&str; 6] = ["customers", "customers/search", "checkout/sessions", "subscriptions", "invoices", "events"];
/// When others changed the same customer at the same time.
const TRIES: usize = 20;
/// Below the public address of the API.
const PAGES: &str = "/mock";

/// Whether an object is the mock's.
#[must_use]
pub fn is_mock(id: &str) -> bool {
    place(id).is_some()
}

/// Where on the shelf the customer is that an object belongs to.
fn place(id: &str) -> Option<&str> {
    let (_, rest) = id.rsplit_once('_')?;
    rest.strip_prefix(MARK)?.get(..NAME_LETTERS)
}

/// The prices that it offers, as `(id, product, units of EUR a month)`.
pub(super) type Offers = Vec<(String, &'static str, i64)>;

/// The mock. What it knows is on its shelf.
#[derive(Debug)]
pub struct Mock {
    shelf: Arc<dyn Shelf>,
    clock: Clock,
    links: Links,
    pages: String,
    offers: Offers,
}

/// One customer and all that belongs to it.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// How far its clock is ahead of ours.
    ahead_s: i64,
    simulation: Simulation,
}

impl Kept {
    /// Whether there is nothing new to be kept: what follows from the time alone follows again.
    fn is_as(&self, mut before: Self) -> bool {
        // Prices are not kept.
        before.simulation.offer_as(&self.simulation);
        self.ahead_s == before.ahead_s && self.simulation.is_same_but_for_the_time(&before.simulation)
    }
}

impl Mock {
    pub(super) fn new(shelf: Arc<dyn Shelf>, clock: Clock, config: &Config, offers: Offers) -> Self {
        let pages = format!("{}{PAGES}", config.public_url.as_deref().unwrap_or_default());
        Self { shelf, clock, links: config.links.clone(), pages, offers }
    }

    /// A customer completes a checkout session; the id of its subscription.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when there is no such session, it is not open, or the card does not pay.
    pub async fn complete(&self, session: &str, card: Card) -> Result<String, ProviderError> {
        self.act("completing a checkout session", session, |simulation| simulation.complete(session, card)).await
    }

    /// A customer pays an invoice.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when there is no such invoice, it is not open, or the card does not pay.
    pub async fn pay(&self, invoice: &str) -> Result<(), ProviderError> {
        self.act("paying an invoice", invoice, |simulation| simulation.pay(invoice)).await
    }

    /// What a customer pays with from now on.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when it cannot be kept.
    pub async fn set_card(&self, customer: &str, card: Card) -> Result<(), ProviderError> {
        self.act("taking a card", customer, |simulation| {
            simulation.set_card(customer, card);
            Ok(())
        })
        .await
    }

    /// Moves the clock of a customer on; all that is due until then happens.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when it cannot be kept.
    pub async fn advance(&self, customer: &str, by_s: i64) -> Result<(), ProviderError> {
        let place = place(customer).ok_or_else(|| unknown("moving the clock", customer))?;
        self.with(place, |kept| {
            kept.ahead_s += by_s;
            kept.simulation.advance_to(kept.simulation.now_s() + by_s);
        })
        .await
    }

    /// The same, on to a time in Unix seconds; never back.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub async fn advance_to(&self, customer: &str, to_s: i64) -> Result<(), ProviderError> {
        let place = place(customer).ok_or_else(|| unknown("moving the clock", customer))?;
        self.with(place, |kept| {
            kept.ahead_s += (to_s - kept.simulation.now_s()).max(0);
            kept.simulation.advance_to(to_s);
        })
        .await
    }

    /// An object as it is now, as Stripe's JSON: what the mock's pages are made of.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when nobody can tell.
    pub async fn object(&self, id: &str) -> Result<Option<Value>, ProviderError> {
        let Some(place) = place(id) else { return Ok(None) };
        self.with(place, |kept| kept.simulation.object(id).cloned()).await
    }

    /// The events of the customer that an object belongs to which nobody has [taken](Self::set_taken), oldest first, as Stripe's JSON.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when nobody can tell.
    pub async fn untaken_events(&self, id: &str) -> Result<Vec<Value>, ProviderError> {
        let Some(place) = place(id) else { return Ok(Vec::new()) };
        self.with(place, |kept| kept.simulation.undelivered()).await
    }

    /// Events of that customer were taken: they are no longer among those that were not delivered.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when it cannot be kept.
    pub async fn set_taken(&self, id: &str, events: &[String]) -> Result<(), ProviderError> {
        let Some(place) = place(id) else { return Ok(()) };
        self.with(place, |kept| events.iter().for_each(|event| kept.simulation.set_delivered(event))).await
    }

    async fn act<T>(
        &self,
        what: &str,
        id: &str,
        act: impl Fn(&mut Simulation) -> Result<T, Refused>,
    ) -> Result<T, ProviderError> {
        let place = place(id).ok_or_else(|| unknown(what, id))?;
        let acted = self.with(place, |kept| act(&mut kept.simulation)).await?;
        acted.map_err(|refused| {
            let why = refused.body["error"]["message"].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
            ProviderError::Rejected { service: NAME, message: format!("{what}: {why}") }
        })
    }

    /// Does something to a customer as it is now, and keeps what became of it.
    async fn with<T>(&self, place: &str, act: impl Fn(&mut Kept) -> T) -> Result<T, ProviderError> {
        let transient =
            |message: &str| ProviderError::Transient { service: NAME, message: message.to_owned(), retry_after: None };
        for _ in 0..TRIES {
            let loaded = self.shelf.load(place).await?;
            let before: Option<Kept> = match &loaded {
                Some((_, text)) => {
                    Some(serde_json::from_str(text).map_err(|_| transient("what the mock kept cannot be read"))?)
                }
                None => None,
            };
            let mut kept = before.clone().unwrap_or_else(|| Kept { ahead_s: 0, simulation: self.nobody(place) });
            self.offer(&mut kept.simulation);
            kept.simulation.advance_to(self.now_s() + kept.ahead_s);
            let acted = act(&mut kept);
            let is_nothing = before.is_none() && kept.simulation.objects("").is_empty();
            if is_nothing || before.is_some_and(|before| kept.is_as(before)) {
                return Ok(acted);
            }
            let now = serde_json::to_string(&kept).map_err(|_| transient("what the mock knows cannot be kept"))?;
            if self.shelf.save(place, now, loaded.map_or(0, |(version, _)| version)).await? {
                return Ok(acted);
            }
        }
        Err(transient("others change the same customer of the mock"))
    }

    fn nobody(&self, place: &str) -> Simulation {
        let settings = Settings { pages: self.pages.clone(), mark: format!("{MARK}{place}"), ..Settings::default() };
        Simulation::new(settings, self.now_s())
    }

    fn offer(&self, simulation: &mut Simulation) {
        for (id, product, units) in &self.offers {
            simulation.add_price(id, product, *units, "eur", "month");
        }
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.clock.now_ms() / 1000).unwrap_or(i64::MAX)
    }

    async fn answer(&self, request: &Request) -> Result<Reply, ProviderError> {
        let params = Params::from(request.params.pairs().iter().cloned());
        // The cursor of a list of all says nothing of which customer is meant.
        let values =
            request.params.pairs().iter().filter(|(name, _)| name != "starting_after").map(|(_, value)| value.as_str());
        let named = request.path.split('/').chain(values).find_map(place).map(str::to_owned);
        let key = request.idempotency_key.as_deref();
        let is_list = request.method == Method::Get && LISTS.contains(&request.path.as_str());
        let place = match named {
            Some(place) => place,
            None if is_list => return self.all(request).await,
            None => self.new_place(key.unwrap_or(&request.path)),
        };
        let call = |kept: &mut Kept| kept.simulation.call(request.method, &request.path, &params, key);
        reply(request, self.with(&place, call).await?)
    }

    /// Where a new customer is, which a repeated call finds again. Whoever has an address of the mock needs no token, so that nobody may be able to
    /// tell it who has not got it from us.
    fn new_place(&self, key: &str) -> String {
        let mut place = self.links.mock_customer(key).unwrap_or_else(|| hex::encode(Sha256::digest(key)));
        place.truncate(NAME_LETTERS);
        place
    }

    /// A list over all customers.
    async fn all(&self, request: &Request) -> Result<Reply, ProviderError> {
        let (mut limit, mut after) = (10, None);
        let mut pairs = Vec::new();
        for (name, value) in request.params.pairs() {
            match name.as_str() {
                "limit" => limit = value.parse().unwrap_or(limit),
                "starting_after" => after = Some(value.clone()),
                _ => pairs.push((name.clone(), value.clone())),
            }
        }
        let mut found: Vec<Value> = Vec::new();
        for place in self.shelf.names().await? {
            let mut cursor: Option<String> = None;
            loop {
                let paging =
                    [Some(("limit", "100".to_owned())), cursor.take().map(|cursor| ("starting_after", cursor))];
                let paging = paging.into_iter().flatten().map(|(name, value)| (name.to_owned(), value));
                let params = Params::from(pairs.iter().cloned().chain(paging));
                let call = |kept: &mut Kept| kept.simulation.call(request.method, &request.path, &params, None);
                let answered = self.with(&place, call).await?;
                let Some(objects) = answered.body["data"].as_array() else { return reply(request, answered) };
                found.extend(objects.iter().cloned());
                match objects.last().filter(|_| answered.body["has_more"] == true) {
                    Some(last) => cursor = last["id"].as_str().map(str::to_owned),
                    None => break,
                }
            }
        }
        let order = |object: &Value| (object["created"].as_i64(), object["id"].as_str().map(str::to_owned));
        found.sort_by_key(|object| std::cmp::Reverse(order(object)));
        let begin = after.and_then(|after| found.iter().position(|object| object["id"] == after.as_str()));
        let rest = found.split_off(begin.map_or(0, |position| position + 1));
        let page: Vec<_> = rest.iter().take(limit).collect();
        Ok(Reply::Done(json!({ "object": "list", "data": page, "has_more": rest.len() > limit })))
    }
}

fn unknown(what: &str, id: &str) -> ProviderError {
    ProviderError::Rejected { service: NAME, message: format!("{what}: the mock knows nothing of {id:?}") }
}

fn reply(request: &Request, answered: Answered) -> Result<Reply, ProviderError> {
    if answered.status == 200 {
        return Ok(Reply::Done(answered.body));
    }
    let refusal = Refusal::read(answered.status, &answered.body);
    refusal.map(Reply::Refused).ok_or_else(|| unknown("a call", &request.path))
}

impl Provider for Mock {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl Gateway for Mock {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        self.answer(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use fleet::Fleet;

    use super::*;
    use crate::{
        chain::{AllServices, Policy},
        payments::{Calls, Memory, NewCustomer, NewSession, Payments, SessionStatus, Status, Trial, WhichEvents},
    };

    const DAY_S: u64 = 86_400;

    struct World {
        payments: Payments,
        clock: Clock,
    }

    fn world() -> World {
        world_with(&Config::mock())
    }

    fn world_with(config: &Config) -> World {
        let shared = AllServices::configured(config, &Fleet::alone());
        let clock = Clock::simulated(1_790_000_000_000);
        let payments = Payments::with_clock(config, &shared, Arc::new(Memory::default()), clock.clone()).unwrap();
        World { payments, clock }
    }

    impl World {
        fn calls(&self) -> Calls<'_> {
            let time = Duration::from_secs(5);
            self.payments.calls(Policy { allow_fallback: false, last_attempt: true, tenant: "acme", time })
        }

        fn wait_days(&self, days: u64) {
            self.clock.advance(days * DAY_S * 1000);
        }

        /// A customer with an open session of the plan Pro.
        async fn opened(&self, tenant: &str, trial: Option<Trial>) -> (String, String) {
            let new = NewCustomer { tenant, email: Some("a@shop.example"), name: None };
            let customer = self.calls().create_customer(&format!("{tenant}:customer"), &new).await.unwrap().id;
            let price = self.payments.prices.pro.clone();
            let session = NewSession {
                customer: &customer,
                tenant,
                price: &price,
                trial,
                success_url: "https://app.example/ok",
                cancel_url: "https://app.example/no",
                locale: None,
                expires_at: None,
                metadata: BTreeMap::new(),
            };
            let session = self.calls().create_session(&format!("{tenant}:session"), &session).await.unwrap();
            assert!(session.url.unwrap().ends_with(&format!("/mock/checkout/{}", session.id)));
            (customer, session.id)
        }
    }

    #[tokio::test]
    async fn a_trial_is_paid_fails_and_recovers_without_a_key() {
        let world = world();
        assert!(!world.payments.is_real());
        let (customer, session) = world.opened("acme", Some(Trial { days: 14, without_card: None })).await;
        let id = world.payments.mock().complete(&session, Card::Good).await.unwrap();
        assert!(is_mock(&id) && is_mock(&customer) && !is_mock("sub_1NirD82eZvKYlo2CIvbtLWuY"));
        let subscription = || async { world.calls().subscription(&id).await.unwrap().unwrap() };
        assert_eq!(
            (subscription().await.status, subscription().await.tenant.as_deref()),
            (Status::Trialing, Some("acme"))
        );
        assert_eq!(world.calls().session(&session).await.unwrap().unwrap().status, SessionStatus::Complete);
        world.wait_days(15);
        assert_eq!(subscription().await.status, Status::Active);
        world.payments.mock().set_card(&customer, Card::Declining).await.unwrap();
        world.wait_days(31);
        let late = subscription().await;
        assert_eq!(late.status, Status::PastDue);
        let invoice = world.calls().invoice(&late.latest_invoice.unwrap()).await.unwrap().unwrap();
        assert_eq!(invoice.amount_due.amount.to_string(), "29.00");
        world.payments.mock().set_card(&customer, Card::Good).await.unwrap();
        world.payments.mock().pay(&invoice.id).await.unwrap();
        assert_eq!(subscription().await.status, Status::Active);
        let kinds = ["customer.subscription.trial_will_end", "invoice.payment_failed"];
        let which = WhichEvents { kinds: &kinds, undelivered: true, ..WhichEvents::default() };
        let told = world.calls().events(which, None).await.unwrap().items;
        let told: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(told, ["invoice.payment_failed"], "the other is older than 30 days");
        let untaken = world.payments.mock().untaken_events(&session).await.unwrap();
        let ids: Vec<_> = untaken.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.len() > 5 && ids.is_sorted(), "{ids:?}");
        world.payments.mock().set_taken(&customer, &ids).await.unwrap();
        assert!(world.payments.mock().untaken_events(&id).await.unwrap().is_empty());
        assert!(world.calls().events(which, None).await.unwrap().items.is_empty());
        let again = world.payments.mock().complete(&session, Card::Good).await.unwrap_err();
        assert!(again.to_string().contains("no longer open"), "{again}");
    }

    #[tokio::test]
    async fn an_address_of_the_mock_cannot_be_told_from_who_a_tenant_is() {
        let customer = async |secret: Option<&str>| {
            let mut config = Config::mock();
            config.links = Links::new(None, secret.map(Into::into));
            world_with(&config).opened("acme", None).await.0
        };
        let guess = &hex::encode(Sha256::digest("acme:customer"))[..NAME_LETTERS];
        let (ours, others) = (customer(Some("a secret")).await, customer(Some("another one")).await);
        assert!(!ours.contains(guess) && ours != others && is_mock(&ours), "{ours} {others}");
        assert_eq!(ours, customer(Some("a secret")).await, "a repeated call finds it again");
    }

    #[tokio::test]
    async fn a_list_of_all_goes_over_all_customers_in_pages() {
        let world = world();
        for n in 0..3 {
            let (_, session) = world.opened(&format!("t{n}"), None).await;
            world.payments.mock().complete(&session, Card::Good).await.unwrap();
            world.wait_days(1);
        }
        let all = world.calls().subscriptions(None, None).await.unwrap();
        let tenants = |page: &crate::payments::Page<crate::payments::Subscription>| {
            page.items.iter().filter_map(|subscription| subscription.tenant.clone()).collect::<Vec<_>>()
        };
        assert_eq!((tenants(&all), &all.next), (vec!["t2".to_owned(), "t1".to_owned(), "t0".to_owned()], &None));
        let rest = world.calls().subscriptions(None, Some(&all.items[0].id)).await.unwrap();
        assert_eq!(tenants(&rest), ["t1", "t0"]);
        let of_one = world.calls().subscriptions(Some(&all.items[1].customer), None).await.unwrap();
        assert_eq!(tenants(&of_one), ["t1"]);
        assert_eq!(world.calls().customers_of("t1").await.unwrap().len(), 1);
        assert_eq!(world.calls().subscription("sub_mock0123456789_nothing").await, Ok(None));
    }

    #[tokio::test]
    async fn one_key_makes_one_customer_and_calls_at_once_all_count() {
        let world = world();
        let new = NewCustomer { tenant: "acme", email: None, name: None };
        let calls = world.calls();
        let made = futures::future::join_all((0..8).map(|_| calls.create_customer("k", &new))).await;
        let mut ids: Vec<_> = made.into_iter().map(|made| made.unwrap().id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
        let price = world.payments.prices.premium.clone();
        assert_eq!(calls.price(&price).await.unwrap().unwrap().product_name.as_deref(), Some("ECOMSIMPLY Premium"));
        assert_eq!(calls.price("price_x").await, Ok(None));
        world.payments.mock().advance(&ids[0], 40 * i64::try_from(DAY_S).unwrap()).await.unwrap();
        world.payments.mock().advance_to(&ids[0], 1_790_000_000).await.unwrap();
        assert!(world.payments.mock().object(&ids[0]).await.unwrap().is_some());
    }
}
