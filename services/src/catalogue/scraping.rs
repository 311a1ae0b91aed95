//! Competitors' prices.

use crate::{
    entry::{Account, Accounts, Entry, Risk},
    formats::{anything, http_url, must, word},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "competitors' prices",
    risk: Risk::P2,
    lost: "prices get old",
    switch: Some("MOCK_MODE_SCRAPING"),
    built: true,
    requests_per_min: Some("SCRAPING_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::optional(
            "PROXY_PROVIDER",
            "`direct`, which needs no key; `scraperapi` and `brightdata` are not built yet",
            proxy_provider,
        )
        .default("direct"),
        Variable::optional(
            "SCRAPE_ALLOW_HOSTS",
            "hosts, separated by commas, that the guard against private addresses lets pass; for tests",
            anything,
        ),
    ],
    accounts: Accounts::Chosen {
        by: "PROXY_PROVIDER",
        default: "direct",
        built: &["direct"],
        of: &[
            Account { name: "direct", variables: &[] },
            Account {
                name: "scraperapi",
                variables: &[
                    Variable::required("SCRAPERAPI_KEY", "the key of ScraperAPI", word)
                        .secret()
                        .example("scraperapi-hushhush"),
                    Variable::optional("SCRAPERAPI_BASE_URL", "another end point in its place", http_url),
                ],
            },
            Account {
                name: "brightdata",
                variables: &[
                    Variable::required("BRIGHT_DATA_KEY", "the key of Bright Data", word)
                        .secret()
                        .example("brightdata-hushhush"),
                    Variable::required("BRIGHT_DATA_ZONE", "its zone", word).example("unblocker"),
                    Variable::optional("BRIGHT_DATA_BASE_URL", "another end point in its place", http_url),
                ],
            },
        ],
    },
};

fn proxy_provider(value: &str, _: &Environment<'_>) -> Option<String> {
    must(matches!(value, "direct" | "scraperapi" | "brightdata"), "must be direct, scraperapi or brightdata")
}
