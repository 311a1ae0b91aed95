//! A better result takes the place of a stand-in's.

use std::time::Duration;

use queue::{Error, JobView, Outcome, State, Success, Verdict};
use serde_json::json;

use crate::{
    on_both_servers,
    world::{START_MS, World, claim, claim_one, settle},
};

fn degraded() -> Verdict {
    Verdict::Ran(Outcome::Done(Success {
        result: json!({ "weight_g": 1 }),
        provider: Some("guess".to_owned()),
        degraded: true,
        degraded_reason: Some("the scale is broken".to_owned()),
        ..Success::default()
    }))
}

fn better() -> Success {
    Success { result: json!({ "weight_g": 250 }), provider: Some("scale".to_owned()), ..Success::default() }
}

fn names(view: &JobView) -> Vec<&'static str> {
    view.events().iter().map(|event| event.name).collect()
}

async fn a_replaced_result_is_shown_and_told_and_the_others_of_its_pack_stay(world: World) {
    let session = world.session("a");
    world.client.push_many(vec![crate::world::job(); 5]).await;
    let jobs = claim(&session, 5).await;
    let mut settlements: Vec<_> = jobs.iter().map(|job| session.verdict(job, degraded(), START_MS).unwrap()).collect();
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    world.advance(Duration::from_secs(60));

    let id = jobs[2].id();
    assert_eq!(names(&world.view(id).await).last(), Some(&"end"));
    assert!(world.client.replace_result(id, &better()).await.unwrap());
    for job in &jobs {
        let view = world.view(job.id()).await;
        let replaced = job.id() == id;
        assert_eq!((view.state, view.degraded), (State::Succeeded, !replaced));
        assert_eq!(view.result.as_ref().unwrap()["weight_g"], if replaced { 250 } else { 1 });
        assert_eq!(view.provider.as_deref(), Some(if replaced { "scale" } else { "guess" }));
        assert_eq!(view.payload["to"], "Zoë");
        assert_eq!(names(&view).last() == Some(&"replaced"), replaced);
    }
    let events = world.view(id).await.events();
    let [.., end, replaced] = events.as_slice() else { panic!("{events:?}") };
    assert!(end.name == "end" && replaced.id > end.id, "{events:?}");
    assert_eq!(replaced.data["provider"], "scale");
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
    assert!(settle(&session, &claim_one(&session).await, degraded()).await);
    let key = {
        let mut key = world.key("finished:").into_bytes();
        key.extend(id.to_string().parse::<uuid::Uuid>().unwrap().as_bytes());
        key
    };
    let mut redis = world.redis().await;
    let before: i64 = redis::cmd("PEXPIRETIME").arg(&key).query_async(&mut redis).await.unwrap();
    assert!(world.client.replace_result(id, &better()).await.unwrap());
    let after: i64 = redis::cmd("PEXPIRETIME").arg(&key).query_async(&mut redis).await.unwrap();
    assert!(before > 0);
    assert_eq!(before, after);
    assert!(!world.view(id).await.degraded);
}

async fn only_a_job_that_succeeded_and_is_kept_is_replaced(world: World) {
    let id = world.push().await;
    assert!(matches!(world.client.replace_result(id, &better()).await, Err(Error::Conflict("ready"))));
    let session = world.session("a");
    assert!(settle(&session, &claim_one(&session).await, degraded()).await);
    let mut redis = world.redis().await;
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(world.key("done:*")).query_async(&mut redis).await.unwrap();
    let _: () = redis::cmd("DEL").arg(keys).query_async(&mut redis).await.unwrap();
    assert!(!world.client.replace_result(id, &better()).await.unwrap());
    assert_eq!(world.client.find(id).await.unwrap(), None, "nothing is left behind");
}

on_both_servers!(
    a_replaced_result_is_shown_and_told_and_the_others_of_its_pack_stay,
    a_job_that_finished_long_after_its_push_is_replaced_and_kept_no_longer,
    only_a_job_that_succeeded_and_is_kept_is_replaced,
);
