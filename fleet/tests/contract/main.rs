//! The promises of what replicas share, one test each, on every server that is supported. Time is a simulated
//! clock where it matters.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

mod breaker;
mod health;
mod in_flight;
mod kept;
mod limits;
mod mode;
mod outage;
mod spending;
mod told;
mod turns;
mod world;

/// Runs each test on Valkey 9.1 and on Redis 7.0. Where a server cannot be had, `servers` says NOT RUN, which fails in CI.
macro_rules! on_both_servers {
    ($($test:ident),* $(,)?) => {
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let world = $crate::world::World::on(servers::RedisKind::Valkey).unwrap();
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
        mod redis7 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let Some(world) = $crate::world::World::on(servers::RedisKind::Redis7) else { return };
                    $crate::world::in_time(super::$test(world)).await;
                }
            )*
        }
    };
}

pub(crate) use on_both_servers;
