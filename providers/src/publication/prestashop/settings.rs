//! What must be known of a shop before anything is written to it: the key's rights, which shop it is, its languages and settings. Read once
//! an attempt.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use rust_decimal::Decimal;
use url::Url;

use super::super::send::{Body, Calls, Request};
use super::{
    answer::{NAME, content},
    xml::Node,
};
use crate::error::ProviderError;

/// Of a call that brings no picture.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// The shop that a webservice with only one has.
const FIRST_SHOP: u64 = 1;
/// The category in which a shop shows products that are in no other, unless it says otherwise.
const HOME: u64 = 2;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// What publishing needs; `patch` is there where `put` is.
const NEEDED: [(&str, &[&str]); 10] = [
    ("products", &["get", "post", "patch", "delete"]),
    ("images", &["get", "post", "delete"]),
    ("stock_availables", &["get", "patch"]),
    ("languages", &["get"]),
    ("categories", &["get", "post"]),
    ("tags", &["get", "post"]),
    ("manufacturers", &["get", "post"]),
    ("combinations", &["get", "post", "patch", "delete"]),
    ("product_options", &["get", "post"]),
    ("product_option_values", &["get", "post"]),
];

/// What the key may do, by resource.
#[derive(Debug, Default)]
pub(super) struct Rights(BTreeMap<String, Vec<&'static str>>);

impl Rights {
    fn read(api: &Node) -> Self {
        let of = |resource: &Node| {
            let methods = METHODS.into_iter().filter(|method| resource.attribute(method) == Some("true"));
            (resource.name.clone(), methods.collect())
        };
        Self(api.children.iter().map(of).collect())
    }

    /// Whether it may do this with that.
    pub(super) fn allows(&self, resource: &str, method: &str) -> bool {
        let methods = self.0.get(resource).map(Vec::as_slice).unwrap_or_default();
        // Older shops do not know PATCH; then the whole is put.
        methods.contains(&method) || (method == "patch" && methods.contains(&"put"))
    }

    /// What is missing, as `products (post, patch)`.
    pub(super) fn missing(&self) -> Vec<String> {
        let of = |(resource, methods): &(&str, &[&str])| {
            let missing: Vec<&str> = methods.iter().copied().filter(|method| !self.allows(resource, method)).collect();
            (!missing.is_empty()).then(|| format!("{resource} ({})", missing.join(", ")))
        };
        NEEDED.iter().filter_map(of).collect()
    }
}

/// A language of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Language {
    pub(super) id: u64,
    /// `fr`, in lower case.
    pub(super) code: String,
    active: bool,
}

/// What is known of the shop.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rights: Rights,
    /// Named in every call: a call that names none may reach other shops than the one meant.
    pub(super) shop: u64,
    /// All of them: a text of a language that a write leaves out is emptied, also of one that is not active.
    pub(super) languages: Vec<Language>,
    /// The language of the texts that say none.
    pub(super) default: u64,
    /// Where products are that are in no other category.
    pub(super) home: u64,
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The id of a language, by its code.
    pub(super) fn language(&self, code: &str) -> Option<u64> {
        let code = code.to_lowercase();
        self.languages.iter().find(|language| language.code == code).map(|language| language.id)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The country whose tax a price holds; `None`: not known.
    pub(super) fn country(&self) -> Option<u64> {
        self.value("PS_COUNTRY_DEFAULT")?.parse().ok()
    }

    /// Whether the shop adds taxes at all; it does unless it says that it does not.
    pub(super) fn has_taxes(&self) -> bool {
        self.value("PS_TAX") != Some("0")
    }

    /// How many characters a short description may have.
    pub(super) fn most_short(&self) -> usize {
        self.value("PS_PRODUCT_SHORT_DESC_LIMIT")
            .and_then(|value| value.parse().ok())
            .filter(|most| *most > 0)
            .unwrap_or(800)
    }

    /// How many bytes a picture may have.
    pub(super) fn most_picture_bytes(&self) -> usize {
        let megabytes = self.value("PS_LIMIT_UPLOAD_IMAGE_VALUE").and_then(|value| value.parse().ok());
        megabytes.filter(|most| *most > 0).unwrap_or(2) * 1_000_000
    }

    /// How many grams its unit of weight has.
    pub(super) fn grams(&self) -> Decimal {
        match self.value("PS_WEIGHT_UNIT").unwrap_or("kg").to_lowercase().as_str() {
            "g" => Decimal::ONE,
            "lb" | "lbs" => Decimal::new(45_359_237, 5),
            "oz" => Decimal::new(28_349_523_125, 9),
            _ => Decimal::from(1_000),
        }
    }
}

/// What is in the root of the answer to a GET.
async fn get(calls: &Calls<'_>, resource: &str, query: Vec<(String, String)>) -> Result<Node, ProviderError> {
    let (method, path) = (Method::GET, format!("/{resource}"));
    let request = Request { method, path, query, body: Body::None, timeout: TIMEOUT, is_write: false };
    content(&calls.send(&request).await?, &format!("GET /{resource}"))
}

/// The key's rights, and nothing else.
pub(super) async fn rights(calls: &Calls<'_>) -> Result<Rights, ProviderError> {
    // As JSON a healthy shop answers it with 500.
    Ok(Rights::read(&get(calls, "", Vec::new()).await?))
}

/// All of it.
pub(super) async fn read(calls: &Calls<'_>) -> Result<Settings, ProviderError> {
    let rights = rights(calls).await?;
    let store = calls.store;
    let (shop, home) = shop(calls, &rights, &store.url).await?;
    let rows = async |resource: &str, query: &[(&str, &str)]| {
        let shop = ("id_shop".to_owned(), shop.to_string());
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok::<_, ProviderError>(get(calls, resource, query.chain([shop]).collect()).await?.children)
    };
    let languages: Vec<Language> = rows("languages", &[("display", "[id,iso_code,active]")])
        .await?
        .iter()
        .map(|row| Language {
            id: row.id(),
            code: row.text_of("iso_code").trim().to_lowercase(),
            active: row.text_of("active").trim() == "1",
        })
        .collect();
    let mut values = BTreeMap::new();
    if rights.allows("configurations", "get") {
        let names = "[PS_LANG_DEFAULT|PS_HOME_CATEGORY|PS_COUNTRY_DEFAULT|PS_TAX|PS_PRODUCT_SHORT_DESC_LIMIT|PS_WEIGHT_UNIT|PS_LIMIT_UPLOAD_IMAGE_VALUE]";
        let mut found = rows("configurations", &[("filter[name]", names), ("display", "full")]).await?;
        found.retain(|row| [0, shop].contains(&row.number("id_shop")));
        // A shop's own value comes last, and stays.
        found.sort_by_key(|row| row.number("id_shop"));
        values.extend(found.iter().map(|row| (row.text_of("name").to_owned(), row.text_of("value").to_owned())));
    }
    let mut settings = Settings { rights, shop, languages, default: 0, home: HOME, values };
    settings.default = default_language(&settings, &store.languages)?;
    let said = settings.value("PS_HOME_CATEGORY").and_then(|value| value.parse().ok());
    settings.home = home.or(said).unwrap_or(HOME);
    Ok(settings)
}

/// Whose texts those are that say no language: the store's first, else what the shop says, else its first active one.
fn default_language(settings: &Settings, of_store: &[String]) -> Result<u64, ProviderError> {
    if let Some(code) = of_store.first() {
        return settings.language(code).ok_or_else(|| {
            let has: Vec<&str> = settings.languages.iter().map(|language| language.code.as_str()).collect();
            let message =
                format!("the store's default language {code} is none of the shop's, which are {}", has.join(", "));
            ProviderError::Misconfigured { service: NAME, message }
        });
    }
    let is_there = |id: &u64| settings.languages.iter().any(|language| language.id == *id);
    let said = settings.value("PS_LANG_DEFAULT").and_then(|value| value.parse().ok()).filter(is_there);
    let first = || settings.languages.iter().filter(|language| language.active).map(|language| language.id).min();
    said.or_else(first).ok_or_else(|| {
        let message = "the shop shows no active language".to_owned();
        ProviderError::Misconfigured { service: NAME, message }
    })
}

/// The one shop that the store's address belongs to, and the category in which it begins, as far as the key may see that.
async fn shop(calls: &Calls<'_>, rights: &Rights, url: &Url) -> Result<(u64, Option<u64>), ProviderError> {
    let rows = async |resource: &str| {
        let query = vec![("display".to_owned(), "full".to_owned())];
        Ok::<_, ProviderError>(get(calls, resource, query).await?.children)
    };
    let mut shops = Vec::new();
    if rights.allows("shops", "get") {
        shops = rows("shops").await?;
        shops.retain(|row| row.text_of("deleted").trim() != "1");
    }
    let home = |shop: u64| {
        let home = shops.iter().find(|row| row.id() == shop).map(|row| row.number("id_category"));
        home.filter(|home| *home > 0)
    };
    if let [only] = shops.as_slice() {
        return Ok((only.id(), home(only.id())));
    }
    if rights.allows("shop_urls", "get") {
        let mut best: Option<(usize, u64)> = None;
        for row in rows("shop_urls").await? {
            let Some(length) = length_of_match(&row, url) else { continue };
            if best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, row.number("id_shop")));
            }
        }
        if let Some((_, shop)) = best {
            return Ok((shop, home(shop)));
        }
    }
    if shops.is_empty() {
        return Ok((FIRST_SHOP, None));
    }
    let message = "there are several shops, and none could be told by the store's address: the key needs GET on shop_urls, and the \
                   address must be one of them"
        .to_owned();
    Err(ProviderError::Misconfigured { service: NAME, message })
}

/// How long the path is that an address of a shop shares with the store's; `None`: it is another one.
fn length_of_match(row: &Node, url: &Url) -> Option<usize> {
    let host = url.host_str().unwrap_or_default();
    let with_port = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let is_host = ["domain", "domain_ssl"].iter().any(|name| {
        let domain = row.text_of(name).trim();
        domain.eq_ignore_ascii_case(host) || domain.eq_ignore_ascii_case(&with_port)
    });
    let path = format!("/{}/{}/", row.text_of("physical_uri").trim(), row.text_of("virtual_uri").trim());
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (own, of_store) = (parts(&path), parts(url.path()));
    (is_host && of_store == own).then_some(own.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_key_may_not_is_told_by_name() {
        let api = |rights: &[(&str, &[&str])]| {
            let row = |(name, methods): &(&str, &[&str])| {
                let attributes = methods.iter().map(|method| ((*method).to_owned(), "true".to_owned())).collect();
                Node { attributes, ..Node::new(name) }
            };
            Rights::read(&Node::new("api").with_all(rights.iter().map(row)))
        };
        assert_eq!(api(&NEEDED).missing(), Vec::<String>::new());
        let mut some = NEEDED.to_vec();
        some[0].1 = &["get", "put"];
        some.remove(1);
        assert_eq!(api(&some).missing(), ["products (post, delete)", "images (get, post, delete)"]);
    }

    #[test]
    fn a_shop_is_told_by_its_address() {
        let row = |domain: &str, folder: &str, part: &str| {
            Node::new("shop_url")
                .with(Node::value("domain", domain))
                .with(Node::value("physical_uri", folder))
                .with(Node::value("virtual_uri", part))
        };
        let matches = |row: &Node, url: &str| length_of_match(row, &Url::parse(url).unwrap());
        assert_eq!(matches(&row("shop.example", "/", ""), "https://SHOP.example"), Some(0));
        assert_eq!(matches(&row("shop.example", "/a/", "two/"), "https://shop.example/a/two"), Some(2));
        assert_eq!(matches(&row("shop.example", "/a/", ""), "https://shop.example/"), None);
        assert_eq!(matches(&row("shop.example:8080", "/", ""), "http://shop.example:8080/"), Some(0));
        assert_eq!(matches(&row("other.example", "/", ""), "https://shop.example/"), None);
    }
}
