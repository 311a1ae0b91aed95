//! No script holds up the server with more than 1,000 jobs at a time, however many there are: measured by what the server is asked.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    time::Duration,
};

use queue::{Client, Failure, Fingerprint, NewJob, OnConflict, Outcome, Settlement, State, Success, Unique, Verdict};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    concurrency_keys::{KEY, begin, put_off},
    history::recorded,
    world::{QUEUE, World, claim, claim_one, done, id_bytes, job, settle},
};

/// The most jobs that a script may take.
const MOST: usize = 1_000;
/// More than a script may take.
const MANY: usize = 1_100;
/// Only a push that was cut off brings it to work, and it is about one job.
const OF_ONE_JOB: &str = "bar";
const END: &str = "nothing more is looked at";

/// All that a server carries out, as it tells by itself.
struct Monitor(JoinHandle<Vec<Vec<Vec<u8>>>>);

impl Monitor {
    async fn start(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"MONITOR\r\n").await.unwrap();
        let mut lines = BufReader::new(stream).split(b'\n');
        assert!(lines.next_segment().await.unwrap().unwrap().starts_with(b"+OK"));
        Self(tokio::spawn(async move {
            let mut commands = Vec::new();
            while let Some(line) = lines.next_segment().await.unwrap() {
                let in_script = line.windows(5).take(40).any(|part| part == b" lua]");
                let mut words = words(&line);
                if words.last().is_some_and(|word| word == END.as_bytes()) {
                    break;
                }
                words.insert(0, if in_script { b"lua".to_vec() } else { b"client".to_vec() });
                commands.push(words);
            }
            commands
        }))
    }

    /// What it saw until now.
    async fn end(self, world: &World) -> Vec<Vec<Vec<u8>>> {
        let _: String = redis::cmd("ECHO").arg(END).query_async(&mut world.redis().await).await.unwrap();
        self.0.await.unwrap()
    }
}

/// The words of a line, which are quoted.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut words, mut word) = (Vec::new(), None::<Vec<u8>>);
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        match (&mut word, byte) {
            (None, b'"') => word = Some(Vec::new()),
            (None, _) => {}
            (Some(_), b'"') => words.extend(word.take()),
            (Some(bytes), b'\\') => match rest.next() {
                Some(b'x') => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                Some(b'n') => bytes.push(b'\n'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b't') => bytes.push(b'\t'),
                Some(b'a') => bytes.push(7),
                Some(b'b') => bytes.push(8),
                Some(byte) => bytes.push(byte),
                None => {}
            },
            (Some(bytes), byte) => bytes.push(byte),
        }
    }
    words
}

/// What one call of a script was about.
#[derive(Default)]
struct Call {
    hash: String,
    ids: HashSet<Vec<u8>>,
    /// The longest part of a list or set that was asked for.
    longest: usize,
}

fn calls(commands: &[Vec<Vec<u8>>]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for words in commands {
        let name = String::from_utf8_lossy(&words[1]).to_ascii_uppercase();
        if words[0] == b"client" {
            match name.as_str() {
                "EVALSHA" => calls.push(Call { hash: text(words, 2), ..Call::default() }),
                _ => continue,
            }
        }
        let Some(call) = calls.last_mut() else { continue };
        // An id is a UUID of version 7.
        call.ids.extend(words.iter().filter(|word| word.len() == 16 && word[6] >> 4 == 7).cloned());
        if words[0] == b"lua" {
            call.longest = call.longest.max(asked_for(&name, words));
        }
    }
    calls
}

fn text(words: &[Vec<u8>], at: usize) -> String {
    words.get(at).map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default()
}

fn asked_for(name: &str, words: &[Vec<u8>]) -> usize {
    let number = |at: usize| text(words, at).parse::<i64>();
    let most = match name {
        "LPOP" | "SRANDMEMBER" | "ZRANDMEMBER" => number(3).unwrap_or(1),
        "LRANGE" | "ZRANGE" | "ZREVRANGE" => number(4).unwrap() - number(3).unwrap() + 1,
        "ZRANGEBYSCORE" => number(words.len() - 1).unwrap_or(i64::MAX),
        "SMEMBERS" | "HKEYS" | "HVALS" | "ZREMRANGEBYSCORE" if !text(words, 2).ends_with(":replicas") => i64::MAX,
        _ => 0,
    };
    usize::try_from(most).unwrap_or(0)
}

async fn read_all(client: &Client, state: State) -> usize {
    let (mut n, mut position) = (0, None);
    loop {
        let page = client.list(state, &queue::ListFilter::default(), position.as_ref(), 200).await.unwrap();
        n += page.items.len();
        position = page.next;
        if position.is_none() {
            return n;
        }
    }
}

/// Brings every script to work on more jobs than one call may take.
async fn work(world: &World) {
    let client = &world.client;
    let (a, b) = (world.session("a"), world.session("b"));
    let mut redis = world.redis().await;
    let of_a_tenant = NewJob { tenant: "quiet".to_owned(), ..job() };
    for pushed in client.push_many(vec![of_a_tenant; MANY]).await {
        pushed.unwrap();
    }
    let mut fixed = Vec::new();
    for n in 0..MANY {
        fixed.push((client.fixed_id(QUEUE, &n.to_string(), world.clock.now_ms()).await.unwrap(), job()));
    }
    assert!(client.push_fixed(fixed).await.into_iter().all(|pushed| pushed.is_ok()));
    let later = NewJob { run_at_ms: Some(world.clock.now_ms() + 1_000), ..job() };
    for pushed in client.push_many(vec![later; 2 * MANY]).await {
        pushed.unwrap();
    }
    assert_eq!(read_all(client, State::Scheduled).await, 2 * MANY);
    // The place where the first page ended is looked for behind all that was pushed since.
    let page = client.list(State::Ready, &queue::ListFilter::default(), None, 50).await.unwrap();
    for pushed in client.push_many(vec![job(); MANY]).await {
        pushed.unwrap();
    }
    let next = client.list(State::Ready, &queue::ListFilter::default(), page.next.as_ref(), 50).await.unwrap();
    assert_eq!(next.items.len(), 50, "a page is full although much was pushed");
    assert_eq!(read_all(client, State::Ready).await, 3 * MANY);

    world.advance(Duration::from_secs(2));
    let mut jobs = Vec::new();
    while jobs.len() < 5 * MANY {
        // What goes back costs the size of its claim, and the server tells all of that: small claims for those.
        let claimed = claim(&a, if jobs.len() < MANY { 10_000 } else { 50 }).await;
        assert!(!claimed.is_empty() && claimed.len() <= MOST);
        jobs.extend(claimed);
    }
    for job in &jobs[..MANY] {
        job.reporter().set(1, "");
    }
    a.report().await.unwrap();
    let cancels: Vec<Vec<u8>> = jobs[4 * MANY..].iter().map(|job| id_bytes(job.id())).collect();
    let _: usize = redis.sadd(world.key("cancels"), cancels).await.unwrap();
    a.renew().await.unwrap();

    let fatal = || Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
    let verdict = |n: usize| if n < MANY { done() } else { fatal() };
    let settled = jobs[..2 * MANY].iter().enumerate();
    let mut settlements: Vec<Settlement> =
        settled.map(|(n, job)| a.verdict(job, verdict(n), world.clock.now_ms()).unwrap()).collect();
    // Telling all of this takes the server so long that an answer may come too late: then it is sent again.
    while !settlements.is_empty() || a.n_sealed().await > 0 {
        let _ = a.settle(&mut settlements).await;
    }
    while !client.unrecorded(QUEUE, 10 * MOST).await.unwrap().is_empty() {
        let unrecorded = client.unrecorded(QUEUE, 10 * MOST).await.unwrap();
        client.recorded(QUEUE, &unrecorded).await.unwrap();
    }

    // A dies; who watched is gone.
    let watched: Vec<(u64, Vec<u8>)> = (0..MANY as u64).map(|n| (1, fake(n))).collect();
    let _: usize = redis.zadd_multiple(world.key("watched"), &watched).await.unwrap();
    world.advance(Duration::from_secs(20));
    while world.count("running").await > 0 {
        let _ = b.upkeep(QUEUE, true).await;
    }
    let _: () = redis.rename(world.key("ready:1"), world.key("held")).await.unwrap();
    assert_eq!(b.unhold(QUEUE).await.unwrap(), 2 * MANY as u64);

    // More dead letters than are kept, as an older release may have left them.
    let surplus: Vec<(u64, Vec<u8>)> = (0..12_000).map(|n| (1, fake(n))).collect();
    let _: usize = redis.zadd_multiple(world.key("dead"), &surplus).await.unwrap();
    let last = claim_one(&b).await;
    assert!(settle(&b, &last, fatal()).await);
    let _: usize = redis.zrembyscore(world.key("dead"), 1, 1).await.unwrap();

    // A key that one job has, and another waits for.
    let keyed = claim(&b, 2).await;
    let has = begin(&keyed[0], KEY).await.unwrap();
    put_off(&b, &keyed[1]).await;
    b.renew().await.unwrap();
    has.end(&b).await;
    assert!(settle(&b, &keyed[0], done()).await);

    // Jobs that two workers died with, and what is done to single ones.
    claim_one(&world.session("c")).await;
    world.advance(Duration::from_secs(20));
    b.upkeep(QUEUE, true).await.unwrap();
    let d = world.session("d");
    let suspect = claim_one(&d).await;
    assert!(d.claim(QUEUE, 1).await.unwrap().busy);
    client.cancel(suspect.id()).await.unwrap();
    client.retry(last.id()).await.unwrap();
    assert!(client.replace_result(jobs[0].id(), Success::default()).await.unwrap());
    let unique = Unique { key: "once".to_owned(), hold: None, on_conflict: OnConflict::Reject };
    client.submit(NewJob { unique: Some(unique), ..job() }).await.unwrap();
    let request = Fingerprint { bytes: "body".to_owned(), meaning: "body".to_owned() };
    let keys: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
    let asked = job();
    let pushes = keys.iter().map(|key| client.push_once("t", key, &request, &asked));
    for pushed in futures::future::join_all(pushes).await {
        assert!(pushed.unwrap().is_some());
    }
    assert_eq!(client.take_quota("t", 1, 1).await.unwrap().n(), 1);
    client.pause(QUEUE).await.unwrap();
    d.beat(&[QUEUE.to_owned()]).await.unwrap();
    assert!(client.delete_dead(QUEUE, None).await.unwrap() >= MANY as u64);
}

/// An id that no job has.
fn fake(n: u64) -> Vec<u8> {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    bytes[6] = 0x70;
    bytes.to_vec()
}

async fn no_script_takes_more_than_1000_jobs_a_call(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = recorded(World::at(kind, &server.url()));
    let monitor = Monitor::start(server.port).await;
    work(&world).await;
    let commands = monitor.end(&world).await;

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
    let loaded = commands.iter().filter(|words| text(words, 1) == "SCRIPT" && text(words, 2) == "LOAD");
    let loaded: Vec<String> = loaded.map(|words| text(words, 3)).collect();
    let mut names = HashMap::new();
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "lua")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        // Behind its first line stands what all have in common.
        let own = text.split_once('\n').unwrap().1;
        let whole = loaded.iter().find(|script| script.ends_with(own));
        if name != "common" && name != OF_ONE_JOB {
            let whole = whole.unwrap_or_else(|| panic!("{name} was not used"));
            names.insert(redis::Script::new(whole).get_hash().to_owned(), name);
        }
    }
    let calls = calls(&commands);
    assert!(calls.len() > 50);
    for call in &calls {
        let name = names.get(&call.hash).map_or("?", String::as_str);
        assert!(call.ids.len() <= MOST, "{name} takes {} jobs", call.ids.len());
        assert!(call.longest <= MOST, "{name} asks for {} at once", call.longest);
    }
    let most = calls.iter().map(|call| call.ids.len()).max();
    assert!(most > Some(MOST / 2), "there was enough to take: {most:?}");
}

mod valkey {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_script_takes_more_than_1000_jobs_a_call() {
        super::no_script_takes_more_than_1000_jobs_a_call(servers::RedisKind::Valkey).await;
    }
}
mod redis7 {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_script_takes_more_than_1000_jobs_a_call() {
        if servers::redis(servers::RedisKind::Redis7).is_some() {
            super::no_script_takes_more_than_1000_jobs_a_call(servers::RedisKind::Redis7).await;
        }
    }
}
