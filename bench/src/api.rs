//! The HTTP API under load: a process of its own, on the real servers, with one route more that does the least that a route does.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::Path,
    process::{ExitCode, Stdio},
    slice,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use clap::Parser;
use producer::Scope;
use tokio::process::Child;

use crate::{
    http::{self, Connection, NUMBER, Request},
    server::{free_port, mortal, processor_time},
    whole_way::{self, DATABASE, Place, WORKS},
};

const SECRET: &str = "the benchmark signs its tokens with this";
/// Longer than anything that is measured.
const TOKEN_LASTS: Duration = Duration::from_secs(3600);
/// What signs deliveries of Stripe.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_the_benchmark_signs_with_this";
pub(crate) const CONNECTIONS: usize = 64;
/// Jobs of one batch.
const BATCH: usize = 1_000;
const BATCHES_AT_A_TIME: usize = 4;
/// Jobs that are there to be listed, as many as a page has.
const LISTED: usize = 50;
const START: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Before each measurement the same load runs for so long.
const WARM_UP: Duration = Duration::from_millis(200);
/// So many turns the single requests have.
const TURNS: u32 = 3;

/// The other process: the API as it is, and that one route.
pub(crate) async fn serve() -> anyhow::Result<ExitCode> {
    // All of it comes from the environment.
    let config = producer::Config::parse_from(["producer"]);
    let unfinished = anyhow!("ended before all requests were finished");
    process::run(unfinished, |stop| producer::run_with(config, producer::least(), stop)).await
}

/// An API process.
pub(crate) struct Api {
    process: Child,
    pub(crate) address: SocketAddr,
    token: String,
}

impl Api {
    /// Starts `program` with these arguments, and waits until it is ready.
    pub(crate) async fn start(place: &Place<'_>, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = tokio::process::Command::from(mortal(program));
        command.args(arguments.iter().map(OsStr::new));
        command.env("HTTP_ADDR", address.to_string()).env("ADMIN_ADDR", "127.0.0.1:0").env("JWT_SECRET", SECRET);
        command.env("REDIS_URL", place.server.url()).env("REDIS_PREFIX", DATABASE);
        command.env("MONGO_URL", place.mongod.url()).env("DB_NAME", DATABASE).env("MOCK_MODE", "true");
        command.env("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET);
        // It writes its log, a line a request, as always; nobody keeps it.
        command.env("RUST_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let scopes = [Scope::JobsWrite, Scope::JobsRead];
        let token = producer::sign(&SECRET.to_owned().into(), "bench", None, &scopes, TOKEN_LASTS)?;
        let api = Self { process, address, token };
        let (ready, deadline) = (api.request("GET /api/health/ready", &[], ""), Instant::now() + START);
        while api.ask(&ready).await.map_or(0, |(status, _)| status) != 200 {
            ensure!(Instant::now() < deadline, "{} is not ready", program.display());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(api)
    }

    /// Has a job run by workers that were started before: then they have prepared all that is stored.
    pub(crate) async fn until_a_job_has_ended(&self, place: &Place<'_>) -> anyhow::Result<()> {
        let work = &WORKS[0];
        let job = format!(r#"{{"kind":"{}","payload":{}}}"#, work.kind, (work.payload)(0));
        let (status, answer) =
            self.ask(&self.request("POST /api/jobs", &["content-type: application/json"], &job)).await?;
        ensure!(status == 202, "a job is not taken: {answer}");
        place.written(work, 1).await
    }

    fn request(&self, what: &str, headers: &[&str], body: &str) -> Request {
        let token = format!("authorization: Bearer {}", self.token);
        Request::new(&[&[what, &token], headers].concat(), body)
    }

    async fn ask(&self, request: &Request) -> anyhow::Result<(u16, String)> {
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.ask(request).await?;
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    }

    /// Answers a second.
    async fn rate(
        &self,
        place: &Place<'_>,
        what: &str,
        (connections, time): (usize, Duration),
        requests: &[Request],
        status: u16,
    ) -> anyhow::Result<f64> {
        http::rate(self.address, connections, WARM_UP, requests, status).await?;
        let pids = [self.process.id(), place.server.pid(), place.mongod.pid(), Some(std::process::id())];
        let used = || pids.iter().flatten().map(|pid| processor_time(*pid)).collect::<anyhow::Result<Vec<f64>>>();
        let (before, began) = (used()?, Instant::now());
        let rate = http::rate(self.address, connections, time, requests, status).await?;
        let answers = rate * began.elapsed().as_secs_f64();
        let us: Vec<f64> = used()?.iter().zip(before).map(|(after, before)| (after - before) * 1e6 / answers).collect();
        tracing::info!(rate, "{what}: µs an answer of API, Redis, MongoDB, load: {us:.1?}");
        Ok(rate)
    }
}

/// `producer` is another program than this one's API. The values come in the order of the figures; the last only of this one's.
pub(crate) async fn measure(
    place: &mut Place<'_>,
    producer: Option<&Path>,
    time: Duration,
) -> anyhow::Result<Vec<f64>> {
    place.clear().await?;
    let api = match producer {
        Some(producer) => Api::start(place, producer, &[]).await?,
        None => Api::start(place, &std::env::current_exe()?, &["api"]).await?,
    };
    let work = &WORKS[0];
    let job = |number: usize| format!(r#"{{"kind":"{}","payload":{}}}"#, work.kind, (work.payload)(number));
    let json = "content-type: application/json";
    let ndjson = "content-type: application/x-ndjson";
    let load = (CONNECTIONS, time);

    let list = api.request(&format!("GET /api/jobs?limit={LISTED}"), &[], "");
    for number in 0..LISTED {
        let (status, answer) = api.ask(&api.request("POST /api/jobs", &[json], &job(number))).await?;
        ensure!(status == 202, "a job is not taken: {answer}");
    }
    let waiting = api.listed(place, "list", load, &list, "ready").await?;
    // The same page, but no two connections write the question alike.
    let own: Vec<Request> = (0..CONNECTIONS)
        .map(|number| api.request(&format!("GET /api/jobs?{}", spelt("limit=50", number)), &[], ""))
        .collect();
    let own = api.rate(place, "list_own", load, &own, 200).await?;
    let workers = whole_way::start_workers(place, work)?;
    place.written(work, LISTED).await?;
    whole_way::stop(workers).await?;
    let ended = api.listed(place, "list_ended", load, &list, "succeeded").await?;

    let key = format!("idempotency-key: {NUMBER}");
    let mut single = vec![
        ("live", api.request("GET /api/health/live", &[], ""), 200),
        ("post", api.request("POST /api/jobs", &[json], &job(0)), 202),
        ("post_keyed", api.request("POST /api/jobs", &[json, &key], &job(0)), 202),
    ];
    if producer.is_none() {
        single.push(("least", api.request(&format!("POST {}", producer::LEAST), &[json], &job(0)), 200));
    }
    let mut rates = vec![0.0; single.len()];
    // In turn, so that whatever else the machine does meets all alike.
    for _ in 0..TURNS {
        for (rate, (name, request, status)) in rates.iter_mut().zip(&single) {
            let load = (CONNECTIONS, time / TURNS);
            *rate += api.rate(place, name, load, slice::from_ref(request), *status).await? / f64::from(TURNS);
        }
    }

    let jobs: Vec<String> = (0..BATCH).map(job).collect();
    let as_json = api.request("POST /api/jobs/batch", &[json], &format!(r#"{{"jobs":[{}]}}"#, jobs.join(",")));
    let as_lines = api.request("POST /api/jobs/batch", &[ndjson], &(jobs.join("\n") + "\n"));
    let mut batches = Vec::new();
    for (name, request) in [("batch_json", &as_json), ("batch_ndjson", &as_lines)] {
        let (status, answer) = api.ask(request).await?;
        ensure!(status == 200 && answer.matches(r#""id":"#).count() == BATCH, "a batch is not taken: {answer:.300}");
        for connections in [1, BATCHES_AT_A_TIME] {
            batches
                .push(BATCH as f64 * api.rate(place, name, (connections, time), slice::from_ref(request), 200).await?);
        }
    }
    let least = rates.split_off(3);
    Ok([rates, vec![waiting, own, ended], batches, least].concat())
}

/// A parameter of a URL, written in one of many ways that mean the same: the letters whose bits are set are percent-encoded.
fn spelt(parameter: &str, mut bits: usize) -> String {
    let letter = |letter: char| {
        let is_encoded = letter != '=' && bits & 1 == 1;
        bits >>= usize::from(letter != '=');
        if is_encoded { format!("%{:02X}", u32::from(letter)) } else { letter.to_string() }
    };
    parameter.chars().map(letter).collect()
}

impl Api {
    /// Pages a second, each with all jobs in this state.
    async fn listed(
        &self,
        place: &Place<'_>,
        what: &str,
        load: (usize, Duration),
        list: &Request,
        state: &str,
    ) -> anyhow::Result<f64> {
        let deadline = Instant::now() + START;
        loop {
            let (status, answer) = self.ask(list).await?;
            ensure!(status == 200, "jobs cannot be listed: {answer}");
            if answer.matches(&format!(r#""state":"{state}""#)).count() == LISTED {
                break;
            }
            ensure!(Instant::now() < deadline, "not all jobs are listed as {state}: {answer}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.rate(place, what, load, slice::from_ref(list), 200).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_connection_can_write_a_parameter_in_a_way_of_its_own() {
        let all: BTreeSet<String> = (0..CONNECTIONS).map(|number| spelt("limit=50", number)).collect();
        assert_eq!(all.len(), CONNECTIONS);
        assert_eq!((spelt("limit=50", 0), spelt("limit=50", 33)), ("limit=50".to_owned(), "%6Cimit=%350".to_owned()));
    }
}
