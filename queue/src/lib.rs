//! The Redis queue: an apalis backend, and the client that pushes to it.

mod backend;
mod claimed;
mod client;
mod clock;
mod directory;
mod error;
mod events;
mod idempotency;
mod inspect;
mod job;
mod keys;
mod message;
mod outcome;
mod owner;
mod replica;
mod scripts;
mod session;
mod settle;
mod unique;
mod view;
mod waker;

pub use backend::{RedisBackend, SettleLayer, SettleService};
pub use claimed::Claimed;
pub use client::{Client, MOST_PAYLOAD, RETENTION};
pub use clock::Clock;
pub use error::Error;
pub use idempotency::Idempotency;
pub use job::{FieldError, Job, Kind};
pub use message::{AttemptError, AttemptOutcome, DEFAULT_TENANT, ENVELOPE_VERSION, JobId, NewJob, Priority, State};
pub use outcome::{Failure, Outcome, Success, TIMED_OUT};
pub use replica::Replica;
pub use session::{ClaimReport, Session, Timing, UpkeepReport};
pub use settle::{Settlement, Verdict};
pub use unique::{OnConflict, Pushed, Unique};
pub use view::{AttemptView, Depth, JobView, Page, Progress, QueueView, Timestamp};
