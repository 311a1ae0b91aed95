//! How many jobs a tenant enqueues on a day: exact over all processes, and given back where nothing was pushed.

use std::time::Duration;

use futures::future::join_all;

use crate::{on_both_servers, world::World};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn of_many_that_ask_at_once_no_more_get_in_than_the_day_allows(world: World) {
    let clients = [world.client.clone(), world.another_client()];
    let asked = (0..60).map(|n| {
        let client = clients[n % 2].clone();
        async move { client.take_quota("acme", 1, 25).await.unwrap().n() }
    });
    let taken: u64 = join_all(asked).await.into_iter().sum();
    assert_eq!((taken, world.client.n_taken("acme").await.unwrap()), (25, 25));
    assert_eq!(world.client.take_quota("other", 1, 25).await.unwrap().n(), 1, "each tenant by itself");
}

async fn a_batch_gets_what_is_left_and_gives_back_what_it_did_not_push(world: World) {
    let client = &world.client;
    let _first = client.take_quota("acme", 7, 10).await.unwrap();
    let rest = client.take_quota("acme", 7, 10).await.unwrap();
    assert_eq!((rest.n(), client.n_taken("acme").await.unwrap()), (3, 10));
    assert_eq!(client.take_quota("acme", 1, 10).await.unwrap().n(), 0);
    client.give_back(&rest, 2).await;
    assert_eq!(client.n_taken("acme").await.unwrap(), 8);
    // More than was taken never comes back.
    client.give_back(&rest, 100).await;
    assert_eq!(client.n_taken("acme").await.unwrap(), 5);
    assert_eq!(client.take_quota("acme", 1, 4).await.unwrap().n(), 0, "a plan with less than was used already");
}

async fn each_day_begins_anew_and_what_was_taken_the_day_before_goes_back_to_it(world: World) {
    let client = &world.client;
    let taken = client.take_quota("acme", 10, 10).await.unwrap();
    let rest = client.rest_of_day();
    assert!(rest <= DAY && rest > Duration::ZERO);
    world.advance(rest);
    assert_eq!((client.n_taken("acme").await.unwrap(), client.rest_of_day()), (0, DAY));
    assert_eq!(client.take_quota("acme", 1, 10).await.unwrap().n(), 1);
    client.give_back(&taken, 10).await;
    assert_eq!(client.n_taken("acme").await.unwrap(), 1);
}

on_both_servers!(
    of_many_that_ask_at_once_no_more_get_in_than_the_day_allows,
    a_batch_gets_what_is_left_and_gives_back_what_it_did_not_push,
    each_day_begins_anew_and_what_was_taken_the_day_before_goes_back_to_it,
);
