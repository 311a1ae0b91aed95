//! Makes a job ready at once.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, record::tenant_of, retention::Retention},
};

/// A job to be made ready.
#[derive(Debug)]
pub(crate) struct Revive<'a> {
    pub(crate) retention: Retention,
    pub(crate) id: JobId,
    /// Where it was seen.
    pub(crate) place: &'a str,
    pub(crate) record: &'a [u8],
    pub(crate) history: &'a [u8],
}

impl Revive<'_> {
    /// False: it is no longer where it was seen.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<bool, Error> {
        let call = call!(
            revive,
            &partition.base,
            id = &self.id.as_bytes()[..],
            seen = self.place,
            bucket = self.retention.bucket(self.id.created_ms()),
            record = self.record,
            history = self.history,
            tenant = tenant_of(self.record).unwrap_or_default(),
        );
        run(&call, connection).await
    }
}
