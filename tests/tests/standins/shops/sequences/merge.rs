//! What a shop ought to hold: of each field, what the accepted job with the greatest id says that says anything of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

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
            if !(self.hiding.contains(id) && *id < maker) {
                merged.extend(said.clone());
            }
        }
        merged
    }
}

/// `PrestaShop` keeps what it is less than the price, in another row: it may be dearer for a moment, and never cheaper.
fn sale_may_be<'s>(is: &Value, said: impl Iterator<Item = &'s Value>) -> bool {
    let amount = |value: &Value| value.as_str().and_then(|amount| amount.parse::<f64>().ok());
    let least = said.filter_map(amount).fold(f64::INFINITY, f64::min);
    amount(is).is_none_or(|is| is >= least)
}

fn variants_may_be(is: &Value, said: &[&Value]) -> bool {
    let all = is.as_object().into_iter().flatten();
    all.into_iter().all(|(sku, is)| {
        let said: Vec<&Value> = said.iter().filter_map(|said| said.get(sku)).collect();
        said.iter().any(|said| said["price"] == is["price"])
            && sale_may_be(&is["sale_price"], said.iter().map(|said| &said["sale_price"]))
    })
}

/// Whether customers may see a product so that a job made which said this. `first`: they see it for the first time.
pub(super) fn may_be_shown(is: &Said, made: &Said, all: &[&Said], first: bool) -> Result<(), String> {
    for (name, made) in made.iter().filter(|(name, _)| *name != "status") {
        let was_said = || std::iter::once(made).chain(all.iter().filter_map(|said| said.get(name)));
        let is = is.get(name).unwrap_or(&Value::Null);
        let is_right = match name.as_str() {
            _ if first => was_said().any(|said| said == is),
            // Lists change piece by piece under the eyes of customers.
            "images" | "tags" | "categories" => !is.is_null() || was_said().any(Value::is_null),
            "variants" => variants_may_be(is, &was_said().collect::<Vec<_>>()),
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
