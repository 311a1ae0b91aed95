//! What is answered.
//!
//! Order, lowest first: `problem`, `job`.

mod job;
mod problem;

pub(crate) use job::{Job, id_of, live, new, past, state, timestamp};
pub(crate) use problem::{Problem, Type, no_such_route, panicked, wrong_method};
