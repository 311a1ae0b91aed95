//! The table of products and variations, with indexes by what is looked up for every write: a shop with thousands of products answers as
//! fast as an empty one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use serde_json::{Map, Value};

use super::forms;

pub(super) type Row = Map<String, Value>;

/// What rows are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// As the database compares it.
    Sku,
    Slug,
    Gtin,
    /// A variation's product.
    Product,
}

/// By id; read as a map is.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: BTreeMap<u64, Row>,
    index: HashMap<(By, String), BTreeSet<u64>>,
}

impl Deref for Rows {
    type Target = BTreeMap<u64, Row>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl Rows {
    pub(super) fn insert(&mut self, id: u64, row: Row) {
        self.remove(id);
        for key in keys(&row) {
            self.index.entry(key).or_default().insert(id);
        }
        self.rows.insert(id, row);
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(row) = self.rows.remove(&id) else { return };
        for key in keys(&row) {
            if let Some(ids) = self.index.get_mut(&key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }

    /// Puts a row into the trash, where it keeps all that it is found by.
    pub(super) fn trash(&mut self, id: u64) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.insert("status".to_owned(), "trash".into());
        }
    }

    /// The ids of the rows that have this, the smallest first; of a SKU all that the database takes for the same.
    pub(super) fn found(&self, by: By, value: &str) -> impl DoubleEndedIterator<Item = u64> + '_ {
        let value = if by == By::Sku { forms::collated(value) } else { value.to_owned() };
        self.index.get(&(by, value)).into_iter().flatten().copied()
    }
}

fn keys(row: &Row) -> impl Iterator<Item = (By, String)> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let product = row.get("parent_id").filter(|_| text("type") == "variation").and_then(Value::as_u64);
    let keys = [
        (By::Sku, forms::collated(&text("sku"))),
        (By::Slug, text("slug")),
        (By::Gtin, text("global_unique_id")),
        (By::Product, product.map(|id| id.to_string()).unwrap_or_default()),
    ];
    // Rows without a SKU are found by that.
    keys.into_iter().filter(|(by, value)| *by == By::Sku || !value.is_empty())
}
