//! End-to-end tests against the real servers, and stand-ins of the vendors.

pub mod standins;
