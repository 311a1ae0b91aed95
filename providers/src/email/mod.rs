//! E-mail: one message to one recipient.

mod dialogue;
mod message;
mod mock;
mod reply;
mod smtp;
mod verdict;

pub(crate) use message::sender_mailbox;
pub(crate) use smtp::probe;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Ask, Config, Limits, Provider, ProviderError, Service, Usage};

pub use message::headers;

const SERVICE: &str = "email";
/// With as many tokens a minute as messages an hour are allowed. One more than 60, because the first minute begins with a minute's worth
/// in hand.
const TOKENS_A_MESSAGE: u64 = 61;
/// A minute's worth of a smaller limit would be less than one message.
pub(crate) const SMALLEST_PER_HOUR: u32 = 100;

/// Sends e-mail.
pub trait Mailer: Provider + Debug {
    /// Sends one message.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] with the server's words when it refuses this message for good,
    /// [`ProviderError::UnknownOutcome`] when the connection was lost after the text had been handed over, and the others.
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Receipt, ProviderError>>;
}

/// One message to one recipient. The sender is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The same for every try of the same message; the local part of its Message-ID.
    pub key: String,
    /// Address of the recipient.
    pub to: String,
    /// Name of the recipient.
    pub to_name: Option<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Where the recipient asks for no more messages of this kind; for its headers.
    pub unsubscribe_url: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// With its angle brackets.
    pub message_id: String,
    /// Whether it was sent.
    pub status: SendStatus,
    /// What the server said when it took the message, often with the id in its queue.
    pub server_reply: Option<String>,
}

/// Whether a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendStatus {
    /// The server took it.
    Sent,
    /// It did not leave the system.
    Mock,
    /// It was not sent, because the recipient wants no more reminders.
    Unsubscribed,
}

/// Why `address` cannot be written to, if so. An international domain is taken as it is or in its ASCII form; before the `@` only
/// ASCII is.
#[must_use]
pub fn address_problem(address: &str) -> Option<&'static str> {
    message::ascii_address(address).err()
}

impl<'p> Ask<dyn Mailer + 'p> for Email {
    type Value = Receipt;

    fn ask<'a>(&'a self, provider: &'a (dyn Mailer + 'p)) -> BoxFuture<'a, Result<Receipt, ProviderError>> {
        provider.send(self)
    }

    /// So that the limit an hour is kept as one of tokens a minute.
    fn estimate(&self, _: &(dyn Mailer + 'p)) -> Usage {
        Usage { tokens: TOKENS_A_MESSAGE, micro_usd: None }
    }
}

/// The limits of the account: those of every service, and `SMTP_PER_HOUR`.
pub(crate) fn limits(config: &Config) -> Limits {
    let tokens_per_min = config.smtp.as_ref().and_then(|smtp| smtp.per_hour);
    Limits { tokens_per_min, ..config.pace.limits(SERVICE) }
}

pub(crate) fn service(config: &Config) -> Result<Service<dyn Mailer>, ProviderError> {
    let mut reals: Vec<Arc<dyn Mailer>> = Vec::new();
    if let Some(smtp) = &config.smtp {
        reals.push(Arc::new(smtp::SmtpMailer::new(smtp)?));
    }
    // The mailer's own timeout is shorter: only it knows whether a message may have been sent.
    Ok(Service::new(SERVICE, config.is_real(SERVICE), reals, Arc::new(mock::NoMail), Duration::from_secs(28)))
}
