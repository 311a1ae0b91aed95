//! Recurring work: when it is due, and the ticker that enqueues it once, however many replicas there are.
//!
//! Reading order: `timetable.rs` (what recurs here), `definition.rs` (what a schedule is), `expression.rs` (cron expressions),
//! `clocktime.rs` (the rule for changes of the clock), `due.rs` (which times are run now), `ticker/` (enqueues them).
//! `outbox.rs` pushes what others have put into the outbox, with the same `relay.rs` as the ticker.
//! What the timetable's jobs do is in `jobs/src/maintenance.rs`.
//!
//! Order, lowest first: `error`, `expression`, `clocktime`, `definition`, `due`, `timetable`, `stored`, `admission`, `relay`,
//! `ticker`, `outbox`.

mod admission;
mod clocktime;
mod definition;
mod due;
mod error;
mod expression;
mod outbox;
mod relay;
mod stored;
mod ticker;
mod timetable;

pub use admission::{Admission, Admitted};
pub use clocktime::next_instant;
pub use definition::{Definition, JobSpec, Missed, Overlap, Plan, schedule_id};
pub use error::Error;
pub use expression::{Expression, ExpressionError};
pub use outbox::Outbox;
pub use stored::{new_schedule, pause, read, resume, tick_id};
pub use ticker::Ticker;
pub use timetable::{Row, TIMETABLE, timetable};
pub use zones::{Tables, Version, Zone, tables};
