//! End-to-end tests, one module a topic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

mod openai;
mod scrape;
mod smtp;
