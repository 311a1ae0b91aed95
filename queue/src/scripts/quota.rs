//! Takes of what a tenant may enqueue on a day.

use fleet::Connection;

use super::{call, run};
use crate::model::error::Error;

/// Somebody may give back what was taken the day before.
const KEPT_S: u64 = 2 * 24 * 3600;

/// Takes up to `n`, as far as no more than `most` count then; below 0: gives back. How many were taken.
pub(crate) async fn quota(connection: &Connection, key: &str, n: i64, most: u64) -> Result<i64, Error> {
    run(&call!(quota, key, n = n, most = most, kept_s = KEPT_S), connection).await
}
