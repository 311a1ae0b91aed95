//! Recurring jobs: the collections `schedules` (one document a schedule) and `ticks` (one a time that a schedule was due), and what
//! the back end writes for them to read: `monitors` and `tenants`. `task_progress` has one document a job that walks through these and
//! has not come to their end: where it goes on.
//!
//! `ticks._id` is made of the schedule and the tick, so that of any number of replicas one inserts it: that is what makes a tick
//! happen once. A tick has `push_at` as long as its job is to be pushed or has to be looked after, and `spec` as long.
//!
//! Order, lowest first: `documents`, `schedule`, `tick`, `tasks`.

mod documents;
mod schedule;
mod tasks;
mod tick;

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    IndexModel,
    bson::{Document, doc},
    options::IndexOptions,
};

pub use documents::{Documents, Unreadable};
pub use schedule::{Advance, Reckoned, StoredSchedule};
pub use tasks::{Cursor, Monitor, TaskProgress, Tenant};
pub use tick::{Tick, TickOutcome};

use crate::{ANSWER_TIMEOUT, Error, Store, run};
use schedule::SCHEDULES;
use tasks::{PROGRESS, TENANTS};
use tick::TICKS;

/// How long it is remembered that a schedule was due.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Store {
    /// Creates the indexes of schedules, ticks and trials. May be repeated.
    ///
    /// # Errors
    /// As MongoDB gives them; nothing has to be undone before the next call.
    #[boxed]
    pub async fn prepare_schedules(&self) -> Result<(), Error> {
        let index = |name: &str, keys: Document, options: IndexOptions| {
            let mut options = options;
            options.name = Some(name.to_owned());
            IndexModel::builder().keys(keys).options(options).build()
        };
        let sparse = || IndexOptions::builder().sparse(true).build();
        let all = [
            (SCHEDULES, index("next_at", doc! { "next_at": 1 }, sparse())),
            (SCHEDULES, index("tenant", doc! { "tenant": 1, "_id": 1 }, IndexOptions::default())),
            (TICKS, index("push_at", doc! { "push_at": 1 }, sparse())),
            (TICKS, index("schedule_tick", doc! { "schedule": 1, "tick": -1 }, IndexOptions::default())),
            (TICKS, index("expiry", doc! { "created_at": 1 }, IndexOptions::builder().expire_after(KEPT).build())),
            (PROGRESS, index("expiry", doc! { "at": 1 }, IndexOptions::builder().expire_after(KEPT).build())),
            (TENANTS, index("trial_ends_at", doc! { "trial_ends_at": 1 }, sparse())),
        ];
        for (name, index) in all {
            let collection = self.collection(name);
            let create = async move { collection.create_index(index).await };
            run(format!("create the indexes of {name}"), ANSWER_TIMEOUT, create).await?;
        }
        Ok(())
    }
}
