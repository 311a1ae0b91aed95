//! Our own queue.

use url::Url;

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::{anything, must},
    variable::{Environment, Need, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "the queues",
    risk: Risk::P2,
    lost: "no job is accepted or run",
    switch: None,
    built: true,
    requests_per_min: None,
    tokens_per_min: None,
    variables: &[
        Variable::required(
            "REDIS_URL",
            "Redis or Valkey, 7.0 or newer; `rediss://` for TLS; its `maxmemory-policy` must be `noeviction`",
            redis_url,
        )
        .secret()
        .needed(Need::InProduction)
        .default("redis://127.0.0.1:6379")
        .example("rediss://:hushhush@redis.example:6380/1"),
        Variable::optional(
            "REDIS_PREFIX",
            "what every key begins with, so that several systems can share a server; empty is refused",
            anything,
        )
        .default("ecom"),
    ],
    accounts: Accounts::None,
};

fn redis_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let schemes = ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"];
    let good = Url::parse(value).is_ok_and(|url| schemes.contains(&url.scheme()));
    must(good, "must be a redis:// or rediss:// URL")
}
