//! What handlers really did, kept outside Redis: each worker process appends a line to a file of its own as a job starts and
//! ends, so that the queue is not asked about itself. A line that was written outlives a kill of its writer.
//!
//! Lines: `start <ms> <number> <attempt> <crashes>`, `<done|failed|stopped> <ms> <number>`, `count <name> <n>`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its work is done.
    Done,
    /// It failed as planned.
    Failed,
    /// It was stopped in the middle.
    Stopped,
}

/// The file of this process.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
}

impl Log {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(folder.join(std::process::id().to_string()))?;
        Ok(Self { file })
    }

    pub(crate) fn start(&self, ms: u64, number: u64, attempt: u32, crashes: u32) -> io::Result<()> {
        self.line(&format!("start {ms} {number} {attempt} {crashes}\n"))
    }

    pub(crate) fn end(&self, ms: u64, number: u64, end: End) -> io::Result<()> {
        let how = match end {
            End::Done => "done",
            End::Failed => "failed",
            End::Stopped => "stopped",
        };
        self.line(&format!("{how} {ms} {number}\n"))
    }

    pub(crate) fn count(&self, name: &str, n: u64) -> io::Result<()> {
        self.line(&format!("count {name} {n}\n"))
    }

    /// One call of the kernel a line: lines of several threads do not mix, and none is half written.
    fn line(&self, line: &str) -> io::Result<()> {
        (&self.file).write_all(line.as_bytes())
    }
}

/// What all files say, read bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    folder: PathBuf,
    /// How far each process' file was read.
    read: HashMap<u32, u64>,
    /// The processes that started each job, in order for each process.
    pub(crate) starts: HashMap<u64, Vec<u32>>,
    /// How often the work of each job was done.
    pub(crate) done: HashMap<u64, u32>,
    /// Started and not ended: how often workers had died with the job before.
    open: HashMap<(u32, u64), u32>,
    /// Jobs that were started again after a worker had died with them.
    pub(crate) again: HashSet<u64>,
    /// Counters of all processes.
    pub(crate) counters: BTreeMap<String, u64>,
}

impl Runs {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..Self::default() }
    }

    /// Reads what has been added.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let from = self.read.get(&pid).copied().unwrap_or(0);
            let mut file = File::open(entry.path())?;
            file.seek(SeekFrom::Start(from))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[..whole].lines() {
                self.take(pid, line).ok_or_else(|| io::Error::other(format!("{pid}: {line:?} is no line of ours")))?;
            }
            self.read.insert(pid, from + whole as u64);
        }
        Ok(())
    }

    fn take(&mut self, pid: u32, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["start", _, number, _, crashes] => {
                let (number, crashes) = (number.parse().ok()?, crashes.parse().ok()?);
                self.starts.entry(number).or_default().push(pid);
                self.open.insert((pid, number), crashes);
                if crashes > 0 {
                    self.again.insert(number);
                }
            }
            [how @ ("done" | "failed" | "stopped"), _, number] => {
                let number = number.parse().ok()?;
                self.open.remove(&(pid, number));
                if *how == "done" {
                    *self.done.entry(number).or_default() += 1;
                }
            }
            ["count", name, n] => *self.counters.entry((*name).to_owned()).or_default() += n.parse::<u64>().ok()?,
            _ => return None,
        }
        Some(())
    }

    /// Whether this process runs a job that workers have died with so often.
    pub(crate) fn runs_job_of_crashes(&self, pid: u32, crashes: u32) -> bool {
        self.open.iter().any(|((runner, _), before)| *runner == pid && *before >= crashes)
    }

    pub(crate) fn n_done(&self) -> usize {
        self.done.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ecomctl-runs-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_logged_is_read_and_a_half_line_waits_for_its_rest() {
        let folder = folder("read");
        let log = Log::create(&folder).unwrap();
        let pid = std::process::id();
        let mut runs = Runs::in_folder(&folder);
        log.start(5, 17, 1, 2).unwrap();
        log.line("done 6 1").unwrap();
        runs.refresh().unwrap();
        assert!(runs.runs_job_of_crashes(pid, 2) && !runs.runs_job_of_crashes(pid, 3));
        assert_eq!((runs.starts[&17].as_slice(), runs.n_done()), ([pid].as_slice(), 0));
        log.line("7\n").unwrap();
        log.count("refused", 3).unwrap();
        log.count("refused", 2).unwrap();
        runs.refresh().unwrap();
        assert!(!runs.runs_job_of_crashes(pid, 0));
        assert_eq!((runs.done[&17], runs.counters["refused"]), (1, 5));
        log.start(8, 18, 1, 0).unwrap();
        runs.refresh().unwrap();
        assert_eq!(runs.again, HashSet::from([17]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_that_is_not_ours_is_told() {
        let folder = folder("strange");
        fs::write(folder.join("12"), "begin 1 2\n").unwrap();
        let error = Runs::in_folder(&folder).refresh().unwrap_err();
        assert!(error.to_string().contains("begin 1 2"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
