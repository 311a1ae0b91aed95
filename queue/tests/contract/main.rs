//! The promises of the queue, one test each, on every server that is supported. Time is a simulated clock where it matters.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

mod cancelling;
mod concurrency_keys;
mod concurrency_outages;
mod concurrency_running;
mod crashes;
mod dead_letters;
mod finishing;
mod fixed_ids;
mod gate;
mod history;
mod idempotency;
mod leases;
mod lists;
mod planted;
mod progress;
mod pushing;
mod quotas;
mod records;
mod replacing;
mod replica;
mod script_sizes;
mod server_faults;
mod server_states;
mod supervision;
mod unique_keys;
mod upkeep;
mod world;

/// Runs each test on Valkey 9.1 and on Redis 7.0. Where a server cannot be had, `servers` says NOT RUN, which fails in CI.
macro_rules! on_both_servers {
    ($($test:ident),* $(,)?) => {
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let world = $crate::world::World::new(servers::RedisKind::Valkey).unwrap();
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
        mod redis7 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let Some(world) = $crate::world::World::new(servers::RedisKind::Redis7) else { return };
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_servers;

/// The same on one thread: while a test does not wait, nothing else goes on. So a call that it has only begun is not answered yet.
macro_rules! on_both_servers_on_one_thread {
    ($($test:ident),* $(,)?) => {
        mod valkey_on_one_thread {
            $(
                #[tokio::test]
                async fn $test() {
                    let world = $crate::world::World::new(servers::RedisKind::Valkey).unwrap();
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
        mod redis7_on_one_thread {
            $(
                #[tokio::test]
                async fn $test() {
                    let Some(world) = $crate::world::World::new(servers::RedisKind::Redis7) else { return };
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_servers_on_one_thread;
