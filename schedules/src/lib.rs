//! Recurring work: when it is due, and the ticker that enqueues it once, however many replicas there are.
//!
//! Reading order: `expression.rs` (cron expressions), `clocktime.rs` (the rule for changes of the clock).

mod clocktime;
mod expression;

pub use clocktime::next_instant;
pub use expression::{Expression, ExpressionError};

/// A time zone of the IANA database.
pub use chrono_tz::Tz as Zone;
