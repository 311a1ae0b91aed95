//! Times.

use mongodb::bson::{Bson, DateTime, RawBson};
use serde::{Deserialize, Serialize};

/// A time, in the database a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(DateTime);

impl Moment {
    /// From Unix milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// In Unix milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.timestamp_millis()).unwrap_or(0)
    }
}

impl From<Moment> for RawBson {
    fn from(moment: Moment) -> Self {
        Self::DateTime(moment.0)
    }
}

impl From<Moment> for Bson {
    fn from(moment: Moment) -> Self {
        Self::DateTime(moment.0)
    }
}
