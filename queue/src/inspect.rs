//! Looks at jobs and queues, moves dead letters, and pauses queues: for the API and the operator.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    client::Client,
    error::Error,
    json::Json,
    keys::{self, Partition},
    list::{ListFilter, ListPage, Position},
    message::{Attempt, AttemptOutcome, Finished, History, JobId, Priority, Record, Snoozed, State},
    outcome::Success,
    owner::Owner,
    progress::Reports,
    scripts::{self, Found},
    timeline::Trace,
    view::{AttemptView, Depth, JobView, Page, QueueView, Snoozes, Timestamp},
};

/// A replica that has not beaten for so long no longer counts.
pub(crate) const ALIVE: Duration = Duration::from_secs(12);

/// What a replica says of itself with each beat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) worker: String,
    pub(crate) version: String,
    pub(crate) started_ms: u64,
    pub(crate) queues: Vec<String>,
}

/// A record that can be shown, also when it is damaged: then its payload as text, as far as it is text, and all its bytes in base64.
fn readable(bytes: &[u8]) -> (Record, Json, Option<String>) {
    let text = |bytes: &[u8]| Json::from(Value::String(String::from_utf8_lossy(bytes).into_owned()));
    let all = || Some(BASE64_STANDARD.encode(bytes));
    match Record::decode(bytes) {
        Ok(record) => match Json::read(&record.payload) {
            Ok(payload) => (record, payload, None),
            Err(_) => {
                let payload = text(&record.payload);
                (record, payload, all())
            }
        },
        Err(_) => {
            let record =
                Record { priority: Priority::Normal, options: crate::message::Options::default(), payload: Vec::new() };
            (record, text(bytes), all())
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker,
            started_at: Timestamp::from_ms(attempt.started_ms),
            finished_at: Some(Timestamp::from_ms(attempt.finished_ms)),
            outcome: Some(attempt.outcome),
            error: attempt.error,
            step: attempt.step,
            revived_at: attempt.revived_ms.map(Timestamp::from_ms),
            died: attempt.died,
        }
    }
}

impl From<&Snoozed> for Snoozes {
    fn from(snoozed: &Snoozed) -> Self {
        Self {
            count: snoozed.count,
            last_code: Some(snoozed.last_code.clone()),
            last_at: Some(Timestamp::from_ms(snoozed.last_ms)),
        }
    }
}

impl Client {
    pub(crate) fn view(&self, id: JobId, partition: &Partition, found: &Found) -> JobView {
        match found.place.as_str() {
            "finished" => match Finished::decode(&found.record) {
                Ok(finished) => self.finished_view(id, partition, finished),
                // A newer release may have written it: what can be said of it is that it has finished.
                Err(_) => self.base_view(id, partition, &found.record, &History::default(), State::Succeeded),
            },
            place => {
                let history = History::decode(found.history.as_deref());
                let state = match place {
                    "running" => State::Running,
                    "scheduled" => State::Scheduled,
                    "retrying" => State::Retrying,
                    "dead" => State::Dead,
                    _ => State::Ready,
                };
                let mut view = self.base_view(id, partition, &found.record, &history, state);
                let detail = found.detail.as_deref().unwrap_or_default();
                match state {
                    State::Running => {
                        add_running_attempt(&mut view, detail);
                        view.set_reports(found.reports.as_deref().and_then(Reports::decode));
                    }
                    State::Dead => view.finished_at = score(detail),
                    State::Scheduled | State::Retrying => view.run_at = score(detail).unwrap_or(view.run_at),
                    _ => {}
                }
                view
            }
        }
    }

    pub(crate) fn finished_view(&self, id: JobId, partition: &Partition, finished: Finished) -> JobView {
        let history = finished.history.unwrap_or_default();
        let mut view = self.base_view(id, partition, &finished.record, &history, finished.state);
        view.set_reports(finished.reports);
        view.finished_at = Some(Timestamp::from_ms(finished.finished_ms));
        view.started_at = finished.started_ms.map(Timestamp::from_ms).or(view.started_at);
        // One that was run before its time.
        view.run_at = view.started_at.map_or(view.run_at, |started_at| view.run_at.min(started_at));
        if view.attempts.is_empty() && finished.state == State::Succeeded {
            let started_ms = finished.started_ms.unwrap_or(finished.finished_ms);
            view.attempts.push(AttemptView::from(Attempt {
                number: 1,
                worker: finished.worker.unwrap_or_default(),
                started_ms,
                finished_ms: finished.finished_ms,
                outcome: AttemptOutcome::Succeeded,
                error: None,
                step: 0,
                revived_ms: None,
                died: false,
            }));
            view.trace.steps = 1;
        }
        view.trace.replaced_at = finished.replaced_ms.map(Timestamp::from_ms);
        if let Some(success) = finished.success.and_then(|json| serde_json::from_slice::<Success>(&json).ok()) {
            view.result = Some(success.result).filter(|result| !result.is_null());
            view.stored_in = success.stored_in;
            view.provider = success.provider;
            view.degraded = success.degraded;
            view.degraded_reason = success.degraded_reason;
        }
        view
    }

    fn base_view(&self, id: JobId, partition: &Partition, record: &[u8], history: &History, state: State) -> JobView {
        let (record, payload, record_base64) = readable(record);
        let kind = self.kind(&partition.queue);
        let created_ms = id.created_ms();
        let attempts: Vec<AttemptView> = history.attempts.iter().cloned().map(AttemptView::from).collect();
        let attempt = match attempts.last() {
            Some(last) if state.is_finished() => last.number,
            _ => history.attempt(),
        };
        let mut view = JobView {
            id,
            kind: partition.queue.clone(),
            queue: partition.queue.clone(),
            tenant: record.tenant().to_owned(),
            state,
            priority: record.priority,
            payload,
            record_base64,
            metadata: record.metadata(),
            unique_key: record.options.unique_key.clone(),
            durability: "fast",
            created_at: Timestamp::from_ms(created_ms),
            run_at: Timestamp::from_ms(history.due_ms.or(record.options.run_at_ms).unwrap_or(created_ms)),
            started_at: attempts.last().map(|last| last.started_at),
            finished_at: None,
            expires_at: record.options.expires_at_ms.map(Timestamp::from_ms),
            attempt,
            max_attempts: record.options.max_attempts.or(kind.map(|kind| kind.max_attempts)).unwrap_or(3),
            crashes: history.crashes,
            timeout_s: record.options.timeout_s.or(kind.map(|kind| kind.timeout_s)).unwrap_or(60),
            progress: None,
            attempts,
            snoozes: history.snoozed.as_ref().map(Snoozes::from).unwrap_or_default(),
            provider: None,
            degraded: false,
            degraded_reason: None,
            result: None,
            stored_in: None,
            estimated_start_at: None,
            trace: Trace::new(&record, history),
        };
        view.set_reports(history.reports.clone());
        view
    }

    /// All queues: those of the kinds that this client knows, and those that any process has used.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn queues(&self) -> Result<Vec<QueueView>, Error> {
        let about = self.alive().await?;
        let mut queues: Vec<QueueView> = self.kinds().iter().map(|kind| empty_queue(&kind.name)).collect();
        for partition in self.directory.all().await? {
            let part = match self.look_at(&partition).await {
                // One queue in trouble must not hide the others.
                Err(error @ (Error::Redis(_) | Error::Corrupt(_))) => {
                    QueueView { error: Some(error.to_string()), ..empty_queue(&partition.queue) }
                }
                part => part?,
            };
            match queues.iter_mut().find(|queue| queue.name == partition.queue) {
                Some(queue) => add_part(queue, &part),
                None => queues.push(part),
            }
        }
        for queue in &mut queues {
            queue.workers = about.iter().filter(|about| about.queues.contains(&queue.name)).count() as u64;
            let depth = queue.depth;
            let left = (depth.ready + depth.running + depth.retrying) as f64;
            queue.time_to_empty_s = (queue.out_per_s > 0.0).then(|| round(left / queue.out_per_s));
        }
        Ok(queues)
    }

    async fn look_at(&self, partition: &Partition) -> Result<QueueView, Error> {
        type Minute = (Option<u64>, Option<u64>);
        let now_ms = self.clock.now_ms();
        let minute = now_ms / 60_000;
        let mut pipe = redis::pipe();
        for waiting in ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held"] {
            pipe.llen(partition.key(waiting));
        }
        pipe.scard(partition.key("ghosts")).exists(partition.key("paused")).cmd("HVALS").arg(partition.key("left"));
        for waiting in ["scheduled", "retrying", "dead"] {
            pipe.zcard(partition.key(waiting));
        }
        for priority in 0..4 {
            pipe.lindex(partition.key(&format!("ready:{priority}")), 0);
        }
        for minute in [minute, minute - 1] {
            pipe.hmget(partition.key(&format!("minute:{minute}")), &["in", "out"]);
        }
        type Waiting = (u64, u64, u64, u64, u64, u64);
        type Others = (u64, bool, Vec<u64>, u64, u64, u64);
        type Heads = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let values: Vec<redis::Value> = pipe.query_async(&mut self.redis.connection()).await?;
        let part = |range: std::ops::Range<usize>| redis::Value::Array(values[range].to_vec());
        let (high, normal, low, bulk, suspects, held): Waiting =
            redis::from_redis_value(part(0..6)).map_err(unexpected)?;
        let (ghosts, paused, running, scheduled, retrying, dead): Others =
            redis::from_redis_value(part(6..12)).map_err(unexpected)?;
        let heads: Heads = redis::from_redis_value(part(12..16)).map_err(unexpected)?;
        let (now, before): (Minute, Minute) = redis::from_redis_value(part(16..18)).map_err(unexpected)?;
        let heads: Vec<JobId> =
            [heads.0, heads.1, heads.2, heads.3].into_iter().filter_map(|id| JobId::from_slice(&id?)).collect();
        // A sliding minute: all of this one, and of the one before the part that is not a minute ago yet.
        let share = 1.0 - (now_ms % 60_000) as f64 / 60_000.0;
        let rate = |now: Option<u64>, before: Option<u64>| {
            round((now.unwrap_or(0) as f64 + before.unwrap_or(0) as f64 * share) / 60.0)
        };
        Ok(QueueView {
            name: partition.queue.clone(),
            paused,
            depth: Depth {
                ready: (high + normal + low + bulk + suspects + held).saturating_sub(ghosts),
                scheduled,
                running: running.iter().sum(),
                retrying,
                waiting: 0,
                dead,
            },
            oldest_ready_age_s: self.oldest_age(partition, &heads, now_ms).await?,
            in_per_s: rate(now.0, before.0),
            out_per_s: rate(now.1, before.1),
            time_to_empty_s: None,
            workers: 0,
            error: None,
        })
    }

    /// Since when the first of each list could have run.
    async fn oldest_age(&self, partition: &Partition, heads: &[JobId], now_ms: u64) -> Result<Option<f64>, Error> {
        let mut oldest: Option<u64> = None;
        for id in heads {
            let Some(found) = scripts::find(&self.redis.connection(), partition, self.retention, *id).await? else {
                continue;
            };
            if found.place == "ready" {
                let since = self.view(*id, partition, &found).run_at.ms();
                oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
            }
        }
        Ok(oldest.map(|since| round(now_ms.saturating_sub(since) as f64 / 1000.0)))
    }

    /// How many worker replicas live.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn replicas(&self) -> Result<u64, Error> {
        Ok(self.alive().await?.len() as u64)
    }

    async fn alive(&self) -> Result<Vec<About>, Error> {
        let prefix = self.redis.prefix();
        let since = self.clock.now_ms().saturating_sub(u64::try_from(ALIVE.as_millis()).unwrap_or(u64::MAX));
        let names: Vec<String> = self.redis.connection().zrangebyscore(keys::replicas(prefix), since, "+inf").await?;
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.hget(keys::replica(prefix, name), "about");
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let about: Vec<Option<String>> = pipe.query_async(&mut self.redis.connection()).await?;
        Ok(about.into_iter().flatten().filter_map(|json| serde_json::from_str(&json).ok()).collect())
    }

    /// Dead jobs of a queue; `tenant`: only that tenant's. Pages as those of [`Client::list`].
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Invalid`] for a cursor that is not ours, [`Error::Unavailable`].
    pub async fn dead(
        &self,
        queue: &str,
        tenant: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<JobView>, Error> {
        self.existing(queue).await?;
        let after = cursor.map(Position::read).transpose()?;
        let filter =
            ListFilter { queue: Some(queue.to_owned()), tenant: tenant.map(str::to_owned), ..ListFilter::default() };
        let ListPage { items, next } = self.list(State::Dead, &filter, after.as_ref(), limit).await?;
        Ok(Page { items, next_cursor: next.map(|next| next.text()) })
    }

    /// Makes dead jobs ready again, with all their attempts before them: those in `ids`, or all. Returns how many. Those whose unique key
    /// another job has by now stay dead.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Full`], [`Error::Unavailable`].
    pub async fn replay_dead(&self, queue: &str, ids: Option<&[JobId]>) -> Result<u64, Error> {
        let partition = self.existing(queue).await?;
        let mut n = 0;
        for id in self.dead_ids(&partition, ids).await? {
            let found = scripts::find(&self.redis.connection(), &partition, self.retention, id).await?;
            let Some(found) = found.filter(|found| found.place == "dead") else { continue };
            match self.revive(&partition, id, &found).await {
                Ok(revived) => n += u64::from(revived),
                Err(Error::Duplicate(_) | Error::Contended(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(n)
    }

    /// Deletes dead jobs: those in `ids`, or all. Returns how many.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    pub async fn delete_dead(&self, queue: &str, ids: Option<&[JobId]>) -> Result<u64, Error> {
        let partition = self.existing(queue).await?;
        let mut n = 0;
        for ids in self.dead_ids(&partition, ids).await?.chunks(scripts::MOST) {
            n += scripts::bury(&self.redis.connection(), &partition, ids).await?;
        }
        Ok(n)
    }

    /// The ids asked for, or all that are dead now: those that die meanwhile are left for the next time.
    async fn dead_ids(&self, partition: &Partition, ids: Option<&[JobId]>) -> Result<Vec<JobId>, Error> {
        if let Some(ids) = ids {
            return Ok(ids.to_vec());
        }
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let connection = self.redis.connection();
            let page = scripts::scored(&connection, partition, State::Dead.name(), scripts::MOST, after).await?;
            after = page.last().map(|(id, died_ms)| (*died_ms, *id));
            let last = page.len() < scripts::MOST;
            all.extend(page.into_iter().map(|(id, _)| id));
            if last {
                return Ok(all);
            }
        }
    }

    async fn existing(&self, queue: &str) -> Result<Arc<Partition>, Error> {
        if self.kind(queue).is_some() {
            return self.directory.of_queue(queue).await;
        }
        let all = self.directory.all().await?;
        let found = all.into_iter().find(|partition| partition.queue == queue);
        found.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }

    /// Stops claiming from a queue, in all replicas; jobs that run go on. Returns whether it was not paused before.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    pub async fn pause(&self, queue: &str) -> Result<bool, Error> {
        let partition = self.existing(queue).await?;
        scripts::pause(&self.redis.connection(), &partition, Some(self.clock.now_ms())).await
    }

    /// Lets a paused queue go on. Returns whether it was paused.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    pub async fn resume(&self, queue: &str) -> Result<bool, Error> {
        let partition = self.existing(queue).await?;
        scripts::pause(&self.redis.connection(), &partition, None).await
    }

    /// What the server's keys hold beyond what the API shows; for tests and the operator.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn counts(&self, queue: &str) -> Result<HashMap<String, u64>, Error> {
        let partition = self.existing(queue).await?;
        let mut connection = self.redis.connection();
        let mut counts = HashMap::new();
        let left: Vec<u64> = connection.hvals(partition.key("left")).await?;
        counts.insert("running".to_owned(), left.iter().sum());
        let mut pipe = redis::pipe();
        for page in 0..=u8::MAX {
            pipe.hlen(partition.key(&format!("jobs:{page}")));
        }
        let pages: Vec<u64> = pipe.query_async(&mut connection).await?;
        counts.insert("jobs".to_owned(), pages.iter().sum());
        for suffix in ["claims", "history", "progress"] {
            counts.insert(suffix.to_owned(), connection.hlen(partition.key(suffix)).await?);
        }
        for suffix in ["leases", "scheduled", "retrying", "dead", "watched"] {
            counts.insert(suffix.to_owned(), connection.zcard(partition.key(suffix)).await?);
        }
        for suffix in ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held", "wake"] {
            counts.insert(suffix.to_owned(), connection.llen(partition.key(suffix)).await?);
        }
        for suffix in ["ghosts", "cancels"] {
            counts.insert(suffix.to_owned(), connection.scard(partition.key(suffix)).await?);
        }
        Ok(counts)
    }
}

fn unexpected(error: impl std::fmt::Display) -> Error {
    Error::Redis(format!("unexpected answer: {error}"))
}

fn add_running_attempt(view: &mut JobView, owner: &str) {
    let Ok(owner) = owner.parse::<Owner>() else { return };
    let started_at = Timestamp::from_ms(owner.at_ms);
    view.started_at = Some(started_at);
    view.attempts.push(AttemptView {
        number: view.attempt,
        worker: owner.replica.worker().to_owned(),
        started_at,
        finished_at: None,
        outcome: None,
        error: None,
        step: view.trace.steps,
        revived_at: view.trace.revived_at,
        died: false,
    });
}

fn score(text: &str) -> Option<Timestamp> {
    text.parse::<f64>().ok().map(|ms| Timestamp::from_ms(ms as u64))
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn empty_queue(name: &str) -> QueueView {
    QueueView {
        name: name.to_owned(),
        paused: false,
        depth: Depth::default(),
        oldest_ready_age_s: None,
        in_per_s: 0.0,
        out_per_s: 0.0,
        time_to_empty_s: None,
        workers: 0,
        error: None,
    }
}

fn add_part(queue: &mut QueueView, part: &QueueView) {
    queue.paused |= part.paused;
    queue.depth.ready += part.depth.ready;
    queue.depth.scheduled += part.depth.scheduled;
    queue.depth.running += part.depth.running;
    queue.depth.retrying += part.depth.retrying;
    queue.depth.dead += part.depth.dead;
    queue.oldest_ready_age_s = match (queue.oldest_ready_age_s, part.oldest_ready_age_s) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    queue.in_per_s += part.in_per_s;
    queue.out_per_s += part.out_per_s;
    queue.error = queue.error.take().or_else(|| part.error.clone());
}
