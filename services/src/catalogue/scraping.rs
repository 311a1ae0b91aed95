//! Competitors' prices.

use crate::{
    entry::{Account, Accounts, Entry, Risk},
    formats::{anything, boolean, http_url, is_word, must, word},
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
            "how pages are fetched: `direct`, which needs no key, `scraperapi` or `brightdata`",
            way,
        )
        .default("direct"),
        Variable::optional(
            "SCRAPE_ROUTE",
            "several of them, separated by commas, in place of `PROXY_PROVIDER`: when one is blocked the next is asked, the cheapest that works first",
            route,
        )
        .example("direct,scraperapi,brightdata"),
        Variable::optional(
            "SCRAPE_PACE_MS",
            "from one page of a host to the next, over all workers, in milliseconds; not for `SCRAPE_ALLOW_HOSTS`",
            milliseconds,
        )
        .default("2000"),
        Variable::optional(
            "SCRAPE_CONTACT",
            "where a shop's owner can complain of us, in the `User-Agent` of each request: an address of a page or of a mailbox",
            contact,
        )
        .example("https://jobs.example/pricebot"),
        Variable::optional(
            "SCRAPE_AI",
            "`true`: where no price is found the page's text is given to the models of product texts, which cost money",
            boolean,
        )
        .default("false"),
        Variable::optional(
            "RATES_URL",
            "where exchange rates are read each working day, also in mock mode: a file in the form of the European Central Bank's \
             `eurofxref-daily.xml`",
            http_url,
        )
        .example("https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"),
        Variable::optional(
            "SCRAPE_ALLOW_HOSTS",
            "hosts and networks (`10.0.0.0/8`), separated by commas, that the guard against private addresses lets pass; for tests",
            anything,
        ),
    ],
    accounts: Accounts::Chosen {
        by: &["SCRAPE_ROUTE", "PROXY_PROVIDER"],
        default: "direct",
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

fn milliseconds(value: &str, _: &Environment<'_>) -> Option<String> {
    must(
        value.parse::<u32>().is_ok_and(|ms| ms <= 3_600_000),
        "must be a whole number of milliseconds, at most 3600000",
    )
}

fn contact(value: &str, _: &Environment<'_>) -> Option<String> {
    must(is_word(value) && !value.contains(['(', ')']), "must be an address of a page or of a mailbox, in one word")
}

const WAYS: [&str; 3] = ["direct", "scraperapi", "brightdata"];

fn way(value: &str, _: &Environment<'_>) -> Option<String> {
    must(WAYS.contains(&value), "must be direct, scraperapi or brightdata")
}

fn route(value: &str, _: &Environment<'_>) -> Option<String> {
    let ways: Vec<&str> = value.split(',').map(str::trim).collect();
    let good = ways.iter().enumerate().all(|(at, way)| WAYS.contains(way) && !ways[..at].contains(way));
    must(good, "must name direct, scraperapi and brightdata at most once each, separated by commas")
}
