//! Closes a breaker by hand.

use super::{
    STATE_KEPT_S, Server, call,
    report::{BUCKET_MS, BUCKETS},
};
use crate::{error::Error, keys};

impl Server {
    /// False when it was closed.
    pub(crate) async fn release(&self, service: &str, account: &str, now_ms: u64) -> Result<bool, Error> {
        let call = call!(
            release,
            keys::account(&self.prefix, account),
            now_ms = now_ms,
            channel = keys::news(&self.prefix),
            service = service,
            account = account,
            buckets = BUCKETS,
            bucket_ms = BUCKET_MS,
            kept_s = STATE_KEPT_S,
        );
        self.run(&call).await
    }
}
