//! What a selftest does, decided by its seed alone: what each numbered job is, and which faults come when.

use std::time::Duration;

use queue::Priority;
use serde::{Deserialize, Serialize};

/// Numbers that look random, always the same ones for a seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `first` to `last`, both included.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.roll() % (last - first + 1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.between(0, end as u64) as usize;
            items.swap(end, other);
        }
    }
}

/// What a handler is to do: the payload of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Which job it is.
    pub(crate) number: u64,
    /// How long it takes.
    pub(crate) ms: u64,
    /// Its first attempt fails, and is to be tried again.
    pub(crate) fails_once: bool,
    /// It takes its worker down.
    pub(crate) poison: bool,
}

/// A job before it is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) work: Work,
    pub(crate) priority: Priority,
    /// How far ahead it is scheduled.
    pub(crate) delay_ms: Option<u64>,
}

/// The job of this number: most take a few milliseconds, some up to a second; some fail once, some are scheduled ahead.
pub(crate) fn job(seed: u64, number: u64) -> Numbered {
    let mut dice = Dice::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let ms = match dice.between(1, 100) {
        1..=80 => dice.between(1, 10),
        81..=97 => dice.between(20, 150),
        _ => dice.between(300, 1000),
    };
    let work = Work { number, ms, fails_once: dice.percent(2), poison: false };
    let priority = Priority::ALL[dice.between(0, 3) as usize];
    let delay_ms = dice.percent(5).then(|| dice.between(500, 4000));
    Numbered { work, priority, delay_ms }
}

/// A job of this number that takes its worker down.
pub(crate) fn poison(number: u64) -> Numbered {
    let work = Work { number, ms: 50, fails_once: false, poison: true };
    Numbered { work, priority: Priority::High, delay_ms: None }
}

/// What is done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A worker gets SIGKILL, and another is started later.
    Kill,
    /// A worker gets SIGSTOP, and SIGCONT after its leases have ended.
    Stop,
    /// Connections are cut; with `answer` only after the next request was carried out, so that its answer is lost.
    Cut { everyone: bool, answer: bool },
    /// The server gets SIGTERM and is started again.
    Restart,
}

/// A fault, and when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// From the beginning.
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
    /// The worker it is for.
    pub(crate) worker: usize,
    /// How long a stop lasts, or a killed worker stays away, beyond what is least: 0 to 2 s.
    pub(crate) extra: Duration,
}

/// The faults of so long a time; each kind is among the first four.
pub(crate) fn faults(seed: u64, workers: usize, length: Duration) -> Vec<Planned> {
    let mut dice = Dice::new(seed);
    let mut planned = Vec::new();
    let mut at = Duration::from_secs(1);
    loop {
        let cut = Fault::Cut { everyone: dice.percent(40), answer: dice.percent(50) };
        let mut round = vec![Fault::Kill, Fault::Stop, cut, Fault::Restart];
        if !planned.is_empty() {
            // A restart has everyone wait for a lease before jobs are taken over: often, but not all the time.
            round.extend([Fault::Kill, Fault::Stop]);
        }
        dice.shuffle(&mut round);
        for fault in round {
            if at >= length {
                return planned;
            }
            let worker = dice.between(0, workers as u64 - 1) as usize;
            planned.push(Planned { at, fault, worker, extra: Duration::from_millis(dice.between(0, 2000)) });
            at += Duration::from_millis(dice.between(1200, 2800));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_plan_and_another_seed_another() {
        let length = Duration::from_secs(60);
        assert_eq!(faults(7, 4, length), faults(7, 4, length));
        assert_ne!(faults(7, 4, length), faults(8, 4, length));
        assert_eq!(job(7, 11), job(7, 11));
        assert_ne!((0..20).map(|n| job(7, n)).collect::<Vec<_>>(), (0..20).map(|n| job(8, n)).collect::<Vec<_>>());
    }

    #[test]
    fn ten_seconds_are_enough_for_each_kind_of_fault() {
        for seed in 0..100 {
            let planned = faults(seed, 2, Duration::from_secs(10));
            let has = |is: fn(&Fault) -> bool| planned.iter().any(|planned| is(&planned.fault));
            assert!(has(|fault| *fault == Fault::Kill) && has(|fault| *fault == Fault::Stop), "{planned:?}");
            assert!(has(|fault| *fault == Fault::Restart) && has(|fault| matches!(fault, Fault::Cut { .. })));
            assert!(planned.iter().all(|planned| planned.worker < 2 && planned.at < Duration::from_secs(10)));
        }
    }

    #[test]
    fn jobs_are_of_every_sort() {
        let jobs: Vec<Numbered> = (0..2000).map(|number| job(1, number)).collect();
        for priority in Priority::ALL {
            assert!(jobs.iter().filter(|job| job.priority == priority).count() > 300);
        }
        assert!(jobs.iter().any(|job| job.work.fails_once) && jobs.iter().any(|job| job.delay_ms.is_some()));
        assert!(jobs.iter().any(|job| job.work.ms > 500) && jobs.iter().any(|job| job.work.ms < 5));
        assert!(jobs.iter().all(|job| !job.work.poison && job.work.ms <= 1000));
    }
}
