//! What a vendor's refusal means. End points that speak one protocol refuse in many: a vendor's own words decide where its status
//! does not, so that one text's fault parks no account, an empty account ends no job, and what an end point cannot do is asked for
//! in another way.
//!
//! Order, lowest first: `said`, `meaning`, `consequence`.

mod consequence;
mod meaning;
mod said;
#[cfg(test)]
mod tests;

pub(super) use consequence::sort;
pub(super) use said::Said;
