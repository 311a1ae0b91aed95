//! How often a tenant may have Stripe asked: none uses up what all have together.

use fleet::{Admission, Call, Fleet, Reported};
use services::{Config, Name};
use sha2::{Digest, Sha256};

use crate::answer::Problem;

/// Calls of a tenant a minute, at most.
const MOST: u32 = 60;
/// And at least, however seldom Stripe may be asked.
const LEAST: u32 = 4;
/// Requests to Stripe that a call of ours may need.
const REQUESTS: u32 = 8;
/// What is left is for others: a tenant has this part.
const PART: u32 = 4;

/// Counts what tenants ask for, in all processes together.
pub(super) struct Limit {
    fleet: Fleet,
    per_min: u32,
}

impl Limit {
    /// A quarter of `PAYMENTS_REQUESTS_PER_MIN` a tenant.
    pub(super) fn new(config: &Config, fleet: &Fleet) -> Self {
        let of_all = config.pace.limits(Name::Payments).requests.map(|limit| limit.n);
        Self { fleet: fleet.clone(), per_min: per_min(of_all) }
    }

    /// Counts a call of a tenant, or refuses it. While Redis is away nothing is counted.
    pub(super) async fn admit(&self, tenant: &str) -> Result<(), Problem> {
        // Names of tenants may have any characters.
        let account = hex::encode(Sha256::digest(tenant));
        let call = Call {
            service: "payments-of-tenants",
            account: &account,
            requests_per_min: Some(self.per_min),
            units_per_min: None,
            units: 0,
            in_flight: None,
        };
        match self.fleet.admit(&call).await {
            Admission::Go(permit) => {
                self.fleet.report(permit, Reported::Answered { units: None, pause: None });
                Ok(())
            }
            Admission::Wait(wait) => {
                let detail = format!("a tenant has {} calls of payments a minute, and these are used up", self.per_min);
                Err(Problem::too_often(detail, wait))
            }
            // It has no breaker, and nobody counts what is under way.
            Admission::Full | Admission::Open { .. } => Ok(()),
        }
    }
}

fn per_min(of_all: Option<u32>) -> u32 {
    of_all.map_or(MOST, |of_all| (of_all / REQUESTS / PART).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use servers::RedisKind;

    use super::*;
    use crate::answer::Type;

    #[test]
    fn a_tenant_leaves_most_of_what_there_is_to_others() {
        assert_eq!((per_min(None), per_min(Some(1_500)), per_min(Some(300)), per_min(Some(1))), (60, 46, 9, 4));
    }

    #[tokio::test]
    async fn who_asks_too_often_is_told_when_to_come_again_and_others_go_on() {
        let url = servers::redis(RedisKind::Valkey).unwrap();
        let redis = fleet::Redis::open_within(url, &servers::prefix(), servers::PATIENCE).unwrap();
        let slow = fleet::Settings { answer_within: std::time::Duration::from_secs(20), ..fleet::Settings::default() };
        let limit = Limit { fleet: Fleet::with_settings(&redis, slow), per_min: 3 };
        for _ in 0..3 {
            limit.admit("noisy {1}").await.unwrap();
        }
        let refused = limit.admit("noisy {1}").await.unwrap_err();
        assert_eq!((refused.kind(), refused.kind().status()), (Type::OverQuota, 429));
        let told = serde_json::to_value(&refused).unwrap();
        assert!(told["detail"].as_str().unwrap().contains("3 calls of payments a minute"), "{told}");
        limit.admit("quiet").await.unwrap();
    }
}
