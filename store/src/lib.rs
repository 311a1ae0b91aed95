//! MongoDB: the connection, then one file a collection family ([`results`](Store::put_result),
//! of stand-ins [`degraded`](Store::take_degraded) and [`stand_ins`](Store::stand_in), [`receipts`](Store::begin_receipt), [`deliveries`](Store::put_fal_delivery),
//! [`history`](Store::record_jobs), [`schedules`](Store::due_schedules), [`flights`](Store::board), [`usage`](Store::count_usage),
//! [`files`](Store::put_file), [`listings`](Store::keep_listing), [`batches`](Store::keep_part), [`pages`](Store::keep_pages),
//! [`stores`](Store::tenant_stores), [`prices`](Store::write_offers), [`outbox`](Store::put_outbox),
//! [`payments`](Store::put_stripe_event)).
//! Small writes that come together are gathered: `writer.rs`.
//!
//! The driver must not be dropped in the middle of a call. So every call runs in a task of its own (`call.rs`): a caller
//! that is aborted, or that stops waiting, leaves the call to end by itself.
//!
//! Order, lowest first: `error`, `json`, `moment`, `call`, `writer`, `connection`, `index`, `documents`, `history`, `degraded`,
//! `results`, `stand_ins`, `emails`, `receipts`, `deliveries`, `flights`, `schedules`, `usage`, `files`, `pages`, `listings`, `batches`,
//! `stores`, `prices`, `payments`, `outbox`.

mod batches;
mod call;
mod connection;
mod degraded;
mod deliveries;
mod documents;
mod emails;
mod error;
mod files;
mod flights;
mod history;
mod index;
mod json;
mod listings;
mod moment;
mod outbox;
mod pages;
mod payments;
mod prices;
mod receipts;
mod results;
mod schedules;
mod stand_ins;
mod stores;
mod usage;
mod writer;

pub use batches::BatchItem;
pub use connection::Store;
pub use degraded::{Degraded, Replacement};
pub use deliveries::FalDelivery;
pub use documents::{Documents, Unreadable};
pub use emails::{EmailPage, EmailQuery, StoredEmail};
pub use error::Error;
pub use files::{References, StoredFile, Swept};
pub use flights::Flight;
pub use history::{PastAttempt, PastError, PastJob, PastPage, PastProgress, PastQuery, PastSnoozes, words};
pub use listings::{FoundListing, ListingKey, StoredListing};
pub use moment::Moment;
pub use outbox::OutboxEntry;
pub use payments::{
    EventCounts, EventOrder, StoredInvoice, StoredSubscription, StripeEvent, StripeEventState, SubscriptionState,
};
pub use prices::{
    Alert, Money, OfProduct, Offer, OfferLine, PricePoint, Span, StoredRates, Unified, WriteOffer, offer_id,
};
pub use receipts::Receipt;
pub use results::NewResult;
pub use schedules::{Advance, Cursor, Monitor, Reckoned, StoredSchedule, TaskProgress, Tenant, Tick, TickOutcome};
pub use stand_ins::StandIn;
pub use stores::{Parked, StoredStore};
pub use usage::{DayUsage, NewUsage};

use async_recursion::async_recursion as boxed;
use call::{ANSWER_TIMEOUT, MAJORITY_TIMEOUT, MAX_TIME, run};

impl Store {
    /// Creates the indexes of the given collections of results, and of all others. May be repeated.
    ///
    /// # Errors
    /// As MongoDB gives them; nothing has to be undone before the next call.
    #[boxed]
    pub async fn prepare(&self, result_collections: &[&str]) -> Result<(), Error> {
        for collection in result_collections {
            self.prepare_degraded(collection).await?;
            self.create_indexes(collection, [prices::of_product()]).await?;
        }
        self.prepare_emails().await?;
        self.prepare_receipts().await?;
        self.prepare_deliveries().await?;
        self.prepare_flights().await?;
        self.prepare_pages().await?;
        self.prepare_listings().await?;
        self.prepare_batches().await?;
        self.prepare_usage().await?;
        self.prepare_prices().await?;
        self.prepare_outbox().await?;
        self.prepare_payments().await?;
        self.prepare_history().await?;
        self.prepare_stores().await
    }
}
