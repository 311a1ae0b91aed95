//! Stand-ins of the vendors: small servers on free ports that answer as the real ones are documented to, faults included.

pub mod fault;
pub mod openai;

pub use fault::{Fault, Faults};
