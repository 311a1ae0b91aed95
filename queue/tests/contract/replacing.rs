//! Something better takes the place of what came of a job.

use std::time::Duration;

use queue::{Error, Happened, JobView, Outcome, State, Success, Verdict};

use crate::{
    on_both_servers,
    world::{START_MS, World, claim, claim_one, settle},
};

fn first() -> Verdict {
    Verdict::Ran(Outcome::Done(Success::new(b"1 g".to_vec())))
}

fn better() -> Success {
    Success::new(b"250 g".to_vec())
}

fn last(view: &JobView) -> Option<Happened> {
    view.events().pop().map(|event| event.what)
}

async fn a_replaced_result_is_shown_and_told_and_the_others_of_its_pack_stay(world: World) {
    let session = world.session("a");
    world.client.push_many(vec![crate::world::job(); 5]).await;
    let jobs = claim(&session, 5).await;
    let mut settlements: Vec<_> = jobs.iter().map(|job| session.verdict(job, first(), START_MS).unwrap()).collect();
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    world.advance(Duration::from_secs(60));

    let id = jobs[2].id();
    assert!(matches!(last(&world.view(id).await), Some(Happened::End { .. })));
    assert!(world.client.replace_result(id, better()).await.unwrap());
    for job in &jobs {
        let view = world.view(job.id()).await;
        let replaced = job.id() == id;
        assert_eq!(
            (view.state, &view.success),
            (State::Succeeded, &Some(if replaced { better() } else { Success::new(b"1 g".to_vec()) }))
        );
        assert_eq!(view.payload["to"], "Zoë");
        assert_eq!(matches!(last(&view), Some(Happened::Replaced { .. })), replaced);
    }
    let events = world.view(id).await.events();
    let [.., end, replaced] = events.as_slice() else { panic!("{events:?}") };
    assert!(matches!(end.what, Happened::End { .. }) && replaced.id > end.id, "{events:?}");
    assert_eq!(
        world.view(id).await.events_after(end.id).len(),
        1,
        "whoever saw the end is told of the replacement alone"
    );
}

async fn a_job_that_finished_long_after_its_push_is_replaced_and_kept_no_longer(world: World) {
    let id = world.push().await;
    world.advance(Duration::from_secs(7 * 3600));
    let session = world.session("a");
    assert!(settle(&session, &claim_one(&session).await, first()).await);
    let key = {
        let mut key = world.key("finished:").into_bytes();
        key.extend(id.to_string().parse::<uuid::Uuid>().unwrap().as_bytes());
        key
    };
    let mut redis = world.redis().await;
    let before: i64 = redis::cmd("PEXPIRETIME").arg(&key).query_async(&mut redis).await.unwrap();
    assert!(world.client.replace_result(id, better()).await.unwrap());
    let after: i64 = redis::cmd("PEXPIRETIME").arg(&key).query_async(&mut redis).await.unwrap();
    assert!(before > 0);
    assert_eq!(before, after);
    assert_eq!(world.view(id).await.success, Some(better()));
}

async fn only_a_job_that_succeeded_and_is_kept_is_replaced(world: World) {
    let id = world.push().await;
    assert!(matches!(world.client.replace_result(id, better()).await, Err(Error::Conflict("ready"))));
    let session = world.session("a");
    assert!(settle(&session, &claim_one(&session).await, first()).await);
    let mut redis = world.redis().await;
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(world.key("done:*")).query_async(&mut redis).await.unwrap();
    let _: () = redis::cmd("DEL").arg(keys).query_async(&mut redis).await.unwrap();
    assert!(!world.client.replace_result(id, better()).await.unwrap());
    assert_eq!(world.client.find(id).await.unwrap(), None, "nothing is left behind");
}

on_both_servers!(
    a_replaced_result_is_shown_and_told_and_the_others_of_its_pack_stay,
    a_job_that_finished_long_after_its_push_is_replaced_and_kept_no_longer,
    only_a_job_that_succeeded_and_is_kept_is_replaced,
);
