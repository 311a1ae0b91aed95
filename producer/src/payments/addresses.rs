//! Where Stripe's pages may send customers back to: with such an address anybody could make us send them to a page that only looks like ours.

use std::collections::BTreeSet;

use api::FieldError;
use services::{Config, Name};
use url::Url;

/// Hosts of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    allowed: BTreeSet<String>,
    /// Whether this machine may be named, with plain HTTP too.
    local: bool,
}

impl Hosts {
    /// Those of `PAYMENTS_RETURN_HOSTS`, and that of `PUBLIC_URL`.
    pub(crate) fn new(config: &Config) -> Self {
        let named = config.value(Name::Payments, "PAYMENTS_RETURN_HOSTS").unwrap_or_default();
        let named = named.split(',').map(str::trim).filter(|host| !host.is_empty());
        let public = config.public_url.as_deref().and_then(|url| Url::parse(url).ok());
        let public = public.as_ref().and_then(Url::host_str).map(str::to_owned);
        // As addresses have them: in small letters, and of others than ASCII in Punycode.
        let allowed = named.filter_map(|host| Some(url::Host::parse(host).ok()?.to_string())).chain(public).collect();
        Self { allowed, local: !config.production }
    }

    /// What is wrong with an address that a customer shall come back to.
    pub(crate) fn check(&self, pointer: &str, address: &str) -> Option<FieldError> {
        let why = self.refusal(address)?;
        Some(FieldError::new(pointer, why))
    }

    fn refusal(&self, address: &str) -> Option<String> {
        // Of these, programs make different addresses.
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let Some(url) = Url::parse(address).ok().filter(|_| is_plain) else {
            return Some("must be a whole address such as https://app.example/account, in ASCII".to_owned());
        };
        let host = url.host_str().unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            return Some("must not have a user in it".to_owned());
        }
        let is_here = self.local && matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match url.scheme() {
            "https" if is_here || self.allowed.contains(host) => None,
            "http" if is_here => None,
            "https" => Some(format!("must be at a host of PAYMENTS_RETURN_HOSTS; {host} is none")),
            _ if self.local => Some("must begin with https://, or with http://localhost in development".to_owned()),
            _ => Some("must begin with https://".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(variables: &[(&str, &str)]) -> Hosts {
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Hosts::new(&Config::from_vars(of))
    }

    const OURS: [(&str, &str); 2] =
        [("PAYMENTS_RETURN_HOSTS", "app.example, Shop.Example"), ("PUBLIC_URL", "https://jobs.example/base")];

    #[test]
    fn customers_come_back_to_our_own_hosts_only() {
        let hosts = hosts(&OURS);
        for good in [
            "https://app.example/ok?s={CHECKOUT_SESSION_ID}",
            "https://APP.example:8443/",
            "https://shop.example",
            "https://jobs.example/plans#top",
            "http://localhost:3000/ok",
            "http://127.0.0.1:5173/",
            "https://localhost/",
        ] {
            assert_eq!(hosts.check("/success_url", good), None, "{good}");
        }
        for bad in [
            "http://app.example/ok",
            "https://evil.example/ok",
            "https://app.example.evil.example/",
            "https://evil.example/app.example",
            "https://app.example@evil.example/",
            "https://me:secret@app.example/",
            "https://app.example\\@evil.example/",
            "https://evil.example\\.app.example/",
            "https://app.example/\n",
            " https://app.example/",
            "https:/\t/app.example/",
            "//app.example/",
            "/ok",
            "javascript:alert(1)//app.example",
            "data:text/html,x",
            "http://localhost.evil.example/",
            "",
        ] {
            assert!(hosts.check("/success_url", bad).is_some(), "{bad}");
        }
        assert_eq!(hosts.check("/cancel_url", "no").unwrap().pointer, "/cancel_url");
    }

    #[test]
    fn in_production_nothing_is_on_this_machine() {
        let hosts = hosts(&[OURS[0], OURS[1], ("APP_ENV", "production")]);
        assert_eq!(hosts.check("/x", "https://app.example/ok"), None);
        for bad in ["http://localhost:3000/", "https://localhost/", "http://127.0.0.1/", "http://app.example/"] {
            assert!(hosts.check("/x", bad).is_some(), "{bad}");
        }
        let none = super::tests::hosts(&[("APP_ENV", "production")]);
        assert!(none.check("/x", "https://app.example/").is_some());
    }
}
