//! E-mail to one recipient: `data.rs` has what the templates are filled with.

mod data;
mod locale;
mod render;
pub(crate) mod tenant;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use api::FieldError;
use providers::{
    Policy, ProviderError,
    content::Language,
    email::{Delivery, SendStatus},
};
use queue::Job;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use services::{Links, Name, ascii_address};
use utoipa::ToSchema;
use zones::Zone;

use data::ONE_LINE;
pub use data::{
    JobFailedData, PaymentFailedData, PriceAlertData, PriceChange, StoreParkedData, Template, TemplateName,
    TrialEndingData, WeeklySummaryData, WelcomeData,
};
pub use locale::Locale;
use render::{Rendered, render};

use crate::{
    handler::{Context, Done, Handler, JobError},
    once::{LookedUp, OnceError, Told},
};

/// How long to wait after each attempt that failed; greylisting wants 5 minutes at least, and lasts some hours at most.
const WAITS_MIN: [u64; 4] = [1, 5, 15, 60];

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

    /// How it would look. `sender` is what `SENDER_EMAIL` says.
    ///
    /// # Errors
    /// [`JobError::Fatal`] when the payload is one that [`Handler::check`] refuses, or `sender` is no address.
    pub fn preview(self, sender: Option<&str>, links: &Links) -> Result<Preview, JobError> {
        let id = "00000000-0000-7000-8000-000000000000";
        let unsubscribe_url = self.unsubscribe_url(links, id);
        let message = self.compose(id.to_owned(), unsubscribe_url)?;
        let headers = providers::email::headers(&message, sender).map_err(|error| invalid(error.to_string()))?;
        Ok(Preview { subject: message.subject, text: message.text, html: message.html, headers })
    }

    fn is_reminder(&self) -> bool {
        self.template.is_some_and(TemplateName::is_reminder)
    }

    fn unsubscribe_url(&self, links: &Links, job_id: &str) -> Option<String> {
        if self.is_reminder() { links.unsubscribe(job_id) } else { None }
    }

    /// The message as it goes to the mailer. `key` makes its Message-ID, `unsubscribe_url` is offered if it is a reminder.
    fn compose(self, key: String, unsubscribe_url: Option<String>) -> Result<providers::email::Email, JobError> {
        let (subject, text, html) = match (self.template, self.language) {
            (Some(template), Some(language)) => {
                let time_zone = self.time_zone.as_ref().map_or(Ok(Zone::UTC), |name| name.parse());
                let time_zone = time_zone.map_err(|_| invalid("/time_zone is no name of a time zone".to_owned()))?;
                let locale = Locale { language, time_zone };
                let rendered = self.rendered(template, &locale, unsubscribe_url.as_deref());
                let rendered = rendered.map_err(|error| invalid(format!("{}: {error:#}", template.name())))?;
                (rendered.subject, rendered.text, Some(rendered.html))
            }
            _ => (self.subject.unwrap_or_default(), self.text.unwrap_or_default(), self.html),
        };
        Ok(providers::email::Email { key, to: self.to, to_name: self.to_name, subject, text, html, unsubscribe_url })
    }

    /// Its template, filled in.
    fn rendered(
        &self,
        template: TemplateName,
        locale: &Locale,
        unsubscribe_url: Option<&str>,
    ) -> Result<Rendered, minijinja::Error> {
        let empty = Map::new();
        let data = self.data.as_ref().unwrap_or(&empty);
        render(template, locale, self.to_name.as_deref(), data, unsubscribe_url)
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
        if self.time_zone.as_ref().is_some_and(|name| name.parse::<Zone>().is_err()) {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmailResult {
    /// Made from the job's id, so that every attempt of a job sends the same.
    pub message_id: String,
    /// `mock` when nothing was sent.
    pub status: SendStatus,
    /// What the server said when it took the message.
    pub server_reply: Option<String>,
    /// Address of the recipient.
    #[serde(default)]
    pub to: String,
    /// Name of the recipient.
    #[serde(default)]
    pub to_name: Option<String>,
    /// As it was sent.
    #[serde(default)]
    pub subject: String,
    /// From which it was made.
    #[serde(default)]
    pub template: Option<TemplateName>,
    /// The language of the template.
    #[serde(default)]
    pub language: Option<Language>,
    /// Plain text, if it was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same as HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

impl EmailResult {
    /// Whether its recipient may ask for no more of these.
    #[must_use]
    pub fn is_reminder(&self) -> bool {
        self.template.is_some_and(TemplateName::is_reminder)
    }

    /// Whether its recipient reads French.
    #[must_use]
    pub fn is_french(&self) -> bool {
        self.language == Some(Language::Fr)
    }
}

/// How a message would look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// As it is read.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Names and values as they go over the wire, unfolded.
    pub headers: Vec<(String, String)>,
}

impl Job for Email {
    const KIND: &'static str = "email";
    const MAX_ATTEMPTS: u32 = 8;
    const TIMEOUT_S: u64 = 30;
    const CONCURRENCY: usize = 8;
}

impl Handler for Email {
    type Output = EmailResult;
    const COLLECTION: &'static str = "emails";
    const SERVICE: Option<Name> = Some(Name::Email);

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(problem) = ascii_address(&self.to).err() {
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

    async fn run(self, context: &Context) -> Result<Done<EmailResult>, JobError> {
        let (template, language) = (self.template, self.language);
        let job_id = context.job_id.to_string();
        let unwanted = self.is_reminder() && is_unsubscribed(context, &self.to).await?;
        let unsubscribe_url = self.unsubscribe_url(&context.providers.links, &job_id);
        let message = self.compose(job_id, unsubscribe_url)?;
        let sent = if unwanted {
            Sent { message_id: String::new(), status: SendStatus::Unsubscribed, server_reply: None }
        } else {
            context.progress.set(10, "sending");
            send_once(context, &message).await?
        };
        let provider = match sent.status {
            SendStatus::Sent => Some("smtp"),
            SendStatus::Mock => Some("mock"),
            SendStatus::Unsubscribed => None,
        };
        let is_mock = sent.status == SendStatus::Mock;
        let result = EmailResult {
            message_id: sent.message_id,
            status: sent.status,
            server_reply: sent.server_reply,
            to: message.to,
            to_name: message.to_name,
            subject: message.subject,
            template,
            language,
            // What was sent is in the recipient's hands, and is not kept here too.
            text: is_mock.then_some(message.text),
            html: message.html.filter(|_| is_mock),
        };
        Ok(Done { result, provider, degraded_reason: None })
    }
}

/// What a result tells of the sending, and the receipts of older releases.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    message_id: String,
    status: SendStatus,
    server_reply: Option<String>,
}

/// The recipient has said so on the page of an earlier reminder.
async fn is_unsubscribed(context: &Context, address: &str) -> Result<bool, JobError> {
    let Some(store) = &context.store else { return Ok(false) };
    Ok(store.is_unsubscribed(&context.tenant, address).await.map_err(OnceError::from)?)
}

/// Sends a message, or finds that an earlier run of the job did.
///
/// A mail server cannot be asked what became of a message. So one that was begun, with nothing known of its end (no reply after the
/// text, or the worker died), may have arrived: it is sent once more, as a step with a receipt of its own, and not a third time.
async fn send_once(context: &Context, message: &providers::email::Email) -> Result<Sent, JobError> {
    let earlier = match send(context, "send", message).await {
        Err(Unsent::Earlier(_)) => send(context, "send again", message).await,
        first => return first.map_err(|unsent| unsent.into_job_error(context.attempt)),
    };
    earlier.map_err(|unsent| match unsent {
        Unsent::Earlier(reason)
        | Unsent::Now(OnceError::Provider(ProviderError::UnknownOutcome { message: reason, .. })) => JobError::Fatal {
            code: "unknown_outcome",
            message: format!("{reason}; not sent a third time, because it may already have arrived twice"),
        },
        unsent @ Unsent::Now(_) => unsent.into_job_error(context.attempt),
    })
}

/// Why a message was not sent.
enum Unsent {
    /// An earlier run began it, and nobody knows what came of it.
    Earlier(String),
    /// What happened just now.
    Now(OnceError),
}

impl Unsent {
    fn into_job_error(self, attempt: u32) -> JobError {
        match self {
            Self::Now(OnceError::Provider(error)) => later(error, attempt),
            Self::Now(error) => error.into(),
            Self::Earlier(message) => JobError::Retry { code: "unknown_outcome", message, after: None },
        }
    }
}

async fn send(context: &Context, step: &'static str, message: &providers::email::Email) -> Result<Sent, Unsent> {
    let was_called = AtomicBool::new(false);
    let write = async || {
        was_called.store(true, Ordering::Relaxed);
        // Nothing stands in for a mail server. And the mailer alone watches the time: only it knows how far a message was.
        let policy = Policy { allow_fallback: false, time: Duration::MAX, ..context.policy() };
        let answer = context.providers.email.call(policy, message).await?;
        let Delivery { message_id, status, server_reply } = answer.value;
        Ok(Sent { message_id, status, server_reply })
    };
    let sent = context.once(step, &message.key, Told::ByResult, || sent_before(context), write).await;
    sent.map_err(|error| match error {
        OnceError::Provider(ProviderError::UnknownOutcome { message, .. }) if !was_called.load(Ordering::Relaxed) => {
            Unsent::Earlier(message)
        }
        error => Unsent::Now(error),
    })
}

/// What an earlier run of the job has stored as its result. Mail servers tell nothing of a message afterwards.
async fn sent_before(context: &Context) -> Result<LookedUp<Sent>, OnceError> {
    let stored = match &context.store {
        Some(store) => match store.result(Email::COLLECTION, &context.job_id.to_string()).await {
            // A document that cannot be read tells nothing.
            Err(error @ store::Error::Refused { .. }) => {
                tracing::warn!(job.id = %context.job_id, %error, "the result of an earlier run cannot be read");
                None
            }
            result => result?,
        },
        None => None,
    };
    Ok(match stored.and_then(|result| serde_json::from_value(result).ok()) {
        Some(sent) => LookedUp::There(sent),
        None => LookedUp::CannotTell("mail servers tell nothing of a message afterwards".to_owned()),
    })
}

/// What follows from an error, with the waits that mail servers expect.
fn later(error: ProviderError, attempt: u32) -> JobError {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = WAITS_MIN.get(index).or(WAITS_MIN.last()).map(|minutes| Duration::from_secs(60 * minutes));
    match error.into() {
        JobError::Retry { code, message, after: None } => JobError::Retry { code, message, after: wait },
        other => other,
    }
}

/// A payload that the API would have refused.
fn invalid(message: String) -> JobError {
    JobError::Fatal { code: "invalid_payload", message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::{NewResult, Receipt, Store};

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

    #[tokio::test]
    async fn a_stored_result_tells_that_the_message_was_sent_and_without_one_it_is_sent_once_more() {
        let payload = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello Zoé" });
        let store = Store::open(servers::mongo(), &servers::prefix()).await.unwrap();
        let context = Context { store: Some(store.clone()), ..context::<Email>(mocks()) };
        let run = async || stored::<Email>(payload.clone()).run(&context).await;
        let keep = async |result: &EmailResult| {
            let result = NewResult {
                job_id: JOB_ID.to_owned(),
                tenant: "default".to_owned(),
                kind: Email::KIND.to_owned(),
                product_id: None,
                provider: Some("smtp".to_owned()),
                degraded: false,
                degraded_reason: None,
                payload: None,
                result: serde_json::to_value(result).unwrap(),
            };
            store.put_result(Email::COLLECTION, &result).await.unwrap();
        };
        // The worker dies before the result is stored, twice: then nobody knows how often it has arrived.
        assert_eq!(run().await.unwrap().result.status, SendStatus::Mock);
        let again = run().await.unwrap().result;
        assert_eq!(again.status, SendStatus::Mock);
        assert!(matches!(run().await, Err(JobError::Fatal { code: "unknown_outcome", .. })));
        // It dies after that: the mock is not asked, which would not say this.
        let said = EmailResult { status: SendStatus::Sent, server_reply: Some("250 taken".to_owned()), ..again };
        keep(&said).await;
        let told = run().await.unwrap();
        assert_eq!((told.provider, told.result.server_reply.as_deref()), (Some("smtp"), Some("250 taken")));
        assert_eq!(told.result.message_id, said.message_id);
        let receipt = store.begin_receipt(JOB_ID, "send", JOB_ID).await.unwrap();
        assert!(
            matches!(receipt, Receipt::Completed(_)),
            "what was found is kept, also when the result is no longer: {receipt:?}"
        );
    }

    #[test]
    fn addresses_and_lines_are_checked() {
        let email =
            |to: &str, name: &str, subject: &str| json!({ "to": to, "to_name": name, "subject": subject, "text": "x" });
        assert!(complaints::<Email>(email("zoe@customer.example", "Zoé", "Thé prêt")).is_empty());
        for address in [
            "zoe",
            "zoe@",
            "@customer.example",
            "a b@customer.example",
            "zoé@customer.example",
            "a@b.example>",
            "zoe@[192.0.2.1]",
            "zoe@192.0.2.1",
        ] {
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
    fn a_server_that_asks_for_later_is_asked_again_after_1_5_15_and_60_minutes() {
        let wait = |attempt| {
            let error = ProviderError::Deferred { service: "email", message: "451 greylisted".to_owned() };
            match later(error, attempt) {
                JobError::Retry { code: "deferred", after: Some(after), .. } => after.as_secs() / 60,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((1..Email::MAX_ATTEMPTS).map(wait).collect::<Vec<_>>(), [1, 5, 15, 60, 60, 60, 60]);
        let refused = ProviderError::Rejected { service: "email", message: "550 5.1.1 no such user".to_owned() };
        assert!(
            matches!(later(refused, 1), JobError::Fatal { message, .. } if message.contains("550 5.1.1 no such user"))
        );
    }
}
