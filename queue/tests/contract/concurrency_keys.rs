//! Of the jobs of one concurrency key one runs at a time.

use std::time::Duration;

use futures::future::join_all;
use queue::{Claimed, ConcurrencyKey, Outcome, Session, State, Success, Verdict};
use redis::AsyncCommands;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    on_both_servers,
    world::{World, claim, claim_one, id_bytes, job, settle},
};

pub(crate) const LEASE: Duration = Duration::from_secs(12);
pub(crate) const KEY: &str = "shop 7, mug";

/// The work of a job that has a key.
pub(crate) struct Working {
    pub(crate) go: oneshot::Sender<()>,
    pub(crate) running: JoinHandle<Result<(), Outcome>>,
}

/// Begins the work of a job, unless it is put off.
pub(crate) async fn begin(job: &Claimed, key: impl Into<ConcurrencyKey>) -> Result<Working, Outcome> {
    let key = key.into();
    let (began, has_begun) = oneshot::channel();
    let (go, may_end) = oneshot::channel::<()>();
    let job = job.clone();
    let running = tokio::spawn(async move {
        let work = async {
            began.send(()).unwrap();
            let _ = may_end.await;
        };
        job.alone(key, work).await
    });
    match has_begun.await {
        Ok(()) => Ok(Working { go, running }),
        Err(_) => Err(running.await.unwrap().unwrap_err()),
    }
}

impl Working {
    pub(crate) async fn end(self, session: &Session) {
        self.go.send(()).unwrap();
        self.running.await.unwrap().unwrap();
        session.locks_at_rest().await;
    }

    /// What it answers when it is stopped.
    async fn stopped(self) -> Outcome {
        let stopped = tokio::time::timeout(Duration::from_secs(10), self.running).await;
        stopped.expect("it is stopped").unwrap().unwrap_err()
    }
}

pub(crate) fn after(outcome: &Outcome) -> Duration {
    let Outcome::Snooze { error, after, .. } = outcome else { panic!("it is put off: {outcome:?}") };
    assert_eq!(error.code, "concurrency_key");
    *after
}

/// Has a job meet the key in other hands, and puts it off.
pub(crate) async fn put_off(session: &Session, job: &Claimed) -> Duration {
    let outcome = job.alone(KEY, async { panic!("another has the key") }).await.unwrap_err();
    let after = after(&outcome);
    assert!(settle(session, job, Verdict::Ran(outcome)).await);
    after
}

/// Pushes jobs one after the other, and claims them: in the order of their ids.
pub(crate) async fn claim_new(world: &World, session: &Session, n: usize) -> Vec<Claimed> {
    for _ in 0..n {
        world.advance(Duration::from_millis(1));
        world.push().await;
    }
    let jobs = claim(session, n).await;
    assert_eq!(jobs.len(), n);
    assert!(jobs.is_sorted_by_key(Claimed::id));
    jobs
}

async fn keys_of_locks(world: &World) -> Vec<String> {
    world.redis().await.keys(format!("{}:{{concurrency.*", world.prefix)).await.unwrap()
}

async fn a_job_that_meets_its_key_in_other_hands_is_put_off_without_an_attempt(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    let outcome = jobs[1].alone(KEY, async {}).await.unwrap_err();
    assert_eq!(after(&outcome), Duration::from_secs(1));
    let Outcome::Snooze { error, .. } = &outcome else { panic!() };
    assert!(error.message.contains(KEY) && error.message.contains(&jobs[0].id().to_string()), "{}", error.message);
    assert!(settle(&a, &jobs[1], Verdict::Ran(outcome)).await);
    let view = world.view(jobs[1].id()).await;
    assert_eq!((view.state, view.attempt, view.attempts.len(), view.snoozes.count), (State::Scheduled, 1, 0, 1));
    assert_eq!(view.snoozes.last_code.as_deref(), Some("concurrency_key"));

    let beside = claim_new(&world, &b, 2).await;
    begin(&beside[0], "another key").await.unwrap().end(&b).await;
    let mut of_another = job();
    of_another.tenant = "zoe".to_owned();
    world.client.push(of_another).await.unwrap();
    begin(&claim_one(&b).await, KEY).await.unwrap().end(&b).await;
    put_off(&b, &beside[1]).await;

    first.end(&a).await;
    assert_eq!(world.state(jobs[1].id()).await, State::Ready, "the next is told");
    assert_eq!(world.state(beside[1].id()).await, State::Scheduled, "and no other");
    for id in [jobs[1].id(), beside[1].id()] {
        let next = claim_one(&b).await;
        assert_eq!(next.id(), id);
        begin(&next, KEY).await.unwrap().end(&b).await;
    }
    assert_eq!(keys_of_locks(&world).await, Vec::<String>::new(), "nothing is left of it");
}

async fn a_key_of_all_is_one_for_every_tenant(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let first = begin(&claim_new(&world, &a, 1).await[0], ConcurrencyKey::of_all(KEY)).await.unwrap();
    let of_zoe = async || {
        let mut of_zoe = job();
        of_zoe.tenant = "zoe".to_owned();
        world.client.push(of_zoe).await.unwrap();
        claim_one(&b).await
    };
    // A tenant's own key of the same word is another one.
    begin(&of_zoe().await, ConcurrencyKey::of_tenant(KEY)).await.unwrap().end(&b).await;
    let waits = of_zoe().await;
    let outcome = begin(&waits, ConcurrencyKey::of_all(KEY)).await.err().unwrap();
    assert_eq!(after(&outcome), Duration::from_secs(1));
    assert!(settle(&b, &waits, Verdict::Ran(outcome)).await);
    first.end(&a).await;
    assert_eq!(world.state(waits.id()).await, State::Ready, "the next is told, whosever it is");
    begin(&claim_one(&b).await, ConcurrencyKey::of_all(KEY)).await.unwrap().end(&b).await;
    let left: Vec<String> = world.redis().await.keys(format!("{}:{{concurrency*", world.prefix)).await.unwrap();
    assert_eq!(left, Vec::<String>::new());
}

async fn of_many_keys_in_the_middle_of_the_work_those_that_are_free_are_had(world: World) {
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 3).await;
    let other = begin(&jobs[1], "b").await.unwrap();
    let keys: Vec<ConcurrencyKey> = ["a", "b", "c", "a"].into_iter().map(ConcurrencyKey::from).collect();
    let mut taken = jobs[0].keys().take(&keys).await;
    assert_eq!(taken.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true], "its own is no other's");
    let busy = taken[1].as_ref().unwrap_err();
    assert!(busy.message.contains(&jobs[1].id().to_string()) && busy.after == Duration::from_secs(1), "{busy:?}");
    assert!(begin(&jobs[2], "a").await.is_err());
    // It comes first now, by its id.
    other.end(&session).await;
    assert!(jobs[0].keys().take(&keys[1..2]).await[0].is_ok());
    // As long as its lease is renewed.
    world.advance(LEASE / 2);
    session.renew().await.unwrap();
    world.advance(LEASE / 2 + Duration::from_millis(1));
    assert!(begin(&jobs[2], "c").await.is_err());
    drop(taken.drain(..));
    session.locks_at_rest().await;
    begin(&jobs[2], "c").await.unwrap().end(&session).await;
}

async fn of_the_jobs_that_wait_for_a_key_the_lowest_id_comes_first_and_before_all_that_are_ready(world: World) {
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 5).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    // They meet the key in another order.
    for at in [3, 1, 4, 2] {
        put_off(&session, &jobs[at]).await;
    }
    for _ in 0..5 {
        world.advance(Duration::from_millis(1));
        world.push().await;
    }
    let mut has = first;
    for job in &jobs[1..] {
        has.end(&session).await;
        let next = claim_one(&session).await;
        assert_eq!(next.id(), job.id());
        has = begin(&next, KEY).await.unwrap();
    }
    // While another is to come first, the free key is nobody else's.
    let new = claim(&session, 5).await;
    put_off(&session, &new[0]).await;
    has.end(&session).await;
    assert!(put_off(&session, &new[1]).await >= Duration::from_secs(1), "it came in between");
    let next = claim_one(&session).await;
    assert_eq!(next.id(), new[0].id());
    begin(&next, KEY).await.unwrap().end(&session).await;
}

async fn the_key_of_a_job_whose_worker_died_is_free_when_its_lease_would_be(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let dead = begin(&jobs[0], KEY).await.unwrap();
    put_off(&a, &jobs[1]).await;
    for _ in 0..5 {
        world.advance(LEASE / 3);
        a.renew().await.unwrap();
        put_off(&b, &claim_one(&b).await).await;
    }
    // Nobody renews it any more, nor lets it go.
    world.advance(LEASE - Duration::from_millis(1));
    put_off(&b, &claim_one(&b).await).await;
    world.advance(Duration::from_secs(1));
    let next = claim_one(&b).await;
    assert_eq!(next.id(), jobs[1].id());
    begin(&next, KEY).await.unwrap().end(&b).await;
    drop(dead);
}

async fn a_job_takes_its_own_key_over_from_its_earlier_run(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let earlier = begin(&jobs[0], KEY).await.unwrap();
    assert!(settle(&a, &jobs[0], Verdict::HandedBack { started: true }).await);
    let again = claim_one(&b).await;
    assert_eq!(again.id(), jobs[0].id());
    let later = begin(&again, KEY).await.unwrap();
    a.renew().await.unwrap();
    after(&earlier.stopped().await);
    a.locks_at_rest().await;
    put_off(&a, &jobs[1]).await;
    b.renew().await.unwrap();
    later.end(&b).await;
}

async fn a_lost_key_stops_the_handler_at_once_and_uses_no_attempt(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    put_off(&a, &jobs[1]).await;
    world.advance(LEASE);
    let second = begin(&claim_one(&b).await, KEY).await.unwrap();
    assert_eq!(a.renew().await.unwrap(), 0, "the lease of its claim is not lost");
    let outcome = first.stopped().await;
    after(&outcome);
    assert!(settle(&a, &jobs[0], Verdict::Ran(outcome)).await);
    let view = world.view(jobs[0].id()).await;
    assert_eq!((view.state, view.attempt, view.attempts.len()), (State::Scheduled, 1, 0));
    b.renew().await.unwrap();
    second.end(&b).await;
}

async fn who_lets_a_key_go_too_late_does_not_free_anothers(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 3).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    put_off(&a, &jobs[1]).await;
    world.advance(LEASE);
    let second = begin(&claim_one(&b).await, KEY).await.unwrap();
    first.end(&a).await;
    put_off(&a, &jobs[2]).await;
    assert_eq!(b.renew().await.unwrap(), 0);
    second.end(&b).await;
    assert_eq!(world.state(jobs[2].id()).await, State::Ready);
}

async fn a_job_that_waits_for_a_key_keeps_its_draft(world: World) {
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 2).await;
    let draft = Success::new(b"weighed, and not written down".to_vec());
    let error = queue::Failure::new("store_unavailable", "the book is away");
    let snooze = Outcome::Snooze { error, after: Duration::from_secs(1), draft: Some(draft.clone()) };
    assert!(settle(&session, &jobs[1], Verdict::Ran(snooze)).await);
    let first = begin(&jobs[0], KEY).await.unwrap();
    world.advance(Duration::from_secs(1));
    put_off(&session, &claim_one(&session).await).await;
    first.end(&session).await;
    let next = claim_one(&session).await;
    assert_eq!((next.id(), next.draft()), (jobs[1].id(), Some(draft)));
    begin(&next, KEY).await.unwrap().end(&session).await;
}

async fn jobs_that_wait_for_a_key_and_never_come_hold_up_nobody(world: World) {
    let session = world.session("a");
    let first = claim_new(&world, &session, 1).await.remove(0);
    let mut soon_over = job();
    soon_over.expires_at_ms = Some(world.clock.now_ms() + 10_000);
    world.advance(Duration::from_millis(1));
    world.client.push(soon_over).await.unwrap();
    let expires = claim_one(&session).await;
    let jobs = claim_new(&world, &session, 202).await;
    let has = begin(&first, KEY).await.unwrap();
    put_off(&session, &expires).await;
    for waiting in &jobs[..201] {
        put_off(&session, waiting).await;
    }
    for cancelled in &jobs[..200] {
        world.client.cancel(cancelled.id()).await.unwrap();
    }
    world.advance(LEASE - Duration::from_secs(1));
    has.end(&session).await;
    assert_eq!(world.state(jobs[200].id()).await, State::Ready, "nobody waits for those that are gone");
    // Told and then cancelled: whoever finds the key free has the next one come.
    world.client.cancel(jobs[200].id()).await.unwrap();
    put_off(&session, &jobs[201]).await;
    session.locks_at_rest().await;
    assert_eq!(world.state(jobs[201].id()).await, State::Ready);
    let next = claim(&session, 10).await.into_iter().find(|job| job.id() == jobs[201].id()).unwrap();
    begin(&next, KEY).await.unwrap().end(&session).await;
    assert_eq!(keys_of_locks(&world).await, Vec::<String>::new());
}

async fn one_that_is_known_to_wait_and_does_not_come_is_forgotten(world: World) {
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 3).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    put_off(&a, &jobs[1]).await;
    first.end(&a).await;
    // It is ready, and no worker claims it.
    put_off(&b, &jobs[2]).await;
    let mut redis = world.redis().await;
    for suffix in ["waiting", "lapses"] {
        let key = format!("{}:{suffix}", keys_of_locks(&world).await[0].rsplit_once(':').unwrap().0);
        let ttl_ms: i64 = redis.pttl(key).await.unwrap();
        assert!((1..=120_000).contains(&ttl_ms), "{ttl_ms}");
    }
    world.advance(Duration::from_secs(121));
    let mut ready = claim(&b, 2).await;
    ready.retain(|job| job.id() == jobs[2].id());
    begin(&ready[0], KEY).await.unwrap().end(&b).await;
}

async fn many_jobs_that_wait_for_one_key_are_claimed_seldom(world: World) {
    const MANY: usize = 2_000;
    let session = world.session("a");
    let first = begin(&claim_new(&world, &session, 1).await[0], KEY).await.unwrap();
    world.client.push_many(vec![job(); MANY]).await;
    let (mut n_claimed, mut after_40_s, mut seconds) = (0, 0, 0);
    while seconds < 120 {
        let claimed = claim(&session, 500).await;
        if claimed.is_empty() {
            world.advance(Duration::from_secs(1));
            session.renew().await.unwrap();
            seconds += 1;
            if seconds == 40 {
                after_40_s = n_claimed;
            }
            continue;
        }
        n_claimed += claimed.len();
        let outcomes = join_all(claimed.iter().map(|job| job.alone(KEY, async {}))).await;
        let put_off = claimed.iter().zip(outcomes);
        let mut settlements: Vec<_> = put_off
            .map(|(job, outcome)| session.verdict(job, Verdict::Ran(outcome.unwrap_err()), 0).unwrap())
            .collect();
        assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    }
    assert!((MANY..MANY * 5 / 4).contains(&after_40_s), "{after_40_s}");
    assert!(n_claimed < 4 * MANY, "{n_claimed}");
    first.end(&session).await;
}

async fn no_more_than_10_000_jobs_of_a_key_are_known_to_wait_and_these_are_the_lowest(world: World) {
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    let base = keys_of_locks(&world).await.remove(0).replace(":lock", "");
    let (waiting, lapses) = (format!("{base}:waiting"), format!("{base}:lapses"));
    let until_ms = world.clock.now_ms() + 60_000;
    let higher = (0..10_000_u64).map(|n| [[0xff; 8], n.to_be_bytes()].concat());
    let mut redis = world.redis().await;
    let (others, when): (Vec<_>, Vec<_>) = higher.map(|id| ((0, id.clone()), (until_ms, id))).unzip();
    let _: usize = redis.zadd_multiple(&waiting, &others).await.unwrap();
    let _: usize = redis.zadd_multiple(&lapses, &when).await.unwrap();
    put_off(&session, &jobs[1]).await;
    let sizes: (usize, usize) = (redis.zcard(&waiting).await.unwrap(), redis.zcard(&lapses).await.unwrap());
    assert_eq!(sizes, (10_000, 10_000));
    let place: Option<usize> = redis.zrank(&waiting, id_bytes(jobs[1].id())).await.unwrap();
    assert_eq!(place, Some(0));
    first.end(&session).await;
    assert_eq!(world.state(jobs[1].id()).await, State::Ready);
}

async fn damaged_keys_of_a_lock_put_its_jobs_off_and_no_others(world: World) {
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    let lock = keys_of_locks(&world).await.remove(0);
    let mut redis = world.redis().await;
    let _: () = redis.set(&lock, "rubbish").await.unwrap();
    put_off(&session, &jobs[1]).await;
    assert!(session.renew().await.is_err());
    assert!(!first.running.is_finished(), "nobody has the key");
    let _: () = redis.del(&lock).await.unwrap();
    session.renew().await.unwrap();
    world.advance(Duration::from_secs(1));
    put_off(&session, &claim_one(&session).await).await;
    first.end(&session).await;
    let mut other = job();
    other.tenant = "zoe".to_owned();
    let id = world.client.push(other).await.unwrap();
    let claimed = claim(&session, 2).await;
    let other = claimed.iter().find(|job| job.id() == id).unwrap();
    begin(other, KEY).await.unwrap().end(&session).await;
}

on_both_servers!(
    a_job_that_meets_its_key_in_other_hands_is_put_off_without_an_attempt,
    a_key_of_all_is_one_for_every_tenant,
    of_many_keys_in_the_middle_of_the_work_those_that_are_free_are_had,
    of_the_jobs_that_wait_for_a_key_the_lowest_id_comes_first_and_before_all_that_are_ready,
    the_key_of_a_job_whose_worker_died_is_free_when_its_lease_would_be,
    a_job_takes_its_own_key_over_from_its_earlier_run,
    a_lost_key_stops_the_handler_at_once_and_uses_no_attempt,
    who_lets_a_key_go_too_late_does_not_free_anothers,
    a_job_that_waits_for_a_key_keeps_its_draft,
    jobs_that_wait_for_a_key_and_never_come_hold_up_nobody,
    one_that_is_known_to_wait_and_does_not_come_is_forgotten,
    many_jobs_that_wait_for_one_key_are_claimed_seldom,
    no_more_than_10_000_jobs_of_a_key_are_known_to_wait_and_these_are_the_lowest,
    damaged_keys_of_a_lock_put_its_jobs_off_and_no_others,
);
