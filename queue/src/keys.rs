//! Every Redis key, one function each.
//!
//! All keys of a partition share the hash tag `{queue.index}`, so that scripts may touch them in a cluster; scripts are given the
//! base and append the suffixes below.
//!
//! | suffix | type | holds | goes away |
//! |---|---|---|---|
//! | `jobs:0` … `jobs:255` | hashes id → record | every job that has not finished, and dead ones, by the page in its id | with the job |
//! | `ready:0` … `ready:3` | lists of ids | jobs that wait for a worker, by priority | by the claim |
//! | `suspects` | list of ids | ready jobs that two workers died with; each runs by itself in a replica | by the claim |
//! | `held` | list of ids | ready jobs that a newer release wrote | by a worker that reads them |
//! | `ghosts` | set of ids | cancelled jobs whose id is still in a list of ready jobs | when a claim meets them |
//! | `scheduled`, `retrying` | sorted sets, score = due ms | jobs that wait for their time | by the claim after it |
//! | `claims` | hash claim → ids, one behind the other | the jobs of each claim that a worker has, and those of it that have finished: these have no record | with the claim's last job |
//! | `left` | hash claim → number | how many jobs of the claim have not ended | with the claim's last job |
//! | `leases` | sorted set, score = lease end ms | claims: one entry a claim, not a job | with the claim's last job |
//! | `cancels` | set of ids | running jobs that are to stop | with the run |
//! | `history` | hash id → attempts, counts, draft, reports | only jobs that were run before, or made ready again | with the job |
//! | `progress` | hash id → reports | running jobs whose handlers reported something | with the run |
//! | `unrecorded` | list of ids, at most 1,000,000 | ended jobs whose history is not in MongoDB yet | when it is |
//! | `recorder` | string | somebody writes history now | 10 s |
//! | `dead` | sorted set, score = death ms | dead letters, at most 10,000 and 180 days | oldest first |
//! | `done:<bucket>` | hash id → finished job, or the field `#<n>` in which it lies with others; `#` counts these fields | jobs that finished in the bucket of their id: its time ÷ (retention ÷ 24) | one expiry for the hash |
//! | `finished:<id>` | string | a job that finished in a later bucket than its id's, or that was released to its end | own expiry |
//! | `barred:<name>` | string | a bid for a unique key that was taken over: no job can be pushed under it | 24 h |
//! | `minute:<m>` | hash | `in` and `out` of that minute | 2 h |
//! | `wake` | list of one token, rarely more | an idle replica blocks on it | by the claim that leaves nothing |
//! | `watched` | sorted set, score = until ms | ids that someone waits for | upkeep |
//! | `events` | channel | id and a letter, at each change of a watched job | – |
//! | `of:<tenant>` | sorted set, all scores 0 | the tenant's jobs that have a record; none of the tenant `default` | with the job, or a little later |
//! | `tenants` | set of tenants | those that have an index | with the index |
//! | `indexed` | string | the indexes are whole: no older release pushed before they were begun | never |
//! | `paused` | string | since when claiming is stopped | on resume |
//!
//! Who writes each, and why it is so, is told in `docs/internals/keys.md`. Reserved and not built yet: `waiting` (hash id → parents left) and
//! `children:<id>` for flows; `turns` (list of tenants in turn) and `ready:<priority>:<tenant>`, which exist only while two or more
//! tenants wait; `{limit.<queue>}:…` token budgets in a slot of their own, taken in batches before a claim.
//!
//! Keys of no partition: the table of partition numbers, the replicas, unique, idempotency and concurrency keys (below).

use crate::model::{concurrency_key::ConcurrencyKey, id::JobId};

/// A partition of a queue: the unit that one set of keys serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    /// 1 to 4095; part of every job id.
    pub(crate) number: u16,
    pub(crate) queue: String,
    /// What all keys of the partition begin with.
    pub(crate) base: String,
}

impl Partition {
    pub(crate) fn new(prefix: &str, number: u16, queue: &str, index: u16) -> Self {
        Self { number, queue: queue.to_owned(), base: format!("{prefix}:{{{queue}.{index}}}") }
    }

    /// The hash that holds a job's record.
    pub(crate) fn page_of(&self, id: JobId) -> String {
        format!("{}:jobs:{}", self.base, id.page())
    }

    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.base)
    }

    /// Sorted set of a tenant's ids, all with the score 0: so they are in the order of their bytes, which is that of their times.
    pub(crate) fn of_tenant(&self, tenant: &str) -> String {
        self.key(&format!("of:{tenant}"))
    }

    /// Set of the tenants that have an index.
    pub(crate) fn tenants(&self) -> String {
        self.key("tenants")
    }

    /// String: there when every job that has a record is in its tenant's index.
    pub(crate) fn indexed(&self) -> String {
        self.key("indexed")
    }
}

/// Hash number → `queue.index`.
pub(crate) fn partitions(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:partitions")
}

/// String that is written to see whether Redis takes writes; expires after a minute.
pub(crate) fn probe(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:probe")
}

/// Sorted set replica → last beat ms.
pub(crate) fn replicas(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:replicas")
}

/// Hash of one replica: `about` (JSON) and `suspect` (the id it runs alone). Kept 15 minutes after its last beat.
pub(crate) fn replica(prefix: &str, replica: &str) -> String {
    format!("{prefix}:{{fleet}}:replica:{replica}")
}

/// List of messages that end a replica's blocking call, `listen` and `cancel`; expires after a minute.
pub(crate) fn control(prefix: &str, replica: &str) -> String {
    format!("{prefix}:{{fleet}}:control:{replica}")
}

/// String: hash of the request's body, id of its job, and the answer (JSON), 24 h.
pub(crate) fn idempotency(prefix: &str, tenant: &str, key: &str) -> String {
    format!("{prefix}:{{idempotency}}:{tenant}:{key}")
}

/// String: how many jobs of a tenant count on a UTC day (since 1970), where that is limited, 2 days.
pub(crate) fn quota(prefix: &str, tenant: &str, day: u64) -> String {
    format!("{prefix}:{{quota.{tenant}}}:{day}")
}

/// String: the job that has a tenant's unique key, as a bid or confirmed (see `unique.rs`). Hashed, because keys are the callers' words; in
/// a slot of its own.
pub(crate) fn unique(prefix: &str, tenant: &str, key: &str) -> String {
    format!("{prefix}:{{unique.{tenant}.{}}}", hash(key))
}

/// The keys of a concurrency key, in a slot of its own.
#[derive(Debug)]
pub(crate) struct Concurrency {
    /// Hash `id`, `claim`, `lease_end_ms`: the job that runs, alone of those with the key. Goes away when its handler ends, or 1 h after the
    /// last renewal.
    pub(crate) lock: String,
    /// Sorted set of ids, all scores 0, so in the order of the ids: at most 10,000 jobs that were put off. Goes away as they get the lock, or
    /// 2 min after the last was put off.
    pub(crate) waiting: String,
    /// Sorted set, score = ms: the same jobs, and when each is forgotten if it does not come again. Goes away with `waiting`.
    pub(crate) lapses: String,
}

impl Concurrency {
    pub(crate) fn new(prefix: &str, tenant: &str, key: &ConcurrencyKey) -> Self {
        let hash = hash(key.as_str());
        let base = match key.is_of_all() {
            true => format!("{prefix}:{{concurrency-of-all.{hash}}}"),
            false => format!("{prefix}:{{concurrency.{tenant}.{hash}}}"),
        };
        let (lock, waiting, lapses) = (format!("{base}:lock"), format!("{base}:waiting"), format!("{base}:lapses"));
        Self { lock, waiting, lapses }
    }

    /// All of them, as scripts get them.
    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.lock, &self.waiting, &self.lapses]
    }
}

/// Of the callers' words.
fn hash(key: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(&Sha256::digest(key)[..16])
}

/// Pattern of the channels of all partitions.
pub(crate) fn all_events(prefix: &str) -> String {
    format!("{prefix}:{{*}}:events")
}
