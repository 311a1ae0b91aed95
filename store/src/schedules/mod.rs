//! Recurring jobs: the collections `schedules` (one document a schedule) and `ticks` (one a time that a schedule was due), and what
//! the back end writes for them to read: `monitors` and `tenants`. `task_progress` has one document a job that walks through these and
//! has not come to their end: where it goes on.
//!
//! `ticks._id` is made of the schedule and the tick, so that of any number of replicas one inserts it: that is what makes a tick
//! happen once. A tick has `push_at` as long as its job is to be pushed or has to be looked after, and `spec` as long.
//!
//! Order, lowest first: `schedule`, `tick`, `tasks`.

mod schedule;
mod tasks;
mod tick;

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{bson::doc, options::IndexOptions};

pub use schedule::{Advance, Reckoned, StoredSchedule};
pub use tasks::{Cursor, Monitor, TaskProgress, Tenant};
pub use tick::{Tick, TickOutcome};

use crate::{
    Error, Store,
    index::{index, index_with},
};
use schedule::SCHEDULES;
use tasks::{MONITORS, PROGRESS, TENANTS};
use tick::TICKS;

/// How long it is remembered that a schedule was due.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Store {
    /// Creates the indexes of schedules, ticks, monitors and trials. May be repeated.
    ///
    /// # Errors
    /// As MongoDB gives them; nothing has to be undone before the next call.
    #[boxed]
    pub async fn prepare_schedules(&self) -> Result<(), Error> {
        let sparse = || IndexOptions::builder().sparse(true).build();
        let kept = || IndexOptions::builder().expire_after(KEPT).build();
        let schedules =
            [index_with("next_at", doc! { "next_at": 1 }, sparse()), index("tenant", doc! { "tenant": 1, "_id": 1 })];
        self.create_indexes(SCHEDULES, schedules).await?;
        let ticks = [
            index_with("push_at", doc! { "push_at": 1 }, sparse()),
            index("schedule_tick", doc! { "schedule": 1, "tick": -1 }),
            index_with("expiry", doc! { "created_at": 1 }, kept()),
        ];
        self.create_indexes(TICKS, ticks).await?;
        self.create_indexes(PROGRESS, [index_with("expiry", doc! { "at": 1 }, kept())]).await?;
        self.create_indexes(MONITORS, [index("product", doc! { "tenant": 1, "product_id": 1 })]).await?;
        self.create_indexes(TENANTS, [index_with("trial_ends_at", doc! { "trial_ends_at": 1 }, sparse())]).await
    }
}
