//! `ecomctl enqueue`: one job, or a content job for every row of a catalogue.

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use api::{BatchLine, JobRequest, Problem};
use clap::{ArgGroup, Args};
use providers::content::{ContentRequest, from_csv};
use queue::Json;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    client::{Api, CallError, Job},
    options::{Options, read_json},
    table::{one_line, printable},
    tell,
};

pub(crate) const CONTENT: &str = "content";
/// The API takes 10,000 jobs and 32 MB at once; a catalogue's rows may be long.
pub(crate) const BATCH: usize = 1_000;
/// How many jobs are waited for at a time.
pub(crate) const N_WAITING: usize = 32;

/// Enqueue jobs
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("input").required(true).args(["from", "payload"])))]
pub(crate) struct Enqueue {
    /// The kind of job, such as content
    kind: String,
    /// A catalogue; every row becomes a content job. Columns: `product_id`, name, category, language, and as wanted features
    /// (separated by `|`), tone, `target_length`, price with currency, description
    /// `-` reads the standard input
    #[arg(long, value_name = "FILE.csv|-")]
    from: Option<PathBuf>,
    /// The payload of one job; `@-` reads the standard input
    #[arg(long, value_name = "JSON|@FILE|@-", value_parser = read_json)]
    payload: Option<Json>,
    #[command(flatten)]
    options: Options,
    /// The same key and the same jobs again, within 24 h, enqueue nothing twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until they have finished
    #[arg(long)]
    wait: bool,
}

/// What the API made of one job: its id, or what is wrong.
pub(crate) type Taken = Result<String, Problem<'static>>;

/// Prints one line a job: its id, or what is wrong with it; after `--wait` also its end.
pub(crate) async fn run(api: &Api, enqueue: &Enqueue, json: bool) -> Result<ExitCode> {
    let jobs = match (&enqueue.from, &enqueue.payload) {
        (Some(_), _) if enqueue.kind != CONTENT => {
            eprintln!("error: --from makes content jobs only; for {} use --payload", enqueue.kind);
            return Ok(ExitCode::from(2));
        }
        (Some(file), _) => content_jobs(&read_catalogue(file)?, &enqueue.options)?,
        (None, payload) => vec![enqueue.options.request(&enqueue.kind, payload.clone().unwrap_or_default())],
    };
    let mut failed = false;
    for (number, batch) in jobs.chunks(BATCH).enumerate() {
        let key = enqueue.idempotency_key.as_ref().map(|key| numbered(key, number));
        let taken = if enqueue.from.is_some() {
            push_batch(api, batch, key.as_deref()).await?
        } else {
            vec![push_one(api, &batch[0], key.as_deref()).await?]
        };
        for (job, taken) in batch.iter().zip(&taken) {
            println!("{}", taken_line(job, taken, json));
            failed |= taken.is_err();
        }
        if enqueue.wait {
            failed |= !print_ends(api, taken.into_iter().flatten(), json).await?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The key of the call of this number, counted from 0: each call needs one of its own.
fn numbered(key: &str, number: usize) -> String {
    if number == 0 { key.to_owned() } else { format!("{key}-{}", number + 1) }
}

/// The products of a catalogue, at least one; `-` is the standard input.
pub(crate) fn read_catalogue(path: &Path) -> Result<Vec<ContentRequest>> {
    let file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?)
    };
    let products =
        from_csv(file).with_context(|| format!("{} is no catalogue, nothing was enqueued", path.display()))?;
    ensure!(!products.is_empty(), "{} has no product", path.display());
    Ok(products)
}

pub(crate) fn content_jobs(products: &[ContentRequest], options: &Options) -> Result<Vec<JobRequest<Json>>> {
    products.iter().map(|product| Ok(options.request(CONTENT, serde_json::to_value(product)?.into()))).collect()
}

/// Enqueues many, at most 10,000; one answer a job, in their order.
pub(crate) async fn push_batch(api: &Api, jobs: &[JobRequest<Json>], key: Option<&str>) -> Result<Vec<Taken>> {
    in_order(api.push_many(jobs, key).await?, jobs.len())
}

async fn push_one(api: &Api, job: &JobRequest<Json>, key: Option<&str>) -> Result<Taken> {
    match api.push(job, key).await {
        Ok(job) => Ok(Ok(api.understand::<Job>(job)?.id.to_string())),
        Err(CallError::Refused { status: 422, problem, .. }) => Ok(Err(*problem)),
        Err(error) => Err(error.into()),
    }
}

fn in_order(lines: Vec<BatchLine>, n_jobs: usize) -> Result<Vec<Taken>> {
    let mut taken: Vec<Option<Taken>> = vec![None; n_jobs];
    for line in lines {
        let place = taken
            .get_mut(line.index)
            .with_context(|| format!("the API answered for a job {} that was not sent", line.index))?;
        *place = match (line.id, line.problem) {
            (Some(id), _) => Some(Ok(id.to_string())),
            (None, problem) => Some(Err(problem.unwrap_or_default())),
        };
    }
    let n_missing = taken.iter().filter(|answer| answer.is_none()).count();
    ensure!(n_missing == 0, "the API said nothing of {n_missing} of {n_jobs} jobs; they may have been taken or not");
    Ok(taken.into_iter().flatten().collect())
}

fn taken_line(job: &JobRequest<Json>, taken: &Taken, json: bool) -> String {
    let product = job.payload["product_id"].as_str().unwrap_or_default();
    match taken {
        Ok(id) if json => json!({ "kind": job.kind, "product_id": product, "id": id }).to_string(),
        Err(problem) if json => {
            let errors: Vec<Value> = problem
                .errors
                .iter()
                .map(|error| json!({ "pointer": error.pointer, "message": error.message }))
                .collect();
            let problem =
                json!({ "type": problem.kind, "title": problem.title, "detail": problem.detail, "errors": errors });
            json!({ "kind": job.kind, "product_id": product, "problem": problem }).to_string()
        }
        Ok(id) => format!("{id}  {}", one_line(product)).trim_end().to_owned(),
        Err(problem) => printable(format!("refused  {product}  {problem}").trim_end()),
    }
}

/// One line a job, as they finish. Returns whether all succeeded.
async fn print_ends(api: &Api, ids: impl Iterator<Item = String>, json: bool) -> Result<bool> {
    let mut all_succeeded = true;
    let mut ends = wait_for_all(api, ids);
    while let Some(end) = ends.join_next().await {
        let job = end??;
        all_succeeded &= tell::succeeded(&job);
        if json {
            println!(
                "{}",
                json!({ "id": job.id, "state": job.state, "error": tell::last_error(&job), "result": job.result })
            );
        } else {
            let error = if tell::succeeded(&job) { None } else { tell::last_error(&job) };
            println!("{}", one_line(&format!("{}  {}  {}", job.id, job.state.name(), error.unwrap_or_default())));
        }
    }
    Ok(all_succeeded)
}

fn wait_for_all(api: &Api, ids: impl Iterator<Item = String>) -> JoinSet<Result<Job, CallError>> {
    let slots = Arc::new(Semaphore::new(N_WAITING));
    let mut ends = JoinSet::new();
    for id in ids {
        let (api, slots) = (api.clone(), slots.clone());
        ends.spawn(async move {
            let _slot = slots.acquire().await;
            api.finished_job(&id).await
        });
    }
    ends
}

#[cfg(test)]
mod tests {
    use api::Priority;

    use super::*;

    const ID: &str = "0199a1b2-0000-7000-8000-000000000001";

    fn products() -> Vec<ContentRequest> {
        let csv = "product_id,name,category,features,language,price,currency\n\
                   A-1,\"Käse, \"\"alt\"\"\",Food,ripe|round,en,4.50,EUR\n\
                   A-2,Lampe,Luminaires,,fr,,\n";
        from_csv(csv.as_bytes()).unwrap()
    }

    #[test]
    fn every_row_becomes_a_content_job() {
        let mut low = Options::default();
        low.priority = Some(Priority::Low);
        let jobs = content_jobs(&products(), &low).unwrap();
        let first = serde_json::to_value(&jobs[0]).unwrap();
        assert_eq!(first["kind"], "content");
        assert_eq!(first["options"], json!({ "priority": "low" }));
        assert_eq!(first["payload"]["name"], "Käse, \"alt\"");
        assert_eq!(first["payload"]["features"], json!(["ripe", "round"]));
        assert_eq!(first["payload"]["price"], json!({ "amount": "4.50", "currency": "EUR" }));
        let second = serde_json::to_value(&content_jobs(&products(), &Options::default()).unwrap()[1]).unwrap();
        assert_eq!((second.get("options"), second["payload"].get("price")), (None, None));
    }

    #[test]
    fn answers_are_sorted_by_their_index_and_none_may_be_missing() {
        let lines = |json: Value| serde_json::from_value::<Vec<BatchLine>>(json).unwrap();
        let both = lines(json!([{ "index": 1, "problem": { "title": "bad" } }, { "index": 0, "id": ID }]));
        let taken = in_order(both, 2).unwrap();
        assert_eq!(taken[0], Ok(ID.to_owned()));
        assert_eq!(taken[1].as_ref().unwrap_err().title, "bad");
        let error = in_order(lines(json!([{ "index": 0, "id": ID }])), 2).unwrap_err();
        assert!(error.to_string().contains("nothing of 1 of 2 jobs"), "{error}");
        assert!(in_order(lines(json!([{ "index": 2, "id": ID }])), 2).is_err());
    }

    #[test]
    fn a_refused_job_shows_every_bad_field() {
        let problem: Problem<'static> = serde_json::from_value(json!({
            "type": "t", "title": "invalid payload", "errors": [{ "pointer": "/payload/name", "message": "is empty" }]
        }))
        .unwrap();
        let job = Options::default().request("content", json!({ "product_id": "A-1" }).into());
        assert_eq!(
            taken_line(&job, &Err(problem.clone()), false),
            "refused  A-1  invalid payload\n  /payload/name: is empty"
        );
        let line: Value = serde_json::from_str(&taken_line(&job, &Err(problem), true)).unwrap();
        assert_eq!(line["problem"]["errors"][0]["pointer"], "/payload/name");
        assert_eq!(taken_line(&job, &Ok("0199".to_owned()), false), "0199  A-1");
    }

    #[test]
    fn the_example_catalogue_gives_25_jobs_and_its_first_product_can_be_published() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/catalogue.csv");
        let products = read_catalogue(&path).unwrap();
        assert_eq!(content_jobs(&products, &Options::default()).unwrap().len(), 25);
        assert!(products[0].price.is_some());
    }

    #[test]
    fn a_catalogue_that_cannot_be_read_is_named() {
        let error = read_catalogue(Path::new("/nowhere/catalogue.csv")).unwrap_err();
        assert!(format!("{error:#}").starts_with("/nowhere/catalogue.csv cannot be opened: "), "{error:#}");
    }
}
