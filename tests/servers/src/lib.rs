//! Starts the real servers that tests need: Valkey 9.1, Redis 7.0, MongoDB and a mail catcher.
//!
//! Tests share one server of each kind ([`redis`], [`mongo`]) and keep apart by [`prefix`]; a test that stops or kills its
//! server starts one of its own ([`RedisServer`], [`MongoServer`]). Everything listens on a free loopback port, lives in a
//! temporary directory and dies with the test process, however that ends.
//!
//! Reading order: `binaries.rs` (where they are found), `process.rs` (start, signals, death), then one file a server.

mod binaries;
mod clock;
mod mongo;
mod process;
mod redis;
mod refusing;
mod smtp;
mod temp;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use binaries::{available, mongo_version, redis_binary, version};
pub use mongo::{MongoDatabase, MongoServer, make_primary, mongo, mongo_dump, write_demo};
pub use process::{Process, mortal, spawn, tail};
pub use redis::{RedisServer, redis};
pub use refusing::{PASSWORD, Refusal, Refusing};
pub use smtp::SmtpServer;
pub use temp::{TempDir, temp_dir};

/// The two servers that the queue is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// Valkey 9.1, the default.
    Valkey,
    /// Debian's Redis 7.0, the oldest server that is supported.
    Redis7,
}

/// The end of the range that [`free_port`] chooses from. The kernel gives outgoing connections ports from 32768 on, so that none
/// can take the port of a server that is stopped and started again.
const FIRST_PORT: u32 = 15_000;
const LAST_PORT: u32 = 32_000;

/// A loopback port on which nothing listens. Two calls in one process never give the same one (before 17,000 calls).
pub fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let width = LAST_PORT - FIRST_PORT;
    // Test binaries that run side by side start at different places.
    let start = std::process::id().wrapping_mul(7919) % width;
    for _ in 0..width {
        let offset = (start + CALLS.fetch_add(1, Ordering::Relaxed)) % width;
        let port = u16::try_from(FIRST_PORT + offset).expect("the range fits into u16");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free loopback port between {FIRST_PORT} and {LAST_PORT}");
}

/// A name that no other call gave, in this process or another: for key prefixes and database names.
/// Lower-case letters, digits and `_`, at most 40 characters.
#[expect(clippy::disallowed_methods, reason = "no test depends on this time; it only makes the name unique")]
pub fn prefix() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    format!("t{:x}_{:x}_{call}", std::process::id(), since_1970.as_micros())
}

/// How long a test waits for an answer of a server that is well: the machine may have much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` returns true, asking every 15 ms.
///
/// # Panics
/// Names `what` when `timeout` has passed; a condition that is still waiting by then is dropped.
pub async fn wait_until(what: &str, timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    let polling = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    if tokio::time::timeout(timeout, polling).await.is_err() {
        panic!("waited {:.1} s in vain until {what}", start.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn prefixes_and_ports_are_unique() {
        let prefixes: HashSet<String> = (0..100).map(|_| prefix()).collect();
        let ports: HashSet<u16> = (0..100).map(|_| free_port()).collect();
        assert_eq!((prefixes.len(), ports.len()), (100, 100));
        assert!(prefixes.iter().all(|prefix| prefix.len() <= 40));
    }

    #[tokio::test]
    async fn wait_until_returns_when_the_condition_holds() {
        let mut calls = 0;
        wait_until("three calls were made", Duration::from_secs(5), async || {
            calls += 1;
            calls == 3
        })
        .await;
        assert_eq!(calls, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "in vain until pigs fly")]
    async fn wait_until_names_what_it_waited_for() {
        wait_until("pigs fly", Duration::from_millis(50), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "in vain until an answer comes")]
    async fn wait_until_gives_up_on_a_condition_that_hangs() {
        wait_until("an answer comes", Duration::from_millis(50), async || std::future::pending().await).await;
    }
}
