//! The listener of the API.
//!
//! Order, lowest first: `socket`, `connections`.

mod connections;
mod socket;

pub(crate) use connections::{Limits, serve};
