//! Flags and variables.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// A shorter secret can be guessed by trying.
const SECRET_AT_LEAST: usize = 32;
const HOW_TO_MAKE_ONE: &str = "make one with: openssl rand -base64 48";

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AppEnv {
    /// A missing secret is made up.
    Development,
    /// A missing or weak secret is fatal.
    Production,
}

/// The HTTP API that takes jobs.
#[derive(Debug, Clone, Parser)]
#[command(name = "producer", version, about)]
pub struct Config {
    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR", default_value = "127.0.0.1:8080")]
    pub http_addr: SocketAddr,
    /// Address of the internal listener with `/metrics`; if its port is taken, the next free one.
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:9100")]
    pub admin_addr: SocketAddr,
    /// Redis or Valkey.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    redis_url: SecretString,
    /// What all our keys in Redis begin with.
    #[arg(long, env = "REDIS_PREFIX", default_value = "ecom")]
    pub redis_prefix: String,
    /// MongoDB.
    #[arg(long, env = "MONGO_URL", default_value = "mongodb://127.0.0.1:27017", hide_env_values = true)]
    mongo_url: SecretString,
    /// Our database in MongoDB.
    #[arg(long, env = "DB_NAME", default_value = "ecomsimply")]
    pub db_name: String,
    /// Signs the tokens; at least 32 bytes.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    jwt_secret: Option<SecretString>,
    /// `production` makes a missing or weak secret fatal.
    #[arg(long, env = "APP_ENV", value_enum, default_value = "development")]
    pub app_env: AppEnv,
    /// At shutdown, requests under way may take so long before they are cut off, in seconds.
    #[arg(long, env = "SHUTDOWN_GRACE_S", default_value_t = 25)]
    pub shutdown_grace_s: u64,
    /// So many connections the API has at a time at most, and four fifths of them from one address; fewer where fewer files can be open.
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 10_000, value_parser = connections)]
    pub http_max_connections: usize,
    /// Asks the API at `HTTP_ADDR` whether it lives, and exits with 0 or 1.
    #[arg(long)]
    pub healthcheck: bool,
}

impl Config {
    pub(crate) fn redis_url(&self) -> &str {
        self.redis_url.expose_secret()
    }

    pub(crate) fn mongo_url(&self) -> &str {
        self.mongo_url.expose_secret()
    }

    /// What the variables say of the services. What was given as a flag counts as its variable.
    pub(crate) fn services(&self) -> services::Config {
        services::Config::from_vars(|name| match name {
            "REDIS_URL" => Some(self.redis_url().to_owned()),
            "MONGO_URL" => Some(self.mongo_url().to_owned()),
            "DB_NAME" => Some(self.db_name.clone()),
            "JWT_SECRET" => self.jwt_secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
            "APP_ENV" => (self.app_env == AppEnv::Production).then(|| "production".to_owned()),
            name => std::env::var(name).ok(),
        })
    }

    /// The secret of the tokens. In development a missing one is made up, and tokens end with the process.
    ///
    /// # Errors
    /// In production when it is missing or too short.
    pub fn secret(&self) -> anyhow::Result<SecretString> {
        let given = self.jwt_secret.as_ref().filter(|secret| !secret.expose_secret().is_empty());
        let length = given.map_or(0, |secret| secret.expose_secret().len());
        match (given, self.app_env) {
            (None, AppEnv::Production) => bail!(
                "JWT_SECRET is not set: with APP_ENV=production it must have at least {SECRET_AT_LEAST} bytes; {HOW_TO_MAKE_ONE}"
            ),
            (Some(_), AppEnv::Production) if length < SECRET_AT_LEAST => bail!(
                "JWT_SECRET has {length} bytes: with APP_ENV=production it must have at least {SECRET_AT_LEAST}; {HOW_TO_MAKE_ONE}"
            ),
            (None, AppEnv::Development) => {
                tracing::warn!("JWT_SECRET is not set: a random one is used, and tokens end with this process");
                random_secret()
            }
            (Some(secret), _) => {
                if length < SECRET_AT_LEAST {
                    tracing::warn!("JWT_SECRET has {length} bytes: production needs at least {SECRET_AT_LEAST}");
                }
                Ok(secret.clone())
            }
        }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be a whole number from 1 on".to_owned())
}

fn random_secret() -> anyhow::Result<SecretString> {
    let mut bytes = [0; SECRET_AT_LEAST];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).ok().context("cannot make a random secret")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        Config::parse_from([&["producer"], arguments].concat())
    }

    #[test]
    fn production_refuses_a_missing_or_short_secret_and_says_why() {
        let refused = |arguments: &[&str]| config(arguments).secret().unwrap_err().to_string();
        let missing = refused(&["--app-env", "production", "--jwt-secret", ""]);
        assert!(missing.starts_with("JWT_SECRET is not set"), "{missing}");
        let short = refused(&["--app-env", "production", "--jwt-secret", "tiny"]);
        assert!(short.starts_with("JWT_SECRET has 4 bytes"), "{short}");
        assert!(!short.contains("tiny"));
        let long = "x".repeat(32);
        assert!(config(&["--app-env", "production", "--jwt-secret", &long]).secret().is_ok());
    }

    #[test]
    fn development_makes_up_a_missing_secret_and_takes_a_short_one() {
        let made_up = || config(&["--app-env", "development", "--jwt-secret", ""]).secret().unwrap();
        assert_eq!(made_up().expose_secret().len(), 64);
        assert_ne!(made_up().expose_secret(), made_up().expose_secret());
        let short = config(&["--app-env", "development", "--jwt-secret", "tiny"]).secret().unwrap();
        assert_eq!(short.expose_secret(), "tiny");
    }

    #[test]
    fn secrets_do_not_show() {
        let config =
            config(&["--jwt-secret", "hush", "--redis-url", "redis://:hush@h", "--mongo-url", "mongodb://a:hush@h"]);
        assert!(!format!("{config:?}").contains("hush"));
    }
}
