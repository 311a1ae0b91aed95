//! What is sent, and who sends.

use std::fmt::Debug;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    chain::{Ask, Provider, Usage},
    error::ProviderError,
};

pub(super) const SERVICE: &str = "email";

/// Sends e-mail.
pub trait Mailer: Provider + Debug {
    /// Sends one message.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] with the server's words when it refuses this message for good,
    /// [`ProviderError::UnknownOutcome`] when the connection was lost after the text had been handed over, and the others.
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Delivery, ProviderError>>;
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
pub struct Delivery {
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

impl<'p> Ask<dyn Mailer + 'p> for Email {
    type Value = Delivery;

    fn ask<'a>(&'a self, provider: &'a (dyn Mailer + 'p)) -> BoxFuture<'a, Result<Delivery, ProviderError>> {
        provider.send(self)
    }

    fn estimate(&self, _: &(dyn Mailer + 'p)) -> Usage {
        Usage { units: 1, micro_usd: None }
    }
}
