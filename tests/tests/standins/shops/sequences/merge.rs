//! What a shop ought to hold: of each field, what the accepted job with the greatest id says that says anything of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{said::Said, steps::Job};

/// The accepted jobs by their ids.
#[derive(Debug, Default)]
pub(super) struct Merge {
    accepted: BTreeMap<usize, Said>,
    /// Jobs that hide the product.
    hiding: Vec<usize>,
}

impl Merge {
    /// A job is at its end.
    pub(super) fn accept(&mut self, id: usize, job: &Job) {
        let said = match job {
            Job::Publish(said) => said.clone(),
            Job::Unpublish => [("status".to_owned(), json!("draft"))].into(),
        };
        self.accepted.insert(id, said);
        if matches!(job, Job::Unpublish) {
            self.hiding.push(id);
        }
    }

    pub(super) fn ids(&self) -> Vec<usize> {
        self.accepted.keys().copied().collect()
    }

    /// All that was said, of a product that the job `maker` made. What was made is shown unless somebody says otherwise; who was to hide it
    /// before it was made hides nothing.
    pub(super) fn fields(&self, maker: usize) -> Said {
        let mut merged: Said = [("status".to_owned(), json!("active"))].into();
        for (id, said) in &self.accepted {
            if self.hiding.contains(id) && *id < maker {
                continue;
            }
            let before = merged.get("variants").cloned().unwrap_or_default();
            merged.extend(said.clone());
            for (sku, variant) in merged.get_mut("variants").and_then(Value::as_object_mut).into_iter().flatten() {
                if !said.contains_key("variants") {
                    break;
                }
                // A list that lacks a variant ends what was said of it.
                let mut all = before[sku].as_object().cloned().unwrap_or_default();
                all.extend(variant.as_object().cloned().unwrap_or_default());
                *variant = Value::Object(all);
            }
        }
        let price = merged.get("price").cloned().unwrap_or_default();
        for variant in merged.get_mut("variants").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            if variant["price"].is_null() {
                // It has none of its own.
                variant["price"] = price.clone();
            }
        }
        merged
    }
}

/// Whether the shop holds what it ought to; a variant has no other sale price than its own, and of stock that nobody said nothing is known.
pub(super) fn is_held(name: &str, is: &Value, ought: &Value) -> bool {
    let (Some(is), Some(ought)) = (is.as_object(), ought.as_object().filter(|_| name == "variants")) else {
        return is == ought;
    };
    is.len() == ought.len()
        && ought.iter().all(|(sku, ought)| {
            is.get(sku).is_some_and(|is| {
                (&is["price"], &is["sale_price"]) == (&ought["price"], &ought["sale_price"])
                    && ought.get("stock").is_none_or(|stock| is["stock"] == *stock)
            })
        })
}

/// `PrestaShop` keeps what it is less than the price, in another row: it may be dearer for a moment, and never cheaper.
fn sale_may_be<'s>(is: &Value, said: impl Iterator<Item = &'s Value>) -> bool {
    let amount = |value: &Value| value.as_str().and_then(|amount| amount.parse::<f64>().ok());
    let least = said.filter_map(amount).fold(f64::INFINITY, f64::min);
    amount(is).is_none_or(|is| is >= least)
}

/// `all`: what was said of the product, `lists` of its variants, those of the job that made it first. `first`: they are seen for the first time.
fn variants_may_be(is: &Value, lists: &[&Value], all: &[&Said], first: bool) -> bool {
    let Some(is) = is.as_object() else { return false };
    let is_list = |list: &&Value| {
        list.as_object().is_some_and(|list| list.len() == is.len() && list.keys().all(|sku| is.contains_key(sku)))
    };
    let is_whole = !first || lists.iter().any(is_list);
    let of_all = || all.iter().filter_map(|said| said.get("price"));
    is_whole
        && is.iter().all(|(sku, is)| {
            let said: Vec<&Value> = lists.iter().filter_map(|said| said.get(sku)).collect();
            let is_made_with_stock = first && lists.first().is_some_and(|made| made[sku].get("stock").is_some());
            said.iter().map(|said| &said["price"]).chain(of_all()).any(|price| *price == is["price"])
                && sale_may_be(&is["sale_price"], said.iter().map(|said| &said["sale_price"]))
                && (!is_made_with_stock || said.iter().any(|said| said["stock"] == is["stock"]))
        })
}

/// Whether customers may see a product so that a job made which said this. `first`: they see it for the first time.
pub(super) fn may_be_shown(is: &Said, made: &Said, all: &[&Said], first: bool) -> Result<(), String> {
    for (name, made) in made.iter().filter(|(name, _)| *name != "status") {
        let was_said = || std::iter::once(made).chain(all.iter().filter_map(|said| said.get(name)));
        let is = is.get(name).unwrap_or(&Value::Null);
        let is_right = match name.as_str() {
            "variants" => variants_may_be(is, &was_said().collect::<Vec<_>>(), all, first),
            _ if first => was_said().any(|said| said == is),
            // Lists change piece by piece under the eyes of customers.
            "images" | "tags" | "categories" => !is.is_null() || was_said().any(Value::is_null),
            "sale_price" => sale_may_be(is, was_said()),
            // What is counted from now on is sold out for a moment at Shopify, and never sold more often than was said.
            "stock" => *is == 0 || was_said().any(|said| said == is),
            _ => was_said().any(|said| said == is),
        };
        if !is_right {
            return Err(format!("{name} was shown as {is}"));
        }
    }
    Ok(())
}
