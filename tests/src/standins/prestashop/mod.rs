//! A stand-in of a shop with PrestaShop's webservice, XML both ways, which behaves as a real one was seen to: references are not unique,
//! languages that a write leaves out are emptied, the body's id decides, a filter can be lost, and an error can come after a save.
//!
//! Tests name the rows of the table of what was seen (P1, P2, …). Order, lowest first: `xml`, `table`, `rules`, `state`, `pictures`,
//! `rows`, `serve` (which need each other).

mod pictures;
mod rows;
mod rules;
mod serve;
mod state;
mod table;
mod xml;

use std::sync::{Arc, Mutex};

use axum::{Router, routing::any};
use serde_json::Value;

use self::{state::State, table::Row};
use super::{
    fault::{Faults, Front},
    lock,
};

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct PrestaShop {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    key: String,
    state: Mutex<State>,
}

impl PrestaShop {
    /// Starts it on a port (0 is a free one). It knows one key of 32 characters.
    ///
    /// # Errors
    /// When the port cannot be bound, or the key has another length.
    pub async fn start(port: u16, key: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(key.len() == 32, "a key of a webservice has 32 characters");
        let shop = Arc::new(Shop { key: key.to_owned(), state: Mutex::new(State::new()) });
        let routes = Router::new()
            .route("/api/", any(serve::serve))
            .route("/api/{*path}", any(serve::serve))
            .with_state(Arc::clone(&shop));
        Ok(Self { front: Front::start(port, routes).await?, shop })
    }

    /// What belongs into `PRESTA_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes of products are counted by reference: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// The next write of a product is made, and answered with 500 and a PHP warning.
    pub fn warn(&self) {
        lock(&self.shop.state).warn = true;
    }

    /// From now on each write of HTML is made and answered so (P28c).
    pub fn html_warns(&self) {
        lock(&self.shop.state).html_warns = true;
    }

    /// The next association is refused, and all else of its product saved (P55b).
    pub fn refuse_association(&self) {
        lock(&self.shop.state).refuse_association = true;
    }

    /// The shop can read no picture, or can again: each is refused and leaves a row without a file (P43).
    pub fn refuse_pictures(&self, are_refused: bool) {
        lock(&self.shop.state).refuse_pictures = are_refused;
    }

    /// The key no longer exists, or does again.
    pub fn revoke(&self, is_revoked: bool) {
        lock(&self.shop.state).is_revoked = is_revoked;
    }

    /// The webservice is switched off in the back office (P62).
    pub fn switch_off(&self) {
        lock(&self.shop.state).is_off = true;
    }

    /// The key loses its right to a method of a resource; `*`: to all of it.
    pub fn deny(&self, resource: &str, method: &str) {
        lock(&self.shop.state).denied.insert((resource.to_owned(), method.to_owned()));
    }

    /// It is an older version, which knows no PATCH.
    pub fn without_patch(&self) {
        lock(&self.shop.state).without_patch = true;
    }

    /// It answers look-ups with all that it has.
    pub fn ignore_filters(&self) {
        lock(&self.shop.state).ignores_filters = true;
    }

    /// Calls to another host than this are redirected (P71).
    pub fn only_at(&self, host: &str) {
        lock(&self.shop.state).host = Some(host.to_owned());
    }

    /// A second shop beside the one at this stand-in's own address: each row of a stock is there twice from now on.
    pub fn second_shop(&self) {
        let mut state = lock(&self.shop.state);
        let own = self.front.url();
        let own = own.trim_start_matches("http://");
        for (shop, domain) in [("1", own), ("2", "other.example")] {
            state.add(
                "shop_urls",
                Row::of(&[("id_shop", shop), ("domain", domain), ("physical_uri", "/"), ("virtual_uri", "")]),
            );
        }
    }

    /// As many requests that make products as this wait for each other.
    pub fn make_at_once(&self, n: usize) {
        lock(&self.shop.state).gate = Some(Arc::new(tokio::sync::Barrier::new(n)));
    }

    /// The tax of a group for customers of the shop's country, in percent.
    pub fn tax(&self, group: u64, percent: &str) {
        lock(&self.shop.state).tax(group, percent);
    }

    /// A setting, as `PS_WEIGHT_UNIT`.
    pub fn set(&self, name: &'static str, value: &str) {
        lock(&self.shop.state).add("configurations", Row::of(&[("name", name), ("value", value), ("id_shop", "1")]));
    }

    /// A product that somebody made in the back office; its id.
    #[must_use]
    pub fn plant(&self, reference: &str, name: &str) -> u64 {
        rows::plant(&mut lock(&self.shop.state), reference, name)
    }

    /// A variant that somebody gave a product; its id.
    #[must_use]
    pub fn plant_variant(&self, product: u64, reference: &str) -> u64 {
        let mut state = lock(&self.shop.state);
        let id = state.add(
            "combinations",
            Row::of(&[
                ("id_product", &product.to_string()),
                ("reference", reference),
                ("price", "0"),
                ("minimal_quantity", "1"),
            ]),
        );
        state.add_stock(product, id);
        id
    }

    /// A picture that somebody gave a product.
    pub fn plant_picture(&self, product: u64, name: &str) {
        let mut state = lock(&self.shop.state);
        let id = state.next_picture();
        let pictures = state.pictures.entry(product).or_default();
        pictures.cover.get_or_insert(id);
        pictures.rows.push(state::Picture {
            id,
            name: name.to_owned(),
            file: Some(bytes::Bytes::from_static(b"\xff\xd8\xff")),
        });
    }

    /// Somebody changes a field of the products with this reference in the back office.
    pub fn edit(&self, reference: &str, field: &'static str, value: &str) {
        let mut state = lock(&self.shop.state);
        for id in state.products(reference) {
            if let Some(row) = state.row_mut("products", id) {
                row.plain.insert(field, value.to_owned());
            }
        }
        state.look();
    }

    /// The same with a text in one language.
    pub fn edit_text(&self, reference: &str, field: &'static str, language: u64, text: &str) {
        let mut state = lock(&self.shop.state);
        for id in state.products(reference) {
            if let Some(row) = state.row_mut("products", id) {
                row.texts.entry(field).or_default().insert(language, text.to_owned());
            }
        }
        state.look();
    }

    /// All of the one product with this reference; null when there is none, or several.
    #[must_use]
    pub fn product(&self, reference: &str) -> Value {
        let state = lock(&self.shop.state);
        match state.products(reference).as_slice() {
            [id] => state.snapshot(*id),
            _ => Value::Null,
        }
    }

    /// All of a product.
    #[must_use]
    pub fn product_of_id(&self, id: u64) -> Value {
        lock(&self.shop.state).snapshot(id)
    }

    /// How many products have this reference.
    #[must_use]
    pub fn n_products(&self, reference: &str) -> usize {
        lock(&self.shop.state).products(reference).len()
    }

    /// How many rows a resource has.
    #[must_use]
    pub fn n_rows(&self, resource: &str) -> usize {
        lock(&self.shop.state).table(resource).map_or(0, std::collections::BTreeMap::len)
    }

    /// What customers saw of products, one state after the other.
    #[must_use]
    pub fn shown(&self) -> Vec<Value> {
        lock(&self.shop.state).shown.clone()
    }

    /// How many writes were carried out, whether their answers arrived or not.
    #[must_use]
    pub fn n_writes(&self) -> usize {
        lock(&self.shop.state).n_writes
    }

    /// How often a product with this reference was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, reference: &str) -> usize {
        lock(&self.shop.state).created.get(reference).copied().unwrap_or(0)
    }

    /// How often a product with this reference was updated, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, reference: &str) -> usize {
        lock(&self.shop.state).updated.get(reference).copied().unwrap_or(0)
    }

    /// The quantities in stock of the products with this reference, in each shop.
    #[must_use]
    pub fn quantities(&self, reference: &str) -> Vec<i64> {
        let state = lock(&self.shop.state);
        let rows = state
            .products(reference)
            .into_iter()
            .flat_map(|product| [1, 2].into_iter().map(move |shop| (product, shop)).collect::<Vec<_>>());
        rows.filter_map(|(product, shop)| {
            let row = state.stock(product, 0, shop)?;
            state.row("stock_availables", row)?.text("quantity").parse().ok()
        })
        .collect()
    }
}
