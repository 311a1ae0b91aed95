//! Reads everything that Redis holds of the queue with plain commands, never with the scripts, and checks what must hold whatever
//! has happened: every job in exactly one place, no lease without a job and no job without a lease, nothing that is kept for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use queue::{JobId, State};
use redis::{Commands, Connection, FromRedisValue, RedisResult};
use serde::{Deserialize, de::IgnoredAny};
use serde_bytes::ByteBuf;

use crate::{
    model::{ClaimedBy, Number, Past, Place, exactly, worker_of},
    steps::{RETENTION_MS, WIDTH_MS},
};

const LISTS: [&str; 6] = ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held"];
/// The keys that hold only what jobs hold that have not finished.
const WITH_JOBS: [&str; 9] =
    ["ghosts", "scheduled", "retrying", "claims", "left", "leases", "cancels", "history", "progress"];
/// The keys that have a limit.
const LIMITED: [&str; 4] = ["dead", "wake", "paused", "indexed"];
const HOUR_MS: i64 = 3_600_000;

/// A job as it was found.
#[derive(Debug, Clone)]
pub(crate) struct SeenJob {
    pub(crate) id: JobId,
    pub(crate) place: Place,
    pub(crate) past: Option<Past>,
}

/// What Redis holds.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) jobs: BTreeMap<Number, SeenJob>,
    pub(crate) lists: [VecDeque<Number>; 6],
    pub(crate) leases: BTreeMap<String, u64>,
    pub(crate) marks: BTreeMap<String, Number>,
    pub(crate) paused: bool,
    pub(crate) came_in: u64,
    pub(crate) went_out: u64,
    pub(crate) wake: usize,
    /// Of finished jobs.
    pub(crate) buckets: Vec<u64>,
}

pub(crate) struct Reader {
    connection: Connection,
    prefix: String,
    base: String,
    known: HashMap<Id, Known>,
    /// What was read of finished jobs, which are read once.
    finished: HashMap<Id, Finished>,
}

/// What is known of a job once its record was seen.
struct Known {
    number: Number,
    id: JobId,
    /// As it was first seen: a record never changes.
    record: Vec<u8>,
    /// As it was last read, and as what.
    history: Vec<u8>,
    past: Past,
    due_ms: Option<u64>,
}

type Id = Vec<u8>;
type Scores = Vec<(Id, f64)>;

#[derive(Deserialize)]
struct History {
    u: u32,
    c: u32,
    a: Vec<IgnoredAny>,
    d: Option<u64>,
    z: Option<Snoozed>,
}

#[derive(Deserialize)]
struct Snoozed {
    n: u32,
}

#[derive(Deserialize)]
struct StoredFinished {
    q: ByteBuf,
    s: State,
    h: Option<History>,
}

#[derive(Clone, Copy)]
struct Finished {
    state: State,
    past: Option<Past>,
}

impl From<&History> for Past {
    fn from(history: &History) -> Self {
        let snoozes = history.z.as_ref().map_or(0, |snoozed| snoozed.n);
        Self { failures: history.u, crashes: history.c, attempts: history.a.len() as u32, snoozes }
    }
}

/// What the keys hold of jobs that have not finished.
struct Raw {
    records: HashMap<Id, Vec<u8>>,
    /// As the claims say.
    running: HashMap<Id, String>,
    /// How many jobs each claim has left.
    left: HashMap<String, usize>,
    histories: HashMap<Id, Vec<u8>>,
    ghosts: BTreeSet<Id>,
    cancels: BTreeSet<Id>,
    reported: BTreeSet<Id>,
    scheduled: Scores,
    retrying: Scores,
    dead: Scores,
}

/// What is stored of a finished job, which may lie in a pack with others: there it begins after its length and the id.
fn unpacked(packs: &HashMap<Id, Vec<u8>>, id: &Id, stored: Vec<u8>) -> Result<Vec<u8>, String> {
    if stored[0] != b'#' {
        return Ok(stored);
    }
    let pack = packs.get(&stored).ok_or_else(|| format!("the pack of {id:?} is not there"))?;
    let mut at = 1;
    while at < pack.len() {
        let length = u32::from_le_bytes(pack[at..at + 4].try_into().unwrap()) as usize;
        if pack[at + 4..at + 20] == id[..] {
            return Ok(pack[at + 20..at + 20 + length].to_vec());
        }
        at += 20 + length;
    }
    Err(format!("{id:?} is not in its pack"))
}

/// Which claim has which job: those of its jobs that have finished have no record.
fn running(claims: &HashMap<String, Vec<u8>>, records: &HashMap<Id, Vec<u8>>) -> Result<HashMap<Id, String>, String> {
    let mut running = HashMap::new();
    for (claim, ids) in claims {
        if ids.len() % 16 != 0 {
            return Err(format!("the claim {claim} has {} bytes of ids", ids.len()));
        }
        for id in ids.chunks(16).filter(|id| records.contains_key(*id)) {
            if let Some(other) = running.insert(id.to_vec(), claim.clone()) {
                return Err(format!("{claim} and {other} have the same job {id:?}"));
            }
        }
    }
    Ok(running)
}

/// The answers of a pipeline, one after the other.
struct Answers(std::vec::IntoIter<redis::Value>);

impl Answers {
    fn next<T: FromRedisValue>(&mut self) -> Result<T, String> {
        let value = self.0.next().ok_or("too few answers")?;
        redis::from_redis_value(value).map_err(|e| e.to_string())
    }
}

impl Reader {
    pub(crate) fn new(url: &str, prefix: &str, queue: &str) -> Self {
        Self {
            connection: redis::Client::open(url).and_then(|client| client.get_connection()).unwrap(),
            prefix: prefix.to_owned(),
            base: format!("{prefix}:{{{queue}.0}}"),
            known: HashMap::new(),
            finished: HashMap::new(),
        }
    }

    /// Sends plain commands of a test's own.
    pub(crate) fn command<T: FromRedisValue>(&mut self, ask: impl FnOnce(&mut Connection) -> RedisResult<T>) -> T {
        ask(&mut self.connection).unwrap()
    }

    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.base)
    }

    /// The names of all keys.
    fn names(&mut self) -> Vec<Vec<u8>> {
        redis::cmd("KEYS").arg(format!("{}:*", self.prefix)).query(&mut self.connection).unwrap()
    }

    /// Whether a key holds records.
    fn is_page(&self, name: &[u8]) -> bool {
        name.starts_with(self.key("jobs:").as_bytes())
    }

    /// The claims, and the jobs that each still has, in its order.
    pub(crate) fn claims(&mut self) -> BTreeMap<String, Vec<Number>> {
        let names = self.names();
        let mut jobs: BTreeSet<Id> = BTreeSet::new();
        let pages: Vec<&Vec<u8>> = names.iter().filter(|name| self.is_page(name)).collect();
        for page in pages {
            let ids: Vec<Id> = self.connection.hkeys(page).unwrap();
            jobs.extend(ids);
        }
        let claims: BTreeMap<String, Vec<u8>> = self.connection.hgetall(self.key("claims")).unwrap();
        let known = |id: &[u8]| jobs.contains(id).then(|| self.known.get(id).map(|known| known.number)).flatten();
        claims.into_iter().map(|(claim, ids)| (claim, ids.chunks(16).filter_map(known).collect())).collect()
    }

    /// Deletes all that this reader could see.
    pub(crate) fn clean(&mut self) {
        let keys: Vec<Vec<u8>> =
            redis::cmd("KEYS").arg(format!("{}:*", self.prefix)).query(&mut self.connection).unwrap();
        if !keys.is_empty() {
            let _: u64 = redis::cmd("UNLINK").arg(keys).query(&mut self.connection).unwrap();
        }
    }

    /// # Errors
    /// What must never be.
    pub(crate) fn read(&mut self) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let keys = self.read_jobs(&mut seen)?;
        self.read_expiring(&mut seen, keys)?;
        if seen.wake > 1 {
            return Err(format!("{} wake tokens, where one is enough", seen.wake));
        }
        Ok(seen)
    }

    fn ask(&mut self, pipe: &redis::Pipeline) -> Result<Answers, String> {
        let values: Vec<redis::Value> = pipe.query(&mut self.connection).map_err(|e| e.to_string())?;
        Ok(Answers(values.into_iter()))
    }

    /// All that has not finished. Returns the names of all keys.
    fn read_jobs(&mut self, seen: &mut Seen) -> Result<Vec<Vec<u8>>, String> {
        let names = self.names();
        let mut pipe = redis::pipe();
        let pages: Vec<&Vec<u8>> = names.iter().filter(|name| self.is_page(name)).collect();
        for page in &pages {
            pipe.hgetall(page);
        }
        for hash in ["claims", "left", "history"] {
            pipe.hgetall(self.key(hash));
        }
        for set in ["ghosts", "cancels"] {
            pipe.smembers(self.key(set));
        }
        pipe.hkeys(self.key("progress"));
        for scores in ["scheduled", "retrying", "dead", "leases"] {
            pipe.zrange_withscores(self.key(scores), 0, -1);
        }
        for list in LISTS {
            pipe.lrange(self.key(list), 0, -1);
        }
        pipe.llen(self.key("wake")).exists(self.key("paused"));
        let mut answers = self.ask(&pipe)?;
        let mut records: HashMap<Id, Vec<u8>> = HashMap::new();
        for page in pages {
            let here: HashMap<Id, Vec<u8>> = answers.next()?;
            if let Some(id) = here.keys().find(|id| !page.ends_with(format!(":{}", id[9]).as_bytes())) {
                return Err(format!("the record of {id:?} is on a page where nobody looks for it"));
            }
            records.extend(here);
        }
        let raw = Raw {
            running: running(&answers.next()?, &records)?,
            records,
            left: answers.next()?,
            histories: answers.next()?,
            ghosts: answers.next()?,
            cancels: answers.next()?,
            reported: answers.next()?,
            scheduled: answers.next()?,
            retrying: answers.next()?,
            dead: answers.next()?,
        };
        let leases: Vec<(String, f64)> = answers.next()?;
        seen.leases = leases.into_iter().map(|(claim, end)| (claim, end as u64)).collect();
        let mut lists: Vec<Vec<Id>> = Vec::new();
        for _ in LISTS {
            lists.push(answers.next()?);
        }
        (seen.wake, seen.paused) = (answers.next()?, answers.next()?);

        for (id, record) in &raw.records {
            self.remember(id, record)?;
        }
        let mut n_ghosts = 0;
        for (at, list) in lists.into_iter().enumerate() {
            for id in list {
                seen.lists[at].push_back(self.number(&id)?);
                if raw.ghosts.contains(&id) {
                    n_ghosts += 1;
                } else {
                    self.place(seen, &raw, &id, Place::Listed(at))?;
                }
            }
        }
        if n_ghosts != raw.ghosts.len() {
            return Err(format!("{} cancelled jobs ought to be in lists, and {n_ghosts} are", raw.ghosts.len()));
        }
        self.place_others(seen, &raw)?;
        self.check(seen, &raw)?;
        Ok(names)
    }

    fn place_others(&mut self, seen: &mut Seen, raw: &Raw) -> Result<(), String> {
        for (id, claim) in &raw.running {
            let (by, stop) = (ClaimedBy::Claim(claim.clone()), raw.cancels.contains(id));
            self.place(seen, raw, id, Place::Running { by, stop })?;
        }
        for (id, due) in &raw.scheduled {
            self.place(seen, raw, id, Place::Scheduled { due_ms: exactly(*due as u64) })?;
        }
        for (id, due) in &raw.retrying {
            self.place(seen, raw, id, Place::Retrying { due_ms: exactly(*due as u64) })?;
        }
        for (id, at) in &raw.dead {
            self.place(seen, raw, id, Place::Dead { at_ms: *at as u64 })?;
        }
        Ok(())
    }

    /// A job is in this place, and in no other.
    fn place(&mut self, seen: &mut Seen, raw: &Raw, id: &Id, place: Place) -> Result<(), String> {
        let number = self.number(id)?;
        if !raw.records.contains_key(id) {
            return Err(format!("job {number} is {place:?}, and has no record"));
        }
        let past = raw.histories.get(id).map(|history| self.past(id, &place, history)).transpose()?;
        let job = SeenJob { id: self.known[id].id, place, past };
        match seen.jobs.insert(number, job) {
            Some(other) => Err(format!("job {number} is {:?}, and also {:?}", seen.jobs[&number].place, other.place)),
            None => Ok(()),
        }
    }

    /// What the keys say of each other.
    fn check(&self, seen: &Seen, raw: &Raw) -> Result<(), String> {
        for id in raw.records.keys() {
            let number = self.number(id)?;
            if raw.ghosts.contains(id) {
                return Err(format!("job {number} counts as cancelled, and has a record"));
            }
            if !seen.jobs.contains_key(&number) {
                return Err(format!("job {number} has a record, and is nowhere: it is lost"));
            }
        }
        if let Some(id) = raw.histories.keys().find(|id| !raw.records.contains_key(*id)) {
            return Err(format!("job {} has a history, and no record", self.number(id)?));
        }
        if let Some(id) = raw.cancels.iter().find(|id| !raw.running.contains_key(*id)) {
            return Err(format!("job {} is told to stop, and does not run", self.number(id)?));
        }
        if let Some(id) = raw.reported.iter().find(|id| !raw.running.contains_key(*id)) {
            return Err(format!("job {} has progress, and does not run", self.number(id)?));
        }
        let mut left: HashMap<String, usize> = HashMap::new();
        for claim in raw.running.values() {
            *left.entry(claim.clone()).or_default() += 1;
        }
        if left != raw.left {
            return Err(format!("the claims have {left:?} jobs left, and are said to have {:?}", raw.left));
        }
        if let Some(claim) = left.keys().find(|claim| !seen.leases.contains_key(*claim)) {
            return Err(format!("jobs of {claim} run, and it has no lease"));
        }
        Ok(())
    }

    /// All that goes away by itself: each such key has a limit or an expiry.
    fn read_expiring(&mut self, seen: &mut Seen, keys: Vec<Vec<u8>>) -> Result<(), String> {
        let mut expiring = Vec::new();
        for name in keys {
            if let Some(what) = self.expiring(&name)? {
                expiring.push((name, what));
            }
        }
        let mut pipe = redis::pipe();
        for (name, what) in &expiring {
            pipe.pttl(name);
            match what {
                Expiring::Bucket(_) | Expiring::Minute => pipe.hgetall(name),
                Expiring::Finished(id) if !self.finished.contains_key(id) => pipe.get(name),
                Expiring::Replica(_) => pipe.hget(name, "suspect"),
                Expiring::Finished(_) | Expiring::Control => continue,
            };
        }
        if expiring.is_empty() {
            self.finished.clear();
            return Ok(());
        }
        let mut answers = self.ask(&pipe)?;
        let mut finished = HashMap::new();
        for (name, what) in expiring {
            check_expiry(&name, &what, answers.next()?)?;
            match what {
                Expiring::Bucket(bucket) => {
                    seen.buckets.push(bucket);
                    let fields: HashMap<Id, Vec<u8>> = answers.next()?;
                    let (packs, jobs): (HashMap<_, _>, HashMap<_, _>) =
                        fields.into_iter().partition(|(field, _)| field[0] == b'#');
                    for (id, stored) in jobs {
                        let stored = unpacked(&packs, &id, stored)?;
                        let number = self.finish(seen, &mut finished, id.clone(), &stored)?;
                        if self.known[&id].id.created_ms() / WIDTH_MS != bucket {
                            return Err(format!("job {number} is in bucket {bucket}, where nobody looks for it"));
                        }
                    }
                }
                Expiring::Finished(id) => {
                    let known = self.finished.contains_key(&id);
                    let stored: Vec<u8> = if known { Vec::new() } else { answers.next()? };
                    self.finish(seen, &mut finished, id, &stored)?;
                }
                Expiring::Minute => {
                    let counts: HashMap<String, u64> = answers.next()?;
                    seen.came_in += counts.get("in").copied().unwrap_or(0);
                    seen.went_out += counts.get("out").copied().unwrap_or(0);
                }
                Expiring::Replica(worker) => {
                    if let Some(id) = answers.next::<Option<String>>()? {
                        let id = id.parse().map_err(|e| format!("the mark of {worker}: {e}"))?;
                        seen.marks.insert(worker, self.number(&bytes(id))?);
                    }
                }
                Expiring::Control => {}
            }
        }
        self.finished = finished;
        Ok(())
    }

    /// A job has finished, and is nowhere else.
    fn finish(
        &mut self,
        seen: &mut Seen,
        finished: &mut HashMap<Id, Finished>,
        id: Id,
        stored: &[u8],
    ) -> Result<Number, String> {
        let job = match self.finished.get(&id) {
            Some(job) => *job,
            None => {
                let stored: StoredFinished =
                    rmp_serde::from_slice(stored).map_err(|e| format!("finished job {id:?}: {e}"))?;
                self.remember(&id, &stored.q)?;
                Finished { state: stored.s, past: stored.h.as_ref().map(Past::from) }
            }
        };
        let number = self.number(&id)?;
        let found = SeenJob { id: self.known[&id].id, place: Place::Finished(job.state), past: job.past };
        finished.insert(id, job);
        match seen.jobs.insert(number, found) {
            Some(other) => Err(format!("job {number} is {:?}, and also {:?}", job.state, other.place)),
            None => Ok(number),
        }
    }

    /// What a key is for that goes away by itself; nothing for one that is as large as what it holds.
    fn expiring(&self, name: &[u8]) -> Result<Option<Expiring>, String> {
        let unknown = || format!("{} is no key of the table", String::from_utf8_lossy(name));
        let own = name.strip_prefix(self.base.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        if let Some(own) = own {
            let lasting = LISTS.iter().chain(&WITH_JOBS).chain(&LIMITED).any(|key| key.as_bytes() == own);
            if lasting || own.starts_with(b"jobs:") {
                return Ok(None);
            }
            if let Some(id) = own.strip_prefix(b"finished:") {
                return Ok(Some(Expiring::Finished(id.to_vec())));
            }
            if let Some(bucket) = own.strip_prefix(b"done:") {
                let bucket = std::str::from_utf8(bucket).ok().and_then(|bucket| bucket.parse().ok());
                return bucket.map(|bucket| Some(Expiring::Bucket(bucket))).ok_or_else(unknown);
            }
            return if own.starts_with(b"minute:") { Ok(Some(Expiring::Minute)) } else { Err(unknown()) };
        }
        let text = std::str::from_utf8(name).map_err(|_| unknown())?;
        let fleet = format!("{}:{{fleet}}:", self.prefix);
        match text.strip_prefix(&fleet).ok_or_else(unknown)?.split(':').collect::<Vec<_>>()[..] {
            ["partitions" | "replicas"] => Ok(None),
            ["replica", replica] => Ok(Some(Expiring::Replica(worker_of(replica).to_owned()))),
            ["control", _] => Ok(Some(Expiring::Control)),
            _ => Err(unknown()),
        }
    }

    /// A record ends with `{"n":12}`, the job's number.
    fn remember(&mut self, id: &Id, record: &[u8]) -> Result<(), String> {
        if let Some(known) = self.known.get(id) {
            let same = known.record == record;
            return if same { Ok(()) } else { Err(format!("the record of job {} has changed", known.number)) };
        }
        let text = String::from_utf8_lossy(record);
        let number = text.rsplit_once("{\"n\":").and_then(|(_, rest)| rest.strip_suffix('}')?.parse().ok());
        let number: Number = number.ok_or_else(|| format!("a damaged record: {text:?}"))?;
        let (record, history, past) = (record.to_vec(), Vec::new(), Past::default());
        self.known.insert(id.clone(), Known { number, id: job_id(id)?, record, history, past, due_ms: None });
        Ok(())
    }

    fn number(&self, id: &Id) -> Result<Number, String> {
        self.known.get(id).map(|known| known.number).ok_or_else(|| format!("id {id:?} of no record that ever was"))
    }

    fn past(&mut self, id: &Id, place: &Place, stored: &[u8]) -> Result<Past, String> {
        let Some(known) = self.known.get_mut(id) else { return Err(format!("the history of {id:?}")) };
        let number = known.number;
        if known.history != stored {
            let history: History =
                rmp_serde::from_slice(stored).map_err(|e| format!("the history of job {number}: {e}"))?;
            (known.past, known.due_ms, known.history) = (Past::from(&history), history.d, stored.to_vec());
        }
        match place {
            Place::Scheduled { due_ms } | Place::Retrying { due_ms } if known.due_ms != Some(*due_ms.start()) => {
                Err(format!("job {number} is {place:?}, and its history says {:?}", known.due_ms))
            }
            _ => Ok(known.past),
        }
    }
}

enum Expiring {
    Bucket(u64),
    Finished(Id),
    Minute,
    Replica(String),
    Control,
}

fn check_expiry(name: &[u8], what: &Expiring, ttl_ms: i64) -> Result<(), String> {
    let most_ms = match what {
        Expiring::Bucket(_) => (RETENTION_MS + WIDTH_MS) as i64,
        Expiring::Finished(_) => RETENTION_MS as i64,
        Expiring::Minute => 2 * HOUR_MS,
        Expiring::Replica(_) => HOUR_MS / 4,
        Expiring::Control => HOUR_MS / 60,
    };
    if (0..=most_ms).contains(&ttl_ms) {
        return Ok(());
    }
    let name = String::from_utf8_lossy(name);
    Err(format!("{name} ought to expire within {most_ms} ms; redis says {ttl_ms}"))
}

pub(crate) fn bytes(id: JobId) -> Id {
    uuid::Uuid::try_parse(&id.to_string()).unwrap().as_bytes().to_vec()
}

pub(crate) fn job_id(bytes: &[u8]) -> Result<JobId, String> {
    let id = uuid::Uuid::from_slice(bytes).map_err(|e| format!("id {bytes:?}: {e}"))?;
    id.to_string().parse().map_err(|e| format!("id {bytes:?}: {e}"))
}
