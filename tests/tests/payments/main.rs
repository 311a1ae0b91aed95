//! Subscriptions against the stand-in of Stripe, on a real MongoDB and Redis, without the programs: what handles events, pushes and
//! reconciles is called here, and killed in between; so is the API, while something happens at Stripe between two of its calls.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

mod any_order;
mod api;
mod calls;
mod pages;
mod steps;
mod world;
