//! The bucket of points that all queries of an app at a store share, as the last answer told of it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::answer::{Cost, Throttle};

/// What is known of the buckets of all stores, in this process. Over all replicas a throttled call pauses the account.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    last: Throttle,
    at: Instant,
    /// What a query asked for last, by its name.
    costs: HashMap<String, f64>,
}

impl Buckets {
    /// How long a query has to wait until it fits, as far as that is known.
    pub(super) fn wait(&self, store: &str, query: &str, now: Instant) -> Duration {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(store) else { return Duration::ZERO };
        let Some(cost) = bucket.costs.get(query).copied() else { return Duration::ZERO };
        bucket.refill(now);
        let wait = bucket.last.wait_for(cost);
        if wait.is_zero() {
            // Calls at the same time share what is left.
            bucket.last.currently_available -= cost;
        }
        wait
    }

    /// Notes what an answer told.
    pub(super) fn note(&self, store: &str, query: &str, cost: Cost, now: Instant) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(store.to_owned()).or_insert_with(|| Bucket {
            last: cost.throttle_status,
            at: now,
            costs: HashMap::new(),
        });
        (bucket.last, bucket.at) = (cost.throttle_status, now);
        bucket.costs.insert(query.to_owned(), cost.requested_query_cost);
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let restored = now.saturating_duration_since(self.at).as_secs_f64() * self.last.restore_rate;
        self.last.currently_available = (self.last.currently_available + restored).min(self.last.maximum_available);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_waits_for_the_points_that_it_is_known_to_cost() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let throttle_status = Throttle { maximum_available: 1_000.0, currently_available: 100.0, restore_rate: 50.0 };
        assert_eq!(buckets.wait("a", "Product", start), Duration::ZERO, "nothing is known");
        buckets.note("a", "Product", Cost { requested_query_cost: 300.0, throttle_status }, start);
        assert_eq!(buckets.wait("a", "Product", start), Duration::from_secs(4));
        assert_eq!(buckets.wait("a", "Product", after(1_000)), Duration::from_secs(3));
        assert_eq!((buckets.wait("a", "Find", start), buckets.wait("b", "Product", start)), Default::default());
        assert_eq!(buckets.wait("a", "Product", after(4_000)), Duration::ZERO);
        assert_eq!(buckets.wait("a", "Product", after(4_000)), Duration::from_secs(6), "the first one took it");
        let dear = Cost { requested_query_cost: 5_000.0, throttle_status };
        buckets.note("a", "Dear", dear, start);
        assert_eq!(
            buckets.wait("a", "Dear", after(18_000)),
            Duration::ZERO,
            "more than the bucket holds is not waited for"
        );
    }
}
