//! E-mail: one message to one recipient.

mod mock;
mod smtp;

pub(crate) use smtp::probe;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use lettre::Address;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Ask, Config, Provider, ProviderError, Service};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendStatus {
    /// The server took it.
    Sent,
    /// It did not leave the system.
    Mock,
}

/// Why `address` cannot be written to, if so. Only plain ASCII addresses are taken: international domains in their ASCII form.
#[must_use]
pub fn address_problem(address: &str) -> Option<&'static str> {
    if !address.is_ascii() {
        return Some("must be ASCII; write an international domain in its xn-- form");
    }
    match address.parse::<Address>() {
        Ok(_) => None,
        Err(_) => Some("is no e-mail address"),
    }
}

impl<'p> Ask<dyn Mailer + 'p> for Email {
    type Value = Receipt;

    fn ask<'a>(&'a self, provider: &'a (dyn Mailer + 'p)) -> BoxFuture<'a, Result<Receipt, ProviderError>> {
        provider.send(self)
    }
}

pub(crate) fn service(config: &Config) -> Result<Service<dyn Mailer>, ProviderError> {
    let mut reals: Vec<Arc<dyn Mailer>> = Vec::new();
    if let Some(smtp) = &config.smtp {
        reals.push(Arc::new(smtp::SmtpMailer::new(smtp)?));
    }
    // The mailer's own timeout is shorter: only it knows whether a message may have been sent.
    Ok(Service::new("email", config.is_real("email"), reals, Arc::new(mock::NoMail), Duration::from_secs(28)))
}
