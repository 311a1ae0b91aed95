//! Jobs in one state, in pages. Each page costs the same however deep it is: a page begins behind the last job of the page before,
//! which is found by rank in a sorted set, and by its index, corrected for the pushes since then, in a list. Of running jobs, which are
//! never many, each page reads all ids.

use std::sync::{Arc, Mutex, PoisonError};

use async_recursion::async_recursion as boxed;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use futures::future::try_join_all;
use redis::{Value, from_redis_value};
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    keys::{self, Partition},
    model::{error::Error, id::JobId, record::indexed, state::State, stored_job::StoredJob, view::JobView},
    scripts::{
        scored::scored,
        split_ids,
        waiting::{AskWaiting, ListAfter, ListPart, Next, Waiting, WaitingJob},
    },
};

const MOST_IN_A_PAGE: usize = 200;
/// A page looks at so many jobs at most, however few of them pass the filter.
const MOST_EXAMINED: usize = 1_000;
/// The same for a page of one tenant: so many of the tenant's jobs, in whatever state they are, or of all that are in the state.
const MOST_OF_A_TENANT: usize = 5_000;
/// So many jobs are looked at in one go when most of them may not pass the filter.
const BATCH: usize = 250;
/// How often a page looks on, 1000 ids at a time, for the place where the page before it ended.
const LOOK_ON: usize = 10;
/// Where ready jobs wait, in the order of the script `waiting`.
const LISTS: [&str; 6] = ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held"];

/// Which jobs are listed; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only of this queue.
    pub queue: Option<String>,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only those created at this time or later, in Unix milliseconds.
    pub created_from_ms: Option<u64>,
    /// Only those created at this time or before, in Unix milliseconds.
    pub created_to_ms: Option<u64>,
}

impl ListFilter {
    /// Whether the time in an id passes.
    #[must_use]
    pub fn takes_time_of(&self, id: JobId) -> bool {
        let created_ms = id.created_ms();
        self.created_from_ms.is_none_or(|from| from <= created_ms)
            && self.created_to_ms.is_none_or(|to| created_ms <= to)
    }

    fn is_of_any_time(&self) -> bool {
        self.created_from_ms.is_none() && self.created_to_ms.is_none()
    }
}

/// The queues that any process had used by the time they were asked for.
#[derive(Debug)]
pub struct UsedQueues {
    pub(super) partitions: Vec<Arc<Partition>>,
    front: Option<Front>,
}

/// What lists of all these queues begin with.
#[derive(Debug)]
struct Front {
    /// The jobs that run, in any order; some may have ended meanwhile.
    running: Vec<JobId>,
    /// The ready ones, until they are listed.
    ready: Mutex<Option<Waiting>>,
}

impl Front {
    fn take_ready(&self) -> Option<Waiting> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A page of a list of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct ListPage {
    /// The jobs. There may be fewer than asked for, or none, although more follow.
    pub items: Vec<JobView>,
    /// Where the next page begins; absent on the last.
    pub next: Option<Position>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(Place);

impl Position {
    /// As text that fits into a URL.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// From its [`text`](Self::text).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is not ours.
    pub fn read(text: &str) -> Result<Self, Error> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let position = json.and_then(|json| serde_json::from_slice(&json).ok());
        position.ok_or_else(|| Error::Invalid(format!("cursor {text:?} is not one of ours")))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// In sorted sets, behind this score and id.
    #[serde(rename = "s")]
    Scored(u64, JobId),
    /// Behind this id.
    #[serde(rename = "i")]
    Id(JobId),
    /// In the lists of ready jobs.
    #[serde(rename = "r")]
    Ready(Vec<Anchor>),
}

/// Where a page ended in one list; the id tells the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    #[serde(rename = "l")]
    list: usize,
    /// The last one listed of it.
    id: JobId,
    /// How far it was from the end of its list.
    #[serde(rename = "n")]
    index: u32,
}

/// What may come next, in order.
struct Candidates {
    candidates: Vec<Candidate>,
    /// Nothing is behind the last candidate.
    last: bool,
    /// The place of a list is still looked for.
    searching: bool,
}

struct Candidate {
    id: JobId,
    spot: Spot,
    /// What there is of it; absent while nobody has looked, and when it was too large for this page.
    looked: Option<Option<StoredJob>>,
}

impl Candidate {
    fn new(id: JobId, spot: Spot) -> Self {
        Self { id, spot, looked: None }
    }
}

/// Where a candidate stands.
#[derive(Clone, Copy)]
enum Spot {
    Scored(u64),
    Id,
    Ready { list: usize, index: u32 },
}

impl Client {
    /// Jobs in `state`, the newest first: by creation the running ones, in the order of their lists the ready ones, by their
    /// time the scheduled, retrying and dead ones. At most `limit` (at most 200), begun behind `after`. Of a state that Redis
    /// keeps no list of, none.
    ///
    /// A job that stays in this state is listed once, whatever is pushed and claimed between two pages.
    ///
    /// With a tenant other than `default` the tenant's own jobs are looked through, in the order of their creation, where they are
    /// fewer than all jobs in this state. All pages of such a tenant are full, or the last, as long as it has at most 4,800 jobs that
    /// are not in this state.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Invalid`] when `after` is of another state's list, [`Error::Corrupt`] for a partition that
    /// cannot be read, [`Error::Unavailable`].
    #[boxed]
    pub async fn list(
        &self,
        state: State,
        filter: &ListFilter,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<ListPage, Error> {
        self.list_of(&self.used_queues().await?, state, filter, after, limit).await
    }

    /// The queues that any process has used, for several lists of one page.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn used_queues(&self) -> Result<UsedQueues, Error> {
        Ok(UsedQueues { partitions: self.directory.all().await?, front: None })
    }

    /// Like [`Client::used_queues`], for lists with this filter of running jobs and then of ready ones, of `limit` together: most often
    /// what they begin with comes in the same call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn used_queues_and_front(&self, filter: &ListFilter, limit: usize) -> Result<UsedQueues, Error> {
        let known = self.directory.known();
        let of_all = filter.queue.is_none() && filter.tenant.as_deref().and_then(indexed).is_none();
        if !of_all || !filter.is_of_any_time() || known.is_empty() || known.len() > 1 && self.are_slots_apart() {
            return self.used_queues().await;
        }
        let partitions: Vec<&Partition> = known.iter().map(|partition| &**partition).collect();
        let ask = AskWaiting { n: limit.clamp(1, MOST_IN_A_PAGE) + 1, after: &[], all: true, with_jobs: true };
        let mut pipe = claims_of(&partitions);
        pipe.add_command(ask.command(&partitions)).hlen(keys::partitions(self.redis.prefix()));
        let mut answers: Vec<Value> = match pipe.query_async(&mut self.redis.connection()).await {
            Ok(answers) => answers,
            // The server does not know the script, or is a cluster. What is wrong otherwise is said where it matters.
            Err(error) if error.clone().into_server_errors().is_some() => return self.used_queues().await,
            Err(error) => return Err(error.into()),
        };
        let (n, ready) = (answers.pop().unwrap_or(Value::Nil), answers.pop().unwrap_or(Value::Nil));
        // No partition ever goes, so as many as there are are all.
        if from_redis_value::<usize>(n)? != known.len() {
            return self.used_queues().await;
        }
        let front = Front { running: claimed(answers)?, ready: Mutex::new(Some(Waiting::read(ready)?)) };
        Ok(UsedQueues { partitions: known, front: Some(front) })
    }

    /// Like [`Client::list`], without asking again which queues there are.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn list_of(
        &self,
        used: &UsedQueues,
        state: State,
        filter: &ListFilter,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<ListPage, Error> {
        let limit = limit.clamp(1, MOST_IN_A_PAGE);
        let partitions =
            used.partitions.iter().filter(|part| filter.queue.as_ref().is_none_or(|queue| *queue == part.queue));
        let partitions: Vec<&Partition> = partitions.map(|partition| &**partition).collect();
        if let Some(queue) = &filter.queue
            && partitions.is_empty()
            && self.kind(queue).is_none()
        {
            return Err(Error::UnknownQueue(queue.clone()));
        }
        if let Some(tenant) = filter.tenant.as_deref().and_then(indexed)
            && let Some(after) = self.begin_in_index(state, &partitions, tenant, after).await?
        {
            return self.list_of_tenant(state, filter, &partitions, tenant, after, limit).await;
        }
        let mut position = after.map(|after| after.0.clone());
        let front = used.front.as_ref().filter(|_| filter.queue.is_none());
        let mut items: Vec<JobView> = Vec::new();
        let (mut n_examined, most) = (0, if filter.tenant.is_some() { MOST_OF_A_TENANT } else { MOST_EXAMINED });
        // Something foreign lies among the ids: then more of them are looked through.
        let mut is_wide = false;
        loop {
            // One more than needed tells whether there is a next page. Most often all jobs are of one tenant, or few are.
            let is_enough = !is_wide && filter.is_of_any_time() && (filter.tenant.is_none() || n_examined == 0);
            let front = front.filter(|_| !is_wide);
            let n = if is_enough { limit - items.len() + 1 } else { BATCH.min(most - n_examined) };
            let mut batch = self.candidates(state, &partitions, front, &mut position, n, is_enough).await?;
            self.look_at_all(&partitions, filter, &mut batch.candidates).await?;
            let n_candidates = batch.candidates.len();
            items.reserve(n_candidates.min(limit - items.len()));
            for (at, Candidate { id, spot, looked }) in batch.candidates.into_iter().enumerate() {
                if filter.takes_time_of(id) {
                    // What was too large for this page begins the next one.
                    let Some(found) = looked else { return Ok(page(items, position)) };
                    if let Some((found, partition)) = found.zip(of_number(&partitions, id.partition())) {
                        let view = self.view(id, partition, &found);
                        if view.state == state && filter.tenant.as_ref().is_none_or(|tenant| *tenant == view.tenant) {
                            items.push(view);
                        }
                    }
                }
                pass(&mut position, id, spot);
                if items.len() == limit && (at + 1 < n_candidates || !batch.last) {
                    return Ok(page(items, position));
                }
            }
            n_examined += n_candidates;
            if batch.last || (is_wide && n_candidates == 0 && !batch.searching) {
                return Ok(page(items, None));
            }
            if batch.searching || n_examined >= most {
                return Ok(page(items, position));
            }
            is_wide |= n_candidates < n;
        }
    }

    /// Where a page of a tenant's jobs begins in the tenant's index: behind the inner id, or at its end. `None`: the jobs in this
    /// state are looked through instead, because they are fewer, or the index is not whole yet.
    async fn begin_in_index(
        &self,
        state: State,
        partitions: &[&Partition],
        tenant: &str,
        after: Option<&Position>,
    ) -> Result<Option<Option<JobId>>, Error> {
        if !matches!(state, State::Ready | State::Scheduled | State::Retrying | State::Dead) {
            return Ok(None);
        }
        match after.map(|after| &after.0) {
            Some(Place::Id(id)) => Ok(Some(Some(*id))),
            Some(Place::Scored(..) | Place::Ready(_)) => Ok(None),
            None if !self.is_indexed(partitions).await? => Ok(None),
            None => {
                let of_tenant = self.n_of_tenant(partitions, tenant).await?;
                let in_state = try_join_all(partitions.iter().map(|partition| self.n_in(partition, state))).await?;
                Ok((of_tenant <= in_state.into_iter().sum()).then_some(None))
            }
        }
    }

    /// How many jobs of a partition are looked through for one in this state.
    async fn n_in(&self, partition: &Partition, state: State) -> Result<usize, Error> {
        let mut pipe = redis::pipe();
        if state == State::Ready {
            for list in LISTS {
                pipe.llen(partition.key(list));
            }
        } else {
            pipe.zcard(partition.key(state.name()));
        }
        let n: Vec<usize> = pipe.query_async(&mut self.redis.connection()).await?;
        Ok(n.into_iter().sum())
    }

    /// A page of the jobs of a tenant, out of the tenant's index: the newest first.
    async fn list_of_tenant(
        &self,
        state: State,
        filter: &ListFilter,
        partitions: &[&Partition],
        tenant: &str,
        mut after: Option<JobId>,
        limit: usize,
    ) -> Result<ListPage, Error> {
        let mut items: Vec<JobView> = Vec::new();
        for _ in 0..MOST_OF_A_TENANT / BATCH {
            let ids = self.ids_of_tenant(partitions, tenant, after, BATCH + 1).await?;
            let n_ids = ids.len();
            let mut candidates: Vec<_> = ids.into_iter().map(|id| Candidate::new(id, Spot::Id)).collect();
            self.look_at_all(partitions, filter, &mut candidates).await?;
            self.forget_finished(partitions, tenant, &candidates).await;
            for (at, Candidate { id, looked, .. }) in candidates.into_iter().enumerate().take(BATCH) {
                if filter.takes_time_of(id) {
                    // What was too large for this page begins the next one.
                    let Some(found) = looked else { return Ok(page(items, after.map(Place::Id))) };
                    if let Some((found, partition)) = found.zip(of_number(partitions, id.partition())) {
                        let view = self.view(id, partition, &found);
                        if view.state == state && view.tenant == tenant {
                            items.push(view);
                        }
                    }
                }
                after = Some(id);
                if items.len() == limit {
                    let more = at + 1 < n_ids;
                    return Ok(page(items, after.filter(|_| more).map(Place::Id)));
                }
            }
            if n_ids <= BATCH {
                return Ok(page(items, None));
            }
        }
        Ok(page(items, after.map(Place::Id)))
    }

    /// Takes those of a tenant's jobs out of the index that were looked at and have ended.
    async fn forget_finished(&self, partitions: &[&Partition], tenant: &str, candidates: &[Candidate]) {
        let has_ended = |found: &Option<StoredJob>| found.as_ref().is_none_or(|found| found.place == "finished");
        let ended = candidates.iter().filter(|candidate| candidate.looked.as_ref().is_some_and(has_ended));
        let ended: Vec<(&str, JobId)> = ended.map(|candidate| (tenant, candidate.id)).collect();
        for partition in partitions {
            let here: Vec<_> = ended.iter().copied().filter(|(_, id)| id.partition() == partition.number).collect();
            if let Err(error) = self.forget(partition, &here).await {
                tracing::debug!(queue = partition.queue, %error, "upkeep takes jobs out of the indexes of their tenants");
            }
        }
    }

    async fn candidates(
        &self,
        state: State,
        partitions: &[&Partition],
        front: Option<&Front>,
        position: &mut Option<Place>,
        n: usize,
        with_jobs: bool,
    ) -> Result<Candidates, Error> {
        match (state, &mut *position) {
            (State::Scheduled | State::Retrying | State::Dead, None) => self.scored(state, partitions, None, n).await,
            (State::Scheduled | State::Retrying | State::Dead, Some(Place::Scored(score, id))) => {
                self.scored(state, partitions, Some((*score, *id)), n).await
            }
            (State::Running, None) => self.running(partitions, front, None, n).await,
            (State::Running, Some(Place::Id(id))) => self.running(partitions, front, Some(*id), n).await,
            (State::Ready, None) => {
                let waiting = match front.and_then(Front::take_ready) {
                    Some(waiting) => waiting,
                    None => self.next_of_each(partitions, n, &[], with_jobs).await?,
                };
                Ok(ready(partitions, &mut [], waiting))
            }
            (State::Ready, Some(Place::Ready(anchors))) => {
                let after: Vec<_> = anchors.iter().filter_map(|anchor| anchor.place(partitions)).collect();
                let waiting = self.next_of_each(partitions, n, &after, with_jobs).await?;
                Ok(ready(partitions, anchors, waiting))
            }
            (State::Waiting | State::Succeeded | State::Cancelled | State::Expired, None) => {
                Ok(Candidates { candidates: Vec::new(), last: true, searching: false })
            }
            _ => Err(Error::Invalid(format!("this cursor is not of a list of {} jobs", state.name()))),
        }
    }

    /// Of sorted sets: the highest score first, and the highest id among equals.
    async fn scored(
        &self,
        state: State,
        partitions: &[&Partition],
        after: Option<(u64, JobId)>,
        n: usize,
    ) -> Result<Candidates, Error> {
        let connection = self.redis.connection();
        let pages = partitions.iter().map(|partition| scored(&connection, partition, state.name(), n, after));
        let mut all: Vec<(JobId, u64)> = try_join_all(pages).await?.into_iter().flatten().collect();
        all.sort_by_key(|(id, score)| std::cmp::Reverse((*score, *id)));
        let last = all.len() < n;
        all.truncate(n);
        let candidates = all.into_iter().map(|(id, score)| Candidate::new(id, Spot::Scored(score))).collect();
        Ok(Candidates { candidates, last, searching: false })
    }

    /// Of running jobs: the highest id first. There are never more of them than all workers hold; some may have ended meanwhile.
    async fn running(
        &self,
        partitions: &[&Partition],
        front: Option<&Front>,
        after: Option<JobId>,
        n: usize,
    ) -> Result<Candidates, Error> {
        let mut ids = match front {
            Some(front) => front.running.clone(),
            // An empty pipeline is refused by the driver.
            None if partitions.is_empty() => Vec::new(),
            None => claimed(claims_of(partitions).query_async(&mut self.redis.connection()).await?)?,
        };
        ids.retain(|id| after.is_none_or(|after| *id < after));
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        let last = ids.len() <= n;
        let candidates = ids.into_iter().take(n).map(|id| Candidate::new(id, Spot::Id)).collect();
        Ok(Candidates { candidates, last, searching: false })
    }

    /// The next `n` of each list. Looks on for the places that were not found at once, and gives up after some calls.
    async fn next_of_each(
        &self,
        partitions: &[&Partition],
        n: usize,
        after: &[ListAfter],
        with_jobs: bool,
    ) -> Result<Waiting, Error> {
        let mut nexts = self.waiting(partitions, &AskWaiting { n, after, all: true, with_jobs }).await?;
        for _ in 0..LOOK_ON {
            let looks_on = |part: &mut ListPart| matches!(part.next, Next::LookOn(_));
            let again: Vec<ListAfter> = nexts
                .parts
                .extract_if(.., looks_on)
                .filter_map(|ListPart { partition, list, next }| {
                    let Next::LookOn(index) = next else { return None };
                    let asked = after.iter().find(|after| (after.partition, after.list) == (partition, list))?;
                    Some(ListAfter { index, ..*asked })
                })
                .collect();
            if again.is_empty() {
                break;
            }
            let found = self.waiting(partitions, &AskWaiting { n, after: &again, all: false, with_jobs }).await?;
            nexts.n = nexts.n.min(found.n);
            nexts.parts.extend(found.parts);
        }
        Ok(nexts)
    }

    /// What comes next in the lists of these partitions: in one call, or in a cluster, where each has a slot of its own, in one for each.
    async fn waiting(&self, partitions: &[&Partition], ask: &AskWaiting<'_>) -> Result<Waiting, Error> {
        let connection = self.redis.connection();
        if partitions.is_empty() {
            return Ok(Waiting { n: ask.n, parts: Vec::new() });
        }
        if partitions.len() == 1 || !self.are_slots_apart() {
            match ask.call(&connection, partitions).await {
                Err(error) if partitions.len() > 1 && self.finds_slots_apart(&error) => {}
                waiting => return waiting,
            }
        }
        let calls = partitions.iter().enumerate().map(async |(number, partition)| {
            let after = ask.after.iter().filter(|after| after.partition == number);
            let after: Vec<ListAfter> = after.map(|after| ListAfter { partition: 0, ..*after }).collect();
            let mut waiting = AskWaiting { after: &after, ..*ask }.call(&connection, &[partition]).await?;
            waiting.parts.iter_mut().for_each(|part| part.partition = number);
            Ok::<Waiting, Error>(waiting)
        });
        let all = try_join_all(calls).await?;
        let n = all.iter().map(|waiting| waiting.n).min().unwrap_or_default();
        Ok(Waiting { n, parts: all.into_iter().flat_map(|waiting| waiting.parts).collect() })
    }

    /// Looks at those candidates that were not looked at yet; the large ones may stay so.
    async fn look_at_all(
        &self,
        partitions: &[&Partition],
        filter: &ListFilter,
        candidates: &mut [Candidate],
    ) -> Result<(), Error> {
        let looks = partitions.iter().map(async |partition| {
            let is_asked = |candidate: &Candidate| {
                candidate.looked.is_none()
                    && candidate.id.partition() == partition.number
                    && filter.takes_time_of(candidate.id)
            };
            let places: Vec<usize> = (0..candidates.len()).filter(|at| is_asked(&candidates[*at])).collect();
            let ids: Vec<JobId> = places.iter().map(|at| candidates[*at].id).collect();
            let found = if ids.is_empty() { Vec::new() } else { self.look(partition, &ids).await? };
            Ok::<_, Error>(places.into_iter().zip(found).collect::<Vec<_>>())
        });
        let looked = try_join_all(looks).await?;
        for (at, found) in looked.into_iter().flatten() {
            candidates[at].looked = Some(found);
        }
        // Something foreign among the ids.
        for candidate in
            candidates.iter_mut().filter(|candidate| of_number(partitions, candidate.id.partition()).is_none())
        {
            candidate.looked = Some(None);
        }
        Ok(())
    }
}

/// The partition with this number; they are in the order of their numbers.
fn of_number<'a>(partitions: &[&'a Partition], number: u16) -> Option<&'a Partition> {
    let at = partitions.binary_search_by_key(&number, |partition| partition.number);
    at.ok().map(|at| partitions[at])
}

/// Asks for the claims of each of these partitions.
fn claims_of(partitions: &[&Partition]) -> redis::Pipeline {
    let mut pipe = redis::pipe();
    for partition in partitions {
        pipe.hvals(partition.key("claims"));
    }
    pipe
}

/// The jobs of these claims.
fn claimed(claims: Vec<Value>) -> Result<Vec<JobId>, Error> {
    let claims: Vec<Vec<Vec<u8>>> = claims.into_iter().map(from_redis_value).collect::<Result<_, _>>()?;
    Ok(claims.iter().flatten().flat_map(|ids| split_ids(ids)).collect())
}

/// Of the lists of ready jobs: each list from its end, and of the lists' next jobs always the newest.
fn ready(partitions: &[&Partition], anchors: &mut [Anchor], Waiting { n, parts }: Waiting) -> Candidates {
    let (mut searching, mut more) = (false, false);
    let mut lists: Vec<(usize, Vec<WaitingJob>)> = Vec::with_capacity(parts.len());
    for ListPart { partition, list, next } in parts {
        let Some(partition) = partitions.get(partition) else { continue };
        match next {
            Next::Jobs(mut jobs) => {
                // What is foreign among them does not end the list.
                more |= jobs.len() >= n;
                jobs.retain(|job| job.id.partition() == partition.number);
                lists.push((list, jobs));
            }
            Next::LookOn(index) => {
                searching = true;
                if let Some(anchor) = anchors.iter_mut().find(|anchor| anchor.is_of(list, partition)) {
                    anchor.index = index;
                }
            }
        }
    }
    let mut candidates = Vec::with_capacity(n);
    while candidates.len() < n {
        let newest = lists.iter_mut().max_by_key(|(_, jobs)| jobs.last().map(|job| job.id));
        let Some((list, Some(job))) = newest.map(|(list, jobs)| (*list, jobs.pop())) else { break };
        let WaitingJob { id, index, found } = job;
        candidates.push(Candidate { id, spot: Spot::Ready { list, index }, looked: found });
    }
    let last = candidates.len() < n && !searching && !more;
    Candidates { candidates, last, searching }
}

impl Anchor {
    /// Where to begin, if the list is of one of these partitions.
    fn place(&self, partitions: &[&Partition]) -> Option<ListAfter> {
        let partition = partitions.iter().position(|partition| self.id.partition() == partition.number)?;
        let is_ours = self.list < LISTS.len();
        is_ours.then_some(ListAfter { partition, list: self.list, id: self.id, index: self.index })
    }

    fn is_of(&self, list: usize, partition: &Partition) -> bool {
        self.list == list && self.id.partition() == partition.number
    }
}

fn page(items: Vec<JobView>, position: Option<Place>) -> ListPage {
    ListPage { items, next: position.map(Position) }
}

/// Moves the position behind a candidate.
fn pass(position: &mut Option<Place>, id: JobId, spot: Spot) {
    match spot {
        Spot::Scored(score) => *position = Some(Place::Scored(score, id)),
        Spot::Id => *position = Some(Place::Id(id)),
        Spot::Ready { list, index } => {
            let anchor = Anchor { list, id, index };
            let Some(Place::Ready(anchors)) = position else {
                *position = Some(Place::Ready(vec![anchor]));
                return;
            };
            match anchors.iter_mut().find(|other| other.list == list && other.id.partition() == id.partition()) {
                Some(other) => *other = anchor,
                None => anchors.push(anchor),
            }
        }
    }
}
