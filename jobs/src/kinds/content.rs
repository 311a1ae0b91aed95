//! Product texts.
//!
//! An equal request of the same tenant is asked for once: whoever comes first asks, the others are put off until the answer is there, in
//! whatever replica they are, and it is kept for a week. What stand-ins wrote is never kept, and mock mode asks nobody.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::FieldError;
use providers::{
    Answer,
    content::{ContentRequest, ContentText, Step, Writing, provider_named},
};
use queue::Job;
use serde::{Deserialize, Serialize};
use serde_json::json;
use services::Name;
use store::{Flight, NewUsage, Store};
use utoipa::ToSchema;

use crate::{
    handler::{Context, Done, Handler, JobError},
    usage,
};

/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// When a job looks again whether the answer is there that another one gets: between these.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(1_000), Duration::from_millis(1_600));

/// Writes the texts of one product: see [`ContentRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Content(pub ContentRequest);

impl Job for Content {
    const KIND: &'static str = "content";
    const MAX_ATTEMPTS: u32 = 5;
    const TIMEOUT_S: u64 = 120;
    const ALLOW_FALLBACK: bool = true;
    const CONCURRENCY: usize = 16;
}

impl Handler for Content {
    type Output = ContentText;
    const COLLECTION: &'static str = "contents";
    const SERVICE: Option<Name> = Some(Name::Ai);

    fn product_id(&self) -> Option<&str> {
        Some(&self.0.product_id)
    }

    fn check(&self) -> Vec<FieldError> {
        let problems = self.0.problems().into_iter();
        problems.map(|problem| FieldError::new(problem.pointer, problem.message)).collect()
    }

    async fn run(self, context: &Context) -> Result<Done<ContentText>, JobError> {
        let request = &self.0;
        let Some(author) = context.providers.content.first_real() else {
            context.progress.set(10, "writing");
            return write(request, context).await.map(Done::from);
        };
        let plan = author.plan(request)?;
        context.progress.set(5, format!("route {}: {}", plan.route, plan.model()));
        let key = request.key(&context.tenant, plan.model());
        let seat = match &context.store {
            None => None,
            Some(store) if request.fresh => Some(Seat::beside(store, key, context)),
            Some(store) => match find(store, key, context).await? {
                Place::Answered(done) => return Ok(*done),
                Place::Seat(seat) => seat,
            },
        };
        let answer = write(request, context).await?;
        if let Some(seat) = seat {
            seat.keep(&answer).await;
        }
        Ok(answer.into())
    }
}

/// Has the texts written, tells how far that is, and counts what it took.
async fn write(request: &ContentRequest, context: &Context) -> Result<Answer<ContentText>, JobError> {
    let course = Course::default();
    let tell = |step: Step<'_>| course.take(&step, context);
    let answer = context.providers.content.call(context.policy(), &Writing { request, tell: &tell }).await;
    if let Some(store) = &context.store {
        // When the result of a stand-in is replaced, the same job asks once more, and allows none.
        let replacing = if context.allow_fallback { "" } else { "/alone" };
        let id = format!("{}/{}{replacing}", context.job_id, context.attempt);
        usage::count(store, &context.tenant, &id, course.used()).await;
    }
    let answer = answer?;
    context.progress.set(90, format!("written by {}", answer.provider));
    Ok(answer)
}

/// Where a job comes in among those that ask for the same.
enum Place {
    /// There is one.
    Answered(Box<Done<ContentText>>),
    /// This job asks; `None` when nothing can be kept.
    Seat(Option<Seat>),
}

async fn find(store: &Store, key: String, context: &Context) -> Result<Place, JobError> {
    let mut seat = Seat::beside(store, key, context);
    match store.board(&seat.key, &context.tenant, &seat.writer, context.timeout).await {
        Ok(Flight::Landed(kept)) => match read(kept) {
            Some(done) => {
                context.progress.set(90, "an equal text was written before");
                Ok(Place::Answered(Box::new(done)))
            }
            // An older release kept it in another form: it is written anew.
            None => Ok(Place::Seat(Some(seat))),
        },
        Ok(Flight::Ours) => {
            seat.others_wait = true;
            Ok(Place::Seat(Some(seat)))
        }
        Ok(Flight::UnderWay) => Err(JobError::Snooze {
            code: "equal_request_under_way",
            message: "another job gets the answer to an equal request".to_owned(),
            after: look_again(context),
        }),
        Err(error) => {
            tracing::warn!(job.id = %context.job_id, %error, "kept answers cannot be looked at; the model is asked");
            Ok(Place::Seat(None))
        }
    }
}

fn read(mut kept: serde_json::Value) -> Option<Done<ContentText>> {
    let provider = provider_named(kept["provider"].as_str()?);
    let text: ContentText = serde_json::from_value(kept["text"].take()).ok()?;
    Some(Done { result: text.again(), provider, degraded_reason: None })
}

/// Not the same for all who wait.
fn look_again(context: &Context) -> Duration {
    let last = context.job_id.to_string().bytes().last().unwrap_or_default();
    LOOK_AGAIN.0 + (LOOK_AGAIN.1 - LOOK_AGAIN.0).mul_f64(f64::from(last % 16) / 16.0)
}

/// The right to keep an answer. Dropped without one, it makes room for another job: this one was cancelled, failed, or got the text of a
/// stand-in.
struct Seat {
    store: Store,
    key: String,
    tenant: String,
    writer: String,
    others_wait: bool,
}

impl Seat {
    /// One that nobody else waits for.
    fn beside(store: &Store, key: String, context: &Context) -> Self {
        let tenant = context.tenant.clone();
        Self { store: store.clone(), key, tenant, writer: context.job_id.to_string(), others_wait: false }
    }

    async fn keep(mut self, answer: &Answer<ContentText>) {
        if answer.degraded_reason.is_some() || answer.provider == "mock" {
            return;
        }
        let kept = json!({ "provider": answer.provider, "text": answer.value });
        match self.store.land(&self.key, &self.tenant, &kept, KEEP).await {
            Ok(()) => self.others_wait = false,
            Err(error) => tracing::warn!(job.id = self.writer, %error, "an answer is not kept for equal requests"),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.others_wait {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, key, writer) =
            (self.store.clone(), std::mem::take(&mut self.key), std::mem::take(&mut self.writer));
        runtime.spawn(async move {
            if let Err(error) = store.abandon(&key, &writer).await {
                tracing::warn!(job.id = writer, %error, "equal requests wait until the lease of this one is over");
            }
        });
    }
}

/// How far the writing is, and what it took.
#[derive(Default)]
struct Course(Mutex<Steps>);

#[derive(Default)]
struct Steps {
    percent: u8,
    used: Vec<NewUsage>,
}

impl Course {
    fn take(&self, step: &Step<'_>, context: &Context) {
        match *step {
            Step::Asked { service, model } => self.report(15, format!("asked {service} {model}"), context),
            Step::AskedAgain { reason } => self.report(50, format!("second try: {reason}"), context),
            Step::Answered { service, model, tokens, nano_usd } => {
                self.report(40, format!("{service} {model} answered"), context);
                usage::add(&mut self.steps().used, service, model, tokens, nano_usd);
            }
        }
    }

    /// Never goes back, whoever is asked next.
    fn report(&self, percent: u8, message: String, context: &Context) {
        let mut steps = self.steps();
        steps.percent = percent.max(steps.percent);
        context.progress.set(steps.percent, message);
    }

    fn used(&self) -> Vec<NewUsage> {
        std::mem::take(&mut self.steps().used)
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use providers::content::{Language, from_csv};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;
    use crate::testing::{complaints, context, mocks, stored};

    #[tokio::test]
    async fn a_stored_job_runs_with_the_mock() {
        let payload = json!({ "product_id": "L-1", "name": "Lampe « Étoile »", "category": "Luminaires", "language": "fr",
            "features": ["Socle en chêne"], "price": { "amount": "59.90", "currency": "EUR" } });
        let job = stored::<Content>(payload);
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Content>(mocks())).await.unwrap();
        assert_eq!((done.provider, done.degraded_reason), (Some("mock"), None));
        let result: ContentText = serde_json::from_value(serde_json::to_value(&done.result).unwrap()).unwrap();
        assert_eq!(
            (result.title.as_str(), result.language, result.model.as_str()),
            ("Lampe « Étoile »", Language::Fr, "template")
        );
        assert_eq!(result.bullets[0], "Socle en chêne");
    }

    #[test]
    fn what_the_schema_cannot_express_is_named_by_field() {
        let payload = json!({ "product_id": "L-1", "name": " ", "category": "a\u{0}b", "language": "en", "features": ["x", ""],
            "description": "line\nbreaks are fine", "price": { "amount": "0", "currency": "EUX" } });
        assert_eq!(
            complaints::<Content>(payload),
            ["/name", "/category", "/features/1", "/price/amount", "/price/currency"]
        );
    }

    #[test]
    fn the_example_catalogue_passes_the_check() {
        let checks = crate::Checks::all();
        let products = from_csv(include_bytes!("../../../examples/catalogue.csv").as_slice()).unwrap();
        for product in products {
            let payload = serde_json::to_value(Content(product)).unwrap();
            assert_eq!(checks.check(Content::KIND, &payload), Ok(None), "{payload}");
        }
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let payload = json!({ "product_id": "", "name": "x".repeat(201), "language": "de", "tone": "angry", "target_length": 49,
            "features": vec!["x"; 21], "price": { "amount": "9,5", "currency": "eur" }, "colour": "red" });
        let Err(crate::PayloadError::Invalid(errors)) = crate::Checks::all().check(Content::KIND, &payload) else {
            panic!("it was accepted");
        };
        let pointers: std::collections::BTreeSet<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        let expected = [
            "/category",
            "/colour",
            "/features",
            "/language",
            "/name",
            "/price/amount",
            "/price/currency",
            "/product_id",
            "/target_length",
            "/tone",
        ];
        assert_eq!(pointers.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_schema_carries_the_limits() {
        let schema = serde_json::to_value(ContentRequest::schema()).unwrap();
        let properties = &schema["properties"];
        assert_eq!((&properties["name"]["minLength"], &properties["name"]["maxLength"]), (&json!(1), &json!(200)));
        assert_eq!(properties["features"]["maxItems"], 20);
        assert_eq!(
            (&properties["target_length"]["minimum"], &properties["target_length"]["maximum"]),
            (&json!(50), &json!(1500))
        );
        assert_eq!(schema["required"], json!(["product_id", "name", "category", "language"]));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
