//! Side effects that are made once, although their job may run twice.

use std::{future::Future, time::Duration};

use providers::ProviderError;
use serde::{Serialize, de::DeserializeOwned};
use store::{Receipt, Store};

use crate::handler::{Context, JobError};

/// When a step cannot be written down, the next try comes after this time.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What a look-up at the vendor found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp<T> {
    /// The write was made; this came of it.
    There(T),
    /// The write was certainly not made.
    NotThere,
    /// The vendor cannot tell; why.
    CannotTell(String),
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The vendor's error; [`ProviderError::UnknownOutcome`] when nobody knows whether the write was made.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The step could not be written down, so it was not made.
    #[error("nothing was written outside: {0}")]
    Store(#[from] store::Error),
}

impl From<OnceError> for JobError {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::Provider(error) => error.into(),
            OnceError::Store(store::Error::Refused { .. }) => {
                Self::Fatal { code: "receipt_refused", message: error.to_string() }
            }
            // Away, or with wrong credentials: mended outside, without using an attempt.
            OnceError::Store(_) => {
                Self::Snooze { code: "store_unavailable", message: error.to_string(), after: STORE_AGAIN_AFTER }
            }
        }
    }
}

impl Context {
    /// Makes a write at an outside service once for this job, however often the job runs, and returns what came of it.
    ///
    /// The step is written down in MongoDB before `write` and completed after it. A run that finds it completed gets the kept
    /// outcome, and nobody is called. One that finds it begun asks `look_up` first: [`LookedUp::There`] is adopted, after
    /// [`LookedUp::NotThere`] `write` is called. `look_up` runs after each failure too, because a server that answers 500 or nothing
    /// may have done it all the same; when it cannot tell, an error of the last `write` that says that nothing was done is
    /// believed, and otherwise nothing is written.
    ///
    /// `step` tells a job's writes apart. `natural_key` is what the vendor knows the write by (SKU, Message-ID); it must be the same
    /// in every run. `told` is where a later run finds what came of it. `write` must answer [`ProviderError::UnknownOutcome`] when it
    /// may have been carried out and `look_up` cannot tell. An outcome is small, at most 64 KiB: ids and addresses. A receipt is kept for 90 days. Without a store, as in some
    /// tests, `write` is simply called.
    ///
    /// # Errors
    /// Those of `look_up` and `write`; [`ProviderError::UnknownOutcome`] when an earlier run began the write and nobody can tell
    /// what came of it: the caller decides whether twice is worse than never. [`OnceError::Store`] when it could not be written
    /// down.
    pub async fn once<T, L, E, W>(
        &self,
        step: &'static str,
        natural_key: &str,
        told: Told,
        look_up: impl FnOnce() -> L + Send,
        write: impl FnOnce() -> W + Send,
    ) -> Result<T, OnceError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        L: Future<Output = Result<LookedUp<T>, E>> + Send,
        E: Into<OnceError> + Send,
        W: Future<Output = Result<T, ProviderError>> + Send,
    {
        let Some(store) = &self.store else { return Ok(write().await?) };
        let step = Step { store, job_id: self.job_id.to_string(), name: step, told };
        let has_failed = match store.begin_receipt(&step.job_id, step.name, natural_key).await? {
            Receipt::Fresh => return step.make(write()).await,
            Receipt::Completed(outcome) => match serde_json::from_value(outcome) {
                Ok(outcome) => return Ok(outcome),
                // Another version of us has completed it.
                Err(_) => false,
            },
            Receipt::Begun => false,
            Receipt::Failed => true,
        };
        match look_up().await {
            Ok(LookedUp::There(outcome)) => {
                step.complete(&outcome).await;
                Ok(outcome)
            }
            Ok(LookedUp::CannotTell(reason)) if !has_failed => {
                let message = format!(
                    "an earlier run began it for {natural_key:?}, and nobody can tell what came of it: {reason}"
                );
                Err(ProviderError::UnknownOutcome { service: step.name, message }.into())
            }
            Ok(_) => step.make(write()).await,
            Err(error) => {
                let error = error.into();
                if has_failed {
                    step.fail(&error.to_string()).await;
                }
                Err(error)
            }
        }
    }
}

/// What tells a later run that a write was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The receipt, which is completed.
    ByReceipt,
    /// The job's stored result, for a write that is the last thing that the handler does and whose outcome is in it. The outcome is stored
    /// once; the receipt stays begun, and `look_up` looks into the result.
    ByResult,
}

/// A step of a job that is written down as begun.
struct Step<'a> {
    store: &'a Store,
    job_id: String,
    name: &'static str,
    told: Told,
}

impl Step<'_> {
    async fn make<T: Serialize>(&self, write: impl Future<Output = Result<T, ProviderError>>) -> Result<T, OnceError> {
        let written = write.await;
        match &written {
            Ok(outcome) if self.told == Told::ByReceipt => self.complete(outcome).await,
            // It stays begun.
            Ok(_) | Err(ProviderError::UnknownOutcome { .. }) => {}
            Err(error) => self.fail(&error.to_string()).await,
        }
        Ok(written?)
    }

    /// What was written outside counts; a receipt that stays begun only costs the next run a look-up.
    async fn complete<T: Serialize>(&self, outcome: &T) {
        let told = match serde_json::to_value(outcome) {
            Ok(outcome) => {
                self.store.complete_receipt(&self.job_id, self.name, &outcome).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("the outcome is no JSON: {error}")),
        };
        self.told(told);
    }

    async fn fail(&self, error: &str) {
        let told = self.store.fail_receipt(&self.job_id, self.name, error).await;
        self.told(told.map_err(|error| error.to_string()));
    }

    fn told(&self, told: Result<(), String>) {
        if let Err(reason) = told {
            tracing::warn!(job.id = self.job_id, step = self.name, reason, "the receipt stays begun");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        content::Content,
        testing::{context, mocks},
    };

    /// Counts what was asked of the vendor.
    #[derive(Default)]
    struct Vendor {
        n_lookups: AtomicUsize,
        n_writes: AtomicUsize,
    }

    impl Vendor {
        async fn once(
            &self,
            context: &Context,
            found: Result<LookedUp<u32>, ProviderError>,
            written: Result<u32, ProviderError>,
        ) -> Result<u32, OnceError> {
            let look_up = async || {
                self.n_lookups.fetch_add(1, Ordering::Relaxed);
                found
            };
            let write = async || {
                self.n_writes.fetch_add(1, Ordering::Relaxed);
                written
            };
            context.once("publish", "SKU12", Told::ByReceipt, look_up, write).await
        }

        fn asked(&self) -> (usize, usize) {
            (self.n_lookups.load(Ordering::Relaxed), self.n_writes.load(Ordering::Relaxed))
        }
    }

    async fn with_store() -> Context {
        let store = Store::open(servers::mongo(), &servers::prefix()).await.unwrap();
        Context { store: Some(store), ..context::<Content>(mocks()) }
    }

    fn unknown() -> ProviderError {
        ProviderError::UnknownOutcome { service: "shop", message: "cut off".to_owned() }
    }

    fn refused() -> ProviderError {
        ProviderError::Transient { service: "shop", message: "500".to_owned(), retry_after: None }
    }

    fn cannot_tell() -> Result<LookedUp<u32>, ProviderError> {
        Ok(LookedUp::CannotTell("it keeps no list".to_owned()))
    }

    #[tokio::test]
    async fn what_was_done_is_kept_and_nobody_is_asked_again() {
        let (context, vendor) = (with_store().await, Vendor::default());
        for _ in 0..3 {
            assert_eq!(vendor.once(&context, cannot_tell(), Ok(7)).await.unwrap(), 7);
        }
        assert_eq!(vendor.asked(), (0, 1));
    }

    #[tokio::test]
    async fn what_was_begun_is_looked_up_before_it_is_written_again() {
        let (context, vendor) = (with_store().await, Vendor::default());
        vendor.once(&context, cannot_tell(), Err(unknown())).await.unwrap_err();
        let error = vendor.once(&context, cannot_tell(), Ok(8)).await.unwrap_err();
        assert!(matches!(&error, OnceError::Provider(ProviderError::UnknownOutcome { .. })), "{error:?}");
        assert!(error.to_string().contains("it keeps no list") && error.to_string().contains("SKU12"), "{error}");
        assert_eq!(vendor.asked(), (1, 1), "nobody knows, so nothing is written");
        assert_eq!(vendor.once(&context, Ok(LookedUp::There(7)), Ok(8)).await.unwrap(), 7);
        assert_eq!(vendor.once(&context, cannot_tell(), Ok(8)).await.unwrap(), 7, "what was adopted is kept");
        assert_eq!(vendor.asked(), (2, 1));

        let (context, vendor) = (with_store().await, Vendor::default());
        vendor.once(&context, cannot_tell(), Err(unknown())).await.unwrap_err();
        assert_eq!(vendor.once(&context, Ok(LookedUp::NotThere), Ok(8)).await.unwrap(), 8);
        assert_eq!(vendor.asked(), (1, 2));
    }

    #[tokio::test]
    async fn a_write_that_was_not_made_is_made_later_even_where_nobody_can_look_it_up() {
        let (context, vendor) = (with_store().await, Vendor::default());
        vendor.once(&context, cannot_tell(), Err(refused())).await.unwrap_err();
        vendor.once(&context, cannot_tell(), Err(refused())).await.unwrap_err();
        vendor.once(&context, Err(refused()), Ok(8)).await.unwrap_err();
        assert_eq!(vendor.once(&context, cannot_tell(), Ok(8)).await.unwrap(), 8);
        assert_eq!(vendor.asked(), (3, 3));
    }

    #[tokio::test]
    async fn a_write_that_said_it_failed_is_looked_up_all_the_same() {
        let (context, vendor) = (with_store().await, Vendor::default());
        vendor.once(&context, cannot_tell(), Err(refused())).await.unwrap_err();
        assert_eq!(vendor.once(&context, Ok(LookedUp::There(7)), Ok(8)).await.unwrap(), 7);
        assert_eq!(vendor.asked(), (1, 1));
    }

    #[tokio::test]
    async fn what_cannot_be_written_down_is_not_made() {
        let nowhere = Store::open("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "shop").await.unwrap();
        let context = Context { store: Some(nowhere), ..context::<Content>(mocks()) };
        let vendor = Vendor::default();
        let error = vendor.once(&context, cannot_tell(), Ok(7)).await.unwrap_err();
        assert_eq!(vendor.asked(), (0, 0));
        assert!(matches!(JobError::from(error), JobError::Snooze { code: "store_unavailable", .. }));
    }

    #[tokio::test]
    async fn a_step_begun_for_another_key_is_fatal() {
        let context = with_store().await;
        let write = async || Ok(7);
        let look_up = async || cannot_tell();
        context.once("publish", "SKU12", Told::ByReceipt, look_up, write).await.unwrap();
        let error = context.once("publish", "SKU13", Told::ByReceipt, look_up, write).await.unwrap_err();
        assert!(matches!(JobError::from(error), JobError::Fatal { code: "receipt_refused", .. }));
    }
}
