//! What the shop has: products and variations as rows of one table, terms, the media library; and which SKU finds which row.

use std::collections::{BTreeMap, HashSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{forms, refusal::Refusal};

/// Only so much of a SKU is in the column that keeps it single (W19).
const SKU_COLUMN: usize = 100;

pub(super) type Row = Map<String, Value>;

/// How a shop is set up, and which release it is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prices are written with a comma.
    pub decimal_comma: bool,
    /// Release 10.5.0: takes back the pictures of a product that is not made after all. 9.9.5 does not.
    pub rolls_back: bool,
    /// Release 9.6 and later: products have brands.
    pub has_brands: bool,
    /// `kg`, `g`, `lbs` or `oz`.
    pub weight_unit: String,
    /// The key may not write.
    pub read_only: bool,
    /// The blog software below it is in maintenance.
    pub is_closed: bool,
    /// Permalinks are plain: there is no REST API at its address.
    pub plain_permalinks: bool,
    /// A plugin drops the filter of a look-up by SKU.
    pub ignores_sku: bool,
    /// Pictures may be at loopback addresses, which a real shop refuses (W32): for demonstrations on one machine.
    pub allow_loopback: bool,
    /// Milliseconds that every answer takes.
    pub slow_ms: u64,
    /// So many items are taken in a batch (W42); a plugin may lower it by `woocommerce_rest_batch_items_limit`.
    pub most_in_a_batch: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            decimal_comma: false,
            rolls_back: true,
            has_brands: true,
            weight_unit: "kg".to_owned(),
            read_only: false,
            is_closed: false,
            plain_permalinks: false,
            ignores_sku: false,
            allow_loopback: false,
            slow_ms: 0,
            most_in_a_batch: 100,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Stock {
    pub(super) settings: Settings,
    last_id: u64,
    /// Products and variations.
    pub(super) rows: BTreeMap<u64, Row>,
    /// By kind: `categories`, `tags`, `brands`.
    pub(super) terms: BTreeMap<&'static str, BTreeMap<u64, Value>>,
    pub(super) media: Vec<Value>,
    pub(super) nonces: HashSet<String>,
    pub(super) created: BTreeMap<String, usize>,
    pub(super) updated: BTreeMap<String, usize>,
    /// Each state in which customers saw a product.
    pub(super) shown: Vec<Value>,
    n_changes: u64,
    /// Creations that are held.
    pub(super) n_waiting: usize,
}

pub(super) fn text<'v>(row: &'v Row, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn unknown_product(status: StatusCode) -> Refusal {
    Refusal::new(status, "woocommerce_rest_product_invalid_id", "Invalid ID.")
}

impl Stock {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The time of the last change, which every PUT moves (W55).
    pub(super) fn now(&mut self) -> Value {
        self.n_changes += 1;
        json!(format!("change {}", self.n_changes))
    }

    pub(super) fn is_trashed(&self, row: &Row) -> bool {
        let parent = row["parent_id"].as_u64().and_then(|id| self.rows.get(&id));
        row["status"] == "trash" || parent.is_some_and(|parent| parent["status"] == "trash")
    }

    /// The row that holds a SKU, by the rules of the database; a SKU that is longer than its column is never found.
    pub(super) fn owner(&self, sku: &str, but: Option<u64>) -> Option<u64> {
        if matches!(sku, "" | "0") || sku.chars().count() > SKU_COLUMN {
            return None;
        }
        let mut owners =
            self.rows.iter().filter(|(id, row)| Some(**id) != but && forms::is_same(text(row, "sku"), sku));
        owners.next().map(|(id, _)| *id)
    }

    /// A SKU that is to be taken.
    pub(super) fn free(&self, sku: &str, but: Option<u64>) -> Result<(), Refusal> {
        let Some(owner) = self.owner(sku, but) else { return Ok(()) };
        if self.is_trashed(&self.rows[&owner]) {
            return Err(not_created(sku));
        }
        Err(Refusal::bad("product_invalid_sku", "Invalid or duplicated SKU.")
            .with("resource_id", json!(owner))
            .with("unique_sku", json!(format!("{sku}-1"))))
    }

    /// Rows that a look-up by SKU finds; `None`: it is none, so that all are found (W20b).
    pub(super) fn skus(&self, sku: &str) -> Option<Vec<String>> {
        let whole = forms::one_line(sku);
        if matches!(whole.as_str(), "" | "0") || self.settings.ignores_sku {
            return None;
        }
        Some(whole.split(',').chain([whole.as_str()]).map(forms::collated).collect())
    }

    pub(super) fn variations(&self, product: u64) -> Vec<u64> {
        let is_of = |row: &Row| row["type"] == "variation" && row["parent_id"] == product;
        self.rows.iter().filter(|(_, row)| is_of(row)).map(|(id, _)| *id).collect()
    }

    /// A product as a reader gets it; as the answer to a write shows it when `is_written`.
    pub(super) fn product(&self, id: u64, is_written: bool) -> Value {
        let mut row = self.rows[&id].clone();
        if row["type"] == "variation" {
            return self.variation(id);
        }
        if !is_written {
            for name in ["description", "short_description"] {
                row[name] = json!(forms::paragraphs(text(&row, name)));
            }
        }
        if !self.settings.has_brands {
            row.remove("brands");
        }
        row.insert("variations".to_owned(), json!(self.variations(id)));
        Value::Object(row)
    }

    /// A row as it is written, without what it has from another.
    pub(super) fn raw(&self, id: u64) -> Value {
        let mut shown = self.product(id, true);
        if shown["type"] == "variation" {
            for name in ["sku", "weight", "image"] {
                shown[name] = self.rows[&id][name].clone();
            }
        }
        shown
    }

    /// A variation, with what it has from its product where it has none of its own (W40, W38m).
    pub(super) fn variation(&self, id: u64) -> Value {
        let mut row = self.rows[&id].clone();
        let Some(parent) = row["parent_id"].as_u64().and_then(|id| self.rows.get(&id)) else {
            return Value::Object(row);
        };
        for name in ["sku", "weight"] {
            if text(&row, name).is_empty() {
                row[name] = parent[name].clone();
            }
        }
        if row["manage_stock"] == false && parent["manage_stock"] == true {
            row["manage_stock"] = json!("parent");
            row["stock_quantity"] = parent["stock_quantity"].clone();
        }
        if row["image"].is_null() {
            row["image"] = parent["images"][0].clone();
        }
        Value::Object(row)
    }

    /// Remembers what customers see of a product, or of the product of a variation.
    pub(super) fn note(&mut self, id: u64) {
        let Some(row) = self.rows.get(&id) else { return };
        let id = row["parent_id"].as_u64().filter(|parent| *parent > 0).unwrap_or(id);
        if self.rows.get(&id).is_some_and(|row| row["status"] == "publish") {
            let shown = self.snapshot(id);
            self.shown.push(shown);
        }
    }

    /// A product with its variations in place of their ids.
    pub(super) fn snapshot(&self, id: u64) -> Value {
        let mut product = self.product(id, true);
        product["variations"] = self.variations(id).into_iter().map(|id| self.variation(id)).collect();
        product
    }

    /// Deletes a row with its variations, for good.
    pub(super) fn delete(&mut self, id: u64) {
        for id in self.variations(id).into_iter().chain([id]) {
            self.rows.remove(&id);
        }
    }
}

/// The SKU is in the trash, or was taken in this moment (W13, W14).
pub(super) fn not_created(sku: &str) -> Refusal {
    let message =
        format!("The product with SKU ({sku}) you are trying to insert is already present in the lookup table");
    Refusal::bad("woocommerce_rest_product_not_created", message)
}
