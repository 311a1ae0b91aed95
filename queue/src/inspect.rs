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
        view.success = finished.success.map(|success| Success::new(success.into_vec()));
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
            success: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// In Unix milliseconds.
    const BORN: u64 = 1_760_000_000_000;

    // As release 496559a (November 2026) wrote them: a record with every option, the history of a job that was tried, crashed and was
    // put off, with a draft, and two finished jobs, with a history and without.
    const RECORD: &str = "\
        01027f00195729a789a174a461636d65a172cf00000199c82daa60a165cf00000199c863ae80a16107a1735aa166c3a16d82a56f7264657211a47461\
        677391a161a170d93730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333\
        312d3031a175a86f726465722d31377b226e616d65223a224bc3a47365222c227072696365223a342e357d";
    const HISTORY: &str = "\
        87a17501a16301a1619387a16e01a177a8686f73742d312f37a173cf00000199c82dae48a166cf00000199c82db230a16fa57265747279a16583a463\
        6f6465ac726174655f6c696d69746564a76d657373616765ab6f70656e61693a20343239ab66696e6765727072696e74b03966326335643165306137\
        6233633438a1690087a16e02a177a8686f73742d312f37a173cf00000199c82dd170a166cf00000199c82dd558a16fa763726173686564a16583a463\
        6f6465ab776f726b65725f64696564a76d657373616765b874686520776f726b657220686f73742d312f372064696564ab66696e6765727072696e74\
        b039663263356431653061376233633438a1690187a16e02a177a8686f73742d322f39a173cf00000199c82df880a166cf00000199c82dfc68a16fa7\
        736e6f6f7a6564a16583a4636f6465b173746f72655f756e617661696c61626c65a76d657373616765af6d6f6e676f64622069732061776179ab6669\
        6e6765727072696e74b039663263356431653061376233633438a16902a164cf00000199c82e0ff0a172c4787b22726573756c74223a7b227469746c\
        65223a224bc3a47365227d2c2273746f7265645f696e223a6e756c6c2c2270726f7669646572223a226d6f636b222c226465677261646564223a7472\
        75652c2264656772616465645f726561736f6e223a226f70656e61693a206f7574206f662071756f7461227da16903a17082a17083a17484a16900a1\
        7302a16e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da670616765\
        2031";
    const FINISHED: &str = "\
        87a171c4a301027f00195729a789a174a461636d65a172cf00000199c82daa60a165cf00000199c863ae80a16107a1735aa166c3a16d82a56f726465\
        7211a47461677391a161a170d93730302d30616637363531393136636434336464383434386562323131633830333139632d62376164366237313639\
        3230333333312d3031a175a86f726465722d31377b226e616d65223a224bc3a47365222c227072696365223a342e357da173a9737563636565646564\
        a166cf00000199c82e2378a162cf00000199c82e1f90a16885a17501a16301a1619487a16e01a177a8686f73742d312f37a173cf00000199c82dae48\
        a166cf00000199c82db230a16fa57265747279a16583a4636f6465ac726174655f6c696d69746564a76d657373616765ab6f70656e61693a20343239\
        ab66696e6765727072696e74b039663263356431653061376233633438a1690087a16e02a177a8686f73742d312f37a173cf00000199c82dd170a166\
        cf00000199c82dd558a16fa763726173686564a16583a4636f6465ab776f726b65725f64696564a76d657373616765b874686520776f726b65722068\
        6f73742d312f372064696564ab66696e6765727072696e74b039663263356431653061376233633438a1690187a16e02a177a8686f73742d322f39a1\
        73cf00000199c82df880a166cf00000199c82dfc68a16fa7736e6f6f7a6564a16583a4636f6465b173746f72655f756e617661696c61626c65a76d65\
        7373616765af6d6f6e676f64622069732061776179ab66696e6765727072696e74b039663263356431653061376233633438a1690286a16e02a177a8\
        686f73742d322f39a173cf00000199c82e1f90a166cf00000199c82e2378a16fa9737563636565646564a16903a16904a17082a17083a17484a16900\
        a17302a16e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da6706167\
        652031a172c4787b22726573756c74223a7b227469746c65223a224bc3a47365227d2c2273746f7265645f696e223a6e756c6c2c2270726f76696465\
        72223a226d6f636b222c226465677261646564223a747275652c2264656772616465645f726561736f6e223a226f70656e61693a206f7574206f6620\
        71756f7461227da178cf00000199c82e3318";
    const COMMON: &str = "\
        87a171c40901010000b7efdc8331a173a9737563636565646564a166cf00000199c82e2378a162cf00000199c82e1f90a177a8686f73742d322f39a1\
        72c4657b22726573756c74223a7b227469746c65223a22546565227d2c2273746f7265645f696e223a6e756c6c2c2270726f7669646572223a226d6f\
        636b222c226465677261646564223a66616c73652c2264656772616465645f726561736f6e223a6e756c6c7da17082a17083a17484a16900a17302a1\
        6e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da6706167652031";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// What is shown of a job that was found so.
    fn shown(place: &str, record: &str, history: Option<&str>) -> JobView {
        let redis = fleet::Redis::open("redis://127.0.0.1:1", "unit").unwrap();
        let client = Client::new(&redis, Vec::new());
        let partition = Partition::new("unit", 1, "content", 0);
        let detail = Some((BORN + 86_000).to_string());
        let (record, history) = (bytes(record), history.map(bytes));
        let found = Found { place: place.to_owned(), record, detail, history, reports: None };
        client.view(JobId::new(1, BORN), &partition, &found)
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(BORN + ms)
    }

    /// Outcome and code of each attempt.
    fn attempts(view: &JobView) -> Vec<(u32, AttemptOutcome, Option<&str>)> {
        let attempts = view.attempts.iter().map(|attempt| {
            let code = attempt.error.as_ref().map(|error| error.code.as_str());
            (attempt.number, attempt.outcome.unwrap(), code)
        });
        attempts.collect()
    }

    #[tokio::test]
    async fn a_record_of_an_older_release_is_read() {
        let view = shown("scheduled", RECORD, None);
        assert_eq!((view.state, view.priority, view.tenant.as_str()), (State::Scheduled, Priority::Low, "acme"));
        assert_eq!(view.payload.to_string(), r#"{"name":"Käse","price":4.5}"#);
        assert_eq!(view.metadata.to_string(), r#"{"order":17,"tags":["a"]}"#);
        assert_eq!((view.run_at, view.expires_at), (at(86_000), Some(at(3_600_000))));
        assert_eq!((view.max_attempts, view.timeout_s), (7, 90));
        assert_eq!((view.unique_key.as_deref(), view.record_base64), (Some("order-17"), None));
        let record = Record::decode(&bytes(RECORD)).unwrap();
        assert_eq!(record.options.allow_fallback, Some(true));
        assert!(record.options.traceparent.unwrap().starts_with("00-0af7"));
    }

    #[tokio::test]
    async fn a_history_of_an_older_release_is_read() {
        let view = shown("scheduled", RECORD, Some(HISTORY));
        assert_eq!((view.attempt, view.crashes), (2, 1));
        let crashed = (2, AttemptOutcome::Crashed, Some("worker_died"));
        assert_eq!(attempts(&view), [(1, AttemptOutcome::Retry, Some("rate_limited")), crashed]);
        let last_code = Some("store_unavailable".to_owned());
        assert_eq!(view.snoozes, Snoozes { count: 1, last_code, last_at: Some(at(81_000)) });
        assert_eq!(view.progress.map(|progress| progress.percent), Some(40));
        let draft = History::decode(Some(&bytes(HISTORY))).draft().unwrap();
        assert!(
            String::from_utf8(draft.into_bytes())
                .unwrap()
                .starts_with(r#"{"result":{"title":"Käse"},"stored_in":null,"#)
        );
    }

    #[tokio::test]
    async fn finished_jobs_of_an_older_release_are_read() {
        let view = shown("finished", FINISHED, None);
        assert_eq!((view.state, view.attempt, view.tenant.as_str()), (State::Succeeded, 2, "acme"));
        assert_eq!((view.started_at, view.finished_at), (Some(at(90_000)), Some(at(91_000))));
        assert_eq!(attempts(&view).last(), Some(&(2, AttemptOutcome::Succeeded, None)));
        assert_eq!((view.attempts.len(), view.snoozes.count), (3, 1));
        assert_eq!(view.events().last().unwrap().what, crate::timeline::Happened::Replaced { at: at(95_000) });
        let success = String::from_utf8(view.success.unwrap().into_bytes()).unwrap();
        assert!(success.ends_with(r#""provider":"mock","degraded":true,"degraded_reason":"openai: out of quota"}"#));

        let view = shown("finished", COMMON, None);
        assert_eq!((view.state, view.payload.to_string().as_str()), (State::Succeeded, "1"));
        assert_eq!(attempts(&view), [(1, AttemptOutcome::Succeeded, None)]);
        assert_eq!(view.attempts[0].worker, "host-2/9");
        assert_eq!(view.progress.map(|progress| progress.message).as_deref(), Some("half"));
        assert!(String::from_utf8(view.success.unwrap().into_bytes()).unwrap().contains("Tee"));
    }

    #[test]
    fn what_an_older_release_wrote_is_written_the_same_today() {
        assert_eq!(Record::decode(&bytes(RECORD)).unwrap().encode().unwrap(), bytes(RECORD));
        assert_eq!(Finished::decode(&bytes(COMMON)).unwrap().encode().unwrap(), bytes(COMMON));
    }
}
