//! Flags and environment variables.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use clap::Parser;
use queue::Timing;
use secrecy::SecretString;

/// Runs jobs and upkeep; any number of replicas.
///
/// The variables of the outside services (`MOCK_MODE`, `OPENAI_API_KEY`, `SMTP_SERVER`, …) are read besides; see .env.example.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// Redis, which holds the queues.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://127.0.0.1:6379")]
    pub redis_url: SecretString,
    /// What all our keys in Redis begin with.
    #[arg(long, env = "REDIS_PREFIX", default_value = "ecom")]
    pub redis_prefix: String,
    /// MongoDB, which holds the results.
    #[arg(long, env = "MONGO_URL", hide_env_values = true, default_value = "mongodb://127.0.0.1:27017")]
    pub mongo_url: SecretString,
    /// The database.
    #[arg(long, env = "DB_NAME", default_value = "ecomsimply")]
    pub db_name: String,
    /// Where /metrics and /health listen; taken: the next free port.
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:9100")]
    pub admin_addr: SocketAddr,
    /// A job whose worker does not renew its lease for so long runs elsewhere, in seconds.
    #[arg(long, env = "LEASE_S", default_value_t = 12)]
    pub lease_s: u64,
    /// How often leases are renewed, in seconds.
    #[arg(long, env = "RENEWAL_S", default_value_t = 4)]
    pub renewal_s: u64,
    /// At shutdown, running jobs may take so long before they are handed back, in seconds.
    #[arg(long, env = "SHUTDOWN_GRACE_S", default_value_t = 25)]
    pub shutdown_grace_s: u64,
    /// An outside service that fails is left alone for so long at first, in seconds, and up to ten times as long; ten times as
    /// long, too, when its account is unusable. The same in all replicas.
    #[arg(long, env = "BREAKER_OPEN_S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub breaker_open_s: u64,
    /// Jobs at a time, by kind: `content=32,image=4`; the rest has its default.
    #[arg(long, env = "CONCURRENCY", default_value = "", value_parser = parse_concurrency)]
    pub concurrency: Concurrency,
    /// Run only these kinds, separated by commas; empty: all.
    #[arg(long, env = "KINDS", default_value = "", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Ask the running worker at `ADMIN_ADDR` whether it lives, and exit with 0 or 1.
    #[arg(long)]
    pub healthcheck: bool,
}

/// Jobs at a time, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concurrency(Vec<(String, usize)>);

impl Concurrency {
    /// What was set for `kind`.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<usize> {
        self.0.iter().find(|(name, _)| name == kind).map(|(_, n)| *n)
    }

    /// The kinds that something was set for.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

fn parse_concurrency(text: &str) -> Result<Concurrency, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let parse = |pair: &str| match pair.split_once('=').map(|(kind, n)| (kind.trim(), n.trim().parse())) {
        Some((kind, Ok(n))) if n > 0 => Ok((kind.to_owned(), n)),
        _ => Err(format!("{pair:?} is not of the form kind=number, with a number of at least 1")),
    };
    pairs.map(parse).collect::<Result<_, _>>().map(Concurrency)
}

impl Config {
    /// How breakers behave.
    #[must_use]
    pub fn breakers(&self) -> fleet::Settings {
        let open = Duration::from_secs(self.breaker_open_s);
        fleet::Settings {
            open,
            open_at_most: 10 * open,
            parked: 10 * open,
            parked_at_most: 120 * open,
            ..fleet::Settings::default()
        }
    }

    /// The lease's timing.
    ///
    /// # Errors
    /// When leases would end before they are renewed.
    pub fn timing(&self) -> anyhow::Result<Timing> {
        ensure!(
            self.renewal_s >= 1 && self.lease_s >= 2 * self.renewal_s,
            "LEASE_S={} must be at least twice RENEWAL_S={}, which must be at least 1: a lease that is not renewed in time \
             runs jobs twice",
            self.lease_s,
            self.renewal_s,
        );
        Ok(Timing { lease: Duration::from_secs(self.lease_s), renewal: Duration::from_secs(self.renewal_s) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_read_by_kind_and_nonsense_is_named() {
        let set = parse_concurrency("content=32, image=4").unwrap();
        assert_eq!((set.of("content"), set.of("image"), set.of("email")), (Some(32), Some(4), None));
        for bad in ["content", "content=", "content=0", "content=-1", "content=x"] {
            assert!(parse_concurrency(bad).unwrap_err().contains("kind=number"), "{bad}");
        }
    }

    #[test]
    fn a_lease_shorter_than_two_renewals_is_refused() {
        let config = |lease, renewal| Config::parse_from(["worker", "--lease-s", lease, "--renewal-s", renewal]);
        assert!(config("12", "4").timing().is_ok());
        let error = config("7", "4").timing().unwrap_err().to_string();
        assert!(error.contains("LEASE_S=7") && error.contains("RENEWAL_S=4"), "{error}");
    }
}
