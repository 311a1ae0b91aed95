//! What is known of payments: `stripe_events` (one document an event that Stripe told of), `subscriptions` (one a tenant) and `mock_payments`
//! (what the mock of Stripe keeps). Stripe is the truth: what is in `subscriptions` can be read from it again.
//!
//! Order, lowest first: `event`, `subscription`, `mock_shelf`.

mod event;
mod mock_shelf;
mod subscription;

use std::time::Duration;

use mongodb::{bson::doc, options::IndexOptions};

pub use event::{EventCounts, EventOrder, StripeEvent, StripeEventState};
pub use subscription::{StoredInvoice, StoredSubscription, SubscriptionState};

use crate::{
    Error, Store,
    index::{index, index_with},
};
pub(crate) use event::EVENTS;
use subscription::SUBSCRIPTIONS;

/// An event is remembered for so long: Stripe itself has those of 30 days.
const EVENTS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

impl Store {
    pub(crate) async fn prepare_payments(&self) -> Result<(), Error> {
        let kept = IndexOptions::builder().expire_after(EVENTS_KEPT).build();
        let sparse = || IndexOptions::builder().sparse(true).build();
        let events =
            [index("state_customer", doc! { "state": 1, "customer": 1 }), index_with("kept", doc! { "at": 1 }, kept)];
        self.create_indexes(EVENTS, events).await?;
        let subscriptions = [
            index_with("customer", doc! { "customer": 1 }, sparse()),
            index_with("trial_end", doc! { "trial_end": 1 }, sparse()),
        ];
        self.create_indexes(SUBSCRIPTIONS, subscriptions).await
    }
}
