//! `ecomctl token`: makes a token for the API, without the API.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use producer::Scope;
use secrecy::SecretString;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ten years.
const MINUTES_AT_MOST: u64 = DAYS_AT_MOST * 24 * 60;
const DAYS_AT_MOST: u64 = 3_650;

/// Make a token for the API with the secret in `JWT_SECRET`, which must be the producer's
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// What it allows, separated by spaces: jobs:write jobs:read queues:admin schedules:write mode:write stores:write payments:read payments:write, or admin for all
    #[arg(long, required = true, value_delimiter = ' ')]
    scope: Vec<Scope>,
    /// Whose jobs it can see and make [default: the tenant named default]
    #[arg(long)]
    tenant: Option<String>,
    /// Who uses it
    #[arg(long, default_value = "ecomctl")]
    sub: String,
    /// For how many days it is good
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=DAYS_AT_MOST))]
    days: u64,
    /// For how many minutes it is good
    #[arg(long, conflicts_with = "days", value_parser = clap::value_parser!(u64).range(1..=MINUTES_AT_MOST))]
    minutes: Option<u64>,
}

/// Prints the token and nothing else, so that it can be put into a variable.
pub(crate) fn print(token: &Token) -> Result<ExitCode> {
    // Not a flag: the secret would show in the list of processes.
    let secret = env::var("JWT_SECRET").ok().filter(|secret| !secret.is_empty());
    let secret = secret.context("JWT_SECRET is not set; set it to the secret that the producer runs with")?;
    println!("{}", token.sign(&SecretString::from(secret))?);
    Ok(ExitCode::SUCCESS)
}

impl Token {
    fn sign(&self, secret: &SecretString) -> Result<String> {
        Ok(producer::sign(secret, &self.sub, self.tenant.as_deref(), &self.scope, self.lifetime())?)
    }

    fn lifetime(&self) -> Duration {
        let of = |unit: Duration, n: u64| unit.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
        self.minutes.map_or_else(|| of(DAY, self.days), |minutes| of(MINUTE, minutes))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        token: Token,
    }

    fn token(arguments: &[&str]) -> Result<Token, clap::Error> {
        Line::try_parse_from([&["token"], arguments].concat()).map(|line| line.token)
    }

    #[test]
    fn scopes_are_separated_by_spaces_and_checked() {
        let both = token(&["--scope", "jobs:write jobs:read"]).unwrap();
        assert_eq!(both.scope, [Scope::JobsWrite, Scope::JobsRead]);
        let error = token(&["--scope", "jobs:write root"]).unwrap_err();
        assert!(error.to_string().contains("queues:admin"), "{error}");
        assert_eq!(token(&[]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn it_is_good_for_a_day_unless_told_otherwise() {
        assert_eq!(token(&["--scope", "admin"]).unwrap().lifetime(), DAY);
        assert_eq!(token(&["--scope", "admin", "--days", "30"]).unwrap().lifetime(), DAY * 30);
        assert_eq!(token(&["--scope", "admin", "--minutes", "5"]).unwrap().lifetime(), MINUTE * 5);
        assert!(token(&["--scope", "admin", "--minutes", "5", "--days", "2"]).is_err());
    }

    #[test]
    fn it_is_signed_with_the_secret() {
        let token = token(&["--scope", "admin", "--tenant", "acme"]).unwrap();
        let signed = token.sign(&SecretString::from("x".repeat(32))).unwrap();
        assert_eq!(signed.split('.').count(), 3);
        let signature = |text: &str| text.rsplit('.').next().map(str::to_owned);
        assert_ne!(signature(&signed), signature(&token.sign(&SecretString::from("y".repeat(32))).unwrap()));
    }
}
