//! What it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params::{Refused, missing};

pub(super) const DAY_S: i64 = 86_400;

/// How the account is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The version that events are made with: that of the webhook's end point.
    pub api_version: String,
    /// Whether it is about real money, as it says.
    pub livemode: bool,
    /// Where its pages are, without a slash at the end.
    pub pages: String,
    /// What stands in ids behind their type.
    pub mark: String,
    /// Days from one try of a payment to the next.
    pub retry_days: Vec<i64>,
    /// What becomes of a subscription after the last.
    pub after_retries: AfterRetries,
}

/// What becomes of a subscription whose payment was tried for the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterRetries {
    /// It ends.
    Cancel,
    /// It is `unpaid`.
    Unpaid,
    /// It stays `past_due`.
    PastDue,
}

/// What a customer pays with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Card {
    /// Nothing.
    #[default]
    None,
    /// A card that works.
    Good,
    /// A card that is declined.
    Declining,
    /// A card whose bank wants the customer to confirm.
    Asking,
}

/// A little Stripe in memory, with a clock that is moved: see [`super`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    pub(super) settings: Settings,
    pub(super) now_s: i64,
    last_id: u64,
    /// All but prices, by id: ids of one type follow the order in which they were made.
    pub(super) objects: BTreeMap<String, Value>,
    /// Those of the variables, or of a test: they are offered anew to what was kept.
    #[serde(skip)]
    prices: BTreeMap<String, Value>,
    /// By customer.
    pub(super) cards: BTreeMap<String, Card>,
    /// By subscription: lines for its next invoice.
    pub(super) pending: BTreeMap<String, Vec<Value>>,
    /// Subscriptions whose trial's end was told of.
    pub(super) told_trial_end: BTreeSet<String>,
    /// Events that were taken.
    pub(super) delivered: BTreeSet<String>,
    /// By idempotency key.
    pub(super) kept: BTreeMap<String, Kept>,
    /// What events of the call that is carried out have as `request`.
    pub(super) request: Value,
    /// The next write is carried out, and this stored as its answer.
    pub(super) break_next: Option<u16>,
}

/// What was asked with a key, and answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) at_s: i64,
    pub(super) asked: String,
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_version: super::super::stripe::API_VERSION.to_owned(),
            livemode: false,
            pages: "https://stripe.example".to_owned(),
            mark: "standin".to_owned(),
            retry_days: vec![3, 5, 7],
            after_retries: AfterRetries::Cancel,
        }
    }
}

impl Simulation {
    /// An account without customers, at this time.
    #[must_use]
    pub fn new(settings: Settings, now_s: i64) -> Self {
        Self {
            settings,
            now_s,
            last_id: 0,
            objects: BTreeMap::new(),
            prices: BTreeMap::new(),
            cards: BTreeMap::new(),
            pending: BTreeMap::new(),
            told_trial_end: BTreeSet::new(),
            delivered: BTreeSet::new(),
            kept: BTreeMap::new(),
            request: Value::Null,
            break_next: None,
        }
    }

    /// How the account is set, to be changed.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// What its clock shows, in Unix seconds.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        self.now_s
    }

    /// Offers a price, paid every `interval` (`day`, `week`, `month`, `year`).
    pub fn add_price(&mut self, id: &str, product_name: &str, units: i64, currency: &str, interval: &str) {
        let product = json!({ "id": format!("prod_{id}"), "object": "product", "name": product_name, "active": true });
        let price = json!({
            "id": id, "object": "price", "active": true, "currency": currency.to_ascii_lowercase(), "unit_amount": units,
            "livemode": self.settings.livemode, "type": "recurring", "product": product, "created": self.now_s, "billing_scheme": "per_unit",
            "recurring": { "interval": interval, "interval_count": 1, "usage_type": "licensed" },
        });
        self.prices.insert(id.to_owned(), price);
    }

    /// Offers the same prices as another one.
    pub(in crate::payments) fn offer_as(&mut self, other: &Self) {
        self.prices.clone_from(&other.prices);
    }

    /// Has a price offered no longer.
    pub fn withdraw_price(&mut self, id: &str) {
        if let Some(price) = self.prices.get_mut(id) {
            price["active"] = json!(false);
        }
    }

    /// A price; null when it is no longer known.
    pub(super) fn price(&self, id: &str) -> &Value {
        self.prices.get(id).unwrap_or(&Value::Null)
    }

    /// What this customer pays with from now on. What is unpaid is not paid by that.
    pub fn set_card(&mut self, customer: &str, card: Card) {
        self.cards.insert(customer.to_owned(), card);
    }

    /// Objects whose ids begin so (`sub_`, `evt_`, …), oldest first.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<Value> {
        self.all(prefix).cloned().collect()
    }

    /// The ids of such objects that were made after this one.
    #[must_use]
    pub fn ids_after(&self, prefix: &str, after: &str) -> Vec<String> {
        let after = if after < prefix { prefix } else { after };
        let range = self.objects.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        range.map(|(id, _)| id).take_while(|id| id.starts_with(prefix)).cloned().collect()
    }

    /// Whether it is the same but for the time that its clock shows.
    #[must_use]
    pub fn is_same_but_for_the_time(&self, other: &Self) -> bool {
        Self { now_s: 0, ..self.clone() } == Self { now_s: 0, ..other.clone() }
    }

    /// An object.
    #[must_use]
    pub fn object(&self, id: &str) -> Option<&Value> {
        self.objects.get(id)
    }

    /// An event was taken by its end point: it is no longer among those that were not.
    pub fn set_delivered(&mut self, event: &str) {
        self.delivered.insert(event.to_owned());
    }

    /// The events that were not, oldest first.
    #[must_use]
    pub fn undelivered(&self) -> Vec<Value> {
        let is_delivered = |event: &&Value| event["id"].as_str().is_some_and(|id| self.delivered.contains(id));
        self.all("evt_").filter(|event| !is_delivered(event)).cloned().collect()
    }

    /// The next write is carried out, yet answered with this status, and that answer is stored for its key.
    pub fn break_next(&mut self, status: u16) {
        self.break_next = Some(status);
    }

    pub(super) fn all(&self, prefix: &str) -> impl DoubleEndedIterator<Item = &Value> {
        let range = self.objects.range(prefix.to_owned()..);
        // No id has a sign behind `_` that comes after this one.
        let end = format!("{prefix}\u{7f}");
        range.take_while(move |(id, _)| **id < end).map(|(_, object)| object).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn next_id(&mut self, kind: &str) -> String {
        self.last_id += 1;
        format!("{kind}_{}{:08}", self.settings.mark, self.last_id)
    }

    /// Keeps an object by its id, and gives it back.
    pub(super) fn keep(&mut self, object: Value) -> Value {
        if let Some(id) = object["id"].as_str() {
            self.objects.insert(id.to_owned(), object.clone());
        }
        object
    }

    /// Changes an object; `None`: there is none.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Value)) -> Option<Value> {
        let object = self.objects.get_mut(id)?;
        change(object);
        Some(object.clone())
    }

    /// An object that a path names.
    pub(super) fn named(&self, kind: &str, prefix: &str, id: &str) -> Result<Value, Refused> {
        let object = self.objects.get(id).filter(|_| id.starts_with(prefix));
        object.cloned().ok_or_else(|| missing(kind, id))
    }

    pub(super) fn card(&self, customer: &str) -> Card {
        self.cards.get(customer).copied().unwrap_or_default()
    }
}
