//! A process: it starts, takes signals, and dies with the test process.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a server may take to start or to stop; generous, because all tests may start theirs at once on two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the command die when the thread that starts it ends: [`spawn`] starts it from a thread that never does.
pub fn mortal(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts a process from the one thread that lives as long as the test process. The kernel's death signal fires when the starting
/// *thread* ends, and a test's own thread ends with its test while others may still use a shared server.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        raise_open_files();
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // A caller that is gone needs no child; dropping the reply is all there is to do.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = channel();
    lock(spawner).send((command, reply)).expect("the spawning thread lives");
    answer.recv().expect("the spawning thread answers")
}

/// A shared `mongod` keeps a file open for each collection and index of each test, which is more than the usual soft limit of 1,024.
/// Children inherit the limit.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        // The tests may still pass, and a server that runs out of files says so in its log.
        let _ = writeln!(io::stderr(), "the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// A lock that a panicking test does not spoil for the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One running process, or the place of one that is stopped. Killed when dropped.
#[derive(Default)]
pub struct Process {
    child: Arc<Mutex<Option<Child>>>,
}

impl Process {
    /// A place without a process yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts `command` with its output in `log`, and waits until `ready(pid)` is true. False when the process ended before that.
    ///
    /// # Panics
    /// When it cannot be started, or is not ready within a minute.
    pub fn start(&self, mut command: Command, log: &Path, ready: impl Fn(u32) -> bool) -> bool {
        let output = File::options().create(true).append(true).open(log).expect("open the server's log");
        let errors = output.try_clone().expect("copy the log's handle");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut child =
            spawn(command).unwrap_or_else(|error| panic!("cannot start a server (setpriv missing?): {error}"));
        let start = Instant::now();
        while !ready(child.id()) {
            if child.try_wait().expect("ask for the server's state").is_some() {
                return false;
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("a server did not get ready in {PATIENCE:?}; its log ends with:\n{}", tail(log));
            }
            thread::sleep(Duration::from_millis(10));
        }
        *lock(&self.child) = Some(child);
        true
    }

    /// True when a process is in its place; one that ended by itself counts until it is waited for.
    pub fn runs(&self) -> bool {
        lock(&self.child).is_some()
    }

    /// Its id; `None` when no process is in its place.
    pub fn pid(&self) -> Option<u32> {
        lock(&self.child).as_ref().map(Child::id)
    }

    /// How it ended; `None` while it runs, or when no process is in its place.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        lock(&self.child).as_mut()?.try_wait().expect("ask for the process's state")
    }

    /// Sends a signal by its name.
    ///
    /// # Panics
    /// When no process is in its place.
    pub fn signal(&self, name: &str) {
        send(lock(&self.child).as_ref().expect("the server runs").id(), name);
    }

    /// SIGSTOP, and waits until every thread of the process is stopped: before that it may still answer.
    ///
    /// # Panics
    /// When no process is in its place, or it does not stop within a minute.
    pub fn pause(&self) {
        self.signal("STOP");
        let pid = self.pid().expect("the server runs");
        let start = Instant::now();
        while !is_stopped(pid) {
            assert!(start.elapsed() < PATIENCE, "the server {pid} did not stop at SIGSTOP in {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGTERM, and waits until the process has ended.
    ///
    /// # Panics
    /// As [`Self::end_by`].
    pub fn stop(&self) {
        self.end_by("TERM");
    }

    /// Sends a signal that ends the process, by its name, and waits until it has ended.
    ///
    /// # Panics
    /// When no process is in its place, or it has not ended after a minute.
    pub fn end_by(&self, signal: &str) {
        // Taken out first, so that its end is none that a watcher would report.
        let mut child = lock(&self.child).take().expect("the server runs");
        send(child.id(), signal);
        let start = Instant::now();
        while child.try_wait().expect("ask for the server's state").is_none() {
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the server {} did not stop in {PATIENCE:?}", child.id());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the whole test program, with the last lines of `log`, when the process that runs now ends without having been told to by
    /// [`Self::stop`] or [`Self::kill`]: tests that lost their server would otherwise wait in vain, each for its own time-out.
    pub fn watch(&self, what: &'static str, log: PathBuf) {
        let Some(pid) = self.pid() else { return };
        let place = Arc::downgrade(&self.child);
        thread::spawn(move || {
            while let Some(how) = state(&place, pid) {
                if let Some(status) = how {
                    // Past the test harness, which keeps what tests print to itself.
                    let _ = writeln!(
                        io::stderr(),
                        "\n{what} (process {pid}) ended by itself ({status}), and with it this test program; its log ends \
                         with:\n{}",
                        tail(&log)
                    );
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
    }

    /// Kills the process with signal 9, if there is one.
    pub fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How the process `pid` in this place ended, if it did; `None` when another or none is there.
fn state(place: &Weak<Mutex<Option<Child>>>, pid: u32) -> Option<Option<ExitStatus>> {
    let place = place.upgrade()?;
    let mut child = lock(&place);
    let child = child.as_mut().filter(|child| child.id() == pid)?;
    Some(child.try_wait().ok().flatten())
}

/// Through the shell's own `kill`, which is there even where procps is not.
fn send(pid: u32, signal: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to the server {pid}");
}

/// True when each thread of the process is stopped, by what the kernel says of it in `/proc`.
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the server runs");
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may have any character.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, for messages.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn limits(pid: &str) -> String {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned()
    }

    /// Soft and hard limit of open files.
    fn open_files(pid: &str) -> (String, String) {
        let line = limits(pid);
        let mut words = line.split_whitespace().skip(3).map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }

    #[test]
    fn servers_may_open_as_many_files_as_the_hard_limit_allows() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        let mut sleeper = spawn(command).unwrap();
        let (soft, hard) = open_files(&sleeper.id().to_string());
        assert_eq!(soft, hard);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[test]
    fn a_paused_process_is_stopped_when_the_call_returns() {
        let place = Process::new();
        let directory = crate::temp_dir();
        // Busy, so that it would be seen at work.
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        assert!(place.start(command, &directory.path().join("log"), |_| true));
        for _ in 0..20 {
            place.pause();
            assert!(is_stopped(place.pid().unwrap()));
            place.signal("CONT");
        }
    }

    const CHILD: &str = "SERVERS_TEST_LOSES_ITS_SERVER";

    /// Runs in a program of its own, started by the test below.
    #[test]
    fn loses_its_server() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let server = crate::RedisServer::start(crate::RedisKind::Valkey);
        println!("{}", server.port);
        let pid =
            std::process::Command::new("sh").args(["-c", "kill -9 \"$0\""]).arg(server.pid().to_string()).status();
        assert!(pid.unwrap().success());
        // What a test does that waits for an answer: only the watcher can end it.
        loop {
            thread::park();
        }
    }

    #[test]
    fn a_test_that_lost_its_server_says_so_at_once() {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["process::tests::loses_its_server", "--exact"]).env(CHILD, "1");
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = spawn(program).unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{said}");
        assert!(said.contains("a Valkey server (process "), "{said}");
        assert!(said.contains("ended by itself (signal: 9"), "{said}");
        assert!(said.contains("Ready to accept connections"), "its log is shown: {said}");
    }
}
