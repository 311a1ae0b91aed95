//! Reads everything that Redis holds of the queue with plain commands, never with the scripts, and checks what must hold whatever
//! has happened: every job in exactly one place, no lease without a job and no job without a lease, nothing that is kept for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use queue::{JobId, State};
use redis::{Connection, FromRedisValue, RedisResult};
use serde::{Deserialize, de::IgnoredAny};
use serde_bytes::ByteBuf;

use crate::{
    model::{Number, Owner, Past, Place, exactly},
    steps::{RETENTION_MS, WIDTH_MS},
};

const LISTS: [&str; 6] = ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held"];
/// The keys that hold only what jobs hold that have not finished.
const WITH_JOBS: [&str; 8] = ["jobs", "ghosts", "scheduled", "retrying", "running", "leases", "cancels", "history"];
/// The keys that have a limit.
const LIMITED: [&str; 3] = ["dead", "wake", "paused"];
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
    numbers: HashMap<Id, Number>,
    /// As they were first seen: a record never changes.
    records: HashMap<Number, Vec<u8>>,
    /// What was read of finished jobs, which are read once.
    finished: HashMap<Id, Finished>,
}

type Id = Vec<u8>;
type Scores = Vec<(Id, f64)>;

#[derive(Deserialize)]
struct History {
    u: u32,
    c: u32,
    a: Vec<IgnoredAny>,
    d: Option<u64>,
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
        Self { failures: history.u, crashes: history.c, attempts: history.a.len() as u32 }
    }
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
            numbers: HashMap::new(),
            records: HashMap::new(),
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
        let mut pipe = redis::pipe();
        for hash in ["jobs", "running", "history"] {
            pipe.hgetall(self.key(hash));
        }
        for scores in ["leases", "scheduled", "retrying", "dead"] {
            pipe.zrange_withscores(self.key(scores), 0, -1);
        }
        for set in ["ghosts", "cancels"] {
            pipe.smembers(self.key(set));
        }
        for list in LISTS {
            pipe.lrange(self.key(list), 0, -1);
        }
        pipe.llen(self.key("wake")).exists(self.key("paused"));
        pipe.cmd("KEYS").arg(format!("{}:*", self.prefix));
        let mut answers = self.ask(&pipe)?;

        let records: HashMap<Id, Vec<u8>> = answers.next()?;
        let running: HashMap<Id, String> = answers.next()?;
        let histories: HashMap<Id, Vec<u8>> = answers.next()?;
        let leases: Vec<(String, f64)> = answers.next()?;
        let (scheduled, retrying, dead): (Scores, Scores, Scores) = (answers.next()?, answers.next()?, answers.next()?);
        let ghosts: BTreeSet<Id> = answers.next()?;
        let cancels: BTreeSet<Id> = answers.next()?;

        for (id, record) in &records {
            self.remember(id, record)?;
        }
        let mut places: Vec<(&Id, Place)> = Vec::new();
        for (id, owner) in &running {
            let owner = Owner::Claim(owner.clone());
            places.push((id, Place::Running { owner, stop: cancels.contains(id) }));
        }
        for (id, due) in &scheduled {
            places.push((id, Place::Scheduled { due_ms: exactly(*due as u64) }));
        }
        for (id, due) in &retrying {
            places.push((id, Place::Retrying { due_ms: exactly(*due as u64) }));
        }
        for (id, at) in &dead {
            places.push((id, Place::Dead { at_ms: *at as u64 }));
        }
        let lists: [Vec<Id>; 6] =
            [answers.next()?, answers.next()?, answers.next()?, answers.next()?, answers.next()?, answers.next()?];
        let mut n_ghosts = 0;
        for (at, list) in lists.iter().enumerate() {
            for id in list {
                seen.lists[at].push_back(self.number(id)?);
                if ghosts.contains(id) {
                    n_ghosts += 1;
                } else {
                    places.push((id, Place::Listed(at)));
                }
            }
        }
        seen.wake = answers.next()?;
        seen.paused = answers.next()?;

        for (id, place) in places {
            let number = self.number(id)?;
            if !records.contains_key(id) {
                return Err(format!("job {number} is {place:?}, and has no record"));
            }
            let past = match histories.get(id) {
                Some(history) => Some(past_of(number, &place, history)?),
                None => None,
            };
            let id = job_id(id)?;
            if let Some(other) = seen.jobs.insert(number, SeenJob { id, place: place.clone(), past }) {
                return Err(format!("job {number} is {place:?}, and also {:?}", other.place));
            }
        }
        for id in records.keys() {
            let number = self.number(id)?;
            if ghosts.contains(id) {
                return Err(format!("job {number} counts as cancelled, and has a record"));
            }
            if !seen.jobs.contains_key(&number) {
                return Err(format!("job {number} has a record, and is nowhere: it is lost"));
            }
        }
        if n_ghosts != ghosts.len() {
            return Err(format!("{} cancelled jobs ought to be in lists, and {n_ghosts} are", ghosts.len()));
        }
        for id in histories.keys().filter(|id| !records.contains_key(*id)) {
            return Err(format!("job {} has a history, and no record", self.number(id)?));
        }
        for id in cancels.iter().filter(|id| !running.contains_key(*id)) {
            return Err(format!("job {} is told to stop, and does not run", self.number(id)?));
        }
        let claims: BTreeSet<&String> = running.values().collect();
        seen.leases = leases.into_iter().map(|(claim, end)| (claim, end as u64)).collect();
        if let Some(claim) = seen.leases.keys().find(|claim| !claims.contains(claim)) {
            return Err(format!("the lease of {claim} is without a running job"));
        }
        if let Some(claim) = claims.into_iter().find(|claim| !seen.leases.contains_key(*claim)) {
            return Err(format!("jobs of {claim} run, and it has no lease"));
        }
        answers.next()
    }

    /// All that goes away by itself: each such key has a limit or an expiry.
    fn read_expiring(&mut self, seen: &mut Seen, keys: Vec<Vec<u8>>) -> Result<(), String> {
        let expiring = self.expiring(keys)?;
        let mut pipe = redis::pipe();
        for key in &expiring {
            pipe.pttl(&key.name);
            match &key.what {
                What::Bucket(_) | What::Minute => pipe.hgetall(&key.name),
                What::Finished(id) if !self.finished.contains_key(id) => pipe.get(&key.name),
                What::Replica(_) => pipe.hget(&key.name, "suspect"),
                What::Finished(_) | What::Control => continue,
            };
        }
        if expiring.is_empty() {
            return Ok(());
        }
        let mut answers = self.ask(&pipe)?;
        let mut finished = HashMap::new();
        for key in expiring {
            let name = String::from_utf8_lossy(&key.name).into_owned();
            let ttl: i64 = answers.next()?;
            let most = match key.what {
                What::Bucket(_) => RETENTION_MS as i64 + WIDTH_MS as i64,
                What::Finished(_) => RETENTION_MS as i64,
                What::Minute => 2 * HOUR_MS,
                What::Replica(_) => HOUR_MS / 4,
                What::Control => HOUR_MS / 60,
            };
            if !(0..=most).contains(&ttl) {
                return Err(format!("{name} ought to expire within {most} ms; redis says {ttl}"));
            }
            match key.what {
                What::Bucket(bucket) => {
                    seen.buckets.push(bucket);
                    let jobs: HashMap<Id, Vec<u8>> = answers.next()?;
                    for (id, stored) in jobs {
                        let number = self.number(&id)?;
                        if job_id(&id)?.created_ms() / WIDTH_MS != bucket {
                            return Err(format!("job {number} is in bucket {bucket}, where nobody looks for it"));
                        }
                        let job = self.finished(number, &id, &stored)?;
                        if finished.insert(id, job).is_some() {
                            return Err(format!("job {number} is kept twice"));
                        }
                    }
                }
                What::Finished(id) => {
                    let number = self.number(&id)?;
                    let job = match self.finished.get(&id) {
                        Some(job) => *job,
                        None => {
                            let stored: Vec<u8> = answers.next()?;
                            self.finished(number, &id, &stored)?
                        }
                    };
                    if finished.insert(id, job).is_some() {
                        return Err(format!("job {number} is kept twice"));
                    }
                }
                What::Minute => {
                    let counts: HashMap<String, u64> = answers.next()?;
                    seen.came_in += counts.get("in").copied().unwrap_or(0);
                    seen.went_out += counts.get("out").copied().unwrap_or(0);
                }
                What::Replica(worker) => {
                    let suspect: Option<JobId> = answers.next::<Option<String>>()?.map(|id| id.parse().unwrap());
                    if let Some(id) = suspect {
                        seen.marks.insert(worker, self.number(&bytes(id))?);
                    }
                }
                What::Control => {}
            }
        }
        for (id, job) in &finished {
            let number = self.number(id)?;
            let place = Place::Finished(job.state);
            if let Some(other) = seen.jobs.insert(number, SeenJob { id: job_id(id)?, place, past: job.past }) {
                return Err(format!("job {number} is {:?}, and also {:?}", job.state, other.place));
            }
        }
        self.finished = finished;
        Ok(())
    }

    fn expiring(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Expiring>, String> {
        let mut expiring = Vec::new();
        for name in keys {
            let shown = String::from_utf8_lossy(&name).into_owned();
            let own = name.strip_prefix(self.base.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
            let what = if let Some(own) = own {
                let text = String::from_utf8_lossy(own).into_owned();
                let lasting = [&LISTS[..], &WITH_JOBS, &LIMITED].concat();
                match text.split_once(':') {
                    _ if lasting.contains(&text.as_str()) => continue,
                    Some(("done", bucket)) => What::Bucket(bucket.parse().map_err(|_| shown)?),
                    Some(("minute", _)) => What::Minute,
                    Some(("finished", _)) => What::Finished(own["finished:".len()..].to_vec()),
                    _ => return Err(format!("{shown} is no key of the table")),
                }
            } else {
                let fleet = format!("{}:{{fleet}}:", self.prefix);
                let rest = shown.strip_prefix(&fleet).ok_or_else(|| format!("{shown} is no key of the table"))?;
                match rest.split_once(':') {
                    _ if rest == "partitions" || rest == "replicas" => continue,
                    Some(("replica", replica)) => What::Replica(crate::model::worker_of(replica).to_owned()),
                    Some(("control", _)) => What::Control,
                    _ => return Err(format!("{shown} is no key of the table")),
                }
            };
            expiring.push(Expiring { name, what });
        }
        Ok(expiring)
    }

    fn finished(&mut self, number: Number, id: &Id, stored: &[u8]) -> Result<Finished, String> {
        if let Some(job) = self.finished.get(id) {
            return Ok(*job);
        }
        let stored: StoredFinished =
            rmp_serde::from_slice(stored).map_err(|e| format!("finished job {number}: {e}"))?;
        self.remember(id, &stored.q)?;
        Ok(Finished { state: stored.s, past: stored.h.as_ref().map(Past::from) })
    }

    /// A record ends with `{"n":12}`, the job's number.
    fn remember(&mut self, id: &Id, record: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(record);
        let number = text.rsplit_once("{\"n\":").and_then(|(_, rest)| rest.strip_suffix('}')?.parse().ok());
        let number: Number = number.ok_or_else(|| format!("a damaged record: {text:?}"))?;
        if *self.numbers.entry(id.clone()).or_insert(number) != number {
            return Err(format!("job {number} has taken the place of another"));
        }
        if self.records.entry(number).or_insert_with(|| record.to_vec()) != record {
            return Err(format!("the record of job {number} has changed"));
        }
        Ok(())
    }

    fn number(&self, id: &Id) -> Result<Number, String> {
        self.numbers.get(id).copied().ok_or_else(|| format!("id {id:?} of no record that ever was"))
    }
}

struct Expiring {
    name: Vec<u8>,
    what: What,
}

enum What {
    Bucket(u64),
    Finished(Id),
    Minute,
    Replica(String),
    Control,
}

fn past_of(number: Number, place: &Place, stored: &[u8]) -> Result<Past, String> {
    let history: History = rmp_serde::from_slice(stored).map_err(|e| format!("history of job {number}: {e}"))?;
    if let Place::Scheduled { due_ms } | Place::Retrying { due_ms } = place
        && history.d != Some(*due_ms.start())
    {
        return Err(format!("job {number} is {place:?}, and its history says {:?}", history.d));
    }
    Ok(Past::from(&history))
}

pub(crate) fn bytes(id: JobId) -> Id {
    uuid::Uuid::try_parse(&id.to_string()).unwrap().as_bytes().to_vec()
}

pub(crate) fn job_id(bytes: &[u8]) -> Result<JobId, String> {
    let id = uuid::Uuid::from_slice(bytes).map_err(|e| format!("id {bytes:?}: {e}"))?;
    id.to_string().parse().map_err(|e| format!("id {bytes:?}: {e}"))
}
