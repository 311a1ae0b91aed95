//! One store for one attempt: asks it, and knows what it is like.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{
        error::PublishError,
        listing::Listing,
        send::{Body, Calls, Request},
    },
    answer::{self, SERVICE},
    queries::{self, Query},
    read,
    settings::{self, Kept, Locale, Settings},
};
use crate::error::ProviderError;

const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// A product with many variants or pictures takes a while.
const MUTATION_TIMEOUT: Duration = Duration::from_secs(60);
/// So many pages of a product's lists are read: 2,048 variants are 52.
const MOST_PAGES: usize = 60;

/// What is kept of all stores from one attempt to the next.
#[derive(Debug)]
pub(crate) struct Known {
    version: String,
    settings: Kept<Settings>,
    locales: Kept<Vec<Locale>>,
}

impl Known {
    /// `version`: of the Admin API, as `2026-10`.
    pub(crate) fn new(version: String) -> Self {
        Self { version, settings: Kept::default(), locales: Kept::default() }
    }
}

/// A store, within one attempt.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) calls: Calls<'a>,
    known: Arc<Known>,
}

impl<'a> Client<'a> {
    pub(super) fn new(calls: Calls<'a>, known: Arc<Known>) -> Self {
        Self { calls, known }
    }

    /// What a query's data are.
    pub(super) async fn ask(&self, query: &Query, variables: Value) -> Result<Value, ProviderError> {
        // The name stands in front: the transport looks for it.
        let body = format!(
            r#"{{"operationName":"{}","query":{},"variables":{variables}}}"#,
            query.name,
            Value::from(query.text)
        );
        let request = Request {
            method: Method::POST,
            path: format!("/admin/api/{}/graphql.json", self.known.version),
            query: Vec::new(),
            body: Body::Text("application/json", body),
            timeout: if query.is_write { MUTATION_TIMEOUT } else { QUERY_TIMEOUT },
            is_write: query.is_write,
        };
        let reply = self.calls.send(&request).await?;
        let body: Value = serde_json::from_slice(&reply.body).map_err(|_| nothing(query))?;
        Ok(body["data"].clone())
    }

    /// The same of a mutation that has one field. What it answers may carry refusals of single fields.
    pub(super) async fn carry_out(&self, mutation: &Query, variables: Value) -> Result<Value, ProviderError> {
        let data = self.ask(mutation, variables).await?;
        let payload = data.as_object().and_then(|data| data.values().next()).filter(|payload| payload.is_object());
        payload.cloned().ok_or_else(|| nothing(mutation))
    }

    /// The same when all of it is taken.
    pub(super) async fn change(&self, mutation: &Query, variables: Value) -> Result<Value, PublishError> {
        let payload = self.carry_out(mutation, variables).await?;
        answer::taken(&payload)?;
        Ok(payload)
    }

    pub(super) async fn settings(&self) -> Result<Settings, ProviderError> {
        let store = self.store();
        if let Some(settings) = self.known.settings.get(&store) {
            return Ok(settings);
        }
        let settings = Settings::read(&self.ask(&queries::SETTINGS, json!({})).await?)?;
        self.known.settings.put(&store, settings.clone());
        Ok(settings)
    }

    pub(super) async fn locales(&self) -> Result<Vec<Locale>, ProviderError> {
        let store = self.store();
        if let Some(locales) = self.known.locales.get(&store) {
            return Ok(locales);
        }
        let locales = settings::locales(&self.ask(&queries::LOCALES, json!({})).await?);
        self.known.locales.put(&store, locales.clone());
        Ok(locales)
    }

    fn store(&self) -> String {
        format!("{} {}", self.calls.store.url, self.calls.store.account())
    }

    /// A product with its lists whole, and its texts in these languages. `None`: there is none of this id.
    pub(super) async fn product(&self, id: &str, languages: &[String]) -> Result<Option<Value>, ProviderError> {
        let settings = self.settings().await?;
        let mut product = Value::Null;
        let mut cursors = json!({ "variants": null, "media": null, "collections": null });
        for page in 0.. {
            let mut variables = cursors.clone();
            variables["id"] = json!(id);
            variables["publication"] = json!(settings.publication);
            variables["location"] = json!(settings.location);
            let mut data = self.ask(&queries::PRODUCT, variables).await?;
            let mut next = data["product"].take();
            if next.is_null() {
                return Ok(None);
            }
            let mut has_more = false;
            for list in ["variants", "media", "collections"] {
                let info = next[list]["pageInfo"].clone();
                has_more |= info["hasNextPage"] == true;
                // Behind the last one nothing comes.
                if info["endCursor"].is_string() {
                    cursors[list] = info["endCursor"].clone();
                }
                if let (Some(all), Some(more)) = (product[list]["nodes"].as_array(), next[list]["nodes"].as_array()) {
                    next[list]["nodes"] = all.iter().chain(more).cloned().collect();
                }
            }
            product = next;
            if !has_more {
                break;
            }
            if page == MOST_PAGES {
                let message = format!("the lists of product {id} never end");
                return Err(ProviderError::Transient { service: SERVICE, message, retry_after: None });
            }
        }
        for language in languages {
            let texts = self.translations(id, language).await?;
            product["translations"][language] = texts["translations"].clone();
        }
        Ok(Some(product))
    }

    /// What of a product can be translated, and how it is in one language of ours. Null: the store does not have it.
    pub(super) async fn translations(&self, id: &str, language: &str) -> Result<Value, ProviderError> {
        let locales = self.locales().await?;
        let Some(locale) = settings::locale(&locales, language) else { return Ok(Value::Null) };
        let mut data = self.ask(&queries::TRANSLATABLE, json!({ "id": id, "locale": locale })).await?;
        Ok(data["translatableResource"].take())
    }
}

/// The languages that a listing knows of.
pub(super) fn languages(listing: &Listing) -> impl Iterator<Item = &str> {
    listing.written.keys().filter_map(|field| field.strip_prefix("translations.")?.split('.').next())
}

fn nothing(query: &Query) -> ProviderError {
    let message = format!("{} was answered without data", query.name);
    match query.is_write {
        true => ProviderError::UnknownOutcome { service: SERVICE, message },
        false => ProviderError::Transient { service: SERVICE, message, retry_after: None },
    }
}

/// The pictures of a product alone, whole.
pub(super) async fn media(client: &Client<'_>, id: &str) -> Result<Value, ProviderError> {
    let (mut nodes, mut after) = (Vec::new(), Value::Null);
    loop {
        let data = client.ask(&queries::MEDIA, json!({ "id": id, "media": after })).await?;
        let media = &data["product"]["media"];
        nodes.extend(read::nodes(media).cloned());
        if media["pageInfo"]["hasNextPage"] != true || nodes.len() > 1_000 {
            return Ok(json!({ "media": { "nodes": nodes } }));
        }
        after = media["pageInfo"]["endCursor"].clone();
    }
}
