//! What a store is like besides its products, kept for a while: where stock is counted, where customers shop, its languages.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::answer::SERVICE;
use crate::error::ProviderError;

const KEPT: Duration = Duration::from_secs(600);

/// What a store is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Its name, which products have as their vendor that have none.
    pub(super) name: String,
    /// Of its prices.
    pub(super) currency: String,
    /// Where stock is counted.
    pub(super) location: String,
    /// What its online shop shows.
    pub(super) publication: String,
}

impl Settings {
    /// Of the answer's data.
    pub(super) fn read(data: &Value) -> Result<Self, ProviderError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let missing =
            |what: &str| ProviderError::Misconfigured { service: SERVICE, message: format!("the shop has no {what}") };
        let location =
            location(&data["locations"]["nodes"]).ok_or_else(|| missing("location where stock is counted"))?;
        let publication = publication(&data["publications"]["nodes"])
            .ok_or_else(|| missing("online shop among its sales channels: add the channel \"Online Store\""))?;
        Ok(Self {
            name: text(&data["shop"]["name"]),
            currency: text(&data["shop"]["currencyCode"]),
            location,
            publication,
        })
    }
}

/// The oldest place from which orders of the online shop are sent; where there is none, the oldest.
fn location(nodes: &Value) -> Option<String> {
    let nodes = nodes.as_array()?.iter().filter_map(|node| {
        let id = node["id"].as_str()?;
        let number: u64 = id.rsplit('/').next()?.parse().unwrap_or(u64::MAX);
        Some((node["fulfillsOnlineOrders"] != true, number, id))
    });
    nodes.min().map(|(.., id)| id.to_owned())
}

/// The one of the online shop.
fn publication(nodes: &Value) -> Option<String> {
    let nodes = nodes.as_array()?;
    let is_of_app = |node: &&Value| {
        node["catalog"]["apps"]["nodes"].as_array().into_iter().flatten().any(|app| app["handle"] == "online_store")
    };
    let is_named = |node: &&Value| {
        node["catalog"]["title"].as_str().is_some_and(|title| title.eq_ignore_ascii_case("online store"))
    };
    let only = || if let [node] = nodes.as_slice() { Some(node) } else { None };
    let node = nodes.iter().find(is_of_app).or_else(|| nodes.iter().find(is_named)).or_else(only)?;
    node["id"].as_str().map(str::to_owned)
}

/// A language in which a store shows products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locale {
    pub(super) name: String,
    /// That of the products themselves.
    pub(super) is_primary: bool,
}

/// Of the answer's data.
pub(super) fn locales(data: &Value) -> Vec<Locale> {
    let locales = data["shopLocales"].as_array().into_iter().flatten();
    let locales = locales.filter_map(|locale| {
        Some(Locale { name: locale["locale"].as_str()?.to_owned(), is_primary: locale["primary"] == true })
    });
    locales.collect()
}

/// The store's name of a language that is not its own, if it has it: `pt` may be its `pt-PT`.
pub(super) fn locale<'a>(locales: &'a [Locale], language: &str) -> Option<&'a str> {
    let others = || locales.iter().filter(|locale| !locale.is_primary).map(|locale| locale.name.as_str());
    let is_kind = |name: &&str| {
        name.get(..language.len()).is_some_and(|start| start.eq_ignore_ascii_case(language))
            && name.as_bytes().get(language.len()) == Some(&b'-')
    };
    let only_kind = || others().filter(is_kind).count() == 1;
    others()
        .find(|name| name.eq_ignore_ascii_case(language))
        .or_else(|| if only_kind() { others().find(is_kind) } else { None })
}

/// By store.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    pub(super) fn get(&self, store: &str) -> Option<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(store).filter(|(at, _)| at.elapsed() < KEPT).map(|(_, value)| value.clone())
    }

    pub(super) fn put(&self, store: &str, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_owned(), (Instant::now(), value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stock_is_counted_at_the_oldest_location_that_sends_what_is_bought_online() {
        let node = |id: u64, online: bool| json!({ "id": format!("gid://shopify/Location/{id}"), "fulfillsOnlineOrders": online });
        let chosen = |nodes: &[Value]| location(&json!(nodes)).map(|id| id.rsplit('/').next().unwrap().to_owned());
        assert_eq!(chosen(&[node(3, false), node(20, true), node(7, true)]).unwrap(), "7");
        assert_eq!(chosen(&[node(20, false), node(3, false)]).unwrap(), "3");
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn the_online_shop_is_known_by_its_app_or_its_name() {
        let node = |id: &str, title: &str, app: &str| json!({ "id": id, "catalog": { "title": title, "apps": { "nodes": [{ "handle": app }] } } });
        let two = [node("1", "Point of Sale", "pos"), node("2", "Boutique en ligne", "online_store")];
        assert_eq!(publication(&json!(two)).unwrap(), "2");
        let named =
            [json!({ "id": "1", "catalog": null }), json!({ "id": "2", "catalog": { "title": "Online Store" } })];
        assert_eq!(publication(&json!(named)).unwrap(), "2");
        assert_eq!(publication(&json!([node("1", "Point of Sale", "pos"), node("2", "Else", "else")])), None);
    }

    #[test]
    fn a_language_may_be_the_stores_only_one_of_its_kind() {
        let store = |names: &[&str]| -> Vec<Locale> {
            names
                .iter()
                .enumerate()
                .map(|(at, name)| Locale { name: (*name).to_owned(), is_primary: at == 0 })
                .collect()
        };
        assert_eq!(locale(&store(&["en", "fr", "pt-PT"]), "fr"), Some("fr"));
        assert_eq!(locale(&store(&["en", "fr", "pt-PT"]), "pt"), Some("pt-PT"));
        assert_eq!(locale(&store(&["en", "pt-BR", "pt-PT"]), "pt"), None);
        assert_eq!(locale(&store(&["en", "fr"]), "en"), None, "the store's own language is that of the product itself");
    }
}
