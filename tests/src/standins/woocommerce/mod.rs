//! A stand-in of a shop with WooCommerce's REST API v3, which behaves as shops of releases 9.9.5 and 10.5.0 were seen to.
//!
//! It takes HTTP Basic only when it was told that it stands behind TLS, as its real counterpart does, and OAuth 1.0a otherwise. What it
//! makes of words is in `forms.rs`, of fields in `write.rs`, of pictures in `pictures.rs` (one whose host is `broken.example` cannot be
//! fetched); what it has is in `stock.rs`. W… in comments and tests are the rows of the table of what was seen.

mod auth;
mod forms;
mod pictures;
mod refusal;
mod routes;
mod stock;
mod terms;
mod write;

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

pub use auth::sign;
pub use stock::Settings;

use self::stock::{Row, Stock, text};
use super::{
    fault::{Faults, Front},
    lock,
};

const API: &str = "/wp-json/wc/v3";

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct WooCommerce {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    url: String,
    key: String,
    secret: String,
    sees_tls: bool,
    state: Mutex<Stock>,
    /// Creations wait while it is true.
    is_held: watch::Sender<bool>,
}

impl WooCommerce {
    /// A shop that sees TLS, so that it takes HTTP Basic with this key and secret.
    ///
    /// # Errors
    /// When the port cannot be bound; 0 is a free one.
    pub async fn start(port: u16, key: &str, secret: &str) -> anyhow::Result<Self> {
        Self::on(port, key, secret, true).await
    }

    /// A shop that sees plain HTTP, so that it ignores HTTP Basic and wants signatures.
    ///
    /// # Errors
    /// When the port cannot be bound; 0 is a free one.
    pub async fn plain(port: u16, key: &str, secret: &str) -> anyhow::Result<Self> {
        Self::on(port, key, secret, false).await
    }

    async fn on(port: u16, key: &str, secret: &str, sees_tls: bool) -> anyhow::Result<Self> {
        // The signature is over the URL, which is known only when the port is.
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let (key, secret) = (key.to_owned(), secret.to_owned());
        let (is_held, _) = watch::channel(false);
        let shop = Arc::new(Shop { url, key, secret, sees_tls, state: Mutex::default(), is_held });
        let at = |path: &str| format!("{API}{path}");
        let routes = Router::new()
            .route("/wp-json/", get(routes::index))
            .route(&at("/products"), get(routes::list).post(routes::create))
            .route(&at("/products/batch"), post(routes::batch))
            .route(
                &at("/products/{id}"),
                get(routes::read).put(routes::update).post(routes::update).patch(routes::update).delete(routes::remove),
            )
            .route(&at("/products/{id}/variations"), get(routes::variations).post(routes::create_variation))
            .route(
                &at("/products/{id}/variations/{variation}"),
                get(routes::variation)
                    .put(routes::update_variation)
                    .post(routes::update_variation)
                    .delete(routes::remove_variation),
            )
            .route(&at("/products/categories"), get(routes::terms).post(routes::create_term))
            .route(&at("/products/tags"), get(routes::terms).post(routes::create_term))
            .route(&at("/products/brands"), get(routes::terms).post(routes::create_term))
            .route(&at("/settings/products/woocommerce_weight_unit"), get(routes::weight_unit))
            .fallback(routes::no_route)
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&shop), routes::before))
            .with_state(Arc::clone(&shop));
        let front = Front::on(listener, routes)?;
        Ok(Self { front, shop })
    }

    /// What belongs into `WOO_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shop.url
    }

    /// Fails whole requests, and counts them. Good writes are counted by SKU: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// Changes how the shop is set up.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.shop.state).settings);
    }

    /// Creations wait from now on, until [`WooCommerce::release`]; they go on even when nobody waits for their answers (W67).
    pub fn hold(&self) {
        self.shop.is_held.send_replace(true);
    }

    /// How many creations wait.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        lock(&self.shop.state).n_waiting
    }

    /// Creations that wait go on.
    pub fn release(&self) {
        self.shop.is_held.send_replace(false);
    }

    /// How often a product with this SKU was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, sku: &str) -> usize {
        lock(&self.shop.state).created.get(sku).copied().unwrap_or(0)
    }

    /// How often the product with this SKU was updated, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, sku: &str) -> usize {
        lock(&self.shop.state).updated.get(sku).copied().unwrap_or(0)
    }

    /// The products with this SKU, with their variations in place of the variations' ids.
    #[must_use]
    pub fn products(&self, sku: &str) -> Vec<Value> {
        self.all().into_iter().filter(|product| product["sku"] == sku).collect()
    }

    /// All products, in the trash too, with their variations in place of the variations' ids.
    #[must_use]
    pub fn all(&self) -> Vec<Value> {
        let state = lock(&self.shop.state);
        let ids = state.rows.iter().filter(|(_, row)| row["type"] != "variation").map(|(id, _)| *id);
        ids.map(|id| state.snapshot(id)).collect()
    }

    /// The files of the media library.
    #[must_use]
    pub fn media(&self) -> Vec<Value> {
        lock(&self.shop.state).media.clone()
    }

    /// Terms of a kind (`categories`, `tags`, `brands`) by name, as they are stored.
    #[must_use]
    pub fn terms(&self, kind: &str) -> Vec<String> {
        let state = lock(&self.shop.state);
        let terms = state.terms.get(kind).into_iter().flat_map(|terms| terms.values());
        terms.map(|term| term["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Each state in which customers saw a product, with its variations, in order.
    #[must_use]
    pub fn shown(&self) -> Vec<Value> {
        lock(&self.shop.state).shown.clone()
    }

    /// A product that a merchant made, of these fields as the API takes them, whoever has the SKU already; its id.
    pub fn plant(&self, fields: &Value) -> u64 {
        let mut state = lock(&self.shop.state);
        let mut row = state.new_product(&self.shop.url);
        let id = row["id"].as_u64().unwrap_or_default();
        state.rows.insert(id, std::mem::take(&mut row));
        let planted = fields_of(fields);
        let pictures = fields.get("images").cloned();
        let pictures = pictures.and_then(|images| state.fetch(&images, false, &self.shop.url).ok());
        let _ = state.update(id, &planted, pictures, &self.shop.url);
        id
    }

    /// A variation that a merchant made; its id.
    pub fn plant_variation(&self, product: u64, fields: &Value) -> Option<u64> {
        lock(&self.shop.state).create_variation(product, &fields_of(fields), &self.shop.url).ok()
    }

    /// A merchant changes a product or variation, of fields as the API takes them.
    pub fn edit(&self, id: u64, fields: &Value) {
        let mut state = lock(&self.shop.state);
        let product =
            state.rows.get(&id).filter(|row| row["type"] == "variation").and_then(|row| row["parent_id"].as_u64());
        let fields = fields_of(fields);
        let _ = match product {
            Some(product) => state.update_variation(product, id, &fields, &self.shop.url),
            None => state.update(id, &fields, None, &self.shop.url),
        };
    }

    /// A merchant moves a product into the trash.
    pub fn trash(&self, id: u64) {
        if let Some(row) = lock(&self.shop.state).rows.get_mut(&id) {
            row.insert("status".to_owned(), json!("trash"));
        }
    }

    /// A term that a merchant made; its id.
    pub fn plant_term(&self, kind: &'static str, name: &str) -> Option<u64> {
        let fields = fields_of(&json!({ "name": name }));
        lock(&self.shop.state).create_term(kind, &fields).ok().and_then(|term| term["id"].as_u64())
    }
}

fn fields_of(fields: &Value) -> Row {
    fields.as_object().cloned().unwrap_or_else(Map::new)
}

/// What a good write was about.
fn about(row: &Value) -> String {
    row.as_object().map(|row| text(row, "sku")).unwrap_or_default().to_owned()
}
