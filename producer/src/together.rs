//! Equal questions that come while one of them is being answered are answered together, by one call that begins after they came. So each
//! answer is as fresh as if it had been asked for alone, and a hundred open pages cost as much as two.

use std::{
    collections::HashMap,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{BoxFuture, FutureExt, Shared};

/// What is asked, and as much of who asks as matters for the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// What stands behind the question mark of the address.
    pub(crate) query: Option<String>,
    /// The token's.
    pub(crate) tenant: String,
    /// Whether the token may see every tenant.
    pub(crate) of_all: bool,
}

/// A call whose answer several are waiting for.
type Call<T> = Shared<BoxFuture<'static, T>>;

/// The calls that are under way, by what they ask.
pub(crate) struct Together<K, T>(Arc<Mutex<HashMap<K, Calls<T>>>>);

struct Calls<T> {
    /// Under way.
    now: Call<T>,
    /// Begins when that has ended; answers all who came meanwhile.
    next: Option<Call<T>>,
}

impl<K, T> Default for Together<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, T: Clone + Send + Sync + 'static> Together<K, T> {
    /// The answer to `question`, of a call that begins now or later. `ask` makes that call, unless another one's is shared. A call goes on
    /// to its end, also when nobody waits for it any more.
    pub(crate) fn answer<F>(&self, question: K, ask: impl FnOnce() -> F + Send + 'static) -> Call<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut calls = lock(&self.0);
        match calls.get_mut(&question) {
            None => {
                let call = self.begin(question.clone(), async move { ask().await });
                calls.insert(question, Calls { now: call.clone(), next: None });
                call
            }
            Some(Calls { next: Some(next), .. }) => next.clone(),
            Some(Calls { now, next }) => {
                let now = now.clone();
                let after = async move {
                    // Also when that one panicked.
                    let _ = AssertUnwindSafe(now).catch_unwind().await;
                    ask().await
                };
                next.insert(self.begin(question, after)).clone()
            }
        }
    }

    fn begin(&self, question: K, call: impl Future<Output = T> + Send + 'static) -> Call<T> {
        let ended = Ended { calls: self.0.clone(), question };
        let call = async move {
            let _ended = ended;
            call.await
        };
        let call = call.boxed().shared();
        tokio::spawn(call.clone());
        call
    }
}

/// Makes way for the next call, also when this one panicked.
struct Ended<K: Eq + Hash, T> {
    calls: Arc<Mutex<HashMap<K, Calls<T>>>>,
    question: K,
}

impl<K: Eq + Hash, T> Drop for Ended<K, T> {
    fn drop(&mut self) {
        let mut calls = lock(&self.calls);
        let next = calls.get_mut(&self.question).map(|calls| calls.next.take().map(|next| calls.now = next));
        if next == Some(None) {
            calls.remove(&self.question);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Counts the calls; each waits until it is let go, and answers with its number.
    #[derive(Clone)]
    struct Asked(Arc<(AtomicUsize, Semaphore)>);

    impl Asked {
        fn new() -> Self {
            Self(Arc::new((AtomicUsize::new(0), Semaphore::new(0))))
        }

        fn n(&self) -> usize {
            self.0.0.load(Ordering::SeqCst)
        }

        fn let_go(&self, n: usize) {
            self.0.1.add_permits(n);
        }

        fn ask(&self) -> impl FnOnce() -> BoxFuture<'static, usize> + Send + 'static {
            let this = self.clone();
            move || {
                async move {
                    let number = this.0.0.fetch_add(1, Ordering::SeqCst) + 1;
                    this.0.1.acquire().await.unwrap().forget();
                    number
                }
                .boxed()
            }
        }
    }

    async fn until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_during_a_call_shares_the_next_one() {
        let (together, asked) = (Together::default(), Asked::new());
        let first = together.answer("a", asked.ask());
        until(|| asked.n() == 1).await;
        let later: Vec<_> = (0..10).map(|_| together.answer("a", asked.ask())).collect();
        let other = together.answer("b", asked.ask());
        until(|| asked.n() == 2).await;
        asked.let_go(3);
        assert_eq!(first.await, 1, "who came first waits for nobody");
        assert_eq!(other.await, 2, "another question is not held up");
        for answer in later {
            assert_eq!(answer.await, 3, "a call that began before they came is not for them");
        }
        assert_eq!(asked.n(), 3);
        until(|| lock(&together.0).is_empty()).await;
    }

    #[tokio::test]
    async fn a_call_goes_on_when_those_who_asked_have_gone() {
        let (together, asked) = (Together::default(), Asked::new());
        drop(together.answer("a", asked.ask()));
        drop(together.answer("a", asked.ask()));
        asked.let_go(2);
        until(|| lock(&together.0).is_empty()).await;
        assert_eq!(asked.n(), 2);
    }

    #[tokio::test]
    async fn a_call_that_panics_holds_up_none_of_those_behind_it() {
        let together: Together<&str, usize> = Together::default();
        let first = together.answer("a", || async { panic!("as the test wants") });
        let behind = together.answer("a", || async { 1 });
        assert!(tokio::spawn(first).await.is_err());
        assert_eq!(behind.await, 1);
        until(|| lock(&together.0).is_empty()).await;
        assert_eq!(together.answer("a", || async { 2 }).await, 2);
    }
}
