//! The end of a turn.

use super::{Server, call};
use crate::{error::Error, keys};

impl Server {
    pub(crate) async fn leave(&self, place: &str, ticket: &str) -> Result<(), Error> {
        let _: u64 = self.run(&call!(leave, keys::turns(&self.prefix, place), ticket = ticket)).await?;
        Ok(())
    }
}
