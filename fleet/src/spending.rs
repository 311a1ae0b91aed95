//! What a tenant spends a UTC day, in micro-USD.

use serde::{Deserialize, Serialize};

pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

/// Money set aside for one call; [`Fleet::settle`](crate::Fleet::settle) replaces it by what the call cost, and
/// [`Fleet::give_back`](crate::Fleet::give_back) undoes it. If neither is called, it counts as spent until its UTC day is over.
///
/// Whoever keeps it may still give back what the call was believed to have cost: [`Fleet::settle`](crate::Fleet::settle) with 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Reserved {
    pub(crate) tenant: String,
    /// Days since 1970.
    pub(crate) day: u64,
    pub(crate) micro_usd: u64,
}

impl Reserved {
    /// The same after it was settled: what then counts as spent.
    pub fn settled(&self, actual_micro_usd: u64) -> Self {
        Self { micro_usd: actual_micro_usd, ..self.clone() }
    }
}
