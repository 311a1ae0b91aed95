//! What became of each job of a demo: one line while it runs, a table at the end.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use providers::content::ContentRequest;
use serde_json::{Value, json};

use crate::{
    client::{CallError, Job},
    enqueue::{CONTENT, Taken},
    table::{Align, Table, one_line, printable},
    tell::{self, duration_ms, last_error},
};

/// The kinds after `content`, in their order.
const FOLLOWERS: [&str; 4] = ["image", "scrape", "email", "publication"];

/// Every job of a demo: the catalogue's rows, then what follows on the first of them.
pub(crate) struct Board {
    rows: Mutex<Vec<Row>>,
}

struct Row {
    kind: &'static str,
    product_id: String,
    id: Option<String>,
    end: Option<End>,
    /// What its job waits for, while it has not ended.
    waits: Option<String>,
}

/// How a job ended for us.
pub(crate) enum End {
    /// It came to an end state.
    Finished(Box<Job>),
    /// The API did not take it.
    Refused(String),
    /// It could not be made or followed.
    Failed(String),
    /// The time was up.
    Unfinished(String),
}

impl End {
    pub(crate) fn of(answer: Result<Job, CallError>) -> Self {
        match answer {
            Ok(job) => Self::Finished(Box::new(job)),
            Err(error @ CallError::Refused { .. }) => Self::Refused(error.to_string()),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    fn succeeded(&self) -> bool {
        matches!(self, Self::Finished(job) if tell::succeeded(job))
    }

    fn state(&self) -> &str {
        match self {
            Self::Finished(job) => job.state.name(),
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Unfinished(_) => "unfinished",
        }
    }

    fn error(&self) -> Option<String> {
        match self {
            Self::Finished(job) if tell::succeeded(job) => None,
            Self::Finished(job) => Some(last_error(job).unwrap_or_else(|| "no error was recorded".to_owned())),
            Self::Refused(reason) | Self::Failed(reason) | Self::Unfinished(reason) => Some(reason.clone()),
        }
    }
}

impl Row {
    fn name(&self) -> String {
        format!("{} {}", self.kind, self.product_id)
    }

    fn state(&self) -> &str {
        match (&self.end, &self.id) {
            (Some(end), _) => end.state(),
            (None, Some(_)) => "under way",
            (None, None) => "not started",
        }
    }

    fn job(&self) -> Option<&Job> {
        match &self.end {
            Some(End::Finished(job)) => Some(job),
            _ => None,
        }
    }

    fn succeeded(&self) -> bool {
        self.end.as_ref().is_some_and(End::succeeded)
    }

    fn words(&self) -> String {
        match (self.job(), self.end.as_ref().and_then(End::error)) {
            (_, Some(error)) => error,
            (Some(job), None) => words(self.kind, job.result.as_ref().unwrap_or(&Value::Null)),
            (None, None) => String::new(),
        }
    }
}

impl Board {
    pub(crate) fn new(products: &[ContentRequest], taken: Vec<Taken>) -> Self {
        let contents = products.iter().zip(taken).map(|(product, taken)| {
            let (id, end) = match taken {
                Ok(id) => (Some(id), None),
                Err(problem) => (None, Some(End::Refused(problem.to_string()))),
            };
            Row { kind: CONTENT, product_id: product.product_id.clone(), id, end, waits: None }
        });
        let first = products.first().map(|product| product.product_id.clone()).unwrap_or_default();
        let followers = FOLLOWERS.map(|kind| Row { kind, product_id: first.clone(), id: None, end: None, waits: None });
        Self { rows: Mutex::new(contents.chain(followers).collect()) }
    }

    /// Rows whose job was taken and has not ended, with its id.
    pub(crate) fn pending(&self) -> Vec<(usize, String)> {
        let rows = self.rows();
        let pending = rows.iter().enumerate().filter(|(_, row)| row.end.is_none());
        pending.filter_map(|(index, row)| Some((index, row.id.clone()?))).collect()
    }

    /// The first job of each kind that was taken and has not ended: its kind and id.
    pub(crate) fn first_pending(&self) -> Vec<(&'static str, String)> {
        let rows = self.rows();
        let pending = rows.iter().filter(|row| row.end.is_none());
        let mut firsts: Vec<_> = pending.filter_map(|row| Some((row.kind, row.id.clone()?))).collect();
        firsts.dedup_by_key(|(kind, _)| *kind);
        firsts
    }

    /// Notes what jobs of a kind wait for.
    pub(crate) fn note(&self, kind: &str, waits: Option<&str>) {
        for row in self.rows().iter_mut().filter(|row| row.kind == kind) {
            row.waits = waits.map(str::to_owned);
        }
    }

    /// The row of a job that follows on the first product's content.
    pub(crate) fn row_of(&self, kind: &str) -> Option<usize> {
        self.rows().iter().position(|row| row.kind == kind)
    }

    pub(crate) fn begin(&self, row: usize, id: &str) {
        self.rows()[row].id = Some(id.to_owned());
    }

    /// Notes how a job ended. Gives back its result when it succeeded.
    pub(crate) fn end(&self, row: usize, end: End) -> Option<Value> {
        let result = match &end {
            End::Finished(job) if tell::succeeded(job) => Some(job.result.clone().unwrap_or_default()),
            _ => None,
        };
        self.rows()[row].end = Some(end);
        result
    }

    /// Notes that the time is up.
    pub(crate) fn give_up(&self, limit: Duration) {
        for row in self.rows().iter_mut().filter(|row| row.end.is_none() && row.id.is_some()) {
            let why = row.waits.as_deref();
            let why = why.unwrap_or("`ecomctl queue list` shows what waits and how many workers there are");
            let reason = format!("not finished within {} s; {why}", limit.as_secs());
            row.end = Some(End::Unfinished(reason));
        }
    }

    pub(crate) fn all_succeeded(&self) -> bool {
        self.rows().iter().all(Row::succeeded)
    }

    /// One line: how far it is.
    pub(crate) fn progress(&self, elapsed: Duration) -> String {
        let rows = self.rows();
        let contents = || rows.iter().filter(|row| row.kind == CONTENT);
        let n_done = contents().filter(|row| row.end.is_some()).count();
        let mut line = format!("content {n_done} of {}", contents().count());
        let n_failed = contents().filter(|row| row.end.is_some() && !row.succeeded()).count();
        if n_failed > 0 {
            let _ = write!(line, " ({n_failed} failed)");
        }
        let waits = |row: &Row| row.waits.as_ref().filter(|_| row.end.is_none()).map(|why| one_line(why));
        if let Some(why) = contents().find_map(waits) {
            let _ = write!(line, ": {why}");
        }
        for row in rows.iter().filter(|row| row.kind != CONTENT) {
            let state = waits(row).map_or_else(|| format!(" {}", row.state()), |why| format!(": {why}"));
            let _ = write!(line, " · {}{state}", row.kind);
        }
        let _ = write!(line, " · {:.1} s", elapsed.as_secs_f64());
        line
    }

    /// The table, a summary, and each error in full.
    pub(crate) fn report(&self, elapsed: Duration, width: usize) -> String {
        let rows = self.rows();
        let columns = [
            ("job", Align::Left),
            ("state", Align::Left),
            ("provider", Align::Left),
            ("degraded", Align::Left),
            ("ms", Align::Right),
            ("result", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for row in rows.iter() {
            let job = row.job();
            let provider = job.and_then(|job| job.provider.clone()).unwrap_or_else(|| "-".to_owned());
            let degraded = job.map_or("-", |job| if job.degraded { "yes" } else { "no" });
            let ms = job.and_then(duration_ms).map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            table.row([row.name(), row.state().to_owned(), provider, degraded.to_owned(), ms, row.words()]);
        }
        let mut text = format!("{}\n{}\n", table.render(width), summary(&rows, elapsed));
        for row in rows.iter().filter(|row| !row.succeeded()) {
            let id = row.id.as_ref().map(|id| format!(", job {id}")).unwrap_or_default();
            let reason = row.end.as_ref().and_then(End::error);
            let reason = reason.unwrap_or_else(|| "not started, because one before it did not succeed".to_owned());
            let _ = writeln!(text, "{} {}{id}: {}: {}", row.kind, row.product_id, row.state(), printable(&reason));
        }
        text
    }

    pub(crate) fn to_json(&self, elapsed: Duration) -> Value {
        let rows = self.rows();
        let jobs = rows.iter().map(|row| {
            let job = row.job();
            json!({
                "kind": row.kind, "product_id": row.product_id, "id": row.id, "state": row.state(),
                "provider": job.and_then(|job| job.provider.as_ref()), "degraded": job.map(|job| job.degraded),
                "degraded_reason": job.and_then(|job| job.degraded_reason.as_ref()),
                "duration_ms": job.and_then(duration_ms), "result": job.and_then(|job| job.result.as_ref()),
                "error": row.end.as_ref().and_then(End::error),
            })
        });
        json!({
            "jobs": jobs.collect::<Vec<_>>(),
            "n_jobs": rows.len(),
            "n_succeeded": rows.iter().filter(|row| row.succeeded()).count(),
            "n_degraded": n_degraded(&rows),
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// No code panics while it holds the lock, so a poisoned one is as good.
    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn n_degraded(rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.job().is_some_and(|job| job.degraded)).count()
}

fn summary(rows: &[Row], elapsed: Duration) -> String {
    let n_succeeded = rows.iter().filter(|row| row.succeeded()).count();
    let n_failed = rows.len() - n_succeeded;
    format!(
        "{} jobs: {n_succeeded} succeeded ({} degraded), {n_failed} failed; {:.1} s",
        rows.len(),
        n_degraded(rows),
        elapsed.as_secs_f64()
    )
}

/// The first words of a result, by what a reader wants to know of it.
fn words(kind: &str, result: &Value) -> String {
    let words = match kind {
        CONTENT => result["title"].as_str().map(str::to_owned),
        "image" => image_words(result),
        "scrape" => pages(result).ok().map(|pages| {
            let prices: Vec<String> = pages.iter().map(price).collect();
            format!("{} pages: {}", pages.len(), prices.join(", "))
        }),
        _ => result["status"].as_str().map(|status| {
            let found = ["message_id", "url", "external_id"].into_iter().find_map(|name| result[name].as_str());
            format!("{status} {}", found.unwrap_or_default())
        }),
    };
    one_line(&words.unwrap_or_else(|| result.to_string()))
}

fn image_words(result: &Value) -> Option<String> {
    let images = result["images"].as_array()?;
    let first = images.first()?;
    let size = format!("{} × {}", first["width"].as_u64()?, first["height"].as_u64()?);
    Some(if images.len() == 1 {
        format!("{size} {}", result["model"].as_str()?)
    } else {
        format!("{} of {size}", images.len())
    })
}

/// The pages of a scrape's result.
pub(crate) fn pages(scrape: &Value) -> Result<&Vec<Value>, String> {
    scrape["pages"].as_array().ok_or_else(|| "the result of the scrape job has no pages".to_owned())
}

/// The price of a page in words.
pub(crate) fn price(page: &Value) -> String {
    let price = &page["price"];
    match (price["amount"].as_str(), price["currency"].as_str()) {
        (Some(amount), Some(currency)) => format!("{amount} {currency}"),
        (Some(amount), None) => amount.to_owned(),
        (None, _) if page["error"].is_string() => "not fetched".to_owned(),
        (None, _) => "no price".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{demo::chain::tests::products, tell::tests::job};
    use api::Problem;

    fn finished(state: &str, result: &Value) -> End {
        let fields = json!({ "state": state, "provider": "mock", "result": result,
            "created_at": "1970-01-01T00:00:00.000Z", "finished_at": "1970-01-01T00:00:00.042Z" });
        End::Finished(Box::new(job(&fields)))
    }

    #[test]
    fn a_finished_demo_is_shown_as_a_table() {
        let board = Board::new(&products(), vec![Ok("id-0".to_owned()), Ok("id-1".to_owned())]);
        assert_eq!(board.pending(), [(0, "id-0".to_owned()), (1, "id-1".to_owned())]);
        assert_eq!(
            board.progress(Duration::from_millis(1_250)),
            "content 0 of 2 · image not started · scrape not started · email not started · publication not started · 1.2 s"
        );
        let results = [
            json!({ "title": "Käse\nrund" }),
            json!({ "title": "Lampe" }),
            json!({ "model": "placeholder", "images": [{ "width": 64, "height": 32 }] }),
            json!({ "pages": [{ "price": { "amount": "5.20", "currency": "EUR" } }, { "price": null }] }),
            json!({ "status": "mock", "message_id": "<a@b>" }),
            json!({ "status": "mock", "external_id": "mock-1" }),
        ];
        for (row, result) in results.into_iter().enumerate() {
            assert_eq!(board.end(row, finished("succeeded", &result)), Some(result));
        }
        let expected = "\
job              state      provider  degraded  ms  result
content A-1      succeeded  mock      no        42  Käse rund
content A-2      succeeded  mock      no        42  Lampe
image A-1        succeeded  mock      no        42  64 × 32 placeholder
scrape A-1       succeeded  mock      no        42  2 pages: 5.20 EUR, no price
email A-1        succeeded  mock      no        42  mock <a@b>
publication A-1  succeeded  mock      no        42  mock mock-1

6 jobs: 6 succeeded (0 degraded), 0 failed; 2.0 s
";
        assert_eq!(board.report(Duration::from_secs(2), 100), expected);
        assert!(board.all_succeeded());
    }

    #[test]
    fn whatever_did_not_succeed_is_named_with_its_reason() {
        let problem = Problem { title: "invalid payload".into(), ..Problem::default() };
        let board = Board::new(&products(), vec![Ok("id-0".to_owned()), Err(problem)]);
        board.end(0, finished("succeeded", &json!({ "title": "Käse" })));
        board.begin(2, "id-2");
        board.end(2, finished("dead", &Value::Null));
        board.begin(3, "id-3");
        board.give_up(Duration::from_secs(300));
        let text = board.report(Duration::from_secs(2), 100);
        for line in [
            "6 jobs: 1 succeeded (0 degraded), 5 failed; 2.0 s",
            "content A-2: refused: invalid payload",
            "image A-1, job id-2: dead: no error was recorded",
            "scrape A-1, job id-3: unfinished: not finished within 300 s; `ecomctl queue list` shows what waits and how many workers there are",
            "email A-1: not started: not started, because one before it did not succeed",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(!board.all_succeeded());
        let json = board.to_json(Duration::from_secs(2));
        assert_eq!((&json["n_succeeded"], &json["jobs"][1]["error"]), (&json!(1), &json!("invalid payload")));
    }

    #[test]
    fn what_jobs_wait_for_is_told_while_they_wait_and_when_the_time_is_up() {
        let board = Board::new(&products(), vec![Ok("id-0".to_owned()), Ok("id-1".to_owned())]);
        board.end(0, finished("succeeded", &json!({ "title": "Käse" })));
        board.begin(4, "id-4");
        assert_eq!(board.first_pending(), [("content", "id-1".to_owned()), ("email", "id-4".to_owned())]);
        board.note("content", Some("queue content is paused"));
        board.note("email", Some("put off until 05:00:30 UTC: 535 wrong password"));
        let line = "content 1 of 2: queue content is paused · image not started · scrape not started · \
                    email: put off until 05:00:30 UTC: 535 wrong password · publication not started · 3.0 s";
        assert_eq!(board.progress(Duration::from_secs(3)), line);
        board.note("content", None);
        board.end(1, finished("succeeded", &json!({ "title": "Lampe" })));
        board.give_up(Duration::from_secs(9));
        let text = board.report(Duration::from_secs(9), 100);
        let told =
            "email A-1, job id-4: unfinished: not finished within 9 s; put off until 05:00:30 UTC: 535 wrong password";
        assert!(text.lines().any(|line| line == told), "{text}");
    }
}
