//! Batches: many items in one call, as many as the shop takes, and checked before: the shop looks at none of them against its schema (an
//! unknown status makes a live product a draft, W43e).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
        store::Store,
    },
    client::{Client, not_as_documented},
    refusals::unexpected,
    rest::{Refusal, SHOP, transient},
};
use crate::error::ProviderError;

/// The most that the API takes at once, for look-ups too.
pub(super) const MOST: usize = 100;

/// How many items shops take at once that take fewer than others: a plugin may say so. By store.
#[derive(Debug, Default)]
pub(in super::super) struct Limits(Mutex<BTreeMap<String, usize>>);

impl Limits {
    fn of(&self, store: &Store) -> usize {
        self.known().get(&store.breaker()).copied().unwrap_or(MOST)
    }

    /// So many were too many: the shop says how many it takes, or half of them are tried.
    fn lower(&self, store: &Store, n: usize, said: &str) {
        let number = said.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse::<usize>().ok());
        let fewer = number.filter(|fewer| (1..n).contains(fewer)).unwrap_or(n / 2);
        self.known().insert(store.breaker(), fewer);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a batch says to one of its items.
pub(super) enum Answer {
    Done(Value),
    Refused(Refusal),
    Failed(ProviderError),
    /// Not even this one alone is taken as a batch.
    Alone,
}

impl Client<'_> {
    /// What batches say to each of the items, in as many calls as the shop's limit needs.
    pub(super) async fn answers(&self, part: &str, items: &[&Value], limits: &Limits) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::with_capacity(items.len());
        while answers.len() < items.len() {
            let left = &items[answers.len()..];
            let some = &left[..left.len().min(limits.of(self.store()).max(1))];
            match self.answers_to(part, some).await {
                Ok(said) => answers.extend(said),
                Err(TooMany { said }) if some.len() > 1 => limits.lower(self.store(), some.len(), &said),
                Err(TooMany { .. }) => answers.extend(left.iter().map(|_| Answer::Alone)),
            }
            if let Some(Answer::Failed(error)) = answers.last() {
                // Nobody was asked for the rest.
                let error = match error {
                    ProviderError::UnknownOutcome { message, .. } => transient(message.clone(), None),
                    error => error.clone(),
                };
                answers.resize_with(items.len(), || Answer::Failed(error.clone()));
            }
        }
        answers
    }

    /// What one batch says to each of its items: 200 says nothing of them (W43).
    async fn answers_to(&self, part: &str, items: &[&Value]) -> Result<Vec<Answer>, TooMany> {
        let failed = |error: ProviderError| Ok(items.iter().map(|_| Answer::Failed(error.clone())).collect());
        let mut said = match self.batch(&json!({ part: items })).await {
            Ok(Ok(said)) => said,
            Ok(Err(refusal)) if refusal.code == "woocommerce_rest_request_entity_too_large" => {
                return Err(TooMany { said: refusal.message });
            }
            // Its web server takes no request as long as this.
            Err(ProviderError::Rejected { .. }) => return Err(TooMany { said: String::new() }),
            Ok(Err(refusal)) => return failed(unexpected(&refusal)),
            Err(error) => return failed(error),
        };
        let answers = match said[part].take() {
            Value::Array(answers) if answers.len() == items.len() => answers,
            other => return failed(unsure(&other)),
        };
        let read = |answer: Value| match answer.get("error") {
            Some(error) => Answer::Refused(serde_json::from_value(error.clone()).unwrap_or_default()),
            None => Answer::Done(answer),
        };
        Ok(answers.into_iter().map(read).collect())
    }
}

/// A batch had more items than the shop takes at once.
struct TooMany {
    /// The shop's words.
    said: String,
}

/// Something was done, and nobody knows what.
fn unsure(said: &Value) -> ProviderError {
    let message = not_as_documented("/products/batch", said).to_string();
    ProviderError::UnknownOutcome { service: SHOP, message }
}

/// The types that the API's schema has, which a batch does not look at.
pub(super) fn checked(body: &Value) -> Result<(), PublishError> {
    let wrong: Vec<Fault> = body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| !fits(name, value))
        .map(|(name, value)| Fault::new(name.clone(), Wrong::Said { message: format!("{value} is not of its type") }))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(PublishError::Refused(wrong)) }
}

fn fits(name: &str, value: &Value) -> bool {
    match name {
        "name" | "sku" | "description" | "short_description" | "slug" | "global_unique_id" => value.is_string(),
        "regular_price" | "sale_price" | "weight" => value
            .as_str()
            .is_some_and(|text| text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')),
        "type" => value == "simple",
        "status" => value == "draft",
        "stock_status" => value == "instock",
        "manage_stock" => value.is_boolean(),
        "stock_quantity" => value.is_i64() || value.is_u64(),
        "tags" | "meta_data" => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W43e.
    #[test]
    fn what_a_batch_would_take_wrongly_is_not_sent() {
        let good = json!({ "name": "A", "sku": "A", "type": "simple", "status": "draft", "regular_price": "12.5", "manage_stock": true,
            "stock_quantity": -3, "tags": [{ "name": "x" }], "meta_data": [{ "key": "k", "value": "v" }], "weight": "" });
        checked(&good).unwrap();
        for (name, value) in [
            ("status", json!("live")),
            ("status", json!("publish")),
            ("stock_quantity", json!("abc")),
            ("stock_quantity", json!(4.7)),
            ("regular_price", json!(12.5)),
            ("regular_price", json!("12,5")),
            ("name", json!(null)),
            ("type", json!("variable")),
            ("unknown", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(checked(&bad).is_err(), "{bad}");
        }
    }
}
