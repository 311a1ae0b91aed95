//! What is stored of a job, and what follows from it. Nothing here knows Redis.
//!
//! Order, lowest first: `id`, `error`, `json`, `job`, `concurrency_key`, `state`, `retention`, `pack`, `claim_name`, `outcome`, `reports`, `attempt`,
//! `decide`, `history`, `new_job`, `record`, `finished`, `stored_job`, `view`, `show`, `timeline`.

pub(crate) mod attempt;
pub(crate) mod claim_name;
pub(crate) mod concurrency_key;
pub(crate) mod decide;
pub(crate) mod error;
pub(crate) mod finished;
pub(crate) mod history;
pub(crate) mod id;
pub(crate) mod job;
pub(crate) mod json;
pub(crate) mod new_job;
pub(crate) mod outcome;
pub(crate) mod pack;
pub(crate) mod record;
pub(crate) mod reports;
pub(crate) mod retention;
pub(crate) mod show;
pub(crate) mod state;
pub(crate) mod stored_job;
pub(crate) mod timeline;
pub(crate) mod view;
