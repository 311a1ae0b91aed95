//! What replicas share through Redis: which services are real, circuit breakers, limits, spending; and the one way to connect to it.
//!
//! Order, lowest first: `clock`, `settings`, `trouble`, `error`, `tasks`, `connect`, `keys`, `mode`, `spending`, `event`, `once`, `report`,
//! `outbox`, `call`, `scripts`, `shared`, `turn`, `follower`, `writer`, `fleet`.
//!
//! `call` has what is asked before a call to an outside service and what is said after it; [`Fleet`] is the way in;
//! `scripts/admit.rs` and `scripts/report.rs` tell the rules.

mod call;
mod clock;
mod connect;
mod error;
mod event;
mod fleet;
mod follower;
mod keys;
mod mode;
mod once;
mod outbox;
mod report;
mod scripts;
mod settings;
mod shared;
mod spending;
mod tasks;
mod trouble;
mod turn;
mod writer;

pub use crate::fleet::Fleet;
pub use call::{Admission, BreakerState, Call, Health, InFlight, Permit, Reported};
pub use clock::Clock;
pub use connect::{Connection, Messages, Redis};
pub use error::Error;
pub use event::Event;
pub use mode::{Mode, Switch, UnknownMode};
pub use report::Level;
pub use settings::Settings;
pub use spending::Reserved;
pub use tasks::{EndedEarly, Tasks};
pub use trouble::Trouble;
pub use turn::{Begun, Turn};
