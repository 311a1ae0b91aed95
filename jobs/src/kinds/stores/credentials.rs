//! What opens a store: as it is given, as it is kept, and as the shops' interfaces take it.

use api::{FieldError, StoreCredentials, StoreShop};
use providers::publication::{Credentials, Shop, Store};
use secrecy::{ExposeSecret, SecretString};
use services::{Ring, Sealed};
use store::StoredStore;
use url::Url;

/// A secret of another length than 32 is no key of a PrestaShop.
const PRESTA_KEY: usize = 32;

/// The shop of a request.
#[must_use]
pub fn shop_of(shop: StoreShop) -> Shop {
    match shop {
        StoreShop::Shopify => Shop::Shopify,
        StoreShop::Woocommerce => Shop::Woocommerce,
        StoreShop::Prestashop => Shop::Prestashop,
    }
}

/// The same for an answer.
#[must_use]
pub fn described(shop: Shop) -> StoreShop {
    match shop {
        Shop::Shopify => StoreShop::Shopify,
        Shop::Woocommerce => StoreShop::Woocommerce,
        Shop::Prestashop => StoreShop::Prestashop,
    }
}

/// The credentials that a request gives.
///
/// # Errors
/// Each field that this shop does not have, needs, or that cannot be right; none is quoted.
pub fn credentials(shop: Shop, given: &StoreCredentials) -> Result<Credentials, Vec<FieldError>> {
    let StoreCredentials { access_token, client_id, client_secret, consumer_key, consumer_secret, api_key } = given;
    let fields = [
        (Shop::Shopify, "access_token", access_token),
        (Shop::Shopify, "client_id", client_id),
        (Shop::Shopify, "client_secret", client_secret),
        (Shop::Woocommerce, "consumer_key", consumer_key),
        (Shop::Woocommerce, "consumer_secret", consumer_secret),
        (Shop::Prestashop, "api_key", api_key),
    ];
    let mut errors = Errors(Vec::new());
    for (of, field, _) in fields.iter().filter(|(of, _, value)| *of != shop && value.is_some()) {
        errors.put(field, format!("is of {of}, and the store is of {shop}"));
    }
    let found = match shop {
        Shop::Shopify if access_token.is_some() && (client_id.is_some() || client_secret.is_some()) => {
            errors.put("access_token", "is there, so client_id and client_secret cannot be");
            None
        }
        Shop::Shopify if client_id.is_some() || client_secret.is_some() => {
            let id = errors.text("client_id", client_id.as_ref(), "");
            let secret = errors.text("client_secret", client_secret.as_ref(), "");
            id.zip(secret).map(|(client_id, client_secret)| Credentials::ShopifyApp {
                client_id: client_id.expose_secret().to_owned(),
                client_secret,
            })
        }
        Shop::Shopify if access_token.is_none() => {
            errors.0.push(FieldError::new("/credentials", "must have access_token, or client_id and client_secret"));
            None
        }
        Shop::Shopify => {
            let token = errors.text("access_token", access_token.as_ref(), "shpat_");
            token.map(|access_token| Credentials::ShopifyToken { access_token })
        }
        Shop::Woocommerce => {
            let key = errors.text("consumer_key", consumer_key.as_ref(), "ck_");
            let secret = errors.text("consumer_secret", consumer_secret.as_ref(), "cs_");
            key.zip(secret)
                .map(|(consumer_key, consumer_secret)| Credentials::Woocommerce { consumer_key, consumer_secret })
        }
        Shop::Prestashop => {
            if api_key.as_ref().is_some_and(|key| key.len() != PRESTA_KEY) {
                errors.put("api_key", "must have exactly 32 characters");
                None
            } else {
                let key = errors.text("api_key", api_key.as_ref(), "");
                key.map(|api_key| Credentials::Prestashop { api_key })
            }
        }
    };
    found.filter(|_| errors.0.is_empty()).ok_or(errors.0)
}

struct Errors(Vec<FieldError>);

impl Errors {
    fn put(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError::new(format!("/credentials/{field}"), message));
    }

    /// One word that begins so.
    fn text(&mut self, field: &str, text: Option<&String>, prefix: &str) -> Option<SecretString> {
        let Some(text) = text else {
            self.put(field, "is required");
            return None;
        };
        let is_word = text.len() > prefix.len() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_word && text.starts_with(prefix) {
            return Some(SecretString::from(text.as_str()));
        }
        match prefix {
            "" => self.put(field, "must be one word"),
            prefix => self.put(field, format!("must begin with {prefix} and be one word")),
        }
        None
    }
}

/// The same credentials as a request would give them.
#[must_use]
pub fn as_given(credentials: &Credentials) -> StoreCredentials {
    let text = |secret: &SecretString| Some(secret.expose_secret().to_owned());
    match credentials {
        Credentials::ShopifyToken { access_token } => {
            StoreCredentials { access_token: text(access_token), ..StoreCredentials::default() }
        }
        Credentials::ShopifyApp { client_id, client_secret } => StoreCredentials {
            client_id: Some(client_id.clone()),
            client_secret: text(client_secret),
            ..StoreCredentials::default()
        },
        Credentials::Woocommerce { consumer_key, consumer_secret } => StoreCredentials {
            consumer_key: text(consumer_key),
            consumer_secret: text(consumer_secret),
            ..StoreCredentials::default()
        },
        Credentials::Prestashop { api_key } => {
            StoreCredentials { api_key: text(api_key), ..StoreCredentials::default() }
        }
    }
}

/// Where the credentials of a store belong; no others open there.
#[must_use]
pub fn place_of(tenant: &str, name: &str) -> String {
    format!("stores/{tenant}/{name}/credentials")
}

/// Seals the credentials of a tenant's store.
#[must_use]
pub fn seal(ring: &Ring, store: &Store) -> Sealed {
    let text = SecretString::from(serde_json::to_string(&as_given(&store.credentials)).unwrap_or_default());
    ring.seal(&place_of(&store.tenant, &store.name), text.expose_secret())
}

/// A store with its credentials.
///
/// # Errors
/// Why it cannot be opened, for people.
pub fn opened(ring: Option<&Ring>, stored: &StoredStore) -> Result<Store, String> {
    let newer = |what: &str| format!("{what} is not known here: a newer release has written it");
    let ring = ring.ok_or("ENCRYPTION_KEY is not set")?;
    let text = ring.open(&place_of(&stored.tenant, &stored.name), &stored.sealed).map_err(|error| error.to_string())?;
    let given: StoreCredentials = serde_json::from_str(text.expose_secret()).map_err(|_| newer("what opens it"))?;
    let shop = Shop::ALL.into_iter().find(|shop| shop.name() == stored.shop).ok_or_else(|| newer("its shop"))?;
    Ok(Store {
        tenant: stored.tenant.clone(),
        name: stored.name.clone(),
        url: Url::parse(&stored.url).map_err(|error| format!("its address cannot be read: {error}"))?,
        trusted: false,
        credentials: credentials(shop, &given).map_err(|_| newer("what opens it"))?,
        allow_http: stored.allow_http,
        languages: stored.languages.clone(),
        currency: stored.currency.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use store::Moment;

    use super::*;

    fn read(shop: Shop, given: Value) -> Result<Credentials, Vec<(String, String)>> {
        let given: StoreCredentials = serde_json::from_value(given).unwrap();
        credentials(shop, &given)
            .map_err(|errors| errors.into_iter().map(|error| (error.pointer, error.message)).collect())
    }

    fn pointers(shop: Shop, given: &Value) -> Vec<String> {
        let errors = read(shop, given.clone()).unwrap_err();
        for (_, message) in &errors {
            assert!(!message.contains("hush"), "{given}: {message}");
        }
        errors.into_iter().map(|(pointer, _)| pointer).collect()
    }

    const KEY: &str = "hushhushhushhushhushhushhushhush";

    #[test]
    fn each_shop_takes_its_own_credentials_and_gives_them_back_as_they_were() {
        for (shop, given) in [
            (Shop::Shopify, json!({ "access_token": "shpat_hush" })),
            (Shop::Shopify, json!({ "client_id": "4f2b", "client_secret": "shpss_hush" })),
            (Shop::Woocommerce, json!({ "consumer_key": "ck_hush", "consumer_secret": "cs_hush" })),
            (Shop::Prestashop, json!({ "api_key": KEY })),
        ] {
            let credentials = read(shop, given.clone()).unwrap();
            assert_eq!(serde_json::to_value(as_given(&credentials)).unwrap(), given);
            assert!(!format!("{credentials:?} {:?}", as_given(&credentials)).contains("hush"));
        }
    }

    #[test]
    fn a_bad_credential_is_named_and_not_quoted() {
        assert_eq!(pointers(Shop::Shopify, &json!({})), ["/credentials"]);
        assert_eq!(pointers(Shop::Shopify, &json!({ "access_token": "hush" })), ["/credentials/access_token"]);
        assert_eq!(pointers(Shop::Shopify, &json!({ "client_id": "hush" })), ["/credentials/client_secret"]);
        let both = json!({ "access_token": "shpat_hush", "client_id": "hush", "client_secret": "hush" });
        assert_eq!(pointers(Shop::Shopify, &both), ["/credentials/access_token"]);
        let both = ["/credentials/consumer_key", "/credentials/consumer_secret"];
        assert_eq!(pointers(Shop::Woocommerce, &json!({})), both);
        assert_eq!(pointers(Shop::Woocommerce, &json!({ "consumer_key": "ck_", "consumer_secret": "cs_hu sh" })), both);
        let foreign = json!({ "api_key": KEY, "access_token": "shpat_hush" });
        assert_eq!(pointers(Shop::Prestashop, &foreign), ["/credentials/access_token"]);
        for bad in ["hush", &"é".repeat(16), &" ".repeat(32)] {
            assert_eq!(pointers(Shop::Prestashop, &json!({ "api_key": bad })), ["/credentials/api_key"], "{bad:?}");
        }
    }

    #[test]
    fn a_stored_store_opens_with_its_key_and_as_no_other() {
        let ring = Ring::parse("k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=").unwrap();
        let store = Store {
            tenant: "acme".to_owned(),
            name: "main".to_owned(),
            url: Url::parse("https://shop.example/boutique").unwrap(),
            trusted: false,
            credentials: read(Shop::Prestashop, json!({ "api_key": KEY })).unwrap(),
            allow_http: false,
            languages: vec!["fr".to_owned()],
            currency: Some("EUR".to_owned()),
        };
        let sealed = seal(&ring, &store);
        assert!(!sealed.text.contains("hush"));
        let stored = StoredStore {
            id: "acme/main".to_owned(),
            tenant: "acme".to_owned(),
            name: "main".to_owned(),
            shop: "prestashop".to_owned(),
            url: store.url.to_string(),
            address: None,
            allow_http: false,
            languages: store.languages.clone(),
            currency: store.currency.clone(),
            sealed: sealed.text,
            key: sealed.key,
            version: 1,
            created_at: Moment::from_ms(1),
            updated_at: Moment::from_ms(1),
            tested_at: None,
            parked: None,
        };
        let again = opened(Some(&ring), &stored).unwrap();
        assert!(again.credentials.are(&store.credentials) && again.url == store.url && !again.trusted);
        assert_eq!(opened(None, &stored).unwrap_err(), "ENCRYPTION_KEY is not set");
        let moved = StoredStore { tenant: "bolt".to_owned(), id: "bolt/main".to_owned(), ..stored.clone() };
        assert!(opened(Some(&ring), &moved).unwrap_err().starts_with("it does not open"));
        let other = Ring::parse("k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let lost = opened(Some(&other), &stored).unwrap_err();
        assert_eq!(lost, "it is sealed with the key k1, which ENCRYPTION_KEY does not have");
    }
}
