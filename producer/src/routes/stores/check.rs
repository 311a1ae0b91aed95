//! What a request says of a store, checked.

use api::{FieldError, StoreRequest};
use jobs::stores;
use providers::publication::{Credentials, Shop, Store};
use services::Ring;
use store::StoredStore;
use url::Url;

use crate::shops::AskStores;

/// The store that a request describes, in the place of `found` if there is one.
///
/// # Errors
/// All that is wrong with it; no credentials are quoted.
pub(super) fn check(
    shops: &dyn AskStores,
    ring: &Ring,
    tenant: &str,
    name: &str,
    asked: &StoreRequest,
    found: Option<&StoredStore>,
) -> Result<Store, Vec<FieldError>> {
    let shop = stores::shop_of(asked.shop);
    let mut errors = Vec::new();
    let url = address(shops, shop, &asked.url).map_err(|message| errors.push(FieldError::new("/url", message))).ok();
    if asked.allow_http && shop != Shop::Woocommerce {
        errors.push(FieldError::new("/allow_http", "is of woocommerce only, whose calls are signed over plain http"));
    }
    for (at, language) in asked.languages.iter().enumerate() {
        if !is_language(language) {
            let message = "must be a language code, as fr or pt-BR";
            errors.push(FieldError::new(format!("/languages/{at}"), message));
        } else if asked.languages[..at].contains(language) {
            errors.push(FieldError::new(format!("/languages/{at}"), "is there twice"));
        }
    }
    let credentials = match (&asked.credentials, found) {
        (Some(given), _) => {
            stores::credentials(shop, given).map_err(|of_credentials| errors.extend(of_credentials)).ok()
        }
        (None, None) => {
            errors.push(FieldError::new("/credentials", "is required for a new store"));
            None
        }
        (None, Some(found)) => kept(ring, found, shop, url.as_ref())
            .map_err(|reason| errors.push(FieldError::new("/credentials", reason)))
            .ok(),
    };
    let (Some(url), Some(credentials)) = (url, credentials) else { return Err(errors) };
    let store = Store {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        url,
        trusted: false,
        credentials,
        allow_http: asked.allow_http,
        languages: asked.languages.clone(),
        currency: asked.currency.clone(),
    };
    if let Some(refusal) = shops.refusal(&store) {
        errors.push(FieldError::new("/url", refusal));
    }
    if errors.is_empty() { Ok(store) } else { Err(errors) }
}

/// A shop's address without what does not belong to it.
fn address(shops: &dyn AskStores, shop: Shop, text: &str) -> Result<Url, String> {
    let must = "must be the shop's address, as https://shop.example, with its folder if it has one";
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_| must.to_owned())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let is_web = matches!(url.scheme(), "http" | "https") && !host.is_empty();
    if !is_web || url.query().is_some() || url.fragment().is_some() {
        return Err(must.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user name and no password: they belong into credentials".to_owned());
    }
    let is_permanent = host.ends_with(".myshopify.com") && url.path() == "/" && url.port().is_none();
    if shop == Shop::Shopify && !is_permanent && !shops.allows(&host) {
        return Err("must be the shop's permanent address, https://NAME.myshopify.com".to_owned());
    }
    Ok(url)
}

/// Where it is, however that is written: without scheme, default port and the slash at the end. Upper case in a host is none any more in a [`Url`].
pub(super) fn address_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}{}", url.path().trim_end_matches('/'))
}

fn is_language(code: &str) -> bool {
    let mut parts = code.split(['-', '_']);
    let is_first = |part: &str| (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_other = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parts.next().is_some_and(is_first) && parts.all(is_other) && code.len() <= 20
}

/// The credentials that a store has. They go to no other host than the one that they were given for, so that nobody learns them by moving
/// the store.
fn kept(ring: &Ring, found: &StoredStore, shop: Shop, url: Option<&Url>) -> Result<Credentials, String> {
    let again = |reason: &str| format!("must be given again: {reason}");
    let old =
        stores::opened(Some(ring), found).map_err(|reason| again(&format!("what is kept cannot be used: {reason}")))?;
    if old.shop() != shop {
        return Err(again(&format!("the store was of {} and becomes one of {shop}", old.shop())));
    }
    if url.is_some_and(|url| url.origin() != old.url.origin()) {
        return Err(again("the store moves to another host"));
    }
    Ok(old.credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let of = |text: &str| address_of(&Url::parse(text).unwrap());
        for same in
            ["https://shop.example", "HTTPS://Shop.Example:443/", "http://shop.example:80", "https://shop.example./"]
        {
            assert_eq!(of(same), "shop.example", "{same}");
        }
        for (text, address) in [
            ("https://shop.example:8443/", "shop.example:8443"),
            ("https://shop.example/Boutique/", "shop.example/Boutique"),
            ("https://www.shop.example", "www.shop.example"),
            ("http://[::1]:4002/a", "[::1]:4002/a"),
        ] {
            assert_eq!(of(text), address, "{text}");
        }
    }
}
