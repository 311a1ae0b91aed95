//! Payments without the calls: what Stripe's words mean here, what is kept of a subscription, and what a tenant may use.
//!
//! Stripe is the truth: what is kept of a subscription is made of what Stripe says of it now ([`kept`]), never of what an event said.
//!
//! Order, lowest first: `plans`, `state`, `entitlements`, `gate`, `event`, `record`.

mod entitlements;
mod event;
mod gate;
mod plans;
mod record;
mod state;

pub use entitlements::{Entitlements, PlanRequired, entitlements, is_exempt, tier_word};
pub use event::{EVENT_KINDS, stored_event};
pub use gate::{By, Gate, NotLetIn, OverQuota};
pub use plans::{Plan, Plans};
pub use record::{AtStripe, kept};
pub use state::{goes_on, rank, state_of, way_on};
