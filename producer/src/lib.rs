//! The HTTP API that takes jobs.
//!
//! Reading order: `router` shows every route; [`run`] is the process; `intake` turns a request into a job; `routes` has one file a
//! resource; `answer` is what comes back, and every answer that is not a success.
//!
//! Order, lowest first: `config`, `metrics`, `addresses`, `answer`, `request`, `jwt`, `auth`, `probe`, `intake`, `board`, `ping`, `together`,
//! `shops`, `payments`, `state`, `entitled`, `known`, `watch`, `find`, `push`, `keyed`, `observe`, `routes`, `openapi`, `router`, `listen`, `serve`.

mod addresses;
mod answer;
mod auth;
mod board;
mod config;
mod entitled;
mod find;
mod intake;
mod jwt;
mod keyed;
mod known;
mod listen;
mod metrics;
mod observe;
mod openapi;
mod payments;
mod ping;
mod probe;
mod push;
mod request;
mod router;
mod routes;
mod serve;
mod shops;
mod state;
mod together;
mod watch;

pub use auth::{Scope, SignError, UnknownScope, sign};
pub use config::{AppEnv, Config};
pub use probe::{plans_fault, probe};
pub use router::router;
pub use routes::least::{LEAST, LEAST_OPEN, least};
pub use serve::{run, run_with};
pub use state::App;

#[cfg(test)]
mod tests;
