//! Whether the servers that the API stands on answer, asked from outside of it.

use std::{fmt::Display, time::Duration};

use jobs::payments::Plans;
use providers::payments::PlanPrices;
use services::{Config, Name};
use store::Store;
use tokio::time::timeout;

use crate::auth::Auth;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `redis` or `mongodb` whether it answers, and `security` whether a token can be signed and checked, with the variables as
/// `var` gives them and the same defaults as the processes have: how long it took, or why not. `None` for any other service, and for security without `JWT_SECRET`.
pub async fn probe(service: Name, var: impl Fn(&str) -> Option<String>) -> Option<Result<Duration, String>> {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let var = |name: &str, default: &str| var(name).unwrap_or_else(|| default.to_owned());
    let asked = match service {
        Name::Redis => timeout(PATIENCE, redis(var("REDIS_URL", "redis://127.0.0.1:6379"))).await,
        Name::Mongodb => {
            timeout(PATIENCE, mongodb(var("MONGO_URL", "mongodb://127.0.0.1:27017"), var("DB_NAME", "ecomsimply")))
                .await
        }
        Name::Security => {
            let secret = var("JWT_SECRET", "");
            return (!secret.is_empty()).then(|| Auth::new(&secret.into()).self_test());
        }
        _ => return None,
    };
    Some(asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))))
}

/// What is wrong with the table of plans that `PLANS_FILE` names; completes "`PLANS_FILE` …".
#[must_use]
pub fn plans_fault(config: &Config) -> Option<String> {
    config.value(Name::Payments, "PLANS_FILE")?;
    let fault = Plans::from_config(config, &PlanPrices::from_config(config)).err()?;
    // Behind the file's name.
    let fault = fault.split_once(": ").map_or(fault.as_str(), |(_, fault)| fault);
    Some(format!("cannot be used: {fault}"))
}

async fn redis(url: String) -> Result<Duration, String> {
    // It has keys of nobody, so its prefix does not matter.
    let redis = fleet::Redis::open(&url, "probe").map_err(text)?;
    queue::Client::new(&redis, Vec::new()).ping().await.map_err(text)
}

async fn mongodb(url: String, name: String) -> Result<Duration, String> {
    Store::open(&url, &name).await.map_err(text)?.ping().await.map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
