//! A store: a tenant's account at a shop.

use secrecy::{ExposeSecret, SecretString};
use services::{Config, Name, Secrets};
use url::Url;

use super::Shop;
use crate::error::ProviderError;

/// The name of the store that the environment's variables tell of.
pub const DEFAULT_STORE: &str = "default";

/// Whose the environment's stores are, among the tenants' in Redis.
const ENVIRONMENT: &str = "environment";

/// A tenant's account at a shop, with what opens it.
#[derive(Debug, Clone)]
pub struct Store {
    /// Whose it is; the environment's stores are everybody's.
    pub tenant: String,
    /// Its name within the tenant; [`DEFAULT_STORE`] for the environment's.
    pub name: String,
    /// Where it is, without a path behind the shop's own folder and without a slash at the end.
    pub url: Url,
    /// Whether the operator named it: then it may be at any address.
    pub trusted: bool,
    /// What opens it; says which software it runs on.
    pub credentials: Credentials,
    /// Whether it may be asked over plain HTTP: WooCommerce with signatures only.
    pub allow_http: bool,
    /// The languages in which it shows products, the first being its default; empty: as the shop itself tells.
    pub languages: Vec<String>,
    /// ISO 4217 code of its prices; `None`: not known, so it is not compared.
    pub currency: Option<String>,
}

/// What opens a store.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A token that does not expire, `shpat_…`.
    ShopifyToken {
        /// The token.
        access_token: SecretString,
    },
    /// An app of the store's own organisation, by which tokens of 24 hours are had.
    ShopifyApp {
        /// The app.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// A key of the REST API.
    Woocommerce {
        /// `ck_…`.
        consumer_key: SecretString,
        /// `cs_…`.
        consumer_secret: SecretString,
    },
    /// A key of the webservice.
    Prestashop {
        /// 32 characters.
        api_key: SecretString,
    },
}

impl Store {
    /// The software that it runs on.
    #[must_use]
    pub fn shop(&self) -> Shop {
        match self.credentials {
            Credentials::ShopifyToken { .. } | Credentials::ShopifyApp { .. } => Shop::Shopify,
            Credentials::Woocommerce { .. } => Shop::Woocommerce,
            Credentials::Prestashop { .. } => Shop::Prestashop,
        }
    }

    /// Where it is, by whichever scheme it is asked and whatever it is called: host, port and folder.
    #[must_use]
    pub fn place(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let folder = self.url.path().trim_end_matches('/');
        format!("{}{port}{folder}", self.url.host_str().unwrap_or_default().trim_end_matches('.'))
    }

    /// Whose breaker and limits hold: the part behind the shop's name.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }

    /// What its breaker is called among all.
    #[must_use]
    pub fn breaker(&self) -> String {
        format!("{}/{}", self.shop(), self.account())
    }

    /// Whether it is one that the environment's variables tell of.
    #[must_use]
    pub fn is_of_environment(&self) -> bool {
        self.trusted && self.tenant == ENVIRONMENT
    }

    /// An error of a call to it without its credentials, which a shop may quote.
    #[must_use]
    pub fn redacted(&self, error: ProviderError) -> ProviderError {
        error.redacted(&self.secrets())
    }

    /// A text without its credentials.
    #[must_use]
    pub fn redacted_text(&self, text: String) -> String {
        self.secrets().redact(text)
    }

    fn secrets(&self) -> Secrets {
        let secrets = self.credentials.parts().into_iter().filter(|(_, secret)| *secret);
        let mut secrets: Vec<String> = secrets.map(|(text, _)| text.to_owned()).collect();
        // As they go out together: user and password, or a user without one.
        let together = secrets.join(":");
        secrets.extend([format!("{together}:"), together]);
        Secrets::new(secrets)
    }
}

impl Credentials {
    /// Each text, and whether it is secret.
    fn parts(&self) -> Vec<(&str, bool)> {
        match self {
            Self::ShopifyToken { access_token } => vec![(access_token.expose_secret(), true)],
            Self::ShopifyApp { client_id, client_secret } => {
                vec![(client_id, false), (client_secret.expose_secret(), true)]
            }
            Self::Woocommerce { consumer_key, consumer_secret } => {
                vec![(consumer_key.expose_secret(), true), (consumer_secret.expose_secret(), true)]
            }
            Self::Prestashop { api_key } => vec![(api_key.expose_secret(), true)],
        }
    }

    /// Whether they are the same ones.
    #[must_use]
    pub fn are(&self, others: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(others) && self.parts() == others.parts()
    }
}

/// The stores that the variables tell of.
pub(super) fn of_environment(config: &Config) -> Vec<Store> {
    let value = |variable| config.value(Name::Publication, variable);
    let secret = |variable| value(variable).map(SecretString::from);
    let shopify = match (secret("SHOPIFY_ACCESS_TOKEN"), value("SHOPIFY_CLIENT_ID"), secret("SHOPIFY_CLIENT_SECRET")) {
        (Some(access_token), ..) => Some(Credentials::ShopifyToken { access_token }),
        (None, Some(id), Some(client_secret)) => {
            Some(Credentials::ShopifyApp { client_id: id.to_owned(), client_secret })
        }
        _ => None,
    };
    let woocommerce = secret("WOO_CONSUMER_KEY")
        .zip(secret("WOO_CONSUMER_SECRET"))
        .map(|(consumer_key, consumer_secret)| Credentials::Woocommerce { consumer_key, consumer_secret });
    let prestashop = secret("PRESTA_API_KEY").map(|api_key| Credentials::Prestashop { api_key });
    let stores = [("SHOPIFY_STORE_URL", shopify), ("WOO_STORE_URL", woocommerce), ("PRESTA_STORE_URL", prestashop)];
    let stores = stores.into_iter().filter_map(|(variable, credentials)| {
        let url = Url::parse(value(variable)?.trim_end_matches('/')).ok()?;
        Some(Store {
            tenant: ENVIRONMENT.to_owned(),
            name: DEFAULT_STORE.to_owned(),
            allow_http: url.scheme() == "http",
            url,
            trusted: true,
            credentials: credentials?,
            languages: Vec::new(),
            currency: None,
        })
    });
    stores.collect()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn what_a_shop_quotes_of_credentials_is_taken_out_in_each_form_in_which_they_are_sent() {
        let woo =
            Credentials::Woocommerce { consumer_key: "ck_0123456789".into(), consumer_secret: "cs_9876543210".into() };
        let presta = Credentials::Prestashop { api_key: "0123456789ABCDEF0123456789ABCDEF".into() };
        for (credentials, sent) in [
            (&woo, "ck_0123456789".to_owned()),
            (&woo, format!("Basic {}", STANDARD.encode("ck_0123456789:cs_9876543210"))),
            (&presta, format!("Basic {}", STANDARD.encode("0123456789ABCDEF0123456789ABCDEF:"))),
        ] {
            let store = Store {
                tenant: "acme".to_owned(),
                name: "main".to_owned(),
                url: Url::parse("https://shop.example").unwrap(),
                trusted: false,
                credentials: credentials.clone(),
                allow_http: false,
                languages: Vec::new(),
                currency: None,
            };
            let error = ProviderError::Misconfigured { service: "shop", message: format!("you sent {sent}.") };
            let said = store.redacted(error).to_string();
            let words = said.trim_start_matches("shop: you sent ").trim_start_matches("Basic ");
            assert_eq!(words, "[secret].", "{sent}");
            assert!(credentials.are(&credentials.clone()) && !woo.are(&presta));
            assert_eq!(store.breaker(), format!("{}/acme/main", store.shop()));
        }
    }
    #[test]
    fn a_store_is_at_one_place_by_whatever_address_it_is_asked() {
        let place = |url: &str| {
            let url = Url::parse(url).unwrap();
            let credentials = Credentials::Prestashop { api_key: "0123456789ABCDEF0123456789ABCDEF".into() };
            Store {
                tenant: "acme".to_owned(),
                name: "main".to_owned(),
                url,
                trusted: false,
                credentials,
                allow_http: false,
                languages: Vec::new(),
                currency: None,
            }
            .place()
        };
        for same in ["https://shop.example", "http://Shop.Example:80/", "https://shop.example.:443"] {
            assert_eq!(place(same), "shop.example", "{same}");
        }
        for (other, named) in
            [("https://shop.example:8443/", "shop.example:8443"), ("https://shop.example/fr/", "shop.example/fr")]
        {
            assert_eq!(place(other), named);
        }
    }
}
