//! Unique keys: while a job holds a tenant's key, a second job with that key is not added.
//!
//! A key names its holder. It is held as long as the holder has not come to an end, or for the time that the push asked for.
//! Nobody has to give it back: the next push that meets the key looks at the holder. So a worker that dies cannot leave a key
//! behind, and finishing a job costs nothing.
//!
//! Key and job are in different slots, so they cannot be written together. A push first writes a *bid* to the key, then adds the job,
//! then marks the key as *confirmed*. Whoever meets a bid looks whether its job is there. If it is, the bid is confirmed for whoever
//! made it. If it is not, and the bid is no longer new, it is taken over: it is barred where the job would be, in the call that finds
//! the job missing, and then replaced. A push that comes late, from a process that was stopped or over a connection that hung, is then
//! refused, and whoever made it looks at the key anew. So a key never answers for a job that is not there, and never has two. A job that
//! has ended and shall run again bids for its key first, and is refused while another job has it.

use std::{sync::Arc, time::Duration};

use async_recursion::async_recursion as boxed;
use redis::AsyncCommands;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Client,
    push::{prepare, under_id},
};
use crate::{
    keys::{self, Partition},
    model::{
        error::Error,
        id::JobId,
        new_job::{NewJob, OnConflict, Unique},
        state::State,
    },
    scripts::{bar::Bar, push::Push, push_absent::Absent, unique::Change},
};

/// A bid may be on its way to its job for so long; a little longer than Redis may take for an answer.
const ON_ITS_WAY: Duration = Duration::from_secs(3);
/// The same for what older releases wrote, which cannot be barred.
const ON_ITS_WAY_BEFORE: Duration = Duration::from_secs(10);
/// Between two looks at a bid that is on its way; doubles up to the second.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// Whoever meets a key that others change again and again gives up after so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The key of a job is forgotten so long after the job's time, even if the job still waits.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a push tries again when others change the key meanwhile. Of many that replace each other each lets one in a round go first.
const TRIES: u32 = 200;

/// What became of a push with a unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The job was added.
    New(JobId),
    /// This job holds the key, or has the id that was asked for. One that holds the key for a set time may have ended and left Redis: if
    /// the history does not know it either, it was lost, and [`Client::submit_over`] takes its place.
    Existing(JobId),
}

impl Pushed {
    /// The job that has the key now.
    #[must_use]
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// What stands in a key.
///
/// | text | is |
/// |---|---|
/// | `?<name>:<id>` | a bid: the job may not be there yet. The name is the bid's own, `<Unix ms of the bid>-<random>` |
/// | `<id as 32 hex digits>` | confirmed: the job was there |
/// | `<id with hyphens>` | written by an older release, before the push; it reads the line above as one of its own |
///
/// Each with a `+` behind it when the key is held for a set time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    text: String,
    id: JobId,
    for_a_set_time: bool,
    standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// When it was made, and its name.
    Bid(u64, String),
    Confirmed,
    /// As an older release wrote it: it may be either.
    Unsaid,
}

impl Holder {
    fn bid(id: JobId, for_a_set_time: bool, now_ms: u64) -> Self {
        let name = format!("{now_ms}-{:08x}", Uuid::new_v4().as_u128() as u32);
        let text = format!("?{name}:{id}{}", if for_a_set_time { "+" } else { "" });
        Self { text, id, for_a_set_time, standing: Standing::Bid(now_ms, name) }
    }

    fn read(text: String) -> Option<Self> {
        let for_a_set_time = text.ends_with('+');
        let plain = text.trim_end_matches('+');
        let (standing, id) = match plain.strip_prefix('?').map(|bid| bid.split_once(':')) {
            Some(Some((name, id))) => {
                let at_ms = name.split('-').next()?.parse().ok()?;
                (Standing::Bid(at_ms, name.to_owned()), id)
            }
            Some(None) => return None,
            None if plain.contains('-') => (Standing::Unsaid, plain),
            None => (Standing::Confirmed, plain),
        };
        Some(Self { id: id.parse().ok()?, for_a_set_time, standing, text })
    }

    fn confirmed(&self) -> String {
        format!("{}{}", self.id.as_hex(), if self.for_a_set_time { "+" } else { "" })
    }

    /// Under which name it can be barred.
    fn name(&self) -> &str {
        if let Standing::Bid(_, name) = &self.standing { name } else { "" }
    }
}

/// What a look at a holder says of its key.
enum KeyState {
    /// Nobody holds the key.
    Free,
    /// The holder is there.
    HeldBy(State),
    /// For a set time, by a job that Redis does not keep any more.
    HeldByGone,
    /// The holder may be there in a moment.
    Soon,
    /// The holder has come this moment: it is to be looked at again.
    Now,
}

/// How a push with a unique key is made.
#[derive(Debug, Clone, Copy, Default)]
struct How {
    /// Under this id.
    id: Option<JobId>,
    /// This holder is known to be nowhere.
    gone: Option<JobId>,
}

impl Client {
    /// Pushes one job, and minds its unique key if it has one.
    ///
    /// # Errors
    /// As [`Client::push`]; besides [`Error::Duplicate`] when another job holds the key and `reject` was asked for, or `replace`
    /// and it runs.
    #[boxed]
    pub async fn submit(&self, job: NewJob) -> Result<Pushed, Error> {
        match job.unique.clone() {
            // Seldom, and large.
            Some(unique) => Box::pin(self.push_unique(job, &unique, How::default())).await,
            None => self.push(job).await.map(Pushed::New),
        }
    }

    /// Like [`Client::submit`], under an id that [`Client::idempotency_take`] or [`Client::fixed_id`] gave for a job of this kind. If that
    /// id is known, whoever pushed it, the answer is [`Pushed::Existing`].
    ///
    /// # Errors
    /// As [`Client::submit`]; besides [`Error::Invalid`] for an id of another kind.
    #[boxed]
    pub async fn submit_as(&self, id: JobId, job: NewJob) -> Result<Pushed, Error> {
        if let Some(unique) = job.unique.clone() {
            return Box::pin(self.push_unique(job, &unique, How { id: Some(id), gone: None })).await;
        }
        let (partition, push) = self.prepared(&job, self.clock.now_ms()).await?;
        let push = under_id(push, id, &partition)?;
        Ok(match self.pusher.push_absent(partition, push, String::new()).await? {
            Absent::Added => Pushed::New(id),
            Absent::Known | Absent::Barred => Pushed::Existing(id),
        })
    }

    /// Like [`Client::submit`], or [`Client::submit_as`] with an id, when `gone` was said to hold the key and is nowhere, not in the history
    /// either: it was lost, and holds the key no more.
    ///
    /// # Errors
    /// As [`Client::submit_as`].
    #[boxed]
    pub async fn submit_over(&self, gone: JobId, id: Option<JobId>, job: NewJob) -> Result<Pushed, Error> {
        match (job.unique.clone(), id) {
            (Some(unique), id) => Box::pin(self.push_unique(job, &unique, How { id, gone: Some(gone) })).await,
            (None, Some(id)) => self.submit_as(id, job).await,
            (None, None) => self.submit(job).await,
        }
    }

    async fn push_unique(&self, job: NewJob, unique: &Unique, how: How) -> Result<Pushed, Error> {
        let partition = self.directory.of_queue(&job.kind).await?;
        let now_ms = self.clock.now_ms();
        let key = keys::unique(self.redis.prefix(), &job.tenant, &unique.key);
        let until_ms = job.run_at_ms.map_or(now_ms, |at| at.max(now_ms)) + ms(KEPT);
        let ttl_ms = unique.hold.map_or(until_ms - now_ms, ms).max(1);
        let mut push = prepare(&job, &partition, now_ms)?;
        if let Some(id) = how.id {
            push = under_id(push, id, &partition)?;
        }

        let connection = self.redis.connection();
        let began = Instant::now();
        let (mut seen, mut n_tries, mut pause) = (String::new(), 0, LOOK_AGAIN.0);
        let (mut met, mut met_at) = (String::new(), began);
        // Whose place this push has made free, it takes, or somebody else has: it never gives up in between.
        let mut has_made_room = false;
        while has_made_room || (n_tries < TRIES && began.elapsed() < PATIENCE) {
            has_made_room = false;
            let bid = Holder::bid(push.id, unique.hold.is_some(), self.clock.now_ms());
            let present =
                Change { key: &key, seen: &seen, new: &bid.text, ttl_ms: Some(ttl_ms) }.call(&connection).await?;
            let Some(present) = present else {
                match self.push_bid(&key, &partition, &push, &bid).await? {
                    Some(pushed) => return Ok(pushed),
                    // It was taken over before the job was there.
                    None => (seen, n_tries) = (String::new(), n_tries + 1),
                }
                continue;
            };
            let Some(holder) = Holder::read(present.clone()) else {
                return Err(unreadable(&unique.key, &present));
            };
            if holder.id == push.id && holder.standing != Standing::Confirmed {
                // An earlier try of ours, which did not get as far as to confirm it.
                match self.push_bid(&key, &partition, &push, &holder).await? {
                    Some(pushed) => return Ok(pushed),
                    None => (seen, n_tries) = (present, n_tries + 1),
                }
                continue;
            }
            if met != present {
                (met, met_at, pause) = (present.clone(), Instant::now(), LOOK_AGAIN.0);
            }
            let held = self.held_by(&key, &holder, how.gone, met_at.elapsed()).await?;
            seen = match (held, unique.on_conflict) {
                (KeyState::Soon, _) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LOOK_AGAIN.1);
                    String::new()
                }
                (KeyState::Now, _) => {
                    n_tries += 1;
                    String::new()
                }
                // The id that this push has, too.
                (KeyState::HeldBy(_), _) if holder.id == push.id => return Ok(Pushed::Existing(holder.id)),
                (KeyState::HeldBy(_) | KeyState::HeldByGone, OnConflict::ReturnExisting) => {
                    return Ok(Pushed::Existing(holder.id));
                }
                (KeyState::HeldBy(_) | KeyState::HeldByGone, OnConflict::Reject)
                | (KeyState::HeldBy(State::Running), OnConflict::Replace) => {
                    return Err(Error::Duplicate(holder.id));
                }
                (KeyState::HeldBy(_), OnConflict::Replace) => {
                    if n_tries >= TRIES || began.elapsed() >= PATIENCE {
                        break;
                    }
                    match self.cancel(holder.id).await {
                        // It began to run in this moment: the cancellation reaches it, but its place is not free.
                        Ok(view) if !view.state.is_finished() => return Err(Error::Duplicate(holder.id)),
                        Ok(_) | Err(Error::Conflict(_) | Error::NotFound) => {}
                        Err(error) => return Err(error),
                    }
                    n_tries += 1;
                    has_made_room = true;
                    present
                }
                (KeyState::Free, _) | (KeyState::HeldByGone, OnConflict::Replace) => {
                    n_tries += 1;
                    present
                }
            };
        }
        Err(Error::Contended(unique.key.clone()))
    }

    /// Bids for the unique key of a job that has ended and is to run again, for [`Client::keep_again`] when it is ready; `None` when it holds
    /// its key for a set time.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when another job holds the key, [`Error::Contended`], [`Error::Full`], [`Error::Unavailable`].
    pub(crate) async fn bid_again(&self, id: JobId, tenant: &str, unique_key: &str) -> Result<Option<Again>, Error> {
        let key = keys::unique(self.redis.prefix(), tenant, unique_key);
        let connection = self.redis.connection();
        let (mut seen, met_at, mut pause) = (String::new(), Instant::now(), LOOK_AGAIN.0);
        while met_at.elapsed() < PATIENCE {
            let bid = Holder::bid(id, false, self.clock.now_ms());
            let change = Change { key: &key, seen: &seen, new: &bid.text, ttl_ms: Some(ms(KEPT)) };
            let Some(present) = change.call(&connection).await? else {
                return Ok(Some(Again { key, bid }));
            };
            seen = match Holder::read(present.clone()) {
                Some(holder) if holder.id == id && holder.for_a_set_time => return Ok(None),
                Some(holder) if holder.id == id => present,
                Some(holder) => match self.held_by(&key, &holder, None, met_at.elapsed()).await? {
                    KeyState::HeldBy(_) | KeyState::HeldByGone => return Err(Error::Duplicate(holder.id)),
                    KeyState::Free => present,
                    KeyState::Now => String::new(),
                    KeyState::Soon => {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LOOK_AGAIN.1);
                        String::new()
                    }
                },
                None => return Err(unreadable(unique_key, &present)),
            };
        }
        Err(Error::Contended(unique_key.to_owned()))
    }

    /// Notes that a job that was made ready again has its key.
    pub(crate) async fn keep_again(&self, again: &Again) {
        self.confirm(&again.key, &again.bid).await;
    }

    /// Adds the job of a bid and confirms the bid; `None` when it was taken over.
    async fn push_bid(
        &self,
        key: &str,
        partition: &Arc<Partition>,
        push: &Push,
        bid: &Holder,
    ) -> Result<Option<Pushed>, Error> {
        let pushed = self.pusher.push_absent(partition.clone(), push.clone(), bid.name().to_owned()).await;
        let pushed = match pushed {
            Ok(Absent::Added) => Pushed::New(push.id),
            Ok(Absent::Known) => Pushed::Existing(push.id),
            Ok(Absent::Barred) => return Ok(None),
            Err(error) => {
                // After an unknown outcome the job may be there: then it holds the key rightly.
                let free = Change { key, seen: &bid.text, new: "", ttl_ms: None };
                if !matches!(error, Error::Unavailable(_))
                    && let Err(error) = free.call(&self.redis.connection()).await
                {
                    tracing::debug!(%error, "a unique key could not be given back; the next push takes it over");
                }
                return Err(error);
            }
        };
        self.confirm(key, bid).await;
        Ok(Some(pushed))
    }

    /// Notes that the job of a bid is there. Should that fail, the next push that meets the bid finds the job and does it.
    async fn confirm(&self, key: &str, bid: &Holder) {
        let confirm = Change { key, seen: &bid.text, new: &bid.confirmed(), ttl_ms: None };
        if let Err(error) = confirm.call(&self.redis.connection()).await {
            tracing::debug!(job.id = %bid.id, %error, "a unique key was not confirmed");
        }
    }

    /// The job that holds a tenant's unique key, or held it last; it may have ended, or not be there yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn holder(&self, tenant: &str, key: &str) -> Result<Option<JobId>, Error> {
        let holder: Option<String> =
            self.redis.connection().get(keys::unique(self.redis.prefix(), tenant, key)).await?;
        Ok(holder.and_then(Holder::read).map(|holder| holder.id))
    }

    /// The job that holds a tenant's unique key now. One that is only on its way does not count.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn held(&self, tenant: &str, key: &str) -> Result<Option<JobId>, Error> {
        let key = keys::unique(self.redis.prefix(), tenant, key);
        let text: Option<String> = self.redis.connection().get(&key).await?;
        let Some(holder) = text.and_then(Holder::read) else { return Ok(None) };
        let held = self.held_by(&key, &holder, None, Duration::ZERO).await?;
        Ok(matches!(held, KeyState::HeldBy(_) | KeyState::HeldByGone).then_some(holder.id))
    }

    /// Whether a holder, which was met so long ago, still holds its key. A bid that is taken for dead is barred.
    async fn held_by(
        &self,
        key: &str,
        holder: &Holder,
        gone: Option<JobId>,
        met_for: Duration,
    ) -> Result<KeyState, Error> {
        let now_ms = self.clock.now_ms();
        let is_new = |since_ms: u64, limit: Duration| since_ms + ms(limit) > now_ms && met_for < limit;
        if let Some(view) = self.find(holder.id).await? {
            let holds = holder.for_a_set_time || !view.state.is_finished();
            // One that has ended may be about to run again.
            if let (false, Standing::Bid(at_ms, _)) = (holds, &holder.standing)
                && is_new(*at_ms, ON_ITS_WAY)
            {
                return Ok(KeyState::Soon);
            }
            if holder.standing != Standing::Confirmed {
                self.confirm(key, holder).await;
            }
            return Ok(if holds { KeyState::HeldBy(view.state) } else { KeyState::Free });
        }
        match &holder.standing {
            // Its job may have been there, have ended, and been removed, although nobody confirmed it.
            Standing::Bid(at_ms, _) if self.retention.ms > 0 && at_ms + self.retention.ms < now_ms => {}
            Standing::Bid(at_ms, _) if is_new(*at_ms, ON_ITS_WAY) => return Ok(KeyState::Soon),
            Standing::Bid(_, name) => {
                let Some(partition) = self.directory.of_id(holder.id).await? else { return Ok(KeyState::Free) };
                let bar = Bar { retention: self.retention, id: holder.id, bid: name };
                let known = bar.call(&self.redis.connection(), &partition).await?;
                return Ok(if known { KeyState::Now } else { KeyState::Free });
            }
            Standing::Unsaid if is_new(holder.id.created_ms(), ON_ITS_WAY_BEFORE) => return Ok(KeyState::Soon),
            Standing::Confirmed | Standing::Unsaid => {}
        }
        Ok(if holder.for_a_set_time && gone != Some(holder.id) { KeyState::HeldByGone } else { KeyState::Free })
    }
}

/// A job's bid to have its unique key again.
pub(crate) struct Again {
    key: String,
    bid: Holder,
}

/// A newer release may have written it.
fn unreadable(unique_key: &str, text: &str) -> Error {
    Error::Unavailable(format!("this release cannot read who holds the unique key {unique_key:?}: {text:?}"))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use servers::RedisKind;

    use super::*;

    fn read(text: &str) -> Holder {
        Holder::read(text.to_owned()).unwrap()
    }

    #[test]
    fn what_stands_in_a_key_is_read_as_it_was_written() {
        let id = JobId::new(7, 1_760_000_000_000);
        for for_a_set_time in [false, true] {
            let bid = Holder::bid(id, for_a_set_time, 1_760_000_000_001);
            assert_eq!(read(&bid.text), bid);
            let confirmed = read(&bid.confirmed());
            assert_eq!((confirmed.id, confirmed.for_a_set_time), (id, for_a_set_time));
            assert_eq!((&confirmed.standing, confirmed.confirmed()), (&Standing::Confirmed, bid.confirmed()));
            let mark = if for_a_set_time { "+" } else { "" };
            let before = read(&format!("{id}{mark}"));
            assert_eq!((before.id, before.for_a_set_time, &before.standing), (id, for_a_set_time, &Standing::Unsaid));
        }
        assert_ne!(Holder::bid(id, false, 1).name(), Holder::bid(id, false, 1).name());
        for text in ["", "+", "?", "?:", "?1-2:x", "nonsense", "?x-1:0199a1b2-0000-7000-8000-000000000000"] {
            assert_eq!(Holder::read(text.to_owned()), None, "{text}");
        }
    }

    const START_MS: u64 = 1_760_000_000_000;

    fn job() -> NewJob {
        let unique = Unique { key: "k".to_owned(), hold: None, on_conflict: OnConflict::Reject };
        NewJob { unique: Some(unique), ..NewJob::new("parcel", "{}") }
    }

    /// A client, the key and the partition, a bid for the key, and the push that is on its way.
    async fn a_bid(kind: RedisKind) -> Option<(Client, fleet::Clock, String, Arc<Partition>, Push, Holder)> {
        let clock = fleet::Clock::simulated(START_MS);
        let redis = fleet::Redis::open_within(servers::redis(kind)?, &servers::prefix(), servers::PATIENCE).unwrap();
        let client = Client::with_clock(&redis, Vec::new(), clock.clone());
        let partition = client.directory.of_queue("parcel").await.unwrap();
        let key = keys::unique(redis.prefix(), "default", "k");
        let push = prepare(&job(), &partition, START_MS).unwrap();
        let bid = Holder::bid(push.id, false, START_MS);
        let change = Change { key: &key, seen: "", new: &bid.text, ttl_ms: Some(60_000) };
        assert_eq!(change.call(&redis.connection()).await.unwrap(), None);
        Some((client, clock, key, partition, push, bid))
    }

    #[tokio::test]
    async fn a_push_that_comes_after_its_bid_was_taken_over_is_refused() {
        for kind in [RedisKind::Valkey, RedisKind::Redis7] {
            let Some((client, clock, key, partition, push, bid)) = a_bid(kind).await else { continue };
            clock.advance(4_000);
            let Ok(Pushed::New(next)) = client.submit(job()).await else { panic!("the bid is old") };
            assert_eq!(client.push_bid(&key, &partition, &push, &bid).await, Ok(None), "whoever was stopped goes on");
            assert_eq!(client.counts("parcel").await.unwrap()["jobs"], 1);
            // It has another try, and another bid.
            assert_eq!(client.submit_as(push.id, job()).await, Err(Error::Duplicate(next)));
            client.cancel(next).await.unwrap();
            assert_eq!(client.submit_as(push.id, job()).await, Ok(Pushed::New(push.id)));
        }
    }

    #[tokio::test]
    async fn whoever_meets_a_new_bid_waits_for_its_job() {
        for kind in [RedisKind::Valkey, RedisKind::Redis7] {
            let Some((client, _, key, partition, push, bid)) = a_bid(kind).await else { continue };
            let mut other = std::pin::pin!(client.submit(job()));
            let met = tokio::time::timeout(Duration::from_millis(100), other.as_mut()).await;
            assert!(met.is_err(), "{met:?}");
            let pushed = client.push_bid(&key, &partition, &push, &bid).await;
            assert_eq!(pushed, Ok(Some(Pushed::New(push.id))));
            assert_eq!(other.await, Err(Error::Duplicate(push.id)));
        }
    }
}
