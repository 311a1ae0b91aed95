//! A program from its start to its end.

use std::{pin::pin, process::ExitCode};

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{logging, open_files};

/// Starts the log, raises the limit of open files, chooses who does TLS, and runs `program`. SIGINT and SIGTERM cancel the token
/// that it is given; a second signal ends it at once, with the error `unfinished`. Call it once, inside a tokio runtime.
///
/// # Errors
/// Those of `program`; besides `unfinished`, or when the system gives no signals.
pub async fn run<F: Future<Output = anyhow::Result<()>>>(
    unfinished: anyhow::Error,
    program: impl FnOnce(CancellationToken) -> F,
) -> anyhow::Result<ExitCode> {
    logging::start();
    open_files::raise();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let mut program = pin!(program(stop.clone()));
    loop {
        tokio::select! {
            result = &mut program => return result.map(|()| ExitCode::SUCCESS),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.is_cancelled() {
            return Err(unfinished);
        }
        stop.cancel();
    }
}
