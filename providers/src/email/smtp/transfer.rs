//! A message's way to the server.

use std::{fmt, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use lettre::{Message, message::Mailbox};
use services::Smtp;
use tokio::time::timeout;

use super::connections::{Connections, Progress};
use crate::{
    chain::Provider,
    email::{
        dialogue::Fault,
        mailer::{Delivery, Email, Mailer, SendStatus},
        message::{compose, message_id, parse_sender},
        verdict::{Step, failure},
    },
    error::ProviderError,
};

/// For one message, from connecting to the last reply.
const TIMEOUT: Duration = Duration::from_secs(25);
const REPLY_KEPT: usize = 500;

pub(crate) struct SmtpMailer {
    pub(super) connections: Connections,
    sender: Mailbox,
    pub(super) timeout: Duration,
}

impl SmtpMailer {
    pub(crate) fn new(config: &Smtp) -> Result<Self, ProviderError> {
        let sender = parse_sender(&config.sender)?;
        Ok(Self { connections: Connections::new(config)?, sender, timeout: TIMEOUT })
    }

    async fn deliver(&self, email: &Email) -> Result<Delivery, ProviderError> {
        let message = compose(email, &self.sender)?;
        let progress = Progress::new();
        let reply = match timeout(self.timeout, self.transfer(&message, &progress)).await {
            Ok(reply) => reply,
            Err(_) => Err(Fault::Lost(format!("silence for {} s", self.timeout.as_secs_f32()))),
        };
        let reply = reply.map_err(|fault| failure(progress.step(), fault))?;
        let message_id = message_id(email, &self.sender);
        Ok(Delivery { message_id, status: SendStatus::Sent, server_reply: Some(reply) })
    }

    /// Hands the message to the server and returns its last reply. A connection on which anything failed, or anything was said that
    /// does not belong there, is not used again.
    async fn transfer(&self, message: &Message, progress: &Progress) -> Result<String, Fault> {
        let mut dialogue = self.connections.take(progress).await?;
        let envelope = message.envelope();
        progress.begin(Step::Sender);
        dialogue.sender(envelope.from().map_or("", |sender| sender.as_ref())).await?;
        progress.begin(Step::Recipient);
        for recipient in envelope.to() {
            dialogue.recipient(recipient.as_ref()).await?;
        }
        progress.begin(Step::Data);
        dialogue.data().await?;
        progress.begin(Step::Text);
        dialogue.text(&message.formatted()).await?;
        progress.begin(Step::End);
        let reply = dialogue.end_of_text().await?;
        if dialogue.is_in_step().await {
            self.connections.keep(dialogue);
        }
        Ok(reply.to_string().chars().take(REPLY_KEPT).collect())
    }
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer").field("config", &self.connections.config).finish_non_exhaustive()
    }
}

impl Provider for SmtpMailer {
    fn name(&self) -> &'static str {
        "smtp"
    }
}

impl Mailer for SmtpMailer {
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Delivery, ProviderError>> {
        self.deliver(email).boxed()
    }
}

/// Connects and takes leave; logs in between if told to.
pub(crate) async fn probe(config: &Smtp, login: bool) -> Result<(), String> {
    let credentials = config.credentials.clone().filter(|_| login);
    let mailer = SmtpMailer::new(&Smtp { credentials, ..config.clone() }).map_err(|e| e.to_string())?;
    let progress = Progress::new();
    let connected = mailer.connections.connect(&progress).await;
    connected.map_err(|fault| failure(progress.step(), fault).to_string())?.quit().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::email::smtp::stand_in::{Script, Server, email, error_of, friendly, twice};

    #[tokio::test]
    async fn a_message_arrives_with_the_headers_of_an_automatic_one() {
        let server = Server::start(friendly).await;
        let receipt = server.mailer().send(&email()).await.unwrap();
        assert_eq!(receipt.message_id, "<0199a1b2-0000-7000-8000-000000000000@shop.example>");
        assert_eq!(
            (receipt.status, receipt.server_reply.as_deref()),
            (SendStatus::Sent, Some("250 2.0.0 queued as 7"))
        );
        let text = server.text();
        for part in [
            "MAIL FROM:<noreply@shop.example>",
            "RCPT TO:<zoe@customer.example>",
            "Message-ID: <0199a1b2-0000-7000-8000-000000000000@shop.example>",
            "Auto-Submitted: auto-generated",
            "Date: ",
            "Content-Type: multipart/alternative",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(text.is_ascii(), "{text}");
    }

    #[tokio::test]
    async fn replies_are_sorted_by_what_follows() {
        let later: [Script; 3] = [
            |command| if command == "RCPT" { Some("421 4.3.2 closing down") } else { friendly(command) },
            |command| if command == "HELLO" { Some("421 busy") } else { friendly(command) },
            |command| if command == "MAIL" { Some("451 4.3.0 try later") } else { friendly(command) },
        ];
        for script in later {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
        }
        let this_one_later: [Script; 4] = [
            |command| if command == "RCPT" { Some("450 4.2.1 greylisted") } else { friendly(command) },
            |command| if command == "RCPT" { Some("552 5.2.2 too many") } else { friendly(command) },
            |command| if command == "DATA" { Some("451 4.3.0 try later") } else { friendly(command) },
            |command| if command == "." { Some("451 4.3.0 try later") } else { friendly(command) },
        ];
        for script in this_one_later {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Deferred { .. }), "{error:?}");
        }
        let account_at_last: [Script; 3] = [
            |command| {
                if command == "." { Some("550 5.4.5 Daily user sending limit exceeded") } else { friendly(command) }
            },
            |command| {
                if command == "." {
                    Some("554 Message rejected: Email address is not verified.")
                } else {
                    friendly(command)
                }
            },
            |command| {
                if command == "RCPT" {
                    Some("550 5.7.60 SMTP; Client does not have permissions to send as this sender")
                } else {
                    friendly(command)
                }
            },
        ];
        for script in account_at_last {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        }
        let never: [Script; 2] = [
            |command| if command == "RCPT" { Some("550 5.1.1 no such user") } else { friendly(command) },
            |command| if command == "." { Some("554 5.7.1 looks like spam") } else { friendly(command) },
        ];
        for (script, words) in never.into_iter().zip(["550 5.1.1 no such user", "554 5.7.1 looks like spam"]) {
            let error = error_of(script).await;
            assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains(words)), "{error:?}");
        }
        let account: [Script; 3] = [
            |command| if command == "HELLO" { Some("554 your address is blocked") } else { friendly(command) },
            |command| if command == "MAIL" { Some("530 5.7.0 log in first") } else { friendly(command) },
            |command| if command == "MAIL" { Some("550 5.7.1 sender refused") } else { friendly(command) },
        ];
        for script in account {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn what_is_lost_before_the_text_can_be_sent_again_and_after_it_nobody_knows() {
        let before: [Script; 4] = [
            |command| if command == "HELLO" { Some("") } else { friendly(command) },
            |command| if command == "RCPT" { Some("") } else { friendly(command) },
            |command| if command == "MAIL" { None } else { friendly(command) },
            |command| if command == "DATA" { None } else { friendly(command) },
        ];
        for script in before {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
        }
        let after: [Script; 2] = [
            |command| if command == "." { None } else { friendly(command) },
            |command| if command == "." { Some("") } else { friendly(command) },
        ];
        for script in after {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::UnknownOutcome { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_reply_in_another_charset_means_what_its_code_says() {
        let taken: Script =
            |command| if command == "." { Some("250 2.0.0 Nachricht \u{fc}bernommen") } else { friendly(command) };
        let (sent, n_connections) = twice(taken).await;
        for receipt in sent {
            assert_eq!(receipt.unwrap().server_reply.as_deref(), Some("250 2.0.0 Nachricht übernommen"));
        }
        assert_eq!(n_connections, 1);
        let greeted: Script =
            |command| if command == "HELLO" { Some("220 \u{fc}ber ESMTP") } else { friendly(command) };
        assert!(twice(greeted).await.0.iter().all(Result::is_ok));
        let refused: Script =
            |command| if command == "RCPT" { Some("550 5.1.1 ung\u{fc}ltig") } else { friendly(command) };
        let error = error_of(refused).await;
        assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains("ungültig")), "{error:?}");
    }

    #[tokio::test]
    async fn nothing_is_said_while_an_answer_lies_there_that_nobody_asked_for() {
        let server = Server::start(|command| match command {
            "RCPT" => Some("250 fine\r\n250 fine"),
            _ => friendly(command),
        })
        .await;
        server.mailer().send(&email()).await.unwrap_err();
        while !server.text().contains("GOODBYE") {
            tokio::task::yield_now().await;
        }
        assert!(!server.text().contains("DATA"), "{}", server.text());
    }

    #[tokio::test]
    async fn only_354_lets_the_text_out_and_only_2xx_takes_it() {
        let not_begun: [Script; 7] = [
            |command| if command == "HELLO" { Some("334 go on") } else { friendly(command) },
            |command| if command == "DATA" { Some("250 fine") } else { friendly(command) },
            |command| if command == "DATA" { Some("334 go on") } else { friendly(command) },
            |command| if command == "DATA" { Some("354 go on\r\n250 2.0.0 queued") } else { friendly(command) },
            |command| if command == "RCPT" { Some("250 fine\r\n250 fine") } else { friendly(command) },
            |command| if command == "MAIL" { Some("354 go on") } else { friendly(command) },
            |command| if command == "EHLO" { Some("nonsense") } else { friendly(command) },
        ];
        for (n, script) in not_begun.into_iter().enumerate() {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{n}: {error:?}");
        }
        let nobody_knows: [Script; 4] = [
            |command| if command == "." { Some("354 go on") } else { friendly(command) },
            |command| if command == "." { Some("334 go on") } else { friendly(command) },
            |command| if command == "." { Some("nonsense") } else { friendly(command) },
            |command| if command == "." { Some("250-fine\r\n550 5.1.1 not at all") } else { friendly(command) },
        ];
        for (n, script) in nobody_knows.into_iter().enumerate() {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::UnknownOutcome { .. }), "{n}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_before_the_end_of_the_text_is_one_of_the_message() {
        let early: Script = |command| match command {
            "DATA" => Some("354 go on\r\n552 5.3.4 too large"),
            _ => friendly(command),
        };
        let error = error_of(early).await;
        assert!(
            matches!(&error, ProviderError::Rejected { message, .. } if message.contains("too large")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_line_break_cannot_add_a_header() {
        let server = Server::start(friendly).await;
        let mailer = server.mailer();
        for bad in [
            Email { subject: "Hello\r\nBcc: all@customer.example".to_owned(), ..email() },
            Email { to_name: Some("Zoé\nBcc: all@customer.example".to_owned()), ..email() },
            Email { to: "zoe@customer.example>\r\nRCPT TO:<all@customer.example".to_owned(), ..email() },
        ] {
            let error = mailer.send(&bad).await.unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
        }
        assert_eq!(server.connections(), 0);
    }

    #[test]
    fn a_malformed_sender_is_told_at_start() {
        let server = Server { port: 25, lines: Arc::default() };
        let error = SmtpMailer::new(&Smtp { sender: "nobody".to_owned(), ..server.config() }).unwrap_err();
        assert!(
            matches!(&error, ProviderError::Misconfigured { message, .. } if message.contains("SENDER_EMAIL")),
            "{error:?}"
        );
    }
}
