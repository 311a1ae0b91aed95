//! E-mail to one recipient: `data.rs` has what the templates are filled with.

mod data;
mod locale;
mod render;

use chrono_tz::Tz;
use providers::{
    ProviderError,
    content::Language,
    email::{SendStatus, address_problem},
};
use queue::{FieldError, Job};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use data::{
    JobFailedData, PaymentFailedData, PriceAlertData, PriceChange, Template, TemplateName, TrialEndingData,
    WeeklySummaryData, WelcomeData,
};
use locale::Locale;

use crate::handler::{Context, Done, Handler, JobError};

/// What is said of a field that may have no control characters.
const ONE_LINE: &str = "must be one line without control characters";

/// Sends one message to one recipient: either `subject`, `text` and perhaps `html` as they are, or a `template` filled with `data`.
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
    /// One line; not with `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "Your product texts are ready")]
    pub subject: Option<String>,
    /// Plain text; not with `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100_000)]
    pub text: Option<String>,
    /// The same as HTML; not with `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 300_000)]
    pub html: Option<String>,
    /// A text that only needs to be filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateName>,
    /// The language of the template, which needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// IANA name of the recipient's time zone, for times in the template; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, example = "Europe/Paris")]
    pub time_zone: Option<String>,
    /// What the template is filled with: the fields of the schema that is named like the template, `TrialEndingData` for
    /// `trial_ending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
}

impl Email {
    /// A filled-in template for `to`; times in it are those of `time_zone`, an IANA name, or of UTC.
    #[must_use]
    pub fn from_template(
        to: impl Into<String>,
        to_name: Option<String>,
        language: Language,
        time_zone: Option<String>,
        template: &Template,
    ) -> Self {
        Self {
            to: to.into(),
            to_name,
            subject: None,
            text: None,
            html: None,
            template: Some(template.name()),
            language: Some(language),
            time_zone,
            data: Some(template.data()),
        }
    }

    /// The message as it goes to the mailer. `key` makes its Message-ID, `unsubscribe_url` is offered if it is a reminder.
    fn compose(self, key: String, unsubscribe_url: Option<String>) -> Result<providers::email::Email, JobError> {
        let (subject, text, html) = match (self.template, self.language) {
            (Some(template), Some(language)) => {
                let time_zone = self.time_zone.as_ref().map_or(Ok(Tz::UTC), |name| name.parse());
                let time_zone = time_zone.map_err(|_| invalid("/time_zone is no name of a time zone".to_owned()))?;
                let locale = Locale { language, time_zone };
                let rendered = render::render(&self, template, locale, unsubscribe_url.as_deref());
                let rendered = rendered.map_err(|error| invalid(format!("{}: {error:#}", template.name())))?;
                (rendered.subject, rendered.text, Some(rendered.html))
            }
            _ => (self.subject.unwrap_or_default(), self.text.unwrap_or_default(), self.html),
        };
        Ok(providers::email::Email { key, to: self.to, to_name: self.to_name, subject, text, html, unsubscribe_url })
    }

    /// What is wrong with the fields of a message that is sent as it is.
    fn errors_as_written(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (pointer, given) in [("/subject", self.subject.is_some()), ("/text", self.text.is_some())] {
            if !given {
                errors.push(FieldError::new(pointer, "is required without template"));
            }
        }
        let only_with_template = [
            ("/language", self.language.is_some()),
            ("/time_zone", self.time_zone.is_some()),
            ("/data", self.data.is_some()),
        ];
        for (pointer, _) in only_with_template.into_iter().filter(|(_, given)| *given) {
            errors.push(FieldError::new(pointer, "needs template"));
        }
        if self.subject.as_ref().is_some_and(|subject| subject.chars().any(char::is_control)) {
            errors.push(FieldError::new("/subject", ONE_LINE));
        }
        for (pointer, text) in [("/text", &self.text), ("/html", &self.html)] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                errors.push(FieldError::new(pointer, "must have no NUL character"));
            }
        }
        errors
    }

    /// What is wrong with the fields of a message that is made from `template`.
    fn errors_of_template(&self, template: TemplateName) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let as_written =
            [("/subject", self.subject.is_some()), ("/text", self.text.is_some()), ("/html", self.html.is_some())];
        for (pointer, _) in as_written.into_iter().filter(|(_, given)| *given) {
            errors.push(FieldError::new(pointer, "cannot be given together with template, which has its own"));
        }
        if self.language.is_none() {
            errors.push(FieldError::new("/language", "is required with template: one of fr, en"));
        }
        if self.time_zone.as_ref().is_some_and(|name| name.parse::<Tz>().is_err()) {
            errors.push(FieldError::new("/time_zone", "must be an IANA name of a time zone, such as Europe/Paris"));
        }
        let empty = Map::new();
        let of_data = template.errors(self.data.as_ref().unwrap_or(&empty));
        errors
            .extend(of_data.into_iter().map(|error| FieldError::new(format!("/data{}", error.pointer), error.message)));
        errors
    }
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
        if self.to_name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            errors.push(FieldError::new("/to_name", ONE_LINE));
        }
        errors.extend(match self.template {
            Some(template) => self.errors_of_template(template),
            None => self.errors_as_written(),
        });
        errors
    }
}

impl Handler for Email {
    type Output = EmailResult;
    const COLLECTION: &'static str = "emails";
    const SERVICE: Option<&'static str> = Some("email");

    async fn run(self, context: &Context) -> Result<Done<EmailResult>, JobError> {
        let email = self.compose(context.job_id.to_string(), None)?;
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

/// A payload that the API would have refused.
fn invalid(message: String) -> JobError {
    JobError::Fatal { code: "invalid_payload", message }
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
