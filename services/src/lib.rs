//! The outside services: which there are, which variables each reads, what is lost without it, and what the variables of this process
//! say. It asks nobody: whoever only needs the catalogue needs no client of any service.
//!
//! A service is a file in `catalogue/` and its lines in `catalogue/mod.rs`; a variable is a line in the file of its service, or in
//! `general.rs`. The status, `ecomctl check-env`, docs/configuration.md and .env.example follow from there.
//!
//! Order, lowest first: `variable`, `formats`, `address`, `ring`, `entry`, `catalogue`, `general`, `secrets`, `links`, `pace`, `config`, `page`.

mod address;
mod catalogue;
mod config;
mod entry;
mod formats;
mod general;
mod links;
mod pace;
pub mod page;
mod ring;
mod secrets;
mod variable;

pub use address::{Sender, ascii_address};
pub use catalogue::{Name, OpenAi, SERVICES, Smtp, SmtpTls};
pub use config::{Config, ServiceState};
pub use entry::{Account, Accounts, Entry, Risk, State};
pub use formats::truth;
pub use general::{GENERAL, Group, general_faults};
pub use links::Links;
pub use pace::{Limit, Limits, Pace, micro_usd};
pub use ring::{NotOpened, Ring, Sealed};
pub use secrets::Secrets;
pub use variable::{Environment, Malformed, Need, Variable};
