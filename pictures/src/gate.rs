//! How much is done at a time.

use std::{sync::Arc, thread};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What pictures may take while they are decoded and written, all together; in bytes.
const WORK: usize = 512 * MIB;
/// What pictures may take that wait for that, or to be stored.
const HELD: usize = 192 * MIB;
const MIB: usize = 1024 * 1024;

/// However many jobs a worker has at a time, their pictures stay within a memory, and no more are worked on than there are cores.
/// Cheap to clone; clones share what they bound.
#[derive(Debug, Clone)]
pub struct Gate {
    work: Room,
    held: Room,
    cores: Room,
}

/// Leave to go on; dropped, others may.
#[derive(Debug)]
#[must_use = "dropped, it lets others through"]
pub struct Pass {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(WORK, HELD, thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Gate {
    /// A gate for so many bytes of work, so many that are only held, and so many cores.
    #[must_use]
    pub fn new(work: usize, held: usize, cores: usize) -> Self {
        Self {
            work: Room::new(mib(work)),
            held: Room::new(mib(held)),
            cores: Room::new(u32::try_from(cores).unwrap_or(1)),
        }
    }

    /// Waits until so many bytes of files may be held: what is downloaded, and what was made until it is stored. To be asked for
    /// before [`Self::work`], not after it: who may work waits for nobody.
    pub async fn hold(&self, bytes: usize) -> Pass {
        Pass { _permits: self.held.take(mib(bytes)).await.into_iter().collect() }
    }

    /// Waits until a picture may be worked on that takes so many bytes; see [`Source::memory`](crate::Source::memory). One that takes
    /// more than all together may is worked on alone.
    pub async fn work(&self, bytes: usize) -> Pass {
        let core = self.cores.take(1).await;
        let memory = self.work.take(mib(bytes)).await;
        Pass { _permits: core.into_iter().chain(memory).collect() }
    }
}

/// So many units, which who comes first has first.
#[derive(Debug, Clone)]
struct Room {
    left: Arc<Semaphore>,
    in_all: u32,
}

impl Room {
    fn new(in_all: u32) -> Self {
        let in_all = in_all.max(1);
        Self { left: Arc::new(Semaphore::new(in_all as usize)), in_all }
    }

    /// `None` never comes: it would mean that the semaphore was closed, which nobody does.
    async fn take(&self, n: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.left).acquire_many_owned(n.min(self.in_all)).await.ok()
    }
}

fn mib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn no_more_is_worked_on_than_fits() {
        let gate = Gate::new(10 * MIB, MIB, 8);
        let first = gate.work(6 * MIB).await;
        let second = gate.work(4 * MIB).await;
        assert!(gate.work(1).now_or_never().is_none());
        drop(second);
        let third = gate.work(1).now_or_never().unwrap();
        // What is held is counted apart, so that who works waits for nobody.
        let held = gate.hold(1).now_or_never().unwrap();
        assert!(gate.hold(1).now_or_never().is_none());
        drop((first, third, held));
        // One that is larger than all: alone, and not never.
        let alone = gate.work(100 * MIB).now_or_never().unwrap();
        assert!(gate.work(1).now_or_never().is_none());
        drop(alone);
    }

    #[tokio::test]
    async fn no_more_are_worked_on_than_there_are_cores() {
        let gate = Gate::new(10 * MIB, MIB, 2);
        let (first, _second) = (gate.work(1).await, gate.work(1).await);
        assert!(gate.clone().work(1).now_or_never().is_none());
        drop(first);
        assert!(gate.work(1).now_or_never().is_some());
    }
}
