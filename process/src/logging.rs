//! The log: text in a terminal, otherwise one JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log at the level of `RUST_LOG`, or `info`.
pub(crate) fn start() {
    let wanted = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = wanted.and_then(|filter| EnvFilter::try_new(filter).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    if std::io::stdout().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).init();
    }
}
