//! Lists of jobs: those that have not ended and the dead ones from Redis, the others from MongoDB.
//!
//! A list is a row of sections, each newest first. A page begins where the cursor says, in one section, and goes on into the next
//! ones until it is full or has looked at enough.

use api::Timestamp;
use axum::extract::{RawQuery, State as Extract};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use queue::{JobId, ListFilter, Position, State, UsedQueues};
use serde::{Deserialize, Serialize};
use store::{PastPage, PastQuery, words};

use crate::{
    answer::{Job, Page, Problem, Type, live, past, state},
    auth::{Caller, Scope},
    find,
    request::{self, Parameters},
    state::App,
    together::Question,
};

type JobPage = api::JobPage<queue::Json>;

/// A page looks at so many jobs of the history at most, however few of them it shows.
const MOST_EXAMINED: usize = 1_000;
/// More kinds than this are not named to MongoDB, which then has fewer ways to look.
const MOST_KINDS: usize = 40;
const ENDS: [State; 4] = [State::Succeeded, State::Dead, State::Cancelled, State::Expired];
const STATES: [State; 9] = [
    State::Scheduled,
    State::Ready,
    State::Running,
    State::Retrying,
    State::Waiting,
    State::Succeeded,
    State::Dead,
    State::Cancelled,
    State::Expired,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    kind: Option<String>,
    queue: Option<String>,
    state: Option<String>,
    tenant: Option<String>,
    created_from: Option<String>,
    created_to: Option<String>,
    q: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A part of a list that one place holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Section {
    /// In this state, from Redis.
    #[serde(rename = "l")]
    Live(State),
    /// Ended, from the history.
    #[serde(rename = "p")]
    Past,
    /// The job that holds the unique key that is looked for.
    #[serde(rename = "h")]
    Holder,
    /// Ended, with the unique key that is looked for.
    #[serde(rename = "k")]
    PastKey,
    /// Ended, with the words that are looked for in its errors.
    #[serde(rename = "w")]
    PastWords,
}

/// Where a page ended; callers see it as one opaque text.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "s")]
    section: Section,
    /// In a section from Redis.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    /// In a section from the history: behind this id.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// When the first page was made, in Unix milliseconds.
    #[serde(rename = "t")]
    began_ms: u64,
}

impl Cursor {
    fn text(&self) -> Option<String> {
        Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?))
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let json = URL_SAFE_NO_PAD.decode(text).ok();
        json.and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(bad_cursor)
    }
}

fn bad_cursor() -> Problem {
    request::bad_parameter("cursor", "must be a next_cursor of this list, with the same filters")
}

/// What a section gives to a page.
#[derive(Default)]
struct Partial {
    jobs: Vec<Job>,
    /// Where the section goes on.
    position: Option<Position>,
    after: Option<String>,
}

/// What is asked for, understood.
struct Listing<'a> {
    app: &'a App,
    used: UsedQueues,
    filter: ListFilter,
    /// Whose unique keys are meant.
    tenant: String,
    state: Option<State>,
    text: String,
    /// On a page that is not the first: when the first one was made.
    began_ms: Option<u64>,
}

/// Lists jobs.
///
/// Without `state`, those come first that have not ended (running, ready, retrying, scheduled), then the dead ones, then what else has
/// ended. Running and ended jobs are in the order of their creation, ready ones in that of their queue, the scheduled, retrying and
/// dead ones in that of their time; the newest is first. Ended jobs appear some seconds after their end.
///
/// Of one tenant (other than `default`) the unfinished and dead jobs are found by an index, however many others have waiting: the ready,
/// scheduled, retrying and dead ones are then in the order of their creation.
///
/// A page looks at a limited number of jobs. Where few of them pass the filters it may be short, or even empty, and still have a
/// `next_cursor`: only `next_cursor: null` is the end. A job that stays in its state is listed once, whatever else happens between two
/// pages; one that changes its state meanwhile may be left out.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs",
    params(
        ("kind" = Option<String>, Query, description = "Only of this kind"),
        ("queue" = Option<String>, Query, description = "Only in this queue"),
        ("state" = Option<api::State>, Query, description = "Only in this state"),
        ("tenant" = Option<String>, Query, description = "Only of this tenant; others than the token's own need `admin`, who sees all if absent"),
        ("created_from" = Option<DateTime<Utc>>, Query, description = "Only those created then or later"),
        ("created_to" = Option<DateTime<Utc>>, Query, description = "Only those created then or before"),
        ("q" = Option<String>, Query, description = "The id of a job, its unique key (of `tenant`, or the token's own), or words that the errors of an ended or dead job all have"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; the filters must be the same"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50 if absent"),
    ),
    responses((status = 200, description = "A page", body = api::JobPage))
)]
pub(crate) async fn list(
    Extract(app): Extract<App>,
    caller: Caller,
    RawQuery(text): RawQuery,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Page, Problem> {
    caller.require(Scope::JobsRead)?;
    let question = Question { query: text, tenant: caller.tenant.clone(), of_all: caller.is_admin() };
    let its_app = app.clone();
    app.lists.answer(question, move || async move { answer(&its_app, &caller, query).await }).await
}

async fn answer(app: &App, caller: &Caller, query: ListQuery) -> Result<Page, Problem> {
    let page = read_page(app, caller, query).await?;
    Page::new(&page).map_err(|error| Problem::new(Type::Internal, format!("the page of jobs is no JSON: {error}")))
}

async fn read_page(app: &App, caller: &Caller, query: ListQuery) -> Result<JobPage, Problem> {
    let limit = request::page_size(query.limit)?;
    let cursor = query.cursor.as_deref().map(Cursor::read).transpose()?;
    let Some(mut listing) = Listing::read(app, caller, query, limit).await? else {
        return Ok(page(Vec::new(), None));
    };
    if listing.text.parse::<JobId>().is_ok() {
        return listing.one(caller).await;
    }
    listing.began_ms = cursor.as_ref().map(|cursor| cursor.began_ms);
    listing.page(cursor, limit).await
}

impl<'a> Listing<'a> {
    /// `None` when nothing can match.
    async fn read(app: &'a App, caller: &Caller, query: ListQuery, limit: usize) -> Result<Option<Self>, Problem> {
        let state = query.state.as_deref().map(read_state).transpose()?;
        let created_from_ms = query.created_from.as_deref().map(|text| read_time("created_from", text)).transpose()?;
        let created_to_ms = query.created_to.as_deref().map(|text| read_time("created_to", text)).transpose()?;
        let text = query.q.unwrap_or_default().trim().to_owned();
        let tenant = caller.tenants_of(query.tenant)?;
        // A queue is named like its kind.
        let filter = ListFilter {
            queue: query.kind.clone().or_else(|| query.queue.clone()),
            tenant: tenant.clone(),
            created_from_ms,
            created_to_ms,
        };
        let begins_live = text.is_empty() && state.is_none() && query.cursor.is_none();
        let used = match begins_live {
            true => app.client.used_queues_and_front(&filter, limit).await?,
            false => app.client.used_queues().await?,
        };
        for (parameter, name) in [("kind", &query.kind), ("queue", &query.queue)] {
            let Some(name) = name else { continue };
            let names = app.client.names_with(&used);
            if !names.contains(name) {
                return Err(request::bad_parameter(parameter, &format!("must be one of {}", names.join(", "))));
            }
        }
        if query.kind.is_some() && query.queue.is_some() && query.kind != query.queue {
            return Ok(None);
        }
        Ok(Some(Self {
            app,
            used,
            tenant: tenant.unwrap_or_else(|| caller.tenant.clone()),
            filter,
            state,
            text,
            began_ms: None,
        }))
    }

    /// The parts of this list, in their order.
    fn sections(&self) -> Vec<Section> {
        use Section::{Holder, Live, Past, PastKey, PastWords};
        if !self.text.is_empty() {
            return if words(&self.text).is_empty() { vec![Holder, PastKey] } else { vec![Holder, PastKey, PastWords] };
        }
        match self.state {
            None => {
                let live = [State::Running, State::Ready, State::Retrying, State::Scheduled, State::Dead];
                live.into_iter().map(Live).chain([Past]).collect()
            }
            Some(State::Dead) => vec![Live(State::Dead), Past],
            Some(state) if state.is_finished() => vec![Past],
            Some(state) => vec![Live(state)],
        }
    }

    /// The page with the one job whose id was asked for.
    async fn one(&self, caller: &Caller) -> Result<JobPage, Problem> {
        let found = find::job(self.app, caller, &self.text).await;
        let items = match found {
            Ok(job) if self.passes(&job) => vec![find::with_result(self.app, job).await?],
            Ok(_) => Vec::new(),
            Err(problem) if problem.is_not_found() => Vec::new(),
            Err(problem) => return Err(problem),
        };
        Ok(page(items, None))
    }

    fn passes(&self, job: &Job) -> bool {
        self.state.is_none_or(|wanted| state(wanted) == job.state)
            && self.filter.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            && self.filter.tenant.as_ref().is_none_or(|tenant| *tenant == job.tenant)
            && self.filter.takes_time_of(job.id.0.into())
    }

    async fn page(&self, cursor: Option<Cursor>, limit: usize) -> Result<JobPage, Problem> {
        let began_ms = self.began_ms.unwrap_or_else(|| u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0));
        let at = |section, position, after| Cursor { section, position, after, began_ms }.text();
        let (first, mut position, mut after) = match cursor {
            Some(cursor) => (Some(cursor.section), cursor.position, cursor.after),
            None => (None, None, None),
        };
        let sections = self.sections();
        let first = match first {
            Some(first) => sections.iter().position(|section| *section == first).ok_or_else(bad_cursor)?,
            None => 0,
        };
        let mut items: Vec<Job> = Vec::new();
        for section in &sections[first..] {
            if items.len() == limit {
                return Ok(page(items, at(*section, None, None)));
            }
            let n = limit - items.len();
            let part = match section {
                Section::Live(state) => self.live(*state, position.take(), n).await,
                Section::Holder => self.holder().await,
                Section::Past | Section::PastKey | Section::PastWords => self.past(*section, after.take(), n).await,
            };
            let part = match part {
                Ok(part) => part,
                // What is there is shown; only who asks for the history hears that it is away.
                Err(problem) if problem.is_store_unavailable() && !items.is_empty() => {
                    return Ok(page(items, at(*section, None, None)));
                }
                Err(problem) => return Err(problem),
            };
            if items.is_empty() {
                items = part.jobs;
            } else {
                items.extend(part.jobs);
            }
            if part.position.is_some() || part.after.is_some() {
                return Ok(page(items, at(*section, part.position, part.after)));
            }
        }
        Ok(page(items, None))
    }

    async fn live(&self, state: State, position: Option<Position>, n: usize) -> Result<Partial, Problem> {
        let page = self.app.client.list_of(&self.used, state, &self.filter, position.as_ref(), n).await;
        let page = page.map_err(|error| match error {
            queue::Error::Invalid(_) => bad_cursor(),
            error => error.into(),
        })?;
        let jobs = page.items.into_iter().map(live);
        let jobs = jobs.filter(|job| self.state.is_some() || !self.is_newer_than_list(job)).collect();
        Ok(Partial { jobs, position: page.next, after: None })
    }

    /// Whether a job came into its state when the first page had been made: then it may have been on a page already.
    fn is_newer_than_list(&self, job: &Job) -> bool {
        let last = job.attempts.last().and_then(|attempt| attempt.finished_at);
        let changed = job.finished_at.max(last).max(job.snoozes.last_at);
        self.began_ms.is_some_and(|began_ms| changed.is_some_and(|at| at > Timestamp::from_ms(began_ms)))
    }

    async fn holder(&self) -> Result<Partial, Problem> {
        let Some(id) = self.app.client.holder(&self.tenant, &self.text).await? else { return Ok(Partial::default()) };
        let job = self.app.client.find(id).await?.map(live);
        let jobs = job.filter(|job| !job.state.is_finished() && self.passes(job)).into_iter().collect();
        Ok(Partial { jobs, ..Partial::default() })
    }

    async fn past(&self, section: Section, after: Option<String>, n: usize) -> Result<Partial, Problem> {
        let store = self.app.open_store()?;
        let states = self.state.map_or(ENDS.to_vec(), |state| vec![state]);
        let of_key = (section == Section::PastKey).then(|| self.tenant.clone());
        let mut query = PastQuery {
            tenant: of_key.or_else(|| self.filter.tenant.clone()),
            kinds: self.kinds(),
            states: states.into_iter().map(|state| state.name().to_owned()).collect(),
            created_from_ms: self.filter.created_from_ms,
            created_to_ms: self.filter.created_to_ms,
            unique_key: (section == Section::PastKey).then(|| self.text.clone()),
            words: if section == Section::PastWords { words(&self.text) } else { Vec::new() },
            after,
        };
        let (mut jobs, mut n_examined) = (Vec::new(), 0);
        loop {
            let n_wanted = n - jobs.len();
            let PastPage { jobs: found, next } =
                store.past_jobs(&query, n_wanted).await.map_err(Problem::store_away)?;
            n_examined += n_wanted;
            query.after = next;
            jobs.extend(self.shown(section, found.into_iter().filter_map(past).collect()).await?);
            if query.after.is_none() || jobs.len() == n || n_examined >= MOST_EXAMINED {
                let jobs = find::with_results(self.app, jobs).await?;
                return Ok(Partial { jobs, position: None, after: query.after });
            }
        }
    }

    /// The kinds that are named to MongoDB; a queue is named like its kind.
    fn kinds(&self) -> Vec<String> {
        let kinds = || self.app.client.names_with(&self.used);
        let kinds = self.filter.queue.clone().map_or_else(kinds, |queue| vec![queue]);
        if kinds.len() > MOST_KINDS { Vec::new() } else { kinds }
    }

    /// Leaves out what another section shows, and what has been brought back to life since.
    async fn shown(&self, section: Section, mut jobs: Vec<Job>) -> Result<Vec<Job>, Problem> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id.0.into()).collect();
        let in_queue = self.app.client.in_queue(&ids).await?;
        jobs.retain(|job| match (in_queue.get(&job.id.0.into()), section) {
            (Some(false), _) | (Some(true), Section::Past) => false,
            (_, Section::PastWords) => job.unique_key.as_ref() != Some(&self.text),
            _ => self.state.is_some() || !self.is_newer_than_list(job),
        });
        Ok(jobs)
    }
}

fn page(items: Vec<Job>, next_cursor: Option<String>) -> JobPage {
    JobPage { items, next_cursor }
}

fn read_state(name: &str) -> Result<State, Problem> {
    let state = STATES.into_iter().find(|state| state.name() == name);
    state.ok_or_else(|| {
        let names: Vec<_> = STATES.iter().map(|state| state.name()).collect();
        request::bad_parameter("state", &format!("must be one of {}", names.join(", ")))
    })
}

fn read_time(parameter: &str, text: &str) -> Result<u64, Problem> {
    let ms = u64::try_from(request::time(parameter, text)?.timestamp_millis());
    ms.map_err(|_| request::bad_parameter(parameter, "must not be before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_rubbish_is_refused() {
        let section = Section::Live(State::Dead);
        let text = Cursor { section, position: None, after: Some("0199".to_owned()), began_ms: 7 }.text().unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        let read = Cursor::read(&text).unwrap();
        assert_eq!((read.section, read.after.as_deref(), read.began_ms), (section, Some("0199"), 7));
        for rubbish in ["", "rubbish", "%%%", &text[1..], &URL_SAFE_NO_PAD.encode("{}")] {
            assert!(Cursor::read(rubbish).is_err(), "{rubbish}");
        }
    }

    #[test]
    fn times_are_read_with_their_zone() {
        assert_eq!(read_time("created_from", "1970-01-01T01:00:00+01:00").ok(), Some(0));
        assert!(read_time("created_from", "yesterday").is_err());
        assert!(read_time("created_from", "1969-01-01T00:00:00Z").is_err());
    }
}
