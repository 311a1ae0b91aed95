//! What a tenant spends.

use super::{Server, call};
use crate::{error::Error, keys};

/// Somebody may settle what was reserved the day before.
const SPENDING_KEPT_S: u64 = 2 * 24 * 3600;

impl Server {
    /// Adds to a tenant's spending of a day, unless it would go over the cap; what was spent before, and whether it was added.
    pub(crate) async fn spend(
        &self,
        tenant: &str,
        day: u64,
        micro_usd: i64,
        cap_micro_usd: Option<u64>,
    ) -> Result<(bool, u64), Error> {
        let key = keys::spending(&self.prefix, tenant, day);
        let cap = cap_micro_usd.map(|cap| cap.to_string()).unwrap_or_default();
        let call = call!(spend, key, micro_usd = micro_usd, cap = cap, kept_s = SPENDING_KEPT_S);
        let (added, before): (bool, i64) = self.run(&call).await?;
        Ok((added, u64::try_from(before).unwrap_or(0)))
    }
}
