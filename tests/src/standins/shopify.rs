//! A stand-in of Shopify's Admin GraphQL API: `productSet`, `productByIdentifier`, `product`, `publications`, `publishablePublish`, `shop`.
//!
//! It reads the arguments of the one field that a document asks for, as variables (`input: $in`), and answers all that it knows
//! of the object, whatever the document selects.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Map, Value, json};

use super::{
    fault::{About, Faults, Front},
    is_json, lock, text,
};

/// The version that it speaks.
pub const VERSION: &str = "2026-10";
const COST: u64 = 10;
const BUCKET: u64 = 2_000;
const RESTORED_PER_S: u64 = 100;

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Shopify {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    token: String,
    state: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    last_id: u64,
    /// By number; the custom id that it was made with is in the metafields.
    products: BTreeMap<u64, Map<String, Value>>,
    published: Vec<String>,
    created: BTreeMap<String, usize>,
    updated: BTreeMap<String, usize>,
    n_throttled: usize,
}

/// What a field answers: its data, or an error of the whole document.
type Answer = Result<Value, (&'static str, String)>;

impl Shopify {
    /// Starts it on a port (0 is a free one). It knows one token, `shpat_…`.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, token: &str) -> anyhow::Result<Self> {
        let shop = Arc::new(Shop { token: token.to_owned(), state: Mutex::default() });
        let routes =
            Router::new().route("/admin/api/{version}/graphql.json", post(graphql)).with_state(Arc::clone(&shop));
        Ok(Self { front: Front::start(port, routes).await?, shop })
    }

    /// What belongs into `SHOPIFY_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes of products are counted by handle: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// Answers the next `n` requests with `THROTTLED`.
    pub fn throttle(&self, n: usize) {
        lock(&self.shop.state).n_throttled = n;
    }

    /// How often a product with this handle was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, handle: &str) -> usize {
        lock(&self.shop.state).created.get(handle).copied().unwrap_or(0)
    }

    /// How often the product with this handle was updated, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, handle: &str) -> usize {
        lock(&self.shop.state).updated.get(handle).copied().unwrap_or(0)
    }

    /// The ids of what was published.
    #[must_use]
    pub fn published(&self) -> Vec<String> {
        lock(&self.shop.state).published.clone()
    }
}

async fn graphql(
    State(shop): State<Arc<Shop>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if text(&headers, "x-shopify-access-token") != shop.token {
        let message = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        return (StatusCode::UNAUTHORIZED, Json(json!({ "errors": message }))).into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(query) = request["query"].as_str().filter(|_| is_json(&headers)) else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({ "errors": { "query": "Required parameter missing or invalid" } })),
        )
            .into_response();
    };
    let mut state = lock(&shop.state);
    let is_throttled = state.n_throttled > 0;
    state.n_throttled = state.n_throttled.saturating_sub(1);
    let outcome =
        if is_throttled { Err(("THROTTLED", "Throttled".to_owned())) } else { state.run(query, &request["variables"]) };
    let available = if is_throttled { 0 } else { BUCKET - COST };
    let cost = json!({ "requestedQueryCost": COST, "actualQueryCost": if is_throttled { Value::Null } else { json!(COST) },
        "throttleStatus": { "maximumAvailable": BUCKET, "currentlyAvailable": available, "restoreRate": RESTORED_PER_S } });
    let mut answer = json!({ "extensions": { "cost": cost } });
    let mut about = None;
    match outcome {
        Ok(data) => {
            let handle = data["productSet"]["product"]["handle"].as_str();
            about = handle.map(|handle| About(handle.to_owned()));
            answer["data"] = data;
        }
        Err((code, message)) => answer["errors"] = json!([{ "message": message, "extensions": { "code": code } }]),
    }
    // Like the real one, it serves another version than was asked for when it does not know that.
    let served = if version == VERSION { version } else { VERSION.to_owned() };
    let headers = [("x-shopify-api-version", served), ("x-request-id", "standin".to_owned())];
    let mut response = (headers, Json(answer)).into_response();
    if let Some(about) = about {
        response.extensions_mut().insert(about);
    }
    response
}

/// The first field of a document, and the variables that its arguments are, by the arguments' names.
fn field(query: &str) -> Option<(&str, BTreeMap<&str, &str>)> {
    let (_, selection) = query.split_once('{')?;
    let selection = selection.trim_start();
    let end = selection.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    let (name, rest) = selection.split_at(end);
    let arguments =
        rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(list, _)| list);
    let pairs = arguments.split(',').filter_map(|pair| pair.split_once(':'));
    let variables = pairs.filter_map(|(name, value)| Some((name.trim(), value.trim().strip_prefix('$')?)));
    Some((name, variables.collect()))
}

fn gid(kind: &str, id: u64) -> String {
    format!("gid://shopify/{kind}/{id}")
}

/// The number in `gid://shopify/Product/7`.
fn number(gid: &str) -> Option<u64> {
    gid.strip_prefix("gid://shopify/Product/")?.parse().ok()
}

fn user_error(code: &str, field: &str, message: &str) -> Value {
    json!({ "code": code, "field": ["input", field], "message": message })
}

impl Stock {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn run(&mut self, query: &str, variables: &Value) -> Answer {
        let Some((name, arguments)) = field(query) else {
            return Err(("GRAPHQL_PARSE_FAILED", "syntax error: a document with one field was expected".to_owned()));
        };
        let argument = |name: &str| arguments.get(name).map_or(&Value::Null, |variable| &variables[*variable]);
        let data = match name {
            "productSet" => self.set(argument("identifier"), argument("input"))?,
            "productByIdentifier" => {
                let id = self.find(argument("identifier"));
                id.map_or(Value::Null, |id| self.show(id))
            }
            "product" => {
                let id = argument("id").as_str().and_then(number).filter(|id| self.products.contains_key(id));
                id.map_or(Value::Null, |id| self.show(id))
            }
            "publications" => {
                json!({ "nodes": [{ "id": gid("Publication", 1), "catalog": { "title": "Online Store" } }] })
            }
            "publishablePublish" => self.publish(argument("id"), argument("input")),
            "shop" => json!({ "id": gid("Shop", 1), "name": "Stand-in" }),
            _ => {
                let message =
                    format!("Field '{name}' doesn't exist on type 'QueryRoot' or 'Mutation' of this stand-in");
                return Err(("undefinedField", message));
            }
        };
        Ok(json!({ name: data }))
    }

    fn find(&self, identifier: &Value) -> Option<u64> {
        if let Some(id) = identifier["id"].as_str() {
            return number(id).filter(|id| self.products.contains_key(id));
        }
        let is_it = |product: &Map<String, Value>| match (&identifier["handle"], &identifier["customId"]) {
            (Value::String(handle), _) => product["handle"] == handle.as_str(),
            (_, custom @ Value::Object(_)) => has_metafield(product.get("metafields"), custom),
            _ => false,
        };
        self.products.iter().find(|(_, product)| is_it(product)).map(|(id, _)| *id)
    }

    fn show(&self, id: u64) -> Value {
        let Some(product) = self.products.get(&id) else { return Value::Null };
        let mut shown = product.clone();
        let variants = shown.remove("variants").unwrap_or_else(|| json!([]));
        shown.insert("variants".to_owned(), json!({ "nodes": variants }));
        let files = shown.remove("files").unwrap_or_else(|| json!([]));
        shown.insert("media".to_owned(), json!({ "nodes": files }));
        Value::Object(shown)
    }

    fn set(&mut self, identifier: &Value, input: &Value) -> Answer {
        let invalid = |problem: &str| {
            let message = format!("Variable $input of type ProductSetInput! was provided invalid value: {problem}");
            Err(("INVALID_VARIABLE", message))
        };
        let Some(fields) = input.as_object() else { return invalid("Expected value to not be null") };
        for variant in input["variants"].as_array().into_iter().flatten() {
            if !variant["optionValues"].is_array() {
                return invalid("variants.0.optionValues (Expected value to not be null)");
            }
            if variant.get("price").is_some_and(|price| !price.is_string()) {
                return invalid("variants.0.price (this stand-in wants money as a string)");
            }
        }
        let refused = |error: Value| Ok(json!({ "product": null, "productSetOperation": null, "userErrors": [error] }));
        if input["variants"].is_array() && !input["productOptions"].is_array() {
            return refused(user_error(
                "PRODUCT_OPTIONS_INPUT_MISSING",
                "productOptions",
                "Product options input is required when updating variants",
            ));
        }
        if input["productOptions"].is_array() && !input["variants"].is_array() {
            return refused(user_error(
                "VARIANTS_INPUT_MISSING",
                "variants",
                "Variants input is required when updating product options",
            ));
        }
        if identifier["customId"].is_object() && !has_metafield(fields.get("metafields"), &identifier["customId"]) {
            return refused(user_error(
                "METAFIELD_MISMATCH",
                "metafields",
                "The identifier value does not match the value of the corresponding field in the input.",
            ));
        }
        let found = self.find(identifier);
        let taken = fields.get("handle").and_then(|handle| self.find(&json!({ "handle": handle })));
        if taken.is_some() && taken != found {
            return refused(user_error(
                "HANDLE_NOT_UNIQUE",
                "handle",
                "Handle already in use. Please provide a new handle.",
            ));
        }
        if found.is_none() && input["title"].as_str().is_none_or(str::is_empty) {
            return refused(user_error("BLANK", "title", "Title can't be blank"));
        }
        let id = found.unwrap_or_else(|| self.next_id());
        let mut product = self.products.remove(&id).unwrap_or_default();
        if found.is_none() {
            product.insert("id".to_owned(), json!(gid("Product", id)));
            product.insert("status".to_owned(), json!("ACTIVE"));
            let title = input["title"].as_str().unwrap_or_default().to_lowercase().replace(' ', "-");
            let handle = identifier["handle"].as_str().map_or(title, str::to_owned);
            product.insert("handle".to_owned(), json!(handle));
        }
        // A list that is sent replaces the old one; what is left out stays.
        for (name, value) in fields {
            let mut value = value.clone();
            for item in value.as_array_mut().into_iter().flatten() {
                match name.as_str() {
                    "variants" => {
                        item["id"] = json!(gid("ProductVariant", self.next_id()));
                        item["inventoryItem"]["id"] = json!(gid("InventoryItem", self.next_id()));
                    }
                    // Each originalSource is a new file.
                    "files" if item.get("id").is_none() => {
                        item["id"] = json!(gid("MediaImage", self.next_id()));
                        item["status"] = json!("READY");
                    }
                    _ => {}
                }
            }
            product.insert(name.clone(), value);
        }
        let handle = product["handle"].as_str().unwrap_or_default().to_owned();
        let counts = if found.is_some() { &mut self.updated } else { &mut self.created };
        *counts.entry(handle).or_default() += 1;
        self.products.insert(id, product);
        Ok(json!({ "product": self.show(id), "productSetOperation": null, "userErrors": [] }))
    }

    fn publish(&mut self, id: &Value, input: &Value) -> Value {
        let product = id.as_str().and_then(number).and_then(|id| self.products.get(&id));
        let problem = match product {
            None => Some("The resource was not found"),
            Some(product) if product["status"] != "ACTIVE" => Some("The product is not active"),
            _ if !input[0]["publicationId"].is_string() => Some("The publication was not found"),
            _ => None,
        };
        let id = id.as_str().unwrap_or_default().to_owned();
        if problem.is_none() && !self.published.contains(&id) {
            self.published.push(id);
        }
        let errors: Vec<Value> =
            problem.map(|message| json!({ "field": ["id"], "message": message })).into_iter().collect();
        json!({ "userErrors": errors })
    }
}

fn has_metafield(metafields: Option<&Value>, custom: &Value) -> bool {
    let fields = metafields.and_then(Value::as_array);
    fields.is_some_and(|fields| {
        fields.iter().any(|field| field["key"] == custom["key"] && field["value"] == custom["value"])
    })
}
