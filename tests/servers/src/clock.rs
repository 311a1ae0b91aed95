//! A server's clock, which a test moves on: a library of ours (`moved_clock.c`), loaded before the server's others, adds to it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use crate::process::lock;
use crate::{TempDir, temp_dir};

const SOURCE: &str = include_str!("moved_clock.c");

/// How far a server's clock is ahead of the machine's.
pub(crate) struct MovedClock {
    directory: TempDir,
    ahead: Mutex<Duration>,
}

impl MovedClock {
    /// One that is not ahead yet.
    ///
    /// # Panics
    /// When the library cannot be compiled.
    pub(crate) fn new() -> Self {
        let clock = Self { directory: temp_dir(), ahead: Mutex::default() };
        let source = clock.directory.path().join("moved_clock.c");
        fs::write(&source, SOURCE).expect("write the library's source");
        let mut compile = Command::new(env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        let made = compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.library()).arg(&source).output();
        let made = made.expect("start the C compiler, which rustc links with, too");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(clock.file(), 0_i64.to_ne_bytes()).expect("write how far it is ahead");
        clock
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("moved_clock.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ahead")
    }

    /// Gives it to a server that is about to start.
    pub(crate) fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library()).env("MOVED_CLOCK", self.file());
    }

    /// Moves it on, for a server that runs and for one that is started later.
    pub(crate) fn move_on(&self, by: Duration) {
        let mut ahead = lock(&self.ahead);
        *ahead += by;
        let seconds = i64::try_from(ahead.as_secs()).expect("a time that a test waits for");
        // Written over: the server looks into the file's memory, of which nothing may be cut off.
        let mut file = File::options().write(true).open(self.file()).expect("open how far it is ahead");
        file.write_all(&seconds.to_ne_bytes()).expect("write how far it is ahead");
    }
}
