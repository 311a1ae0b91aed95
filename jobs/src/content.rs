//! Product texts.

use providers::content::{ContentRequest, ContentText};
use queue::{FieldError, Job};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::handler::{Context, Done, Handler, JobError};

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

    fn check(&self) -> Vec<FieldError> {
        let problems = self.0.problems().into_iter();
        problems.map(|problem| FieldError::new(problem.pointer, problem.message)).collect()
    }
}

impl Handler for Content {
    type Output = ContentText;
    const COLLECTION: &'static str = "contents";
    const SERVICE: Option<&'static str> = Some("ai");

    async fn run(self, context: &Context) -> Result<Done<ContentText>, JobError> {
        context.progress.set(10, "writing");
        let answer = context.providers.content.call(context.policy(), &self.0).await?;
        context.progress.set(90, format!("written by {}", answer.provider));
        Ok(answer.into())
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
        let products = from_csv(include_bytes!("../../examples/catalogue.csv").as_slice()).unwrap();
        for product in products {
            let payload = serde_json::to_value(Content(product)).unwrap();
            assert_eq!(checks.check(Content::KIND, &payload), Ok(()), "{payload}");
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
