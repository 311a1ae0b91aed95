//! One file a job kind, and the list of kinds.

mod check;
pub mod content;
pub mod email;
mod handler;
mod heal;
pub mod image;
mod kept;
pub mod maintenance;
mod once;
pub mod publication;
pub mod recurring;
pub mod scrape;
mod shape;
#[cfg(test)]
mod testing;

pub use check::{Checks, KindSchema, PayloadError};
pub use handler::{Context, Done, Handler, JobError, Registry};
pub use heal::{Healed, healable};
pub use kept::Kept;
pub use once::{Found, OnceError};
pub use shape::{Schemas, Shape, schemas_of};

/// Every job kind. The worker, the API and the tests all read this list.
pub fn register<R: Registry>(registry: R) -> R {
    registry
        .add::<content::Content>()
        .add::<image::Image>()
        .add::<scrape::Scrape>()
        .add::<email::Email>()
        .add::<publication::Publication>()
        .add::<maintenance::Maintenance>()
}
