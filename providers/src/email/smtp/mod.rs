//! E-mail over SMTP. The commands are given one by one, because only then is it known whether the text had been handed over
//! when a connection is lost: before that a message can be sent again, after it nobody knows.
//!
//! Order, lowest first: `connections`, `transfer`.

mod connections;
#[cfg(test)]
mod stand_in;
mod transfer;

pub(crate) use transfer::{SmtpMailer, probe};
