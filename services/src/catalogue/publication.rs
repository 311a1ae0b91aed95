//! Products to shops.

use crate::{
    entry::{Account, Accounts, Entry, Risk},
    formats::{anything, http_url, is_loopback, is_word, must, prefix, web_url, word},
    variable::{Environment, Need, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "products to shops",
    risk: Risk::P1,
    lost: "nothing reaches the shops",
    switch: Some("MOCK_MODE_PUBLICATION"),
    built: true,
    requests_per_min: Some("PUBLICATION_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::optional(
            "STORE_ALLOW_HOSTS",
            "hosts and networks (`10.0.0.0/8`), separated by commas, that the guard lets pass as addresses of tenants' stores, with plain HTTP \
             too; for tests",
            anything,
        ),
        Variable::optional(
            "SHOPIFY_API_VERSION",
            "the version of Shopify's Admin API that is asked, in all stores",
            shopify_version,
        )
        .default("2026-10"),
        Variable::optional(
            "WOO_IN_FLIGHT",
            "how many calls are under way at each store with WooCommerce at the same time, over all workers",
            in_flight,
        )
        .default("4"),
        Variable::optional(
            "PRESTA_IN_FLIGHT",
            "how many calls are under way at each store with PrestaShop at the same time, over all workers",
            in_flight,
        )
        .default("2"),
    ],
    // Tenants have stores of their own.
    accounts: Accounts::Besides(&[
        Account {
            name: "shopify",
            variables: &[
                Variable::required("SHOPIFY_STORE_URL", "the shop's permanent address", shopify_url)
                    .example("https://shop.myshopify.com"),
                Variable::required(
                    "SHOPIFY_ACCESS_TOKEN",
                    "its token, where it has one that does not expire; else an app",
                    |value, _| prefix(value, "shpat_"),
                )
                .needed(Need::Unless("SHOPIFY_CLIENT_ID"))
                .secret()
                .example("shpat_hushhush"),
                Variable::optional(
                    "SHOPIFY_CLIENT_ID",
                    "an app of the shop's own organisation, by which tokens of 24 hours are had",
                    word,
                )
                .example("4f2b8c1d9e7a6053"),
                Variable::optional("SHOPIFY_CLIENT_SECRET", "the app's secret", word)
                    .needed(Need::With("SHOPIFY_CLIENT_ID"))
                    .secret()
                    .example("shpss_hushhush"),
            ],
        },
        Account {
            name: "woocommerce",
            variables: &[
                Variable::required("WOO_STORE_URL", "the shop's address", http_url).example("https://shop.example"),
                Variable::required("WOO_CONSUMER_KEY", "its key", |value, _| prefix(value, "ck_"))
                    .secret()
                    .example("ck_hushhush"),
                Variable::required("WOO_CONSUMER_SECRET", "its secret", |value, _| prefix(value, "cs_"))
                    .secret()
                    .example("cs_hushhush"),
            ],
        },
        Account {
            name: "prestashop",
            variables: &[
                Variable::required("PRESTA_STORE_URL", "the shop's address", http_url).example("https://shop.example"),
                Variable::required("PRESTA_API_KEY", "its key", presta_key)
                    .secret()
                    .example("hushhushhushhushhushhushhushhush"),
            ],
        },
    ]),
};

fn shopify_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = web_url(value).is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        is_loopback(host) || (url.scheme() == "https" && host.ends_with(".myshopify.com"))
    });
    must(good, "must be the shop's permanent address, https://NAME.myshopify.com")
}

/// Shopify makes one each quarter.
fn shopify_version(value: &str, _: &Environment<'_>) -> Option<String> {
    let month = value
        .strip_prefix("20")
        .and_then(|rest| rest.get(2..))
        .filter(|_| value.as_bytes()[2..4].iter().all(u8::is_ascii_digit));
    must(matches!(month, Some("-01" | "-04" | "-07" | "-10")), "must be a version such as 2026-10")
}

fn in_flight(value: &str, _: &Environment<'_>) -> Option<String> {
    must(value.parse::<u32>().is_ok_and(|n| (1..=1_000).contains(&n)), "must be a whole number from 1 to 1000")
}

fn presta_key(value: &str, _: &Environment<'_>) -> Option<String> {
    must(is_word(value) && value.len() == 32, "must have exactly 32 characters")
}
