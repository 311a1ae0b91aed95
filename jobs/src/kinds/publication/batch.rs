//! Many products to one store as one job. The API keeps them in parts; the job goes through these, is put off between them so that it holds no
//! slot for long, and goes on after a kill where it was.

use std::collections::BTreeMap;

use futures::{StreamExt, future, stream};
use providers::publication::{Item, PublicationStatus, PublishError, Shop, Store};
use queue::{Busy, ConcurrencyKey, HasKey, Job};
use serde::{Deserialize, Serialize};
use serde_json::json;
use services::Name;
use store::BatchItem;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{Publication, PublicationResult, failed, key_of, left, missing, notes::STORE_AGAIN_AFTER};
use crate::{
    handler::{Context, Done, Handler, JobError, NamedStore},
    kinds::stores,
};

/// Products that are written at a time: as many calls as small shops take.
const AT_A_TIME: usize = 2;
/// So many products are a part.
pub const PART: usize = 100;
/// So many failures are told in the result; all of them are counted.
const MOST_FAILURES: usize = 100;
/// So many products are brought one after the other before what came of them is noted.
const FEW: usize = 4;
/// What is remembered of so many products is read at a time.
const READ_TOGETHER: usize = 16;
/// So often a product is tried that failed for no fault of its own, a while between.
const MOST_TRIES: u32 = 6;
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);
/// As of a single job.
const KEY_CODE: &str = "concurrency_key";
/// Between two runs of the same job.
const MAKE_ROOM: std::time::Duration = std::time::Duration::from_secs(1);

/// Brings the products of a batch into a store. `POST /api/stores/{name}/products` makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicationBatch {
    /// The store.
    #[schema(min_length = 1, max_length = 40)]
    pub store: String,
    /// The batch that the API has kept.
    #[schema(min_length = 1, max_length = 64)]
    pub batch: String,
    /// How many products it has.
    #[schema(minimum = 1, maximum = 10_000)]
    pub n: u32,
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// The store.
    pub store: String,
    /// Products in the batch.
    pub total: u32,
    /// How many ended with each status, as `published`, `draft`, `unchanged`, `mock`.
    pub by_status: BTreeMap<String, u32>,
    /// How many the store refused.
    pub failed: u32,
    /// The first hundred of these.
    pub failures: Vec<BatchFailure>,
}

/// A product that the store refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchFailure {
    /// Its line in the request, from 0.
    pub line: u32,
    /// What the shop knows it by.
    pub sku: String,
    /// Why.
    pub message: String,
}

/// How far it is; kept in Redis.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SoFar {
    /// The next part.
    part: u32,
    /// How often products of it were tried that failed, by their lines.
    #[serde(default)]
    tries: BTreeMap<u32, u32>,
    result: BatchResult,
}

/// What came of one product; kept with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Done { status: String },
    Failed { failed: String },
}

impl Job for PublicationBatch {
    const KIND: &'static str = "publication-batch";
    const MAX_ATTEMPTS: u32 = 6;
    const TIMEOUT_S: u64 = 120;
    const CONCURRENCY: usize = 4;
}

impl Handler for PublicationBatch {
    type Output = BatchResult;
    const COLLECTION: &'static str = "publication_batches";
    const SERVICE: Option<Name> = Some(Name::Publication);
    const ONE_ACCOUNT: bool = false;

    fn store(&self) -> Option<NamedStore> {
        stores::named("/store", Some(&self.store))
    }

    async fn run(self, context: &Context) -> Result<Done<BatchResult>, JobError> {
        let began = Instant::now();
        let until = began + context.time_for_a_task();
        let before = context.so_far.clone().and_then(|before| serde_json::from_value::<SoFar>(before).ok());
        let mut so_far = before.unwrap_or_default();
        so_far.result.store.clone_from(&self.store);
        so_far.result.total = self.n;
        loop {
            let parts = self.n.div_ceil(u32::try_from(PART).unwrap_or(u32::MAX));
            let percent = 100 * u64::from(so_far.part) / u64::from(parts.max(1));
            context
                .progress
                .set(u8::try_from(percent).unwrap_or(99).min(99), format!("part {} of {parts}", so_far.part));
            let items = self.part(context, so_far.part).await.map_err(|error| error.with(json!(so_far)))?;
            let Some(items) = items else {
                let n_done = so_far.result.by_status.values().sum::<u32>() + so_far.result.failed;
                if n_done < self.n {
                    return Err(self.missing());
                }
                return Ok(Done { result: so_far.result, provider: self.provider(context), degraded_reason: None });
            };
            let outcomes = self.carry_out(context, &mut so_far, items, (began, until)).await;
            let outcomes = match outcomes {
                Ok(outcomes) => outcomes,
                Err(error) => return Err(error.with(json!(so_far))),
            };
            count(&mut so_far.result, outcomes);
            so_far.part += 1;
            so_far.tries.clear();
            if Instant::now() >= until {
                let message = format!("{} of {parts} parts are done", so_far.part);
                return Err(JobError::Interrupted {
                    code: "goes_on",
                    message,
                    after: MAKE_ROOM,
                    so_far: json!(so_far),
                });
            }
        }
    }
}

impl PublicationBatch {
    fn provider(&self, context: &Context) -> Option<&'static str> {
        (!context.providers.publication.is_real()).then_some("mock")
    }

    async fn part(&self, context: &Context, part: u32) -> Result<Option<Vec<BatchItem>>, JobError> {
        let Some(store) = &context.store else { return Ok(None) };
        let found = store.part(&self.batch, &context.tenant, part).await.map_err(|error| away(&error))?;
        match found {
            None if part == 0 => Err(self.missing()),
            found => Ok(found),
        }
    }

    fn missing(&self) -> JobError {
        let message = format!("batch {:?} is not kept any more: send its products again", self.batch);
        JobError::Fatal { code: "batch_missing", message }
    }

    /// All products of a part that nothing has come of yet, some at a time; what came of all.
    async fn carry_out(
        &self,
        context: &Context,
        so_far: &mut SoFar,
        items: Vec<BatchItem>,
        (began, until): (Instant, Instant),
    ) -> Result<Vec<(u32, String, Outcome)>, JobError> {
        let part = so_far.part;
        let context = &Context { progress: queue::Reporter::nobody(), so_far: None, ..context.clone() };
        let mut all = Vec::with_capacity(items.len());
        let mut to_do = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let publication: Publication = match serde_json::from_str(&item.text) {
                Ok(publication) => publication,
                // Another release has taken it.
                Err(error) => {
                    all.push((item.line, String::new(), Outcome::Failed { failed: error.to_string() }));
                    continue;
                }
            };
            match item.outcome.as_deref().and_then(|outcome| serde_json::from_str(outcome).ok()) {
                Some(outcome) => all.push((item.line, publication.sku, outcome)),
                None => to_do.push((at, item.line, publication)),
            }
        }
        let (mut stopped, mut again) = (None, None);
        let together = self.at_once(context).await?;
        let mut to_do = to_do.into_iter().peekable();
        while to_do.peek().is_some() && stopped.is_none() {
            if Instant::now() >= until {
                let message = format!("part {part} is under way");
                stopped = Some(JobError::Snooze { code: "goes_on", message, after: MAKE_ROOM });
                break;
            }
            let some: Vec<(usize, u32, Publication)> = to_do.by_ref().take(together).collect();
            let outcomes = self.together(context, &some, began).await?;
            // What fails for all is no fault of any.
            let is_away = |outcome: &Result<Outcome, JobError>| match outcome {
                Err(JobError::Retry { code, .. }) => *code != missing::CODE,
                outcome => outcome.is_err(),
            };
            let is_outage = outcomes.len() > 1 && outcomes.iter().all(is_away);
            let mut fresh = Vec::with_capacity(some.len());
            for ((at, line, publication), outcome) in some.into_iter().zip(outcomes) {
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(JobError::Retry { code, message, after }) if is_outage => {
                        let after = after.unwrap_or(TRY_AGAIN);
                        stopped = Some(JobError::Snooze { code, message, after });
                        continue;
                    }
                    Err(JobError::Retry { message, .. }) => {
                        let tries = so_far.tries.entry(line).or_default();
                        *tries += 1;
                        if *tries < MOST_TRIES {
                            again = Some(message);
                            continue;
                        }
                        Outcome::Failed { failed: message }
                    }
                    // What holds one up may hold up others.
                    Err(error) => {
                        stopped = Some(error);
                        continue;
                    }
                };
                fresh.push((at, json!(outcome).to_string()));
                all.push((line, publication.sku, outcome));
            }
            self.note(context, part, &fresh).await?;
        }
        let again = again.map(|message| JobError::Snooze { code: "some_failed", message, after: TRY_AGAIN });
        stopped.or(again).map_or(Ok(all), Err)
    }

    /// How many products are brought together: those of a shop that takes many in a call; others are noted after a few.
    async fn at_once(&self, context: &Context) -> Result<usize, JobError> {
        if !context.providers.publication.is_real() {
            return Ok(PART);
        }
        let store = stores::open(context, Some(self.store.as_str()), None).await?;
        Ok(if store.shop() == Shop::Woocommerce { PART } else { FEW })
    }

    /// Products that are brought together, each with what came of it.
    async fn together(
        &self,
        context: &Context,
        publications: &[(usize, u32, Publication)],
        began: Instant,
    ) -> Result<Vec<Result<Outcome, JobError>>, JobError> {
        if !context.providers.publication.is_real() {
            let one = |(_, _, publication): &(usize, u32, Publication)| one(publication.clone(), context);
            return Ok(stream::iter(publications.iter().map(one)).buffered(AT_A_TIME).collect().await);
        }
        let store = &stores::open(context, Some(self.store.as_str()), None).await?;
        let keys: Vec<_> = publications.iter().map(|(_, _, publication)| key_of(store, &publication.sku)).collect();
        let (held, busy) = hold(context, &keys).await;
        let free =
            publications.iter().zip(&busy).filter(|(_, busy)| busy.is_none()).map(|(publication, _)| publication);
        let free: Vec<&(usize, u32, Publication)> = free.collect();
        let mut done = tokio::select! {
            biased;
            () = any_lost(&held) => {
                let message = "another job took the key of a product: this one's lease had ended".to_owned();
                return Err(JobError::Snooze { code: KEY_CODE, message, after: MAKE_ROOM });
            }
            done = self.at_the_store(context, store, &free, began) => done?.into_iter(),
        };
        let all = busy.into_iter().map(|busy| match busy {
            Some(busy) => Err(busy),
            None => done.next().unwrap_or_else(unanswered),
        });
        Ok(all.collect())
    }

    /// The same of those of which no other job runs.
    async fn at_the_store(
        &self,
        context: &Context,
        store: &Store,
        publications: &[&(usize, u32, Publication)],
        began: Instant,
    ) -> Result<Vec<Result<Outcome, JobError>>, JobError> {
        let prepare = |(_, _, publication): &&(usize, u32, Publication)| {
            let publication = publication.clone();
            async move { (publication.prepared(store, context).await, publication) }
        };
        let prepared: Vec<_> = stream::iter(publications.iter().map(prepare)).buffered(READ_TOGETHER).collect().await;
        let job = context.job_id.to_string();
        let (mut ready, mut outcomes) = (Vec::with_capacity(prepared.len()), Vec::with_capacity(prepared.len()));
        for (prepared, publication) in prepared {
            outcomes.push(match prepared {
                Ok(prepared) => {
                    ready.push((publication, prepared));
                    None
                }
                Err(error) => Some(outcome_of_one(error, context, store, &publication.sku).await),
            });
        }
        let items = ready.iter().map(|(publication, prepared)| Item {
            order: publication.order(&job, &prepared.patch),
            desk: prepared.desk(),
        });
        let mut items: Vec<Item<'_>> = items.collect();
        let done = context.providers.publication.carry_out_all(store, left(context, began), &mut items).await?;
        let mut done = ready.iter().zip(done);
        let mut all = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            if let Some(refused) = outcome {
                // It was not among those that were carried out.
                all.push(refused);
                continue;
            }
            all.push(match done.next() {
                Some(((publication, prepared), Ok(published))) => {
                    let healed = publication.again_if_healed(published, prepared, store, context, began).await;
                    match healed {
                        Ok(published) => Ok(Outcome::Done { status: name_of(published.status) }),
                        Err(error) => outcome_of_one(error, context, store, &publication.sku).await,
                    }
                }
                Some(((publication, _), Err(error))) => outcome_of_one(error, context, store, &publication.sku).await,
                None => unanswered(),
            });
        }
        Ok(all)
    }

    async fn note(&self, context: &Context, part: u32, fresh: &[(usize, String)]) -> Result<(), JobError> {
        let Some(store) = &context.store else { return Ok(()) };
        store.note_outcomes(&self.batch, part, fresh).await.map_err(|error| away(&error))
    }
}

fn unanswered<T>() -> Result<T, JobError> {
    Err(JobError::Retry { code: "unanswered", message: "nothing came of it".to_owned(), after: None })
}

/// Takes the keys that single jobs of these products would have, in their order; in place of those that another job has, why to wait.
async fn hold(context: &Context, keys: &[ConcurrencyKey]) -> (Vec<HasKey>, Vec<Option<JobError>>) {
    let Some(taker) = &context.keys else { return (Vec::new(), keys.iter().map(|_| None).collect()) };
    let mut held = Vec::with_capacity(keys.len());
    let busy = taker.take(keys).await.into_iter().map(|taken| match taken {
        Ok(key) => {
            held.push(key);
            None
        }
        Err(Busy { message, after }) => Some(JobError::Snooze { code: KEY_CODE, message, after }),
    });
    let busy = busy.collect();
    (held, busy)
}

/// Ends when one of them is another job's.
async fn any_lost(held: &[HasKey]) {
    if held.is_empty() {
        return std::future::pending().await;
    }
    future::select_all(held.iter().map(|key| Box::pin(key.lost()))).await;
}

/// One product, as a job of its own would bring it.
async fn one(publication: Publication, context: &Context) -> Result<Outcome, JobError> {
    match publication.run(context).await {
        Ok(Done { result: PublicationResult { status, .. }, .. }) => Ok(Outcome::Done { status: name_of(status) }),
        Err(error) => outcome_of(error),
    }
}

/// The same of one that was brought with others. Another job may be about to make a product that is not there yet.
async fn outcome_of_one(error: PublishError, context: &Context, store: &Store, sku: &str) -> Result<Outcome, JobError> {
    let is_missing = missing::is_it(&error);
    match failed(error, context, store, sku).await {
        JobError::Fatal { message, .. } if is_missing => {
            Err(JobError::Retry { code: missing::CODE, message, after: None })
        }
        error => outcome_of(error),
    }
}

/// Refused for good, or to be tried again.
fn outcome_of(error: JobError) -> Result<Outcome, JobError> {
    match error {
        JobError::Fatal { message, .. } => Ok(Outcome::Failed { failed: message }),
        error => Err(error),
    }
}

/// As results have it.
fn name_of(status: PublicationStatus) -> String {
    json!(status).as_str().unwrap_or_default().to_owned()
}

fn count(result: &mut BatchResult, outcomes: Vec<(u32, String, Outcome)>) {
    for (line, sku, outcome) in outcomes {
        match outcome {
            Outcome::Done { status } => *result.by_status.entry(status).or_default() += 1,
            Outcome::Failed { failed } => {
                result.failed += 1;
                if result.failures.len() < MOST_FAILURES {
                    let message: String = failed.chars().take(500).collect();
                    result.failures.push(BatchFailure { line, sku, message });
                }
            }
        }
    }
    result.failures.sort_by_key(|failure| failure.line);
}

fn away(error: &store::Error) -> JobError {
    JobError::Snooze { code: "store_unavailable", message: error.to_string(), after: STORE_AGAIN_AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_each_is_counted_and_the_first_hundred_failures_are_told() {
        let mut result = BatchResult::default();
        let done = |line| (line, "A".to_owned(), Outcome::Done { status: "published".to_owned() });
        let failed = |line| (line, format!("S-{line}"), Outcome::Failed { failed: "no".repeat(400) });
        count(&mut result, vec![failed(2), done(1), done(3)]);
        count(&mut result, (4..204).map(failed).collect());
        assert_eq!((result.by_status["published"], result.failed, result.failures.len()), (2, 201, 100));
        assert_eq!((result.failures[0].line, result.failures[0].message.len()), (2, 500));
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        for outcome in [Outcome::Done { status: "draft".to_owned() }, Outcome::Failed { failed: "no".to_owned() }] {
            let written = json!(outcome);
            let read: Outcome = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(json!(read), written);
        }
    }
}
