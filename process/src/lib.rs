//! The shell of a program of ours: what producer and worker do alike around their own work.
//!
//! Order, lowest first: `logging`, `open_files`, `signals`, `watch`, `healthcheck`, `admin`.
//!
//! [`run`] (`signals.rs`) is a whole program; `logging.rs` and `open_files.rs` are what it begins with; [`Admin`] is the internal
//! listener; [`healthcheck`] asks a running program; [`watch`] tells the log whether a server is there.

mod admin;
mod healthcheck;
mod logging;
mod open_files;
mod signals;
mod watch;

pub use admin::Admin;
pub use healthcheck::healthcheck;
pub use signals::run;
pub use watch::watch;
