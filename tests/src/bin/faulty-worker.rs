//! `faulty-worker`: the worker as it is, with three kinds more: one whose handler fails as no real one does when asked to, one
//! that writes to a shop, once, and one of which a single job at a time is in a shop.

use std::process::ExitCode;

use jobs::{Context, Done, Handler, JobError, LookedUp, Registry, Told};
use providers::ProviderError;
use queue::{ConcurrencyKey, Job};
use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use worker::Runners;

/// A job that says how it shall go.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Faulty {
    /// What the handler panics with; absent: it succeeds.
    panic: Option<String>,
    /// The background task of its worker that panics while the handler hangs.
    #[serde(default)]
    panic_of_task: Option<String>,
}

/// That it went well.
#[derive(Debug, Serialize, ToSchema)]
struct NoFault {
    attempt: u32,
}

impl Job for Faulty {
    const KIND: &'static str = "faulty";
}

impl Handler for Faulty {
    type Output = NoFault;
    const COLLECTION: &'static str = "faults";

    async fn run(self, context: &Context) -> Result<Done<NoFault>, JobError> {
        if let (Some(task), Some(queue)) = (self.panic_of_task, &context.client) {
            queue.tasks().plant_panic(&task);
            std::future::pending::<()>().await;
        }
        match self.panic {
            Some(message) => panic!("{message}"),
            None => Ok(Done { result: NoFault { attempt: context.attempt }, provider: None, degraded_reason: None }),
        }
    }
}

/// Creates one product in a stand-in of a WooCommerce shop.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Once {
    shop: String,
    sku: String,
    /// A page that is fetched after the write, to hold the job there.
    then: Option<String>,
}

/// The product in the shop.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct Created {
    id: u64,
}

impl Job for Once {
    const KIND: &'static str = "once";
    const MAX_ATTEMPTS: u32 = 5;
}

impl Handler for Once {
    type Output = Created;
    const COLLECTION: &'static str = "created";

    async fn run(self, context: &Context) -> Result<Done<Created>, JobError> {
        let client = tests::client();
        let created = context
            .once("create", &self.sku, Told::ByReceipt, || self.look_up(&client), || self.create(&client))
            .await?;
        if let Some(page) = &self.then {
            client.get(page).send().await.map_err(|error| not_sent(&error))?;
        }
        Ok(Done { result: created, provider: Some("woocommerce"), degraded_reason: None })
    }
}

impl Once {
    fn call(&self, client: &Client, method: Method) -> RequestBuilder {
        client.request(method, format!("{}/wp-json/wc/v3/products", self.shop)).basic_auth("ck_test", Some("cs_test"))
    }

    async fn look_up(&self, client: &Client) -> Result<LookedUp<Created>, ProviderError> {
        let request = self.call(client, Method::GET).query(&[("sku", self.sku.as_str()), ("status", "any")]);
        let found: Vec<Created> = answer(request).await.map_err(|(error, _)| not_sent(&error))?;
        Ok(found.into_iter().next().map_or(LookedUp::NotThere, LookedUp::There))
    }

    async fn create(&self, client: &Client) -> Result<Created, ProviderError> {
        let product: Value = json!({ "name": "Mug", "sku": self.sku, "regular_price": "12.50" });
        answer(self.call(client, Method::POST).json(&product)).await.map_err(|(error, answered)| {
            // A server that answered 500 says that it failed; without an answer nobody knows.
            if answered || error.is_connect() {
                return not_sent(&error);
            }
            ProviderError::UnknownOutcome {
                service: "woocommerce",
                message: format!("no answer to the write: {error}"),
            }
        })
    }
}

/// The answer, or the error and whether an answer came.
async fn answer<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> Result<T, (reqwest::Error, bool)> {
    let answer = request.send().await.map_err(|error| (error, false))?;
    let answer = answer.error_for_status().map_err(|error| (error, true))?;
    answer.json().await.map_err(|error| (error, false))
}

fn not_sent(error: &reqwest::Error) -> ProviderError {
    ProviderError::Transient { service: "woocommerce", message: error.to_string(), retry_after: None }
}

/// Looks at a page of a shop, in which no other job is meanwhile.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Visit {
    shop: String,
    page: String,
}

/// What was seen.
#[derive(Debug, Serialize, ToSchema)]
struct Seen {
    status: u16,
}

impl Job for Visit {
    const KIND: &'static str = "visit";
}

impl Handler for Visit {
    type Output = Seen;
    const COLLECTION: &'static str = "visits";

    async fn concurrency_key(&self, _: &Context) -> Result<Option<ConcurrencyKey>, JobError> {
        Ok(Some(ConcurrencyKey::of_tenant(format!("visit:{}", self.shop))))
    }

    async fn run(self, _: &Context) -> Result<Done<Seen>, JobError> {
        let page = format!("{}{}", self.shop, self.page);
        let answer = tests::client().get(page).send().await.map_err(|error| not_sent(&error))?;
        Ok(Done { result: Seen { status: answer.status().as_u16() }, provider: None, degraded_reason: None })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    Ok(worker::process(Runners::all().add::<Faulty>().add::<Once>().add::<Visit>()).await?)
}
