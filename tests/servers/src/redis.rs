//! Redis and Valkey servers.

use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::binaries::{external, missing, redis_binary};
use crate::clock::MovedClock;
use crate::process::{Process, mortal, tail};
use crate::temp::remove_at_exit;
use crate::{RedisKind, TempDir, free_port, temp_dir};

/// The URL of a server of this kind that the whole test process shares; it keeps nothing on disk. `TEST_REDIS_URL` replaces the
/// Valkey one. `None` only for Redis 7.0 where there is none, and then it says so.
///
/// # Panics
/// Where a server is missing: Valkey always, Redis 7.0 with `CI=true`.
pub fn redis(kind: RedisKind) -> Option<&'static str> {
    static VALKEY: OnceLock<Option<String>> = OnceLock::new();
    static REDIS7: OnceLock<Option<String>> = OnceLock::new();
    match kind {
        RedisKind::Valkey => VALKEY.get_or_init(|| external("TEST_REDIS_URL").or_else(|| shared(kind))).as_deref(),
        RedisKind::Redis7 => REDIS7.get_or_init(|| shared(kind)).as_deref(),
    }
}

fn shared(kind: RedisKind) -> Option<String> {
    if redis_binary(kind).is_none() {
        assert_eq!(kind, RedisKind::Redis7, "valkey-server is not there: run `./dev setup` to get it");
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "no redis 7.0 here: run `./dev setup` to get it");
        say("NOT RUN: no redis 7.0 here; `./dev setup` gets it on Debian 12");
        return None;
    }
    say(&format!("tests of this program run on {}", crate::version(kind)));
    let server = RedisServer::launch(kind, false, &[], None);
    let url = server.url();
    // Kept for good: the directory's shell waits for the end of this process, and the server dies with it too.
    Box::leak(Box::new((remove_at_exit(server.directory.path()), server)));
    Some(url)
}

/// Past the test harness, which keeps what passing tests print to itself.
fn say(text: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A server of one test's own, with its append-only file on, killed when dropped.
pub struct RedisServer {
    process: Process,
    kind: RedisKind,
    append_only: bool,
    arguments: Vec<String>,
    clock: Option<Arc<MovedClock>>,
    directory: TempDir,
    /// The loopback port; a restart keeps it.
    pub port: u16,
}

impl RedisServer {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When there is no such server on this machine ([`crate::available`] tells) or it does not start.
    pub fn start(kind: RedisKind) -> Self {
        Self::launch(kind, true, &[], None)
    }

    /// The same with a clock that can be [moved on](Self::move_clock): the clock of all that follow their Redis.
    ///
    /// # Panics
    /// As [`Self::start`], and when there is no C compiler.
    pub fn start_with_clock(kind: RedisKind) -> Self {
        Self::launch(kind, true, &[], Some(&Arc::new(MovedClock::new())))
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(kind: RedisKind, arguments: &[&str]) -> Self {
        Self::launch(kind, true, arguments, None)
    }

    fn launch(kind: RedisKind, append_only: bool, arguments: &[&str], clock: Option<&Arc<MovedClock>>) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Somebody else may take the port between the choice and the start.
        for _ in 0..5 {
            let (process, arguments, clock) = (Process::new(), arguments.clone(), clock.cloned());
            let server =
                Self { process, kind, append_only, arguments, clock, directory: temp_dir(), port: free_port() };
            if server.run() {
                return server;
            }
            println!("a {kind:?} server ended at its start:\n{}", tail(&server.log()));
        }
        panic!("a {kind:?} server does not start; its log is above");
    }

    fn run(&self) -> bool {
        self.run_until(&[], "\nloading:0\r\n")
    }

    /// Starts it with further arguments and waits until it says so of itself.
    fn run_until(&self, arguments: &[&str], says: &str) -> bool {
        let binary = redis_binary(self.kind).unwrap_or_else(|| missing("the redis server"));
        let mut command = self.command(&binary);
        command.args(arguments);
        let runs = self.process.start(command, &self.log(), |pid| answers(self.port, pid, says));
        self.process
            .watch(if self.kind == RedisKind::Valkey { "a Valkey server" } else { "a Redis 7.0 server" }, self.log());
        runs
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = mortal(binary);
        command.args(["--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]);
        command.args(["--port", &self.port.to_string(), "--appendonly", if self.append_only { "yes" } else { "no" }]);
        command.arg("--dir").arg(self.directory.path()).args(&self.arguments);
        if let Some(clock) = &self.clock {
            clock.give_to(&mut command);
        }
        command
    }

    /// Where it keeps its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory().join("log")
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid().expect("the server runs")
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same port with the same data, stopping it first if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        if self.process.runs() {
            self.stop();
        }
        assert!(self.run(), "the server did not start again; its log ends with:\n{}", tail(&self.log()));
    }

    /// Starts it again with arguments that make it load its data slowly; returns while it loads.
    pub(crate) fn restart_slowly(&self, arguments: &[&str]) {
        self.stop();
        assert!(self.run_until(arguments, "\nloading:1\r\n"), "it did not start:\n{}", tail(&self.log()));
    }

    /// Moves its clock on; what it keeps for a time is forgotten as if that time had passed. It runs, and has seen it when this returns: what
    /// time it is, a server looks only some times a second.
    ///
    /// # Panics
    /// When it was not started [with such a clock](Self::start_with_clock), or does not answer.
    pub fn move_clock(&self, by: Duration) {
        let now_s = || {
            let answer = ask(self.port, "TIME").expect("it answers");
            answer.lines().nth(2).and_then(|seconds| seconds.parse::<u64>().ok()).expect("it knows the time")
        };
        let before = now_s();
        self.clock.as_ref().expect("it was started with a clock").move_on(by);
        let start = Instant::now();
        while now_s() < before + by.as_secs() {
            assert!(start.elapsed() < Duration::from_secs(10), "the clock stands still");
            thread::yield_now();
        }
    }

    /// SIGSTOP: connections stay open, and nothing is answered from the return of this call on.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT after [`Self::pause`].
    pub fn resume(&self) {
        self.process.signal("CONT");
    }
}

/// True when the server on this port is the process `pid` (another one may have been given the same port) and says so of itself.
fn answers(port: u16, pid: u32, says: &str) -> bool {
    let info = info(port).unwrap_or_default();
    info.contains(&format!("process_id:{pid}\r\n")) && info.contains(says)
}

fn info(port: u16) -> std::io::Result<String> {
    ask(port, "INFO server\r\nINFO persistence")
}

/// What is answered to commands, of which each stands on its own line.
fn ask(port: u16, commands: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(format!("{commands}\r\nQUIT\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version;

    const KINDS: [RedisKind; 2] = [RedisKind::Valkey, RedisKind::Redis7];

    fn ask(port: u16, command: &str) -> String {
        super::ask(port, command).unwrap()
    }

    #[test]
    fn a_shared_server_is_started_once() {
        for kind in KINDS {
            let Some(url) = redis(kind) else { continue };
            println!("{}", version(kind));
            assert_eq!(redis(kind), Some(url));
            assert!(url.starts_with("redis://"));
        }
        assert!(version(RedisKind::Valkey).contains("9.1"));
    }

    #[test]
    fn a_stop_or_kill_and_restart_keep_port_and_data() {
        for kind in KINDS {
            if !crate::available(kind) {
                continue;
            }
            let server = RedisServer::start(kind);
            let port = server.port;
            assert!(ask(port, "SET shop boutique").starts_with("+OK"));
            server.stop();
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
            server.restart();
            assert_eq!(server.port, port);
            assert!(ask(port, "GET shop").contains("boutique"));
            assert!(ask(port, "WAITAOF 1 0 1000").starts_with(if kind == RedisKind::Valkey { "*2" } else { "-ERR" }));
            server.kill();
            server.restart();
            assert!(ask(port, "GET shop").contains("boutique"));
        }
    }

    #[test]
    fn a_clock_that_is_moved_on_shows_it_also_after_a_restart() {
        let server = RedisServer::start_with_clock(RedisKind::Valkey);
        let time = || {
            let answer = ask(server.port, "TIME");
            answer.lines().nth(2).unwrap().parse::<u64>().unwrap()
        };
        let (before, day) = (time(), Duration::from_secs(24 * 3600));
        ask(server.port, "SET shop boutique EX 100000");
        server.move_clock(day);
        let passed = time() - before;
        assert!((86_400..86_460).contains(&passed), "{passed}");
        assert!(ask(server.port, "GET shop").contains("boutique"));
        server.move_clock(day);
        assert!(!ask(server.port, "GET shop").contains("boutique"), "its time is over");
        server.restart();
        assert!((172_800..172_920).contains(&(time() - before)));
    }

    #[test]
    fn a_paused_server_answers_nothing_until_it_is_resumed() {
        let server = RedisServer::start(RedisKind::Valkey);
        server.pause();
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        assert!(stream.read_exact(&mut answer).is_err());
        server.resume();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    }
}
