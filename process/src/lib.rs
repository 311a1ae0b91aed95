//! The shell of a program of ours: what producer and worker do alike before their own work begins.
//!
//! Reading order: `logging.rs`, `open_files.rs`.

mod logging;
mod open_files;

/// Starts the log and raises the limit of open files. Call it once, first of all.
pub fn start() {
    logging::start();
    open_files::raise();
}
