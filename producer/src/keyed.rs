//! Requests with an idempotency key: one that is sent again is answered with the job of the first.

use std::borrow::Cow;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use queue::{Answered, Fingerprint, Idempotency, JobId, KeyTaken, NewJob};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{self, Job, Problem, Type},
    find,
    push::{REPLAYED, in_progress, mismatch, push},
    state::App,
};

/// What is to be done with a request that has an idempotency key.
pub(crate) enum Begun {
    /// To be answered with the job of an earlier one, which is here as text.
    There(String),
    /// To be carried out, under the id that stands in the key.
    Ours(Keyed),
}

/// A request whose idempotency key is taken.
pub(crate) struct Keyed {
    app: App,
    taken: KeyTaken,
}

/// Takes the idempotency key of a request for a job of `kind`. Call it within [`whole`].
pub(crate) async fn begin(
    app: &App,
    tenant: &str,
    key: &str,
    fingerprint: &Fingerprint,
    kind: &str,
) -> Result<Begun, Problem> {
    let keyed = |taken| Keyed { app: app.clone(), taken };
    match app.client.idempotency_take(tenant, key, fingerprint, kind).await? {
        Idempotency::New(taken) => Ok(Begun::Ours(keyed(taken))),
        Idempotency::Again(taken) => keyed(taken).again().await,
        Idempotency::InProgress => Err(in_progress()),
        Idempotency::Mismatch => Err(mismatch()),
        Idempotency::Replay(answer, taken) => keyed(taken).replay(answer).await,
        Idempotency::Pushed(taken) => keyed(taken).show().await,
    }
}

/// Does `work` to its end in a task of its own: a client that hangs up in the middle must not leave a key taken and unanswered, nor half of
/// what it sent.
pub(crate) async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request that pushes a job was not answered");
        Err(Problem::new(Type::Internal, "the request could not be answered; the log has the reason"))
    })
}

impl Keyed {
    /// Pushes the job and keeps the answer under the key; the text is what is kept. A push that fails gives the key back.
    pub(crate) async fn push(self, job: NewJob) -> Result<(StatusCode, Job, String), Problem> {
        match push(&self.app, job, Some(self.taken.id)).await {
            Ok((status, answer)) => {
                let text = self.keep(&answer).await;
                Ok((status, answer, text))
            }
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// Lets the request be sent again; after a refusal, also another one with the same key.
    pub(crate) async fn give_back(&self, problem: &Problem) {
        let client = &self.app.client;
        let given_back = if problem.is_refusal() {
            client.idempotency_forget(&self.taken).await
        } else {
            client.idempotency_release(&self.taken).await
        };
        if let Err(error) = given_back {
            tracing::debug!(%error, "an idempotency key could not be given back; it can be taken over in two seconds");
        }
    }

    /// After a request that had this id and did not come as far as its answer.
    async fn again(self) -> Result<Begun, Problem> {
        match find::anywhere(&self.app, self.taken.id).await {
            Ok(None) => Ok(Begun::Ours(self)),
            Ok(Some(there)) => Ok(Begun::There(self.keep(&there).await)),
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// After a request that was answered, as it was.
    async fn replay(self, answer: String) -> Result<Begun, Problem> {
        #[derive(Deserialize)]
        struct Answer {
            id: JobId,
        }
        match serde_json::from_str(&answer) {
            Ok(Answer { id }) if find::anywhere(&self.app, id).await?.is_none() => self.lost().await,
            _ => Ok(Begun::There(answer)),
        }
    }

    /// After a request whose job was pushed together with the key: the job, as it is now.
    async fn show(self) -> Result<Begun, Problem> {
        match find::anywhere(&self.app, self.taken.id).await? {
            Some(there) => Ok(Begun::There(answer::text(&find::with_result(&self.app, there).await?))),
            None => self.lost().await,
        }
    }

    /// A job that is nowhere any more was lost with a Redis that failed, and is pushed again.
    async fn lost(self) -> Result<Begun, Problem> {
        let Some(taken) = self.app.client.idempotency_reopen(&self.taken).await? else { return Err(in_progress()) };
        tracing::warn!(job.id = %taken.id, "a job that was answered under an idempotency key was lost; it is pushed again");
        Ok(Begun::Ours(Self { taken, ..self }))
    }

    /// Keeps the answer under the key, and returns its text.
    async fn keep(&self, answer: &Job) -> String {
        let text = answer::text(answer);
        if let Err(error) = self.app.client.idempotency_store(&self.taken, &text).await {
            // The job is in the queue, so the caller is told so.
            tracing::warn!(%error, "the answer to an idempotency key could not be kept");
        }
        text
    }
}

/// Does `work`, which pushes no job, and answers with what it makes: once for an idempotency key, which a request that is sent again is
/// answered for with what the first one made. A request that died, or did not come to its answer, is done again, so `work` must be one that may
/// be; it is told so.
pub(crate) async fn once<T, F>(
    app: App,
    tenant: String,
    key: Option<String>,
    fingerprint: Fingerprint,
    work: impl FnOnce(bool) -> F + Send + 'static,
) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<(StatusCode, T), Problem>> + Send + 'static,
{
    whole(async move {
        let Some(key) = key else {
            let (status, answer) = work(false).await?;
            return Ok((status, answer::Json(answer)).into_response());
        };
        let (taken, is_again) = match app.client.idempotency_take_many(&tenant, &key, &fingerprint).await? {
            Idempotency::New(taken) => (taken, false),
            Idempotency::Again(taken) => (taken, true),
            Idempotency::InProgress | Idempotency::Pushed(_) => return Err(in_progress()),
            Idempotency::Mismatch => return Err(mismatch()),
            Idempotency::Replay(answer, _) => {
                let headers = [(header::CONTENT_TYPE.as_str(), "application/json"), (REPLAYED, "true")];
                return Ok((headers, answer).into_response());
            }
        };
        let keyed = Keyed { app, taken };
        match work(is_again).await {
            Ok((status, answer)) => {
                let text =
                    serde_json::to_string(&answer).map_err(|error| Problem::new(Type::Internal, error.to_string()))?;
                if let Err(error) = keyed.app.client.idempotency_store(&keyed.taken, &text).await {
                    tracing::warn!(%error, "the answer to an idempotency key could not be kept");
                }
                Ok((status, answer::json(Ok(text))).into_response())
            }
            Err(problem) => {
                keyed.give_back(&problem).await;
                Err(problem)
            }
        }
    })
    .await
}

/// Answers a request that is refused by now with the answer of the earlier one that it repeats, if there is one.
pub(crate) async fn earlier(
    app: &App,
    tenant: &str,
    key: &str,
    fingerprint: &Fingerprint,
    refused: Problem,
) -> Result<Response, Problem> {
    let answered = app.client.idempotency_answer(tenant, key, fingerprint).await;
    match answered.ok().flatten() {
        Some(Answered::Text(answer)) => replayed(answer),
        Some(Answered::Job(id)) => match find::anywhere(app, id).await? {
            Some(there) => replayed(answer::text(&find::with_result(app, there).await?)),
            None => Err(refused),
        },
        None => Err(refused),
    }
}

/// The answer of an earlier request.
pub(crate) fn replayed(answer: String) -> Result<Response, Problem> {
    let location = location_of(&answer)?;
    let headers = [
        (header::LOCATION.as_str(), location.as_str()),
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (REPLAYED, "true"),
    ];
    Ok((headers, answer).into_response())
}

/// Where the job is that was kept as this text.
pub(crate) fn location_of(answer: &str) -> Result<String, Problem> {
    // No more of it is read: it may have numbers that no value holds.
    #[derive(Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        links: StoredLinks<'a>,
    }
    #[derive(Deserialize)]
    struct StoredLinks<'a> {
        #[serde(rename = "self", borrow)]
        itself: Cow<'a, str>,
    }
    let stored = serde_json::from_str::<Stored<'_>>(answer).map_err(|error| {
        tracing::error!(%error, "the stored answer to an idempotency key cannot be read");
        Problem::new(Type::Internal, "the first answer to this key cannot be read")
    })?;
    Ok(stored.links.itself.into_owned())
}
