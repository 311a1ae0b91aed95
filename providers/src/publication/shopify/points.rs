//! Points, in which Shopify counts what an app asks of a store: what queries cost and what is left, as answers tell of it. It is handed to
//! the chain, by which all replicas share it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fleet::Level;

use super::answer::{Cost, Throttle};

/// What the answers to this process told.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// What a query asked for last, by its name.
    costs: Mutex<HashMap<String, u64>>,
    /// What is left, by store; what was handed on is here no more.
    left: Mutex<HashMap<String, Level>>,
}

impl Points {
    /// What a query costs. One that was never sent is taken for the dearest of those that were; what is no query (no name) costs nothing.
    pub(super) fn cost(&self, query: &str) -> u64 {
        let costs = lock(&self.costs);
        let dearest = || costs.values().copied().max().filter(|_| !query.is_empty());
        costs.get(query).copied().or_else(dearest).unwrap_or(0)
    }

    /// Notes what an answer told.
    pub(super) fn note(&self, store: String, query: &str, cost: Cost) {
        lock(&self.costs).insert(query.to_owned(), whole(cost.requested_query_cost.ceil()));
        lock(&self.left).insert(store, level(cost.throttle_status));
    }

    /// What the last answer of a store told, once. Of answers at the same time one may be told with another's call: it is of the same store.
    pub(super) fn take(&self, store: &str) -> Option<Level> {
        lock(&self.left).remove(store)
    }
}

fn level(told: Throttle) -> Level {
    let Throttle { maximum_available, currently_available, restore_rate } = told;
    Level { available: whole(currently_available), at_most: whole(maximum_available), per_s: whole(restore_rate) }
}

/// Down to a whole number, and none below 0.
fn whole(points: f64) -> u64 {
    points as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_once_and_what_a_query_costs_is_kept() {
        let points = Points::default();
        assert_eq!((points.cost("Product"), points.take("a")), (0, None), "nothing is known");
        let throttle_status = Throttle { maximum_available: 1_000.0, currently_available: -0.5, restore_rate: 50.0 };
        points.note("a".to_owned(), "Product", Cost { requested_query_cost: 30.2, throttle_status });
        let later = Throttle { currently_available: 99.9, ..throttle_status };
        points.note("a".to_owned(), "Product", Cost { requested_query_cost: 31.0, throttle_status: later });
        points.note("b".to_owned(), "Find", Cost { requested_query_cost: 0.1, throttle_status });
        assert_eq!((points.cost("Product"), points.cost("Find")), (31, 1));
        assert_eq!((points.cost("Set"), points.cost("")), (31, 0), "nobody knows of the one, and the other is none");
        let level = |available| Some(Level { available, at_most: 1_000, per_s: 50 });
        assert_eq!([points.take("a"), points.take("a"), points.take("b")], [level(99), None, level(0)]);
    }
}
