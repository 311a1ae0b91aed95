//! A worker process's side of the queue: what it holds, and the background tasks around that.
//!
//! Order, lowest first: `reporting`, `locks`, `claimed`, `reporter`, `alone`, `settle`, `held`, `session`, `claim`, `write`, `leases`, `reclaim`, `report`, `waker`,
//! `slots`, `common`, `backend`, `fetch`, `collect`, `keepers`, `tasks`.

pub(crate) mod alone;
pub(crate) mod backend;
pub(crate) mod claim;
pub(crate) mod claimed;
pub(crate) mod collect;
pub(crate) mod common;
pub(crate) mod fetch;
pub(crate) mod held;
pub(crate) mod keepers;
pub(crate) mod leases;
pub(crate) mod locks;
pub(crate) mod reclaim;
pub(crate) mod report;
pub(crate) mod reporter;
pub(crate) mod reporting;
pub(crate) mod session;
pub(crate) mod settle;
pub(crate) mod slots;
pub(crate) mod tasks;
pub(crate) mod waker;
pub(crate) mod write;
