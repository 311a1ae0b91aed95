//! A Redis that is away, stands still, is full, or was restarted; and what is left behind in it.

use std::time::Duration;

use fleet::{Admission, Call, Event, Fleet, InFlight, Mode, Reported, Settings, Turn};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, wait_until};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::world::{CALL, TOLD_WITHIN, World, answered, failed, go, is_closed, next, parked, permit, report};

const LONG: Duration = Duration::from_secs(30);
const LIMITED: Call<'static> = Call { requests_per_min: Some(1), ..CALL };
const COUNTED: Call<'static> =
    Call { in_flight: Some(InFlight { at_most: 1, lasts: Duration::from_secs(30) }), ..CALL };

/// A replica with the default times, that gives an admission after 100 ms.
fn impatient(world: &World) -> Fleet {
    Fleet::with_settings(&world.redis(), Settings { clock: world.clock.clone(), ..Settings::default() })
}

/// Answers like a server that takes the commands of a transaction, and refuses it as it is to be carried out: as real ones do whose
/// state changes in between.
async fn refuse_transactions(stream: TcpStream) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut in_transaction = false;
    loop {
        let n_words: usize = lines.next_line().await.ok()??.trim_start_matches('*').parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..n_words {
            let _length = lines.next_line().await.ok()??;
            words.push(lines.next_line().await.ok()??);
        }
        let answer = match words[0].as_str() {
            "MULTI" => "+OK",
            "EXEC" => "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file",
            _ if in_transaction => "+QUEUED",
            _ => "+OK",
        };
        in_transaction = words[0] == "MULTI" || in_transaction && words[0] != "EXEC";
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

#[tokio::test]
async fn a_transaction_that_is_refused_as_it_is_to_be_carried_out_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse_transactions(stream));
        }
    });
    let mut connection = fleet::Redis::open(&url, "x").unwrap().connection();
    let mut transaction = redis::pipe();
    transaction.atomic().set("shop", 1).incr("visits", 1);
    let refused = transaction.query_async::<()>(&mut connection).await.unwrap_err();
    match fleet::Error::from(refused) {
        fleet::Error::Unavailable(why) if why.contains("it cannot save its data to disk") => {}
        other => panic!("{other:?}"),
    }
}

async fn when_redis_stands_still_or_is_away_calls_go_out(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = impatient(&world);
    fleet.switch(Some("ai"), Mode::Real, "anna", "").await.unwrap();
    for stop in [RedisServer::pause, RedisServer::kill] {
        stop(&server);
        for _ in 0..3 {
            drop(permit(fleet.admit(&LIMITED).await));
        }
        assert_eq!(fleet.mode("ai"), Some(Mode::Real), "the mode stays as it was");
        assert!(fleet.health("ai").await.is_err() && fleet.reserve("shop", 1, 10).await.is_err());
        let error = fleet.switch(None, Mode::Mock, "anna", "").await.unwrap_err().to_string();
        assert!(error.contains("redis") && error.contains("does not answer"), "{error}");
    }
}

async fn reports_wait_for_redis_and_count_when_it_is_back(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    let mut permits = Vec::new();
    for _ in 0..5 {
        permits.push(go(&fleet).await);
    }
    server.stop();
    for permit in permits {
        fleet.report(permit, failed());
    }
    server.restart();
    wait_until("the breaker is open", LONG, async || {
        fleet.health("ai").await.is_ok_and(|health| health.calls_1h == 5) && !is_closed(&fleet).await
    })
    .await;
}

async fn a_report_whose_answer_was_lost_counts_once(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    report(&fleet, go(&fleet).await, answered()).await;
    let permit = go(&fleet).await;
    server.pause();
    fleet.report(permit, answered());
    // Gives up after the server was asked and did not answer in time.
    fleet.flush().await;
    server.resume();
    wait_until("the report is there", LONG, async || fleet.health("ai").await.is_ok_and(|health| health.calls_1h >= 2))
        .await;
    wait_until("it was taken", LONG, async || {
        report(&fleet, go(&fleet).await, answered()).await;
        fleet.health("ai").await.is_ok_and(|health| health.calls_1h >= 3)
    })
    .await;
    fleet.flush().await;
    assert_eq!(fleet.health("ai").await.unwrap().calls_1h, 3);
}

async fn a_turn_that_began_unheard_ends_with_whoever_asked(kind: RedisKind) {
    const PACE: Duration = Duration::from_secs(2);
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = impatient(&world);
    let ask = async |ticket: &str| fleet.turn("shop.example", ticket, PACE, Duration::from_secs(600)).await;
    drop(ask("first").await);
    world.advance_s(2);
    server.pause();
    let unheard = ask("unheard").await;
    assert!(matches!(&unheard, Turn::Unknown(Some(_))), "{unheard:?}");
    server.resume();
    let mut wait = None;
    wait_until("redis answers", LONG, async || {
        wait = match ask("next").await {
            Turn::Wait(wait) => Some(wait),
            _ => None,
        };
        wait.is_some()
    })
    .await;
    assert_eq!(wait, Some(PACE));
    world.advance_s(2);
    assert!(matches!(ask("next").await, Turn::Wait(_)), "the one that nobody heard of is under way");
    drop(unheard);
    wait_until("the next one begins", LONG, async || matches!(ask("next").await, Turn::Begun(_))).await;
}

async fn the_mode_survives_a_restart_of_redis_and_of_the_replicas(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    fleet.switch(Some("email"), Mode::Real, "anna", "go live").await.unwrap();
    report(&fleet, go(&fleet).await, parked()).await;
    let before = fleet.switches().await.unwrap();
    drop(fleet);
    server.restart();
    let fleet = world.replica();
    wait_until("it has read the mode", LONG, async || fleet.mode("email") == Some(Mode::Real)).await;
    assert_eq!(fleet.switches().await.unwrap(), before);
    assert_eq!(fleet.changes().await.unwrap(), before);
    assert!(!is_closed(&fleet).await, "nor is a breaker forgotten");
}

async fn a_full_redis_still_holds_limits_and_takes_a_switch(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    let mut redis = world.redis().connection();
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).query_async(&mut redis).await.unwrap();
    let filled: Result<(), _> = redis::cmd("SET").arg("x").arg(vec![b'x'; 1 << 20]).query_async(&mut redis).await;
    assert!(filled.is_err() || fleet.reserve("shop", 1, 10).await.is_ok());
    let first = permit(fleet.admit(&LIMITED).await);
    assert!(matches!(fleet.admit(&LIMITED).await, Admission::Wait(_)));
    report(&fleet, first, parked()).await;
    assert!(matches!(fleet.admit(&LIMITED).await, Admission::Open { .. }));
    fleet.switch(None, Mode::Mock, "anna", "").await.unwrap();
    drop(fleet.reserve("shop", 1, 10).await.unwrap());
}

async fn every_key_goes_away_by_itself_but_the_modes(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    report(&fleet, permit(fleet.admit(&LIMITED).await), answered()).await;
    world.advance_s(60);
    report(&fleet, permit(fleet.admit(&LIMITED).await), failed()).await;
    drop(fleet.reserve("shop", 1, 10).await.unwrap());
    let _under_way = permit(fleet.admit(&COUNTED).await);
    fleet.keep("token", "x", Duration::from_secs(600)).await.unwrap();
    fleet.switch(None, Mode::Mock, "anna", "").await.unwrap();
    let mut redis = world.redis().connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    let mut stay = Vec::new();
    let mut go_away = Vec::new();
    for key in keys {
        let ttl_s: i64 = redis::cmd("TTL").arg(&key).query_async(&mut redis).await.unwrap();
        let name = key.strip_prefix(&format!("{}:", world.prefix)).expect("all have the prefix").to_owned();
        if ttl_s < 0 { stay.push(name) } else { go_away.push(name) }
    }
    stay.sort();
    assert_eq!(stay, ["{fleet}:mode-changes", "{fleet}:modes"]);
    let families = [
        "{account.openai}:batch:",
        "{account.openai}:calls:",
        "{account.openai}:state",
        "{account.openai}:under-way",
        "{account.openai}:window:",
        "{kept.token}",
        "{service.ai}:accounts",
        "{spending.shop}:",
    ];
    for family in families {
        assert!(go_away.iter().any(|key| key.starts_with(family)), "{family}: {go_away:?}");
    }
    assert!(go_away.iter().all(|key| families.iter().any(|family| key.starts_with(family))), "{go_away:?}");
}

async fn what_was_reported_before_the_end_is_written(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let (closed, dropped, left) = (world.replica(), world.replica(), world.replica());
    closed.report(go(&closed).await, answered());
    closed.close().await;
    assert_eq!(left.health("ai").await.unwrap().calls_1h, 1);
    dropped.report(go(&dropped).await, Reported::Answered { units: Some(3), pause: None });
    drop(dropped);
    wait_until("it is written", LONG, async || left.health("ai").await.unwrap().calls_1h == 2).await;
}

async fn a_replica_that_missed_the_message_reads_the_mode_when_it_is_connected_again(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(&server.url());
    let fleet = world.replica();
    world.connected(&[&fleet]).await;
    world.replica().switch(Some("email"), Mode::Mock, "anna", "").await.unwrap();
    let mut events = fleet.events();
    wait_until("it is told", TOLD_WITHIN, async || fleet.mode("email") == Some(Mode::Mock)).await;
    let mut redis = world.redis().connection();
    // What a switch does, without the message.
    let key = format!("{}:{{fleet}}:modes", world.prefix);
    let json: String = redis.hget(&key, "email").await.unwrap();
    let _: () = redis.hset(&key, "email", json.replace("mock", "real")).await.unwrap();
    let cut: u64 = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).query_async(&mut redis).await.unwrap();
    assert!(cut >= 1);
    wait_until("it has looked", TOLD_WITHIN, async || fleet.mode("email") == Some(Mode::Real)).await;
    let changed = Event::ModeChanged { service: Some("email".to_owned()), mode: Mode::Real };
    while next(&mut events).await != changed {}
}

macro_rules! each_on_a_server_of_its_own {
    ($($test:ident),* $(,)?) => {
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    $crate::world::in_time(super::$test(servers::RedisKind::Valkey)).await;
                }
            )*
        }
        mod redis7 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if servers::redis(servers::RedisKind::Redis7).is_some() {
                        $crate::world::in_time(super::$test(servers::RedisKind::Redis7)).await;
                    }
                }
            )*
        }
    };
}

each_on_a_server_of_its_own!(
    when_redis_stands_still_or_is_away_calls_go_out,
    reports_wait_for_redis_and_count_when_it_is_back,
    a_report_whose_answer_was_lost_counts_once,
    a_turn_that_began_unheard_ends_with_whoever_asked,
    the_mode_survives_a_restart_of_redis_and_of_the_replicas,
    a_full_redis_still_holds_limits_and_takes_a_switch,
    every_key_goes_away_by_itself_but_the_modes,
    what_was_reported_before_the_end_is_written,
    a_replica_that_missed_the_message_reads_the_mode_when_it_is_connected_again,
);
