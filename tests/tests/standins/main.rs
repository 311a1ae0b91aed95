//! The stand-ins, driven as the vendors' documents say, without any of our own programs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

mod fal;
mod fault;
mod heartbeat;
mod prestashop;
mod publication;
mod s3;
mod scraping;
mod shopify;
mod shops;
mod smtp;
mod stripe;
mod woocommerce;

use tests::client;
