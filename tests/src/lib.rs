//! End-to-end tests against the real servers, and what they need: [`System`] starts the real programs, [`Shop`] and
//! [`standins`] answer them.
//!
//! Reading order: `system.rs` (producer and workers of one test), `answer.rs`, `programs.rs` (where the binaries are), `http.rs`,
//! `gate.rs` and `shop.rs` (a slow outside service).

mod answer;
mod gate;
mod http;
mod programs;
mod shop;
pub mod standins;
mod system;

pub use answer::Answer;
pub use gate::Gate;
pub use http::client;
pub use programs::{example, program, workspace};
pub use shop::Shop;
pub use system::{JOB_PATIENCE, Options, PATIENCE, System, is_finished};
