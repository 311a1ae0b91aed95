//! A process: it starts, takes signals, and dies with the test process.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

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

/// A lock that a panicking test does not spoil for the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One running process, or the place of one that is stopped. Killed when dropped.
pub struct Process {
    child: Mutex<Option<Child>>,
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Process {
    /// A place without a process yet.
    pub fn new() -> Self {
        Self { child: Mutex::new(None) }
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

    /// Sends a signal by its name. Through the shell's own `kill`, which is there even where procps is not.
    ///
    /// # Panics
    /// When no process is in its place.
    pub fn signal(&self, name: &str) {
        let child = lock(&self.child);
        let pid = child.as_ref().expect("the server runs").id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to the server {pid}");
    }

    /// Waits until the process has ended after a signal.
    ///
    /// # Panics
    /// When it has not ended after a minute.
    pub fn wait(&self) {
        let Some(mut child) = lock(&self.child).take() else { return };
        let start = Instant::now();
        while child.try_wait().expect("ask for the server's state").is_none() {
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the server {} did not stop in {PATIENCE:?}", child.id());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process with signal 9, if there is one.
    pub fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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
