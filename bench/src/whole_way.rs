//! Real jobs through the whole way: two worker processes run them in mock mode, their results and history go to MongoDB, confirmed by the
//! majority. Other systems write the same documents, as found after ours.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use mongodb::{
    Collection,
    bson::{Document, doc},
};
use queue::{Client, Kind, NewJob};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::{
    mongod::Mongod,
    progress::{PATIENCE, rate},
    server::{Server, mortal, processor_time},
};

pub(crate) const DATABASE: &str = "bench";
/// The database of what others write.
pub(crate) const SAMPLES: &str = "bench_samples";
const HISTORY: &str = "jobs";
pub(crate) const WORKERS: usize = 2;
const BULK: usize = 500;
const LONE_JOBS: usize = 500;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A kind, the collections that its jobs write to, and a payload.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) kind: &'static str,
    collections: &'static [&'static str],
    pub(crate) payload: fn(usize) -> Value,
}

pub(crate) const WORKS: [Work; 3] = [
    Work { kind: "content", collections: &["contents", HISTORY], payload: content },
    Work { kind: "publication", collections: &["publications", HISTORY], payload: publication },
    Work { kind: "email", collections: &["emails", "receipts", HISTORY], payload: email },
];

fn content(number: usize) -> Value {
    json!({ "product_id": format!("VELO-{number}"), "name": "Vélo urbain « Rivage »", "category": "Vélos", "language": "fr",
        "features": ["Cadre en acier", "Huit vitesses", "Freins à disque"], "price": { "amount": "649.00", "currency": "EUR" } })
}

fn publication(number: usize) -> Value {
    json!({ "product_id": format!("VELO-{number}"), "sku": format!("VELO-{number}-BLUE"), "shop": "shopify",
        "title": "City bicycle \"Shoreline\"", "description_html": "<p>Steel frame, eight gears, disc brakes.</p>",
        "price": { "amount": "649.00", "currency": "EUR" }, "image_url": "https://cdn.shop.example/velo.jpg" })
}

fn email(number: usize) -> Value {
    json!({ "to": format!("zoe{number}@customer.example"), "to_name": "Zoé Müller", "subject": "Your product texts are ready",
        "text": "Hello Zoé,\n\nthe texts of your 12 products are ready.\n\nYour shop" })
}

/// Jobs a second, and microseconds of processor time a job: of the workers together, of MongoDB, of Redis.
pub(crate) type Figures = [f64; 4];

/// Where the whole way is measured.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) server: &'a mut Server,
    pub(crate) mongod: &'a Mongod,
    /// The program.
    pub(crate) worker: &'a Path,
    /// Handlers of one worker at a time; 0: what the kind has by default.
    pub(crate) handlers: usize,
}

impl Place<'_> {
    pub(crate) async fn clear(&mut self) -> anyhow::Result<()> {
        self.server.flush().await?;
        for name in self.mongod.database(DATABASE).list_collection_names().await? {
            self.mongod.database(DATABASE).collection::<Document>(&name).delete_many(doc! {}).await?;
        }
        Ok(())
    }

    fn collections(&self, work: &Work) -> Vec<Collection<Document>> {
        work.collections.iter().map(|name| self.mongod.database(DATABASE).collection(name)).collect()
    }

    /// Waits until each collection has so many documents.
    pub(crate) async fn written(&self, work: &Work, jobs: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for collection in self.collections(work) {
            loop {
                let n = collection.estimated_document_count().await?;
                if n >= jobs as u64 {
                    break;
                }
                ensure!(Instant::now() < deadline, "{} has {n} documents of {jobs}", collection.name());
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// Has `begin` let the workers go, and measures until all is written. One job has been run before.
    pub(crate) async fn measured(
        &mut self,
        work: &Work,
        jobs: usize,
        workers: &[Child],
        begin: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Figures> {
        let mongod = self.mongod.pid().context("mongod has ended")?;
        let pids: Vec<u32> = workers.iter().filter_map(Child::id).collect();
        ensure!(pids.len() == WORKERS, "a worker has ended");
        let redis = self.server.pid().context("the server has ended")?;
        let used = || {
            let of_workers: f64 = pids.iter().map(|pid| processor_time(*pid)).sum::<anyhow::Result<_>>()?;
            anyhow::Ok([of_workers, processor_time(mongod)?, processor_time(redis)?])
        };
        let before = used()?;
        begin.await?;
        let began = Instant::now();
        self.written(work, jobs + 1).await?;
        let rate = rate(jobs, began.elapsed());
        let after = used()?;
        let a_job = |at: usize| (after[at] - before[at]) * 1e6 / jobs as f64;
        Ok([rate, a_job(0), a_job(1), a_job(2)])
    }
}

/// Ours.
pub(crate) async fn ours(place: &mut Place<'_>, work: &Work, jobs: usize) -> anyhow::Result<Figures> {
    place.clear().await?;
    let redis = fleet::Redis::open(&place.server.url(), DATABASE)?;
    let client = Client::new(&redis, jobs::register(Kinds::default()).0);
    let workers = start_workers(place, work)?;
    client.push(NewJob::new(work.kind, (work.payload)(0).to_string())).await?;
    place.written(work, 1).await?;
    client.pause(work.kind).await?;
    let numbers: Vec<usize> = (1..=jobs).collect();
    for numbers in numbers.chunks(BULK) {
        let job = |number: &usize| NewJob::new(work.kind, (work.payload)(*number).to_string());
        let pushed = client.push_many(numbers.iter().map(job).collect()).await;
        pushed.into_iter().try_for_each(|result| result.map(drop))?;
    }
    let begin = async { Ok(client.resume(work.kind).await.map(drop)?) };
    let figures = place.measured(work, jobs, &workers, begin).await;
    stop(workers).await?;
    figures
}

/// How long each of some texts takes while nothing else is done, in ms, as who waits for it sees it.
pub(crate) async fn lone(place: &mut Place<'_>) -> anyhow::Result<Vec<f64>> {
    place.clear().await?;
    let [work, ..] = &WORKS;
    let client = Client::new(&fleet::Redis::open(&place.server.url(), DATABASE)?, jobs::register(Kinds::default()).0);
    let workers = start_workers(place, work)?;
    let mut took = Vec::new();
    for number in 0..=LONE_JOBS {
        let began = Instant::now();
        let id = client.push(NewJob::new(work.kind, (work.payload)(number).to_string())).await?;
        let view = client.wait(id, PATIENCE).await?.context("a job is not there")?;
        ensure!(view.state == queue::State::Succeeded, "a job is {}", view.state.name());
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    stop(workers).await?;
    // The first one waited for the workers to start.
    took.remove(0);
    Ok(took)
}

#[derive(Default)]
struct Kinds(Vec<Kind>);

impl jobs::Registry for Kinds {
    fn add<J: jobs::Handler>(mut self) -> Self {
        self.0.push(Kind::of::<J>());
        self
    }
}

pub(crate) fn start_workers(place: &Place<'_>, work: &Work) -> anyhow::Result<Vec<Child>> {
    let start = |_| {
        let mut command = tokio::process::Command::from(mortal(place.worker));
        command.env("REDIS_URL", place.server.url()).env("REDIS_PREFIX", DATABASE).env("MONGO_URL", place.mongod.url());
        command
            .env("DB_NAME", DATABASE)
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("MOCK_MODE", "true")
            .env("RUST_LOG", "warn");
        command.env("KINDS", work.kind);
        if place.handlers > 0 {
            command.env("CONCURRENCY", format!("{}={}", work.kind, place.handlers));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.spawn().with_context(|| format!("cannot start {}", place.worker.display()))
    };
    (0..WORKERS).map(start).collect()
}

pub(crate) async fn stop(workers: Vec<Child>) -> anyhow::Result<()> {
    for mut worker in workers {
        worker.kill().await?;
    }
    Ok(())
}

/// Starts a worker and waits until it says that it takes jobs.
pub(crate) async fn ready(command: std::process::Command) -> anyhow::Result<Child> {
    let mut command = tokio::process::Command::from(command);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().context("a worker process has no output")?).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("a worker process says nothing")??;
    ensure!(line.as_deref() == Some("ready"), "a worker process said {line:?}");
    Ok(process)
}

/// Keeps the documents of a job of ours, for others to write the same.
pub(crate) async fn keep_samples(place: &Place<'_>, work: &Work) -> anyhow::Result<()> {
    let samples = place.mongod.database(SAMPLES).collection::<Document>("samples");
    samples.drop().await?;
    for collection in place.collections(work) {
        let found = collection.find_one(doc! {}).await?;
        let found = found.with_context(|| format!("{} is empty: ours is measured before", collection.name()))?;
        samples.insert_one(doc! { "collection": collection.name(), "document": found }).await?;
    }
    Ok(())
}
