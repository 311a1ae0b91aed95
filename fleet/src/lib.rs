//! What replicas share through Redis: which services are real, circuit breakers, limits, spending; and the one way to connect to it.
//!
//! Reading order: `call.rs` has what is asked before a call to an outside service and what is said after it; [`Fleet`] is the way
//! in; `breaker.rs` and `limiter.rs` are the rules.

mod alone;
mod breaker;
mod call;
mod clock;
mod connect;
mod error;
mod fleet;
mod keys;
mod limiter;
mod mode;
mod news;
mod outbox;
mod scripts;
mod settings;
mod shared;
mod spending;
mod tasks;
mod trouble;

pub use crate::fleet::{Event, Fleet};
pub use call::{Admission, BreakerState, Call, Health, Permit, Reported};
pub use clock::Clock;
pub use connect::{Connection, Messages, Redis};
pub use error::Error;
pub use mode::{Mode, Switch, UnknownMode};
pub use settings::Settings;
pub use spending::Reserved;
pub use tasks::{EndedEarly, Tasks};
pub use trouble::Trouble;
