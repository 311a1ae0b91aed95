//! Lists of jobs in pages, and jobs that are run before their time.

use std::{collections::HashSet, time::Duration};

use queue::{Error, Failure, JobId, JobView, ListFilter, NewJob, Outcome, Position, Priority, State, Verdict};

use redis::AsyncCommands;

use crate::{
    on_both_servers,
    upkeep::n_calls,
    world::{QUEUE, START_MS, World, claim, claim_one, done, failed, id_bytes, job, settle},
};

const OTHER: &str = "letter";
const SECOND: Duration = Duration::from_secs(1);

/// A cursor goes through the hands of callers as text.
fn through_text(position: &Position) -> Position {
    serde_json::from_str(&serde_json::to_string(position).unwrap()).unwrap()
}

/// All pages; between two of them something happens.
async fn pages(
    world: &World,
    state: State,
    filter: &ListFilter,
    limit: usize,
    mut between: impl AsyncFnMut(),
) -> Vec<Vec<JobView>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = world.client.list(state, filter, after.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        pages.push(page.items);
        after = page.next.as_ref().map(through_text);
        if after.is_none() {
            return pages;
        }
        between().await;
    }
}

async fn all(world: &World, state: State, filter: &ListFilter, limit: usize) -> Vec<JobId> {
    let pages = pages(world, state, filter, limit, async || {}).await;
    pages.into_iter().flatten().map(|job| job.id).collect()
}

async fn push_many(world: &World, job: NewJob, n: usize) -> Vec<JobId> {
    world.client.push_many(vec![job; n]).await.into_iter().map(Result::unwrap).collect()
}

fn newest_first(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_by(|a, b| b.cmp(a));
    ids
}

async fn settle_all(world: &World, n: usize, verdict: fn() -> Verdict) {
    let session = world.session("a");
    let mut left = n;
    while left > 0 {
        let jobs = claim(&session, left).await;
        left -= jobs.len();
        let mut settlements = jobs.iter().map(|job| session.verdict(job, verdict(), 0).unwrap()).collect();
        assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    }
}

fn fatal() -> Verdict {
    Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")))
}

async fn every_state_is_listed_and_each_job_in_its_own(world: World) {
    let session = world.session("a");
    let push = async || {
        world.advance(SECOND);
        world.push().await
    };
    let (dead, retrying, running) = (push().await, push().await, push().await);
    let jobs = claim(&session, 3).await;
    assert!(settle(&session, &jobs[0], fatal()).await);
    assert!(settle(&session, &jobs[1], failed()).await);
    let ready = push().await;
    let cancelled = push().await;
    world.client.cancel(cancelled).await.unwrap();
    let later = NewJob { run_at_ms: Some(world.clock.now_ms() + 60_000), ..job() };
    let scheduled = world.client.push(later).await.unwrap();
    for (state, expected) in [
        (State::Dead, vec![dead]),
        (State::Retrying, vec![retrying]),
        (State::Running, vec![running]),
        (State::Ready, vec![ready]),
        (State::Scheduled, vec![scheduled]),
        (State::Waiting, vec![]),
        (State::Cancelled, vec![]),
        (State::Succeeded, vec![]),
        (State::Expired, vec![]),
    ] {
        assert_eq!(all(&world, state, &ListFilter::default(), 10).await, expected, "{state:?}");
    }
    let page = world.client.list(State::Running, &ListFilter::default(), None, 1).await.unwrap();
    assert_eq!((page.items[0].attempts[0].worker.as_str(), page.next), ("a/1", None));
    assert_eq!(page.items[0].payload["to"], "Zoë");
}

async fn ready_jobs_are_listed_newest_first_over_all_lists_and_queues(world: World) {
    let mut expected = Vec::new();
    for n in 0..60 {
        let priority = Priority::ALL[n % 4];
        let kind = if n % 3 == 0 { OTHER } else { QUEUE };
        let job = NewJob { priority, ..NewJob::new(kind, "{}") };
        expected.push(world.client.push(job).await.unwrap());
        world.advance(SECOND);
    }
    expected.reverse();
    for limit in [1, 7, 60, 200] {
        assert_eq!(all(&world, State::Ready, &ListFilter::default(), limit).await, expected, "{limit} a page");
    }
    let of_one = ListFilter { queue: Some(OTHER.to_owned()), ..ListFilter::default() };
    assert_eq!(all(&world, State::Ready, &of_one, 6).await.len(), 20);
    let of_none = ListFilter { queue: Some("nobody".to_owned()), ..ListFilter::default() };
    let error = world.client.list(State::Ready, &of_none, None, 10).await.unwrap_err();
    assert_eq!(error, Error::UnknownQueue("nobody".to_owned()));
}

async fn sorted_states_are_listed_by_time_also_when_all_times_are_the_same(world: World) {
    let at = |s: u64| NewJob { run_at_ms: Some(START_MS + s * 1000), ..job() };
    let mut expected = newest_first(push_many(&world, at(90), 5).await);
    expected.extend(newest_first(push_many(&world, at(60), 300).await));
    expected.extend(newest_first(push_many(&world, at(30), 3).await));
    for limit in [1, 7, 50, 200] {
        assert_eq!(all(&world, State::Scheduled, &ListFilter::default(), limit).await, expected, "{limit} a page");
    }
}

async fn a_sorted_page_begins_right_although_its_job_has_left(world: World) {
    let at = |s: u64| NewJob { run_at_ms: Some(START_MS + s * 1000), ..job() };
    let ids = newest_first(push_many(&world, at(60), 100).await);
    let first = world.client.list(State::Scheduled, &ListFilter::default(), None, 40).await.unwrap();
    for id in &ids[35..45] {
        world.client.cancel(*id).await.unwrap();
    }
    let next = first.next.as_ref().map(through_text);
    let second = world.client.list(State::Scheduled, &ListFilter::default(), next.as_ref(), 100).await.unwrap();
    assert_eq!(second.items.iter().map(|job| job.id).collect::<Vec<_>>(), ids[45..]);
    assert_eq!(second.next, None);
}

async fn pages_are_complete_and_list_nothing_twice_while_jobs_are_pushed_and_claimed(world: World) {
    let ids = push_many(&world, job(), 600).await;
    let session = world.session("a");
    let mut claimed = HashSet::new();
    let pages = pages(&world, State::Ready, &ListFilter::default(), 25, async || {
        push_many(&world, job(), 40).await;
        push_many(&world, NewJob { priority: Priority::High, ..job() }, 3).await;
        for job in claim(&session, 10).await {
            claimed.insert(job.id());
            assert!(settle(&session, &job, done()).await);
        }
    })
    .await;
    let listed: Vec<JobId> = pages.iter().flatten().map(|job| job.id).collect();
    let distinct: HashSet<JobId> = listed.iter().copied().collect();
    assert_eq!(listed.len(), distinct.len(), "nothing twice");
    for id in ids {
        assert!(distinct.contains(&id) || claimed.contains(&id), "{id} was waiting all the time");
    }
    assert!(pages.len() > 10);
}

async fn a_page_finds_its_place_after_more_pushes_than_are_looked_through_at_a_time(world: World) {
    let ids = newest_first(push_many(&world, job(), 50).await);
    world.advance(SECOND);
    let mut pushed = false;
    let pages = pages(&world, State::Ready, &ListFilter::default(), 20, async || {
        if !pushed {
            for _ in 0..25 {
                push_many(&world, job(), 1_000).await;
            }
        }
        pushed = true;
    })
    .await;
    assert!(pages.iter().any(Vec::is_empty), "it was searched for more than once");
    let mut listed: Vec<JobId> = pages.into_iter().flatten().map(|job| job.id).collect();
    listed.sort();
    listed.reverse();
    assert_eq!(listed, ids);
}

async fn a_list_whose_next_job_was_claimed_has_come_to_its_end(world: World) {
    push_many(&world, job(), 30).await;
    let first = world.client.list(State::Ready, &ListFilter::default(), None, 10).await.unwrap();
    settle_all(&world, 25, done).await;
    push_many(&world, job(), 5).await;
    let next = first.next.as_ref().map(through_text);
    let second = world.client.list(State::Ready, &ListFilter::default(), next.as_ref(), 10).await.unwrap();
    assert_eq!((second.items.len(), second.next), (0, None));
}

async fn a_page_looks_at_a_thousand_jobs_and_may_be_empty_where_few_pass_the_filter(world: World) {
    let rare = newest_first(push_many(&world, job(), 3).await);
    world.advance(SECOND);
    for _ in 0..3 {
        push_many(&world, job(), 1_000).await;
    }
    let filter = ListFilter { created_to_ms: Some(START_MS), ..ListFilter::default() };
    let pages = pages(&world, State::Ready, &filter, 50, async || {}).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 3]);
    assert_eq!(newest_first(pages[3].iter().map(|job| job.id).collect()), rare);
}

async fn lists_are_filtered_by_the_time_of_creation(world: World) {
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(world.push().await);
        world.advance(SECOND);
    }
    let filter = |from, to| ListFilter { created_from_ms: from, created_to_ms: to, ..ListFilter::default() };
    let listed = all(&world, State::Ready, &filter(Some(START_MS + 3_000), Some(START_MS + 5_000)), 2).await;
    assert_eq!(listed, [ids[5], ids[4], ids[3]]);
    assert_eq!(all(&world, State::Ready, &filter(Some(START_MS + 8_000), None), 2).await, [ids[9], ids[8]]);
    assert_eq!(all(&world, State::Ready, &filter(None, Some(START_MS)), 2).await, [ids[0]]);
}

/// How many commands that read were carried out, those inside scripts included.
async fn cost(world: &World) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut world.redis().await).await.unwrap();
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let measured = ["lrange", "lindex", "zrevrange", "zcount", "hget", "get", "zscore", "evalsha", "hgetall"];
        measured.contains(&name).then(|| rest.split(',').next()?.parse::<u64>().ok()).flatten()
    };
    stats.lines().filter_map(calls).sum()
}

async fn a_page_costs_the_same_at_any_depth(world: World) {
    // A server of its own, because its counters are read.
    let server = servers::RedisServer::start(world.kind);
    let world = World::at(world.kind, &server.url());
    for _ in 0..20 {
        push_many(&world, job(), 1_000).await;
        push_many(&world, NewJob { run_at_ms: Some(START_MS + 60_000), ..job() }, 1_000).await;
    }
    for state in [State::Ready, State::Scheduled] {
        let (mut after, mut costs) = (None, Vec::new());
        loop {
            let before = cost(&world).await;
            let page = world.client.list(state, &ListFilter::default(), after.as_ref(), 200).await.unwrap();
            costs.push(cost(&world).await - before);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(costs.len(), 100, "{state:?}");
        let (first, most) = (costs[0], costs.iter().max().unwrap());
        assert!(*most <= first + 30, "{state:?}: the first page took {first} commands, the dearest {most}");
    }
}

/// Pushes a job to each of `n` queues. They are listed in the opposite order.
async fn push_to_queues(world: &World, n: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for n in 0..n {
        ids.insert(0, world.client.push(NewJob::new(format!("queue-{n}"), "1")).await.unwrap());
        world.advance(SECOND);
    }
    ids
}

async fn a_page_of_ready_jobs_is_one_call_however_many_queues_there_are(world: World) {
    let server = servers::RedisServer::start(world.kind);
    for n in [1, 8] {
        let world = World::at(world.kind, &server.url());
        let ids = push_to_queues(&world, n).await;
        // The queues and the script are known then.
        assert_eq!(all(&world, State::Ready, &ListFilter::default(), 50).await, ids);
        let before = n_calls(&world).await;
        for _ in 0..10 {
            assert_eq!(all(&world, State::Ready, &ListFilter::default(), 50).await, ids);
        }
        assert_eq!(n_calls(&world).await - before, 10, "{n} queues");
    }
}

async fn in_a_cluster_a_page_of_ready_jobs_is_one_call_a_queue(world: World) {
    let (_server, url) = servers::Refusing::ClusterDown.server(world.kind);
    let world = World::at(world.kind, &url);
    let ids = push_to_queues(&world, 3).await;
    for limit in [1, 2, 50] {
        assert_eq!(all(&world, State::Ready, &ListFilter::default(), limit).await, ids, "{limit} a page");
    }
    let used = world.client.used_queues_and_front(&ListFilter::default(), 50).await.unwrap();
    let page = world.client.list_of(&used, State::Ready, &ListFilter::default(), None, 50).await.unwrap();
    assert_eq!(page.items.iter().map(|job| job.id).collect::<Vec<_>>(), ids);
    let before = n_calls(&world).await;
    assert_eq!(all(&world, State::Ready, &ListFilter::default(), 50).await, ids);
    assert_eq!(n_calls(&world).await - before, 3);
}

/// What lists of running and ready jobs begin with is as if they were asked for by themselves.
async fn the_front_of_lists_of_all_queues_comes_with_their_names(world: World) {
    let (filter, limit) = (ListFilter::default(), 4);
    let others = ListFilter { tenant: Some("quiet".to_owned()), ..ListFilter::default() };
    let mut ids = push_to_queues(&world, 3).await;
    let session = world.session("a");
    let claimed = session.claim("queue-0", 1).await.unwrap().jobs;
    assert_eq!(Some(claimed[0].id()), ids.pop());
    // Of queues that only another process knows, with a script that the server does not know, and with nothing to find out.
    let another = world.another_client();
    for _ in 0..3 {
        let used = another.used_queues_and_front(&filter, limit).await.unwrap();
        let running = another.list_of(&used, State::Running, &filter, None, limit).await.unwrap();
        assert_eq!(running.items.iter().map(|job| job.id).collect::<Vec<_>>(), [claimed[0].id()]);
        let first = another.list_of(&used, State::Ready, &filter, None, limit - 1).await.unwrap();
        assert_eq!(first.items.iter().map(|job| job.id).collect::<Vec<_>>(), ids[..ids.len().min(limit - 1)]);
        let next = another.list_of(&used, State::Ready, &filter, first.next.as_ref(), 50).await.unwrap();
        match first.next {
            Some(_) => assert_eq!(next.items.iter().map(|job| job.id).collect::<Vec<_>>(), ids[limit - 1..]),
            None => assert_eq!(next.items, first.items, "from the front again, which is asked for anew"),
        }
        assert_eq!(another.list_of(&used, State::Ready, &others, None, limit).await.unwrap().items, []);
        world.advance(SECOND);
        ids.insert(0, world.push().await);
    }
    let _: () = world.redis().await.set(world.key("claims"), "rubbish").await.unwrap();
    let used = another.used_queues_and_front(&filter, limit).await.unwrap();
    assert!(matches!(another.list_of(&used, State::Running, &filter, None, limit).await, Err(Error::Redis(_))));
    let of_one = ListFilter { queue: Some("queue-0".to_owned()), ..filter };
    assert_eq!(another.list_of(&used, State::Running, &of_one, None, limit).await.unwrap().items.len(), 1);
}

async fn a_listed_job_is_what_a_look_at_it_shows(world: World) {
    let session = world.session("a");
    // One that was run, one that was cancelled, and pages of two minutes.
    let retried = world.push().await;
    let claimed = claim_one(&session).await;
    assert!(settle(&session, &claimed, failed()).await);
    world.client.run_now(retried).await.unwrap();
    let cancelled = world.push().await;
    world.client.cancel(cancelled).await.unwrap();
    let mut ids = vec![retried];
    for n in 0..40 {
        world.advance(SECOND * 4);
        let priority = Priority::ALL[n % 4];
        ids.push(world.client.push(NewJob { priority, ..job() }).await.unwrap());
    }
    for limit in [7, 200] {
        let listed = pages(&world, State::Ready, &ListFilter::default(), limit, async || {}).await;
        let listed: Vec<JobView> = listed.into_iter().flatten().collect();
        assert_eq!(listed.len(), ids.len());
        for job in listed {
            assert_eq!(job, world.view(job.id).await);
            assert_eq!(job.attempts.len(), usize::from(job.id == retried));
        }
    }
}

async fn jobs_that_are_too_large_for_one_page_are_on_the_next(world: World) {
    let mut expected = Vec::new();
    for n in 0..20 {
        let kind = if n % 3 == 0 { OTHER } else { QUEUE };
        let payload = format!("\"{}\"", "x".repeat(600_000));
        expected.insert(0, world.client.push(NewJob::new(kind, payload)).await.unwrap());
        world.advance(SECOND);
    }
    let listed = pages(&world, State::Ready, &ListFilter::default(), 50, async || {}).await;
    assert!(listed.len() > 1 && listed.iter().all(|page| !page.is_empty()));
    assert_eq!(listed.into_iter().flatten().map(|job| job.id).collect::<Vec<_>>(), expected);
}

async fn what_is_no_id_in_a_list_of_ready_jobs_hides_no_job(world: World) {
    let before = push_many(&world, job(), 3).await;
    let foreign: [&[u8]; 4] = [b"", b"rubbish", &[7; 16], b"rubbish that is longer than an id"];
    let _: usize = world.redis().await.rpush(world.key("ready:1"), &foreign[..]).await.unwrap();
    world.advance(SECOND);
    let after = push_many(&world, job(), 3).await;
    let all: HashSet<JobId> = before.into_iter().chain(after).collect();
    for limit in [1, 2, 3, 4, 5, 6, 50] {
        let (mut listed, mut position) = (HashSet::new(), None);
        loop {
            let page = world.client.list(State::Ready, &ListFilter::default(), position.as_ref(), limit).await.unwrap();
            listed.extend(page.items.iter().map(|job| job.id));
            position = page.next;
            if position.is_none() {
                break;
            }
        }
        assert_eq!(listed, all, "{limit} a page");
    }
}

async fn a_cursor_of_another_list_is_refused(world: World) {
    push_many(&world, job(), 3).await;
    let page = world.client.list(State::Ready, &ListFilter::default(), None, 1).await.unwrap();
    for state in [State::Scheduled, State::Running, State::Dead, State::Succeeded] {
        let error = world.client.list(state, &ListFilter::default(), page.next.as_ref(), 1).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

async fn a_scheduled_job_is_run_at_once_when_told_to(world: World) {
    let later = NewJob { run_at_ms: Some(START_MS + 3_600_000), ..job() };
    let id = world.client.push(later).await.unwrap();
    world.advance(SECOND);
    let view = world.client.run_now(id).await.unwrap();
    assert_eq!((view.state, view.attempt, view.run_at.ms()), (State::Ready, 1, START_MS + 1_000));
    assert_eq!(world.client.run_now(id).await.unwrap(), view, "it is ready already");
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(matches!(world.client.run_now(id).await, Err(Error::Conflict("running"))));
    assert!(settle(&session, &job, done()).await);
    assert!(matches!(world.client.run_now(id).await, Err(Error::Conflict("succeeded"))));
    let view = world.view(id).await;
    assert!(view.run_at <= view.started_at.unwrap());
    for key in ["jobs", "scheduled", "history"] {
        assert_eq!(world.count(key).await, 0, "{key}");
    }
}

async fn a_retrying_job_that_is_run_now_keeps_its_count_of_attempts(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    for attempt in 1..=2 {
        let job = claim_one(&session).await;
        assert!(settle(&session, &job, failed()).await);
        let view = world.client.run_now(id).await.unwrap();
        assert_eq!((view.state, view.attempt, view.attempts.len()), (State::Ready, attempt + 1, attempt as usize));
    }
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, failed()).await);
    assert!(matches!(world.client.run_now(id).await, Err(Error::Conflict("dead"))));
    let unknown: JobId = "0199a1b2-0000-7000-8000-000000000001".parse().unwrap();
    assert!(matches!(world.client.run_now(unknown).await, Err(Error::NotFound)));
}

fn of(tenant: &str) -> NewJob {
    NewJob { tenant: tenant.to_owned(), ..job() }
}

fn only(tenant: &str) -> ListFilter {
    ListFilter { queue: Some(QUEUE.to_owned()), tenant: Some(tenant.to_owned()), ..ListFilter::default() }
}

async fn is_there(world: &World, key: &str) -> bool {
    redis::cmd("EXISTS").arg(world.key(key)).query_async(&mut world.redis().await).await.unwrap()
}

/// Whether a job is in the index of the tenant `quiet`.
async fn is_indexed(world: &World, id: JobId) -> bool {
    let mut zscore = redis::cmd("ZSCORE");
    zscore.arg(world.key("of:quiet")).arg(id_bytes(id));
    let score: Option<f64> = zscore.query_async(&mut world.redis().await).await.unwrap();
    score.is_some()
}

async fn a_tenants_pages_are_full_however_many_jobs_others_have_waiting(world: World) {
    let later = |tenant: &str| NewJob { run_at_ms: Some(world.clock.now_ms() + 60_000), ..of(tenant) };
    let mut quiet = Vec::new();
    for n in 0..5 {
        push_many(&world, of("loud"), 1_500).await;
        push_many(&world, NewJob { run_at_ms: Some(world.clock.now_ms() + 60_000), ..of("loud") }, 300).await;
        let priority = Priority::ALL[n % 4];
        quiet.push(world.client.push(NewJob { priority, ..of("quiet") }).await.unwrap());
        world.advance(SECOND);
    }
    push_many(&world, of("loud"), 1_500).await;
    let scheduled = world.client.push(later("quiet")).await.unwrap();

    let listed = pages(&world, State::Ready, &only("quiet"), 2, async || {}).await;
    assert_eq!(listed.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "full pages, or the last");
    let ids: Vec<JobId> = listed.into_iter().flatten().map(|job| job.id).collect();
    assert_eq!(ids, newest_first(quiet));
    for state in [State::Ready, State::Scheduled, State::Retrying, State::Dead] {
        let page = world.client.list(state, &only("nobody"), None, 50).await.unwrap();
        assert_eq!((page.items.len(), page.next), (0, None), "{state:?}: a tenant without jobs has one page");
    }
    assert_eq!(all(&world, State::Scheduled, &only("quiet"), 50).await, [scheduled]);
    assert_eq!(all(&world, State::Ready, &only("loud"), 200).await.len(), 9_000);
    assert_eq!(all(&world, State::Scheduled, &only("loud"), 200).await.len(), 1_500);
    // Of fewer that are scheduled than the tenant has, the scheduled are looked through, and this one is the last of them.
    let soon =
        world.client.push(NewJob { run_at_ms: Some(world.clock.now_ms() + 1_000), ..of("quiet") }).await.unwrap();
    push_many(&world, of("quiet"), 1_600).await;
    let listed = pages(&world, State::Scheduled, &only("quiet"), 50, async || {}).await;
    assert_eq!(listed.len(), 1, "full pages, or the last");
    assert_eq!(listed[0].iter().map(|job| job.id).collect::<Vec<_>>(), [scheduled, soon]);
}

/// Whichever are fewer are looked through: all jobs in the state, or the tenant's in any; of these a page looks at 5,000.
async fn a_tenants_few_jobs_in_a_state_are_found_beside_its_many_in_others_at_a_bounded_cost(world: World) {
    let few = newest_first(push_many(&world, of("loud"), 2).await);
    world.advance(SECOND);
    let later = NewJob { run_at_ms: Some(world.clock.now_ms() + 60_000), ..of("loud") };
    push_many(&world, later, 5_200).await;
    let page = world.client.list(State::Ready, &only("loud"), None, 50).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, None), "two jobs are ready, and they are looked through");

    push_many(&world, of("another"), 6_000).await;
    let first = world.client.list(State::Ready, &only("loud"), None, 50).await.unwrap();
    assert_eq!(first.items.len(), 0, "the first 5,000 of its jobs are in another state");
    let second = world.client.list(State::Ready, &only("loud"), first.next.as_ref(), 50).await.unwrap();
    assert_eq!(second.items.iter().map(|job| job.id).collect::<Vec<_>>(), few);
    assert_eq!((first.next.is_some(), second.next), (true, None));
}

async fn a_job_is_in_its_tenants_index_until_it_ends_and_again_when_it_is_retried(world: World) {
    let ids = push_many(&world, of("quiet"), 4).await;
    let session = world.session("a");
    let jobs = claim(&session, 4).await;
    for (job, verdict) in jobs.iter().zip([done(), done(), fatal()]) {
        assert!(settle(&session, job, verdict).await);
    }
    assert!(settle(&session, &jobs[3], Verdict::Cancelled).await);
    assert_eq!(all(&world, State::Dead, &only("quiet"), 10).await, [ids[2]]);
    let mut there = Vec::new();
    for id in &ids {
        there.push(is_indexed(&world, *id).await);
    }
    assert_eq!(there, [false, false, true, false], "only the dead one has not gone");

    world.client.retry(ids[3]).await.unwrap();
    assert_eq!(
        all(&world, State::Ready, &only("quiet"), 10).await,
        [ids[3]],
        "a cancelled job that is retried is back"
    );
    let waiting = world.client.push(of("quiet")).await.unwrap();
    world.client.cancel(waiting).await.unwrap();
    assert!(!is_indexed(&world, waiting).await, "one that is cancelled while it waits goes at once");
    world.client.cancel(ids[3]).await.unwrap();

    // Deleting a dead job leaves its id behind, for upkeep.
    assert_eq!(world.client.delete_dead(QUEUE, None).await.unwrap(), 1);
    assert!(is_there(&world, "of:quiet").await);
    session.upkeep(QUEUE, false).await.unwrap();
    assert!(!is_there(&world, "of:quiet").await && !is_there(&world, "tenants").await);
}

async fn a_list_takes_only_jobs_that_have_ended_out_of_the_index(world: World) {
    let waiting = world.client.push(of("quiet")).await.unwrap();
    let ended = world.client.push(of("quiet")).await.unwrap();
    world.client.cancel(ended).await.unwrap();
    let mut zadd = redis::cmd("ZADD");
    zadd.arg(world.key("of:quiet")).arg(0).arg(id_bytes(ended));
    let _: u64 = zadd.query_async(&mut world.redis().await).await.unwrap();
    for _ in 0..2 {
        assert_eq!(all(&world, State::Ready, &only("quiet"), 10).await, [waiting]);
        assert!(!is_indexed(&world, ended).await && is_indexed(&world, waiting).await);
    }
    // A retried job ends, is taken out of the index, and that is asked for once more when it runs again.
    world.client.retry(ended).await.unwrap();
    assert!(is_indexed(&world, ended).await);
}

async fn a_fixed_id_is_in_its_tenants_index(world: World) {
    let id = world.client.fixed_id(QUEUE, "nightly", START_MS).await.unwrap();
    for _ in 0..2 {
        world.client.push_fixed(vec![(id, of("quiet"))]).await[0].as_ref().unwrap();
    }
    push_many(&world, of("loud"), 10).await;
    assert_eq!(all(&world, State::Ready, &only("quiet"), 10).await, [id]);
}

async fn jobs_that_an_older_release_pushed_are_indexed_when_they_are_first_asked_for(world: World) {
    let mut quiet = Vec::new();
    for _ in 0..3 {
        quiet.insert(0, world.client.push(of("quiet")).await.unwrap());
        world.advance(SECOND);
    }
    push_many(&world, of("loud"), 2_500).await;
    // What such a release did not write.
    let keys: Vec<String> = ["indexed", "tenants", "of:quiet", "of:loud"].map(|key| world.key(key)).to_vec();
    let _: u64 = redis::cmd("DEL").arg(keys).query_async(&mut world.redis().await).await.unwrap();
    // Without an index, the jobs of all are looked through.
    assert_eq!(all(&world, State::Ready, &only("quiet"), 10).await, quiet);
    servers::wait_until("all jobs are indexed", Duration::from_secs(60), async || is_there(&world, "indexed").await)
        .await;
    let listed = pages(&world, State::Ready, &only("quiet"), 2, async || {}).await;
    assert_eq!(listed.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(listed.into_iter().flatten().map(|job| job.id).collect::<Vec<_>>(), quiet);
}

on_both_servers!(
    a_tenants_pages_are_full_however_many_jobs_others_have_waiting,
    a_tenants_few_jobs_in_a_state_are_found_beside_its_many_in_others_at_a_bounded_cost,
    a_job_is_in_its_tenants_index_until_it_ends_and_again_when_it_is_retried,
    a_list_takes_only_jobs_that_have_ended_out_of_the_index,
    a_fixed_id_is_in_its_tenants_index,
    jobs_that_an_older_release_pushed_are_indexed_when_they_are_first_asked_for,
    every_state_is_listed_and_each_job_in_its_own,
    ready_jobs_are_listed_newest_first_over_all_lists_and_queues,
    sorted_states_are_listed_by_time_also_when_all_times_are_the_same,
    a_sorted_page_begins_right_although_its_job_has_left,
    pages_are_complete_and_list_nothing_twice_while_jobs_are_pushed_and_claimed,
    a_page_finds_its_place_after_more_pushes_than_are_looked_through_at_a_time,
    a_list_whose_next_job_was_claimed_has_come_to_its_end,
    a_page_looks_at_a_thousand_jobs_and_may_be_empty_where_few_pass_the_filter,
    lists_are_filtered_by_the_time_of_creation,
    a_page_costs_the_same_at_any_depth,
    a_page_of_ready_jobs_is_one_call_however_many_queues_there_are,
    in_a_cluster_a_page_of_ready_jobs_is_one_call_a_queue,
    the_front_of_lists_of_all_queues_comes_with_their_names,
    a_listed_job_is_what_a_look_at_it_shows,
    jobs_that_are_too_large_for_one_page_are_on_the_next,
    what_is_no_id_in_a_list_of_ready_jobs_hides_no_job,
    a_cursor_of_another_list_is_refused,
    a_scheduled_job_is_run_at_once_when_told_to,
    a_retrying_job_that_is_run_now_keeps_its_count_of_attempts,
);
