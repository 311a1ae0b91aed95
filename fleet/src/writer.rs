//! Writes reports, each exactly once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{error::Error, once::OnceAMinute, outbox::Batch, report::Report, shared::Shared};

/// Reports that come within this time are written together.
const COLLECT: Duration = Duration::from_millis(100);
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Writes what is put into the outbox until `stop`, and then what is left, if Redis takes it.
pub(crate) async fn write_reports(shared: Arc<Shared>, stop: CancellationToken) {
    let outbox = &shared.outbox;
    let (mut batches, mut last_number, mut known) = (VecDeque::new(), 0, HashMap::new());
    let fails = OnceAMinute::default();
    loop {
        if batches.is_empty() {
            tokio::select! {
                () = outbox.put.notified() => {}
                () = stop.cancelled() => {}
            }
            tokio::select! {
                () = sleep(COLLECT) => {}
                () = outbox.hurry.notified() => {}
                () = stop.cancelled() => {}
            }
            batches = outbox.take(&mut last_number);
        }
        // Asked before the last try, so that what is put until then is tried.
        let last_try = stop.is_cancelled();
        while let Some(batch) = batches.front() {
            if let Err(error) = write_batch(&shared, batch, &mut known).await {
                if fails.now() {
                    tracing::warn!(%error, "reports of outside calls cannot be written; trying again until redis takes them");
                }
                break;
            }
            outbox.n_done.send_modify(|n_done| *n_done += batch.reports.len() as u64);
            batches.pop_front();
        }
        if last_try {
            return;
        }
        if !batches.is_empty() {
            tokio::select! {
                () = sleep(TRY_AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// `known` has the accounts that were lately said to be the service's.
async fn write_batch(shared: &Shared, batch: &Batch, known: &mut HashMap<(String, String), u64>) -> Result<(), Error> {
    let Some(Report { account, .. }) = batch.reports.first() else { return Ok(()) };
    let now_ms = shared.now_ms();
    for service in batch.reports.iter().map(|report| &report.service) {
        let pair = (service.clone(), account.clone());
        if known.get(&pair).is_none_or(|at_ms| now_ms.saturating_sub(*at_ms) > Shared::ACCOUNT_SAID_AGAIN_MS) {
            shared.add_account(service, account).await?;
            known.retain(|_, at_ms| now_ms.saturating_sub(*at_ms) <= Shared::ACCOUNT_SAID_AGAIN_MS);
            known.insert(pair, now_ms);
        }
    }
    shared.write(account, batch.number, &batch.reports).await
}
