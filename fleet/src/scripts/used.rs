//! Says that a service uses an account.

use super::{STATE_KEPT_S, Server, call};
use crate::{error::Error, keys};

impl Server {
    pub(crate) async fn used(&self, service: &str, account: &str, now_ms: u64) -> Result<(), Error> {
        let key = keys::accounts(&self.prefix, service);
        self.run(&call!(used, key, account = account, now_ms = now_ms, kept_s = STATE_KEPT_S)).await
    }
}
