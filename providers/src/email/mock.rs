//! Takes a message and sends nothing.

use futures::future::{BoxFuture, FutureExt};

use super::{Delivery, Email, Mailer, SendStatus};
use crate::{Provider, ProviderError};

#[derive(Debug)]
pub(crate) struct NoMail;

impl Provider for NoMail {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl Mailer for NoMail {
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Delivery, ProviderError>> {
        async move {
            let message_id = format!("<{}@mock.invalid>", email.key);
            Ok(Delivery { message_id, status: SendStatus::Mock, server_reply: None })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mock_e_mail_never_counts_as_sent() {
        let email = Email {
            key: "0199a1b2".to_owned(),
            to: "ann@shop.example".to_owned(),
            to_name: None,
            subject: "Hello".to_owned(),
            text: "Hello".to_owned(),
            html: None,
            unsubscribe_url: None,
        };
        let receipt = NoMail.send(&email).await.unwrap();
        assert_eq!(receipt.status, SendStatus::Mock);
        assert_eq!(receipt.message_id, "<0199a1b2@mock.invalid>");
    }
}
