//! What replicas share through Redis, and the one way to connect to it.

mod connect;

pub use connect::{Error, Redis};
