//! Payments as the API has them: what is offered, and what a tenant does with its subscription. Stripe is asked at once, and what is kept
//! of the subscription is read from it again before the answer goes out.
//!
//! Order, lowest first: `refusal`, `addresses`, `shelf`, `desk`, `customer`, `checkout`, `changes`.

mod addresses;
mod changes;
mod checkout;
mod customer;
mod desk;
mod refusal;
mod shelf;

pub(crate) use changes::{Cancel, Changed, Preview};
pub(crate) use checkout::Ask;
pub(crate) use customer::key;
pub(crate) use desk::{Desk, Offer};
pub(crate) use refusal::in_time;
