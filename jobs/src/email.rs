//! E-mail to one recipient.

use providers::{
    ProviderError,
    email::{SendStatus, address_problem},
};
use queue::{FieldError, Job};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::handler::{Context, Done, Handler, JobError};

/// Sends one message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// Address of the recipient.
    #[schema(min_length = 3, max_length = 254, example = "zoe@customer.example")]
    pub to: String,
    /// Name of the recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, example = "Zoé Müller")]
    pub to_name: Option<String>,
    /// One line.
    #[schema(min_length = 1, max_length = 200, example = "Your product texts are ready")]
    pub subject: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 100_000)]
    pub text: String,
    /// The same as HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 300_000)]
    pub html: Option<String>,
}

/// What became of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmailResult {
    /// Made from the job's id, so that every attempt of a job sends the same.
    pub message_id: String,
    /// `mock` when nothing was sent.
    pub status: SendStatus,
    /// What the server said when it took the message.
    pub server_reply: Option<String>,
}

impl Job for Email {
    const KIND: &'static str = "email";
    const MAX_ATTEMPTS: u32 = 8;
    const TIMEOUT_S: u64 = 30;
    const CONCURRENCY: usize = 8;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(problem) = address_problem(&self.to) {
            errors.push(FieldError::new("/to", problem));
        }
        let name = self.to_name.as_deref().unwrap_or_default();
        for (pointer, text) in [("/to_name", name), ("/subject", &self.subject)] {
            if text.chars().any(char::is_control) {
                errors.push(FieldError::new(pointer, "must be one line without control characters"));
            }
        }
        errors
    }
}

impl Handler for Email {
    type Output = EmailResult;
    const COLLECTION: &'static str = "emails";
    const SERVICE: Option<&'static str> = Some("email");

    async fn run(self, context: &Context) -> Result<Done<EmailResult>, JobError> {
        let Self { to, to_name, subject, text, html } = self;
        let email = providers::email::Email { key: context.job_id.to_string(), to, to_name, subject, text, html };
        context.progress.set(10, "sending");
        let sent = context.providers.email.call(context.policy(), &email).await;
        let answer = sent.map_err(|error| once_more(error, context.attempt))?;
        context.progress.set(90, format!("taken by {}", answer.provider));
        let done = Done::from(answer);
        let receipt = done.result;
        let result =
            EmailResult { message_id: receipt.message_id, status: receipt.status, server_reply: receipt.server_reply };
        Ok(Done { result, provider: done.provider, degraded_reason: done.degraded_reason })
    }
}

/// A message that may have been delivered is sent once more, and not a third time.
fn once_more(error: ProviderError, attempt: u32) -> JobError {
    match error {
        ProviderError::UnknownOutcome { .. } if attempt > 1 => JobError::Fatal {
            code: error.code(),
            message: format!("{error}; not sent again, because it may already have arrived twice"),
        },
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{JOB_ID, complaints, context, mocks, refused, stored};

    #[tokio::test]
    async fn a_mock_e_mail_is_done_but_not_sent() {
        let job: Email = stored(json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello Zoé" }));
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Email>(mocks())).await.unwrap();
        assert_eq!((done.provider, done.degraded_reason), (Some("mock"), None));
        assert_eq!(done.result.status, SendStatus::Mock);
        assert!(done.result.message_id.contains(JOB_ID), "{:?}", done.result);
    }

    #[test]
    fn addresses_and_lines_are_checked() {
        let email =
            |to: &str, name: &str, subject: &str| json!({ "to": to, "to_name": name, "subject": subject, "text": "x" });
        assert!(complaints::<Email>(email("zoe@customer.example", "Zoé", "Thé prêt")).is_empty());
        for address in
            ["zoe", "zoe@", "@customer.example", "a b@customer.example", "zoé@customer.example", "a@b.example>"]
        {
            assert_eq!(complaints::<Email>(email(address, "Zoé", "Hello")), ["/to"], "{address}");
        }
        let broken = email("zoe@customer.example", "Zoé\nBcc: x", "Hello\r\nBcc: x");
        assert_eq!(complaints::<Email>(broken), ["/to_name", "/subject"]);
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let bad = json!({ "to": "x".repeat(255), "subject": "", "text": "", "html": 1, "cc": "y" });
        assert_eq!(refused::<Email>(&bad), ["/cc", "/html", "/subject", "/text", "/to"]);
        assert_eq!(refused::<Email>(&json!({ "to": "zoe", "subject": "Hello", "text": "Hello" })), ["/to"]);
    }

    #[test]
    fn a_message_that_may_have_arrived_is_sent_once_more_and_not_a_third_time() {
        let unknown = || ProviderError::UnknownOutcome { service: "smtp", message: "cut off after DATA".to_owned() };
        assert!(matches!(once_more(unknown(), 1), JobError::Retry { .. }));
        assert!(matches!(once_more(unknown(), 2), JobError::Fatal { code: "unknown_outcome", .. }));
        let transient = ProviderError::Transient { service: "smtp", message: "451".to_owned(), retry_after: None };
        assert!(matches!(once_more(transient, 7), JobError::Retry { .. }));
    }
}
