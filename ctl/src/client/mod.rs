//! The HTTP API, as far as this program speaks it.
//!
//! Order, lowest first: `error`, `connection`, `calls`, `events`.

mod calls;
mod connection;
mod error;
mod events;

pub(crate) use calls::Job;
pub(crate) use connection::Api;
pub(crate) use error::CallError;
pub(crate) use events::Event;
