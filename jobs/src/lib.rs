//! The job kinds, a file each, and their list.
//!
//! Order, lowest first: `shape`, `kept`, `payments`, `handler`, `check`, `once`, `usage`, `kinds`, `republish`, `heal`, `stop`, `recurring`,
//! `watched`, `reconcile`, `market`, `rotate`, `maintenance`.

mod check;
mod handler;
mod heal;
mod kept;
mod kinds;
pub mod maintenance;
pub mod market;
mod once;
pub mod payments;
mod reconcile;
pub mod recurring;
mod republish;
mod rotate;
mod shape;
mod stop;
#[cfg(test)]
mod testing;
mod usage;
pub mod watched;

pub use check::{Checks, KindSchema, PayloadError};
pub use handler::{Context, Done, Handler, JobError, NamedStore, Registry};
pub use heal::{Healed, healable};
pub use kept::{Kept, Maker, SoFar};
pub use kinds::*;
pub use once::{LookedUp, OnceError, Told};
pub use reconcile::{Difference, Reconciled};
pub use rotate::Rotated;
pub use shape::{Schemas, Shape, schemas_of};

/// Every job kind. The worker, the API and the tests all read this list.
pub fn register<R: Registry>(registry: R) -> R {
    kinds::of_services(registry).add::<maintenance::Maintenance>()
}

impl Checks {
    /// The checks of all kinds of this project.
    #[must_use]
    pub fn all() -> Self {
        register(Self::default())
    }
}
