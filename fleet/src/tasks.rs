//! The background tasks of a process, and their owner.
//!
//! A task that panics, or ends before it was told to, leaves a process that looks alive and no longer does its work: ends of jobs
//! are not written while leases are renewed. So each task is started here. What ends too early is logged and told to whoever runs
//! the process, which then stops.

use std::{
    any::Any,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A background task that ended although nobody had told it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedEarly {
    /// The task.
    pub task: String,
    /// How it ended.
    pub reason: String,
}

impl fmt::Display for EndedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the background task \"{}\" {}", self.task, self.reason)
    }
}

impl std::error::Error for EndedEarly {}

/// Starts and watches background tasks. Cheap to clone; all clones watch the same ones.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The first that ended too early.
    ended: watch::Sender<Option<EndedEarly>>,
    /// The task that a test wants to panic.
    planted: Mutex<Option<String>>,
    plant: Notify,
}

impl Tasks {
    /// Starts a task, which ends by itself once `stop` is cancelled. Must be called inside a tokio runtime.
    pub fn spawn(
        &self,
        name: &str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (tasks, name, stop) = (self.clone(), name.to_owned(), stop.clone());
        tokio::spawn(async move {
            tasks.watch(&name, &stop, work).await;
        })
    }

    /// Starts a task, which is dropped where it waits once `stop` is cancelled. Must be called inside a tokio runtime.
    pub fn spawn_until(
        &self,
        name: &str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let until = stop.clone();
        self.spawn(name, stop, async move {
            until.run_until_cancelled(work).await;
        })
    }

    /// Does the work in the caller's own task. False when it ended too early.
    pub async fn watch(&self, name: &str, stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
        let work = async {
            tokio::select! {
                biased;
                () = self.planted(name) => panic!("planted"),
                () = work => {}
            }
        };
        let reason = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(()) if stop.is_cancelled() => return true,
            Ok(()) => "ended by itself".to_owned(),
            Err(panic) => format!("panicked: {}", message(&*panic)),
        };
        tracing::error!(task = name, reason, "a background task has ended too early: the process is to stop");
        let ended = EndedEarly { task: name.to_owned(), reason };
        self.0.ended.send_if_modified(|first| first.is_none() && first.replace(ended).is_none());
        false
    }

    /// Completes when a task has ended too early; at once when one has.
    pub async fn ended_early(&self) -> EndedEarly {
        let mut ended = self.0.ended.subscribe();
        match ended.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended,
            // The sender is ours: it is not gone while we wait.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Fails when a task has ended too early.
    ///
    /// # Errors
    /// The first that has.
    pub fn check(&self) -> Result<(), EndedEarly> {
        self.0.ended.borrow().clone().map_or(Ok(()), Err)
    }

    /// For tests: has the task of this name panic, once, where it waits.
    #[doc(hidden)]
    pub fn plant_panic(&self, name: &str) {
        *self.0.planted.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        self.0.plant.notify_waiters();
    }

    async fn planted(&self, name: &str) {
        loop {
            let told = self.0.plant.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let is_ours = |planted: &mut String| planted.as_str() == name;
            if self.0.planted.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_ours).is_some() {
                return;
            }
            told.await;
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_as_it_was_told_is_no_failure() {
        let (tasks, stop) = (Tasks::default(), CancellationToken::new());
        let one = tasks.spawn("one", &stop, stop.clone().cancelled_owned());
        let other = tasks.spawn_until("other", &stop, std::future::pending());
        stop.cancel();
        one.await.unwrap();
        other.await.unwrap();
        assert_eq!(tasks.check(), Ok(()));
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_too_early_is_told_and_the_first_one_stays() {
        let (tasks, stop) = (Tasks::default(), CancellationToken::new());
        assert!(!tasks.watch("first", &stop, async {}).await);
        assert!(!tasks.watch("second", &stop, async { panic!("no shelf {}", 7) }).await);
        let first = tasks.ended_early().await;
        assert_eq!(first.to_string(), "the background task \"first\" ended by itself");
        assert_eq!(tasks.check(), Err(first));
        let tasks = Tasks::default();
        tasks.spawn("third", &stop, async { panic!("no shelf {}", 7) });
        assert_eq!(tasks.ended_early().await.reason, "panicked: no shelf 7");
    }

    #[tokio::test]
    async fn a_planted_panic_hits_the_task_of_its_name_once() {
        let (tasks, stop) = (Tasks::default(), CancellationToken::new());
        tasks.spawn("other", &stop, std::future::pending());
        tasks.plant_panic("planted");
        assert!(!tasks.watch("planted", &stop, std::future::pending()).await);
        assert_eq!(tasks.check().unwrap_err().reason, "panicked: planted");
        stop.cancel();
        assert!(tasks.watch("planted", &stop, std::future::ready(())).await);
    }
}
