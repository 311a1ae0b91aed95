//! Time zones: what a clock on the wall shows, and when it shows it, by tables that are replaced without a release.
//!
//! Governments change their clocks at a few weeks' notice. So the tables are not those of a release: `tables.rs` takes the newest
//! that the machine has, looks every few seconds whether they were replaced, and falls back to those in the program.
//!
//! Order, lowest first: `zone`, `tables`.

mod tables;
mod zone;

pub use tables::{Tables, UnknownZone, Version, tables};
pub use zone::Zone;
