//! What is ordered of one product at one store, and what came of it.

use super::{api::Key, fields::Change, patch::Patch};

/// What a job wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PublicationAction)]
pub enum Action {
    /// The fields are written; a product that is not there is made.
    #[default]
    Publish,
    /// What `publish` would change is told; nothing is written.
    DryRun,
    /// Customers no longer see it.
    Unpublish,
    /// It is deleted in the shop.
    Delete,
    /// What differs from what was written last is told; nothing is written.
    Verify,
}

/// What was done with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublicationStatus {
    /// Customers see it as it was ordered.
    Published,
    /// It is in the shop, and customers do not see it.
    Draft,
    /// Nothing had to be written.
    Unchanged,
    /// Customers no longer see it.
    Unpublished,
    /// It is no longer in the shop.
    Deleted,
    /// Somebody changed it in the shop since.
    Drifted,
    /// Nothing left the system.
    Mock,
}

/// What is ordered.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The job; later ones have greater ids.
    pub job: &'a str,
    /// What the product is known by.
    pub key: Key<'a>,
    /// What to do.
    pub action: Action,
    /// What to write.
    pub patch: &'a Patch,
    /// Whether a product that we did not make may be deleted.
    pub force: bool,
    /// Whether fields stay as they are that somebody changed in the shop since they were written.
    pub keep_edits: bool,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// What was done.
    pub status: PublicationStatus,
    /// The product's id in the shop, if it is there.
    pub external_id: Option<String>,
    /// Where customers find it, if they can.
    pub url: Option<String>,
    /// Whether customers see it now.
    pub published: bool,
    /// What was changed, or for a dry run would be.
    pub changes: Vec<Change>,
}

impl Publication {
    /// What came of this one and of one that was carried out right after it, together.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let status = if later.status == PublicationStatus::Unchanged { self.status } else { later.status };
        let mut changes = self.changes;
        for change in later.changes {
            match changes.iter_mut().find(|before| before.field == change.field) {
                Some(before) => before.becomes = change.becomes,
                None => changes.push(change),
            }
        }
        Self { status, changes, ..later }
    }
}
