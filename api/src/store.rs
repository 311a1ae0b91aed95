//! Stores that products go to, and the keys under which their credentials are kept.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Timestamp;

/// The software that a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreShop {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    Woocommerce,
    /// PrestaShop.
    Prestashop,
}

/// A store, as it is added or changed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The software that it runs on.
    pub shop: StoreShop,
    /// Where it is, with the folder of the shop if it has one: https, or http with `allow_http`.
    #[schema(min_length = 1, max_length = 500, example = "https://shop.example")]
    pub url: String,
    /// What opens it. May be left out for a store that is there, which then keeps what it has; not if it moves to another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<StoreCredentials>,
    /// Whether it may be asked over plain HTTP; of WooCommerce only, where calls are signed then.
    #[serde(default)]
    pub allow_http: bool,
    /// The languages in which it shows products, the first being its default; empty: as the shop itself tells.
    #[serde(default)]
    #[schema(max_items = 50, example = json!(["fr", "en"]))]
    pub languages: Vec<String>,
    /// ISO 4217 code of its prices; absent: it is not compared with that of a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: Option<String>,
}

/// What opens a store; never shown. Shopify: `access_token`, or `client_id` and `client_secret`. WooCommerce: `consumer_key` and `consumer_secret`.
/// PrestaShop: `api_key`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreCredentials {
    /// `shpat_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub access_token: Option<String>,
    /// Of an app of the store's own organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub client_id: Option<String>,
    /// The app's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub client_secret: Option<String>,
    /// `ck_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub consumer_key: Option<String>,
    /// `cs_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub consumer_secret: Option<String>,
    /// 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub api_key: Option<String>,
}

impl fmt::Debug for StoreCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoreCredentials").finish_non_exhaustive()
    }
}

/// A store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantStore {
    /// Its name, by which jobs name it.
    #[schema(example = "main")]
    pub name: String,
    /// Whose it is; null for those of the environment, which everybody may use.
    pub tenant: Option<String>,
    /// The software that it runs on.
    pub shop: StoreShop,
    /// Where it is.
    pub url: String,
    /// Whether it may be asked over plain HTTP.
    pub allow_http: bool,
    /// The languages in which it shows products.
    pub languages: Vec<String>,
    /// The currency of its prices.
    pub currency: Option<String>,
    /// When it was added; null for those of the environment, as the next two.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// When somebody changed it last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
    /// When it was last seen to take its credentials; null when that was never seen, as in mock mode.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub tested_at: Option<Timestamp>,
    /// There while it does not take its credentials any more: its jobs wait.
    pub parked: Option<ParkedStore>,
}

/// A store does not take its credentials any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParkedStore {
    /// When that was found.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What it said.
    pub reason: String,
}

/// A page of stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorePage {
    /// The stores; those of the environment stand on the first page, before all others.
    pub items: Vec<TenantStore>,
    /// Stores that were written by a newer release, as `tenant/name`.
    pub unreadable: Vec<String>,
    /// The `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// The tenants' stores in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoresOf {
    /// How many the caller's tenant has; with the scope `admin`, all tenants.
    pub total: u64,
    /// Those that do not take their credentials any more, by name, the first hundred; with the scope `admin` as `tenant/name`.
    pub parked: Vec<String>,
}

/// The keys of `ENCRYPTION_KEY`, and what is sealed with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeysReport {
    /// The key that seals; null without `ENCRYPTION_KEY`.
    #[schema(example = "k2")]
    pub newest: Option<String>,
    /// Those that are known, the newest first, and behind them those that are only used.
    pub keys: Vec<KeyUse>,
    /// Stores that are not sealed with the newest key: `POST /api/keys/rotate` seals them anew.
    pub left: u64,
}

/// A key, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyUse {
    /// Its name.
    #[schema(example = "k1")]
    pub key: String,
    /// Whether `ENCRYPTION_KEY` of the API has it: stores that are sealed with one that it has not cannot be opened.
    pub known: bool,
    /// Stores whose credentials are sealed with it.
    pub stores: u64,
}
