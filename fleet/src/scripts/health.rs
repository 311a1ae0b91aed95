//! How an account is.

use super::{Server, call};
use crate::{error::Error, keys};

impl Server {
    /// Until when an account's breaker is open (0: closed), why, its calls of these minutes and those that were answered.
    pub(crate) async fn health(
        &self,
        account: &str,
        service: &str,
        minute: u64,
        n_minutes: u64,
    ) -> Result<(u64, String, u64, u64), Error> {
        let key = keys::account(&self.prefix, account);
        self.run(&call!(health, key, service = service, minute = minute, n_minutes = n_minutes)).await
    }
}
