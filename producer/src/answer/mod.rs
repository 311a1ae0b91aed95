//! What is answered.
//!
//! Order, lowest first: `json`, `problem`, `job`.

mod job;
mod json;
mod problem;

pub(crate) use job::{Job, id_of, live, new, past, state, text, timestamp};
pub(crate) use json::{Json, Page, json};
pub(crate) use problem::{Problem, Type, no_such_route, panicked, wrong_method};
