//! Switches between mock and real.

use super::{Server, call};
use crate::{
    error::Error,
    event::News,
    keys,
    mode::{CHANGES_KEPT, Switch},
};

impl Server {
    pub(crate) async fn switch(&self, switch: &Switch) -> Result<(), Error> {
        let json = serde_json::to_string(switch).map_err(|e| Error::corrupt("switch", e))?;
        let news = serde_json::to_string(&News::Mode).map_err(|e| Error::corrupt("message", e))?;
        let mut call = call!(
            switch,
            keys::modes(&self.prefix),
            service = switch.service.as_deref().unwrap_or("*"),
            switch = json,
            most_changes = CHANGES_KEPT,
            channel = keys::news(&self.prefix),
            news = news,
        );
        call.key(keys::mode_changes(&self.prefix));
        self.run(&call).await
    }
}
