//! What a product page says of its product: price, availability, names and numbers. Pure functions: nothing here knows how a page was
//! fetched.
//!
//! Order, lowest first: `amount`, `dom`, `found`, `words`, `extract`.

mod amount;
mod dom;
mod extract;
mod found;
#[cfg(test)]
mod testing;
mod words;

pub use amount::{Money, from_text as amount};
pub use extract::{Hints, is_selector, read, refresh, text};
pub use found::{Confidence, Details, Extract, Method, Price, UnitPrice};

/// Names how pages are read: another release that reads them otherwise has another one.
pub const RULES: &str = env!("PRICES_RULES");
