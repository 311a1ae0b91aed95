//! One store, as all that follows asks it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tokio::sync::Mutex;

use super::{super::send::Calls, webservice::Webservice};

/// One store, for one attempt.
#[derive(Debug)]
pub(in super::super) struct Presta<'a> {
    pub(super) webservice: Webservice<'a>,
    /// Taxes by group, 0.2 for 20 %.
    pub(super) rates: Mutex<BTreeMap<u64, Decimal>>,
}

impl<'a> Presta<'a> {
    pub(in super::super) fn new(calls: Calls<'a>) -> Self {
        Self { webservice: Webservice::new(calls), rates: Mutex::default() }
    }
}
