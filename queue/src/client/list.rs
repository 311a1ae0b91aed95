//! Jobs in one state, in pages. Each page costs the same however deep it is: a page begins behind the last job of the page before,
//! which is found by rank in a sorted set, and by its index, corrected for the pushes since then, in a list. Of running jobs, which are
//! never many, each page reads all ids.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_recursion::async_recursion as boxed;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use fleet::Connection;
use futures::future::try_join_all;
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, record::indexed, state::State, stored_job::StoredJob, view::JobView},
    scripts::{
        scored::scored,
        split_ids,
        waiting::{ListAfter, ListPart, waiting},
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
/// Of all lists together one call gets fewer than 1000.
const MOST_OF_A_LIST: usize = 125;
/// Where ready jobs wait.
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

    fn is_selective(&self) -> bool {
        self.tenant.is_some() || self.created_from_ms.is_some() || self.created_to_ms.is_some()
    }
}

/// The queues that any process had used by the time they were asked for.
#[derive(Debug, Clone)]
pub struct UsedQueues(pub(super) Vec<Arc<Partition>>);

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

/// What may come next, in order, each with its place.
struct Candidates {
    candidates: Vec<(JobId, Spot)>,
    /// Nothing is behind the last candidate.
    last: bool,
    /// The place of a list is still looked for.
    searching: bool,
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
        self.directory.all().await.map(UsedQueues)
    }

    /// Like [`Client::list`], without asking again which queues there are.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn list_of(
        &self,
        UsedQueues(partitions): &UsedQueues,
        state: State,
        filter: &ListFilter,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<ListPage, Error> {
        let limit = limit.clamp(1, MOST_IN_A_PAGE);
        let partitions =
            partitions.iter().filter(|part| filter.queue.as_ref().is_none_or(|queue| *queue == part.queue));
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
        let mut items: Vec<JobView> = Vec::new();
        let (mut n_examined, most) = (0, if filter.tenant.is_some() { MOST_OF_A_TENANT } else { MOST_EXAMINED });
        loop {
            // One more than needed tells whether there is a next page.
            let n = if filter.is_selective() { BATCH } else { limit - items.len() + 1 };
            let batch = self.candidates(state, &partitions, &mut position, n).await?;
            let ids = batch.candidates.iter().map(|(id, _)| *id).filter(|id| filter.takes_time_of(*id));
            let looked = self.look_at_all(&partitions, ids).await?;
            let n_candidates = batch.candidates.len();
            for (at, (id, spot)) in batch.candidates.into_iter().enumerate() {
                if filter.takes_time_of(id) {
                    // What was too large for this page begins the next one.
                    let Some(found) = looked.get(&id) else { return Ok(page(items, position)) };
                    items.extend(found.as_ref().and_then(|(partition, found)| {
                        let view = self.view(id, partition, found);
                        let of_tenant = filter.tenant.as_ref().is_none_or(|tenant| *tenant == view.tenant);
                        (view.state == state && of_tenant).then_some(view)
                    }));
                }
                pass(&mut position, id, spot);
                if items.len() == limit && (at + 1 < n_candidates || !batch.last) {
                    return Ok(page(items, position));
                }
            }
            n_examined += n_candidates;
            if batch.last {
                return Ok(page(items, None));
            }
            if batch.searching || n_examined >= most {
                return Ok(page(items, position));
            }
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
            let last = ids.len() <= BATCH;
            let looked =
                self.look_at_all(partitions, ids.iter().copied().filter(|id| filter.takes_time_of(*id))).await?;
            self.forget_finished(partitions, tenant, &looked).await;
            for (at, id) in ids.iter().enumerate().take(BATCH) {
                if filter.takes_time_of(*id) {
                    // What was too large for this page begins the next one.
                    let Some(found) = looked.get(id) else { return Ok(page(items, after.map(Place::Id))) };
                    items.extend(found.as_ref().and_then(|(partition, found)| {
                        let view = self.view(*id, partition, found);
                        (view.state == state && view.tenant == tenant).then_some(view)
                    }));
                }
                after = Some(*id);
                if items.len() == limit {
                    let more = at + 1 < ids.len();
                    return Ok(page(items, after.filter(|_| more).map(Place::Id)));
                }
            }
            if last {
                return Ok(page(items, None));
            }
        }
        Ok(page(items, after.map(Place::Id)))
    }

    /// Takes those of a tenant's jobs out of the index that were looked at and have ended.
    async fn forget_finished(
        &self,
        partitions: &[&Partition],
        tenant: &str,
        looked: &HashMap<JobId, Option<(&Partition, StoredJob)>>,
    ) {
        let ended =
            looked.iter().filter(|(_, found)| found.as_ref().is_none_or(|(_, found)| found.place == "finished"));
        let ended: Vec<(&str, JobId)> = ended.map(|(id, _)| (tenant, *id)).collect();
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
        position: &mut Option<Place>,
        n: usize,
    ) -> Result<Candidates, Error> {
        match (state, &mut *position) {
            (State::Scheduled | State::Retrying | State::Dead, None) => self.scored(state, partitions, None, n).await,
            (State::Scheduled | State::Retrying | State::Dead, Some(Place::Scored(score, id))) => {
                self.scored(state, partitions, Some((*score, *id)), n).await
            }
            (State::Running, None) => self.running(partitions, None, n).await,
            (State::Running, Some(Place::Id(id))) => self.running(partitions, Some(*id), n).await,
            (State::Ready, None) => {
                let anchors = &mut Vec::new();
                self.ready(partitions, anchors, n).await
            }
            (State::Ready, Some(Place::Ready(anchors))) => self.ready(partitions, anchors, n).await,
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
        let candidates = all.into_iter().map(|(id, score)| (id, Spot::Scored(score))).collect();
        Ok(Candidates { candidates, last, searching: false })
    }

    /// Of running jobs: the highest id first. There are never more of them than all workers hold.
    async fn running(&self, partitions: &[&Partition], after: Option<JobId>, n: usize) -> Result<Candidates, Error> {
        let ids = try_join_all(partitions.iter().map(|partition| self.running_ids(partition))).await?;
        let mut ids: Vec<JobId> =
            ids.into_iter().flatten().filter(|id| after.is_none_or(|after| *id < after)).collect();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        let last = ids.len() <= n;
        ids.truncate(n);
        Ok(Candidates { candidates: ids.into_iter().map(|id| (id, Spot::Id)).collect(), last, searching: false })
    }

    /// The ids of the running jobs of a partition, in any order; some may have ended meanwhile.
    async fn running_ids(&self, partition: &Partition) -> Result<Vec<JobId>, Error> {
        let claims: Vec<Vec<u8>> = self.redis.connection().hvals(partition.key("claims")).await?;
        Ok(claims.iter().flat_map(|ids| split_ids(ids)).collect())
    }

    /// Of the lists of ready jobs: each list from its end, and of the lists' next jobs always the newest.
    async fn ready(&self, partitions: &[&Partition], anchors: &mut [Anchor], n: usize) -> Result<Candidates, Error> {
        let connection = self.redis.connection();
        let asked: Vec<Vec<ListAfter<'_>>> = partitions
            .iter()
            .map(|partition| {
                let anchor = |list| anchors.iter().find(|anchor| anchor.is_of(list, partition));
                let lists = LISTS.iter().enumerate();
                lists.map(|(list, name)| (*name, anchor(list).map(|anchor| (anchor.id, anchor.index)))).collect()
            })
            .collect();
        let n = n.min(MOST_OF_A_LIST);
        let answers = partitions.iter().zip(&asked);
        let answers = answers.map(|(partition, lists)| next_of_each(&connection, partition, n, lists));
        let mut searching = false;
        let mut lists: Vec<VecDeque<(JobId, Spot)>> = Vec::new();
        for (partition, nexts) in partitions.iter().zip(try_join_all(answers).await?) {
            for (list, next) in nexts.into_iter().enumerate() {
                match next {
                    ListPart::Ids(first, ids) => {
                        let with_index = ids.into_iter().zip(first..);
                        lists.push(with_index.map(|(id, index)| (id, Spot::Ready { list, index })).collect());
                    }
                    ListPart::LookOn(index) => {
                        searching = true;
                        if let Some(anchor) = anchors.iter_mut().find(|anchor| anchor.is_of(list, partition)) {
                            anchor.index = index;
                        }
                    }
                }
            }
        }
        let mut candidates = Vec::with_capacity(n);
        while candidates.len() < n {
            let newest = lists.iter_mut().max_by_key(|list| list.front().map(|(id, _)| *id));
            let Some(next) = newest.and_then(VecDeque::pop_front) else { break };
            candidates.push(next);
        }
        let last = candidates.len() < n && !searching;
        Ok(Candidates { candidates, last, searching })
    }

    /// Finds jobs of several partitions; those are absent that were too large.
    async fn look_at_all<'a>(
        &self,
        partitions: &[&'a Partition],
        ids: impl Iterator<Item = JobId>,
    ) -> Result<HashMap<JobId, Option<(&'a Partition, StoredJob)>>, Error> {
        let mut by_partition: HashMap<u16, Vec<JobId>> = HashMap::new();
        for id in ids {
            by_partition.entry(id.partition()).or_default().push(id);
        }
        let asked = partitions.iter().filter_map(|part| Some((*part, by_partition.remove(&part.number)?)));
        let looks = asked.map(async |(partition, ids)| {
            let found = self.look(partition, &ids).await?;
            let found = found.into_iter().map(move |found| found.map(|found| (partition, found)));
            Ok::<Vec<_>, Error>(ids.into_iter().zip(found).collect())
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }
}

impl Anchor {
    fn is_of(&self, list: usize, partition: &Partition) -> bool {
        self.list == list && self.id.partition() == partition.number
    }
}

/// The next `n` of each list. Looks on for the places that were not found at once, and gives up after some calls.
async fn next_of_each(
    connection: &Connection,
    partition: &Partition,
    n: usize,
    lists: &[ListAfter<'_>],
) -> Result<Vec<ListPart>, Error> {
    let mut nexts = waiting(connection, partition, n, lists).await?;
    for _ in 0..LOOK_ON {
        let (mut positions, mut again) = (Vec::new(), Vec::new());
        for (at, next) in nexts.iter().enumerate() {
            if let (ListPart::LookOn(index), Some((list, Some((id, _))))) = (next, lists.get(at)) {
                positions.push(at);
                again.push((*list, Some((*id, *index))));
            }
        }
        if again.is_empty() {
            break;
        }
        for (at, next) in positions.into_iter().zip(waiting(connection, partition, n, &again).await?) {
            nexts[at] = next;
        }
    }
    Ok(nexts)
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
