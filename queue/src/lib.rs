//! The Redis queue: an apalis backend, and the client that pushes to it.
//!
//! Order, lowest first: `model`, `keys`, `scripts`, `client`, `replica`.
//!
//! `model` is what is stored of a job and what follows from it, without Redis. `scripts` has one file a Lua script; `client` is for
//! whoever pushes and looks, `replica` for whoever runs jobs.

mod client;
mod keys;
mod model;
mod replica;
mod scripts;

pub use client::{
    Client, RETENTION,
    follow::Follower,
    idempotency::{Answered, Fingerprint, Idempotency, KeyTaken},
    list::{ListFilter, ListPage, Position, UsedQueues},
    push::MOST_PAYLOAD,
    quota::Taken,
    unique::Pushed,
    unrecorded::Unrecorded,
};
pub use fleet::Clock;
pub use model::{
    attempt::{AttemptError, AttemptOutcome},
    concurrency_key::ConcurrencyKey,
    error::Error,
    id::{JobId, NoJobId},
    job::{Job, Kind},
    json::Json,
    new_job::{DEFAULT_TENANT, NewJob, OnConflict, Unique},
    outcome::{Failure, Outcome, Success, TIMED_OUT},
    record::ENVELOPE_VERSION,
    state::{Priority, State},
    timeline::{Event, Happened},
    view::{AttemptView, Depth, JobView, Progress, QueueView, Snoozes, Timestamp, Trace},
};
pub use replica::{
    alone::{Busy, HasKey, Keys},
    backend::{RedisBackend, SettleLayer, SettleService},
    claim::ClaimReport,
    claimed::Claimed,
    reclaim::UpkeepReport,
    reporter::Reporter,
    session::{Session, Timing},
    settle::{Settlement, Verdict},
    tasks::Replica,
};
