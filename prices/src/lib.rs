//! What a product page says of its product: price, availability, names and numbers; and what the prices of many pages say together.
//! Pure functions: nothing here knows how a page was fetched.
//!
//! Order, lowest first: `amount`, `dom`, `found`, `words`, `extract`, `rates`, `compare`, `thin`.

mod amount;
mod compare;
mod dom;
mod extract;
mod found;
mod rates;
#[cfg(test)]
mod testing;
mod thin;
mod words;

pub use amount::{Money, from_text as amount};
pub use compare::{Asked, AskedAs, ComparedOffer, Comparison, Excluded, Offer, STALE_AFTER, compare};
pub use extract::{Hints, is_selector, read, refresh, text};
pub use found::{Confidence, Details, Extract, Method, Price, UnitPrice};
pub use rates::{BASE, BadRates, Rates, is_code};
pub use thin::thin;

/// Names how pages are read: another release that reads them otherwise has another one.
pub const RULES: &str = env!("PRICES_RULES");
