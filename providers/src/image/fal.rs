//! Makes pictures by fal's queue (fal.ai/docs, "Queue"; its clients of August 2026): a run is submitted, asked for until it is complete, and
//! its result is read. The addresses of a run are those that fal answers with, because they cannot be made from the model's name.
//!
//! A submit is billed and has no key by which it could be repeated, so it is sent once; fal's own clients send it again.

use std::time::Duration;

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};
use reqwest::{Client, RequestBuilder, header::HeaderValue, redirect};
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use services::{Config, Name, micro_usd};
use url::{Host, Url};

use super::{
    Addresses, Begun, Fetched, ImageProvider, ImageRequest, Run, RunState,
    answer::{self, Answered, NAME},
    media::Media,
    price,
};
use crate::{Provider, ProviderError, content::Cost, http};

const BASE_URL: &str = "https://queue.fal.run";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer, in bytes: a result has addresses, and no pictures.
const MOST_BYTES: usize = 1024 * 1024;

/// Sides of pictures of models that take no other sizes.
const RATIOS: [(u32, u32); 9] = [(21, 9), (16, 9), (3, 2), (4, 3), (1, 1), (3, 4), (2, 3), (9, 16), (9, 21)];

/// It, if the variables have its key.
pub(super) fn configured(config: &Config) -> Result<Option<Fal>, ProviderError> {
    let value = |variable| config.value(Name::Images, variable);
    let Some(key) = value("FAL_KEY").filter(|_| config.is_configured(Name::Images)) else { return Ok(None) };
    let base_url = value("FAL_QUEUE_BASE_URL").map(str::to_owned).or_else(|| queue_of(value("FAL_BASE_URL")?));
    let base_url = base_url.as_deref().unwrap_or(BASE_URL);
    let deadline_s = value("FAL_DEADLINE_S").and_then(|seconds| seconds.parse().ok()).unwrap_or(600);
    let model = value("FAL_MODEL").unwrap_or_default();
    Fal::new(key, base_url, model, deadline_s, value("FAL_MEDIA_HOSTS").unwrap_or_default()).map(Some)
}

/// The queue of an end point that answers at once, as fal's own clients have it: the same host with `queue.` before its name.
fn queue_of(base_url: &str) -> Option<String> {
    let mut url = Url::parse(base_url).ok()?;
    if let Some(Host::Domain(name)) = url.host().map(|host| host.to_owned()) {
        url.set_host(Some(&format!("queue.{name}"))).ok()?;
    }
    Some(url.into())
}

#[derive(Debug)]
pub(super) struct Fal {
    client: Client,
    key: SecretString,
    base_url: Url,
    model: String,
    deadline_s: u64,
    media: Media,
}

impl Fal {
    fn new(key: &str, base_url: &str, model: &str, deadline_s: u64, hosts: &str) -> Result<Self, ProviderError> {
        HeaderValue::from_str(key)
            .map_err(|_| misconfigured("FAL_KEY holds characters that a header cannot; copy it again".to_owned()))?;
        let base_url =
            Url::parse(base_url).map_err(|error| misconfigured(format!("FAL_QUEUE_BASE_URL={base_url:?}: {error}")))?;
        let client = http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| misconfigured(format!("no HTTP client can be built: {error}")))?;
        let (key, model) = (key.into(), model.to_owned());
        Ok(Self { client, key, base_url, model, deadline_s, media: Media::new(hosts)? })
    }

    /// Sends a request once. `None`: nobody knows whether it was carried out.
    async fn send(&self, request: RequestBuilder) -> Result<Answered, Unsent> {
        let request = request.header("authorization", format!("Key {}", self.key.expose_secret()));
        let mut response = request.send().await.map_err(|error| unsent(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unsent(&error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(Unsent { never_arrived: false, what: format!("answered with over {MOST_BYTES} bytes") });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered::new(status, headers, &body))
    }

    async fn submit(&self, request: &ImageRequest, webhook: Option<&str>) -> Result<Begun, ProviderError> {
        let mut address = self.base_url.clone();
        address.set_path(&format!("{}/{}", self.base_url.path().trim_end_matches('/'), self.model));
        if let Some(webhook) = webhook {
            address.query_pairs_mut().append_pair("fal_webhook", webhook);
        }
        let submit = self
            .client
            .post(address)
            // A run that does not start in time is not made, and costs nothing.
            .header("x-fal-request-timeout", self.deadline_s)
            .json(&input(&self.model, request));
        let answer = self.send(submit).await.map_err(|Unsent { never_arrived, what }| match never_arrived {
            true => transient(what),
            false => unknown(format!("the submit {what}")),
        })?;
        if !answer.status.is_success() {
            return Err(answer.refusal_of_submit(&self.model));
        }
        let text = |name: &str| answer.body[name].as_str().filter(|text| !text.is_empty());
        let url = |name: &str| text(name).map(str::to_owned);
        let Some(request_id) = text("request_id") else {
            return Err(unknown(format!("the answer to a submit has no request_id: {}", answer.said())));
        };
        let addresses = url("status_url").zip(url("response_url"));
        let addresses = addresses.map(|(status, response)| Addresses { status, response, cancel: url("cancel_url") });
        Ok(Begun::Run(self.run(request_id, addresses, request)))
    }

    fn run(&self, request_id: &str, addresses: Option<Addresses>, request: &ImageRequest) -> Run {
        Run {
            request_id: request_id.to_owned(),
            model: self.model.clone(),
            addresses,
            begun_ms: u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0),
            deadline_s: self.deadline_s,
            count: request.count,
            cost: price::of(&self.model, request).map(usd),
            spent: None,
        }
    }

    async fn ask(&self, run: &Run) -> Result<RunState, ProviderError> {
        let mut status = self.address(run, |addresses| &addresses.status)?;
        status.query_pairs_mut().append_pair("logs", "0");
        let answer = self.send(self.client.get(status)).await.map_err(|unsent| transient(unsent.what))?;
        if !answer.status.is_success() {
            return answer.state_of_lost(run).ok_or_else(|| answer.refusal());
        }
        match answer.body["status"].as_str() {
            Some("COMPLETED") => {}
            Some(_) => return Ok(RunState::UnderWay),
            None => return Err(transient(format!("a status without status: {}", answer.said()))),
        }
        if let Some(failed) = answer.failure_in_status(run) {
            return Ok(failed);
        }
        let response = self.address(run, |addresses| &addresses.response)?;
        let answer = self.send(self.client.get(response)).await.map_err(|unsent| transient(unsent.what))?;
        if answer.status.is_success() {
            return Ok(answer::made(run, &answer.body));
        }
        answer.state_of_failed(run).ok_or_else(|| answer.refusal())
    }

    async fn cancel(&self, run: &Run) -> Result<bool, ProviderError> {
        let Some(cancel) = run.addresses.as_ref().and_then(|addresses| addresses.cancel.as_deref()) else {
            return Ok(false);
        };
        let cancel = self.trusted(cancel).ok_or_else(|| elsewhere(run, cancel))?;
        let answer = self.send(self.client.put(cancel)).await.map_err(|unsent| transient(unsent.what))?;
        match answer.status.as_u16() {
            200..=299 => Ok(!answer.says("ALREADY_COMPLETED") && !answer.says("NOT_FOUND")),
            400 | 404 | 409 => Ok(false),
            _ => Err(answer.refusal()),
        }
    }

    /// An address that fal answered with. Our key goes to where the run was submitted and nowhere else.
    fn trusted(&self, address: &str) -> Option<Url> {
        Url::parse(address).ok().filter(|url| url.origin() == self.base_url.origin())
    }

    fn address(&self, run: &Run, which: impl Fn(&Addresses) -> &String) -> Result<Url, ProviderError> {
        let address = run.addresses.as_ref().map(which).map_or("no address", String::as_str);
        self.trusted(address).ok_or_else(|| elsewhere(run, address))
    }
}

fn elsewhere(run: &Run, address: &str) -> ProviderError {
    let message = format!("run {} is at {address}, and not where it was begun; see FAL_QUEUE_BASE_URL", run.request_id);
    ProviderError::Unable { service: NAME, message }
}

/// What the model is told, without a wrapper.
fn input(model: &str, request: &ImageRequest) -> Value {
    let ImageRequest { width, height, count, seed, safety_tolerance, .. } = request;
    let mut input = json!({ "prompt": prompt(request), "num_images": count, "output_format": "jpeg" });
    if model.ends_with("-ultra") || model.contains("/kontext") {
        input["aspect_ratio"] = json!(ratio(*width, *height));
    } else {
        input["image_size"] = json!({ "width": width, "height": height });
    }
    if let Some(seed) = seed {
        input["seed"] = json!(seed);
    }
    if let Some(tolerance) = safety_tolerance {
        input["safety_tolerance"] = json!(tolerance.to_string());
    }
    input
}

fn prompt(ImageRequest { name, prompt, style, .. }: &ImageRequest) -> String {
    let mut text = format!("Product photo for an online shop: {}.", name.trim());
    if let Some(prompt) = prompt.as_deref().map(str::trim).filter(|prompt| !prompt.is_empty()) {
        text = format!("{text} {}.", prompt.trim_end_matches('.'));
    }
    if let Some(style) = style.as_deref().map(str::trim).filter(|style| !style.is_empty()) {
        text = format!("{text} Style: {}.", style.trim_end_matches('.'));
    }
    text + " No text, no watermark."
}

/// The nearest one.
fn ratio(width: u32, height: u32) -> String {
    let asked = (f64::from(width) / f64::from(height)).ln();
    let distance = |(w, h): &(u32, u32)| ((f64::from(*w) / f64::from(*h)).ln() - asked).abs();
    let nearest = RATIOS.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let (w, h) = nearest.copied().unwrap_or((1, 1));
    format!("{w}:{h}")
}

fn usd(amount: Decimal) -> Cost {
    Cost { amount: amount.to_string(), currency: "USD".to_owned() }
}

/// Why there is no answer.
struct Unsent {
    never_arrived: bool,
    what: String,
}

fn unsent(error: &reqwest::Error) -> Unsent {
    let what = match error {
        error if error.is_connect() => "cannot connect",
        error if error.is_timeout() => "was not answered in time",
        _ => "was cut off",
    };
    Unsent { never_arrived: error.is_connect() || error.is_builder(), what: what.to_owned() }
}

fn transient(message: String) -> ProviderError {
    ProviderError::Transient { service: NAME, message, retry_after: None }
}

fn unknown(message: String) -> ProviderError {
    ProviderError::UnknownOutcome { service: NAME, message }
}

fn misconfigured(message: String) -> ProviderError {
    ProviderError::Misconfigured { service: NAME, message }
}

impl Provider for Fal {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl ImageProvider for Fal {
    fn begin<'a>(
        &'a self,
        request: &'a ImageRequest,
        webhook: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Begun, ProviderError>> {
        self.submit(request, webhook).boxed()
    }

    fn can_look(&self, run: &Run) -> bool {
        run.addresses.as_ref().is_some_and(|addresses| {
            self.trusted(&addresses.status).is_some() && self.trusted(&addresses.response).is_some()
        })
    }

    fn look<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<RunState, ProviderError>> {
        self.ask(run).boxed()
    }

    fn read_webhook(&self, run: &Run, body: &Value) -> Option<RunState> {
        answer::of_webhook(run, body)
    }

    fn run_of_webhook(&self, request: &ImageRequest, body: &Value) -> Option<Run> {
        Some(self.run(body["request_id"].as_str()?, None, request))
    }

    fn fetch<'a>(&'a self, address: &'a Url) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        self.media.fetch(address).boxed()
    }

    fn stop<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<bool, ProviderError>> {
        self.cancel(run).boxed()
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    fn price(&self, request: &ImageRequest) -> Option<u64> {
        price::of(&self.model, request).and_then(micro_usd)
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_json, header, method, path, query_param},
    };

    use super::*;
    use crate::image::tests::lamp;

    const MODEL: &str = "fal-ai/flux-pro/v1.1";
    const RUN: &str = "/fal-ai/flux-pro/requests/r-1";

    fn fal(server: &MockServer) -> Fal {
        Fal::new("id:hush", &server.uri(), MODEL, 600, "127.0.0.1").unwrap()
    }

    async fn on(server: &MockServer, verb: &str, route: &str, answer: ResponseTemplate) {
        Mock::given(method(verb))
            .and(path(route))
            .and(header("authorization", "Key id:hush"))
            .respond_with(answer)
            .expect(1)
            .mount(server)
            .await;
    }

    fn json(status: u16, body: Value) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(body)
    }

    fn addresses(server: &MockServer) -> Value {
        let run = format!("{}{RUN}", server.uri());
        json!({ "request_id": "r-1", "response_url": run, "status_url": format!("{run}/status"), "cancel_url": format!("{run}/cancel") })
    }

    async fn begun(server: &MockServer) -> Run {
        on(server, "POST", &format!("/{MODEL}"), json(200, addresses(server))).await;
        match fal(server).submit(&lamp(), None).await.unwrap() {
            Begun::Run(run) => run,
            Begun::Made(pictures) => panic!("{pictures:?}"),
        }
    }

    /// What becomes of a submit that is answered so.
    async fn submit(answer: ResponseTemplate) -> ProviderError {
        let server = MockServer::start().await;
        on(&server, "POST", &format!("/{MODEL}"), answer).await;
        let error = fal(&server).submit(&lamp(), None).await.unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        error
    }

    #[tokio::test]
    async fn a_run_is_submitted_once_with_all_that_is_asked_for() {
        let server = MockServer::start().await;
        let request = ImageRequest {
            prompt: Some("On an oak table.".to_owned()),
            style: Some("studio".to_owned()),
            count: 2,
            seed: Some(7),
            safety_tolerance: Some(5),
            ..lamp()
        };
        let expected = json!({
            "prompt": "Product photo for an online shop: Lampe « Étoile ». On an oak table. Style: studio. No text, no watermark.",
            "image_size": { "width": 1024, "height": 768 }, "num_images": 2, "output_format": "jpeg", "seed": 7, "safety_tolerance": "5",
        });
        Mock::given(method("POST"))
            .and(path(format!("/{MODEL}")))
            .and(header("x-fal-request-timeout", "600"))
            .and(query_param("fal_webhook", "https://jobs.example/api/webhooks/fal?job=1&sig=2"))
            .and(body_json(&expected))
            .respond_with(json(200, addresses(&server)))
            .expect(1)
            .mount(&server)
            .await;
        let webhook = Some("https://jobs.example/api/webhooks/fal?job=1&sig=2");
        let Begun::Run(run) = fal(&server).submit(&request, webhook).await.unwrap() else { panic!("no run") };
        assert_eq!((run.request_id.as_str(), run.count, run.deadline_s), ("r-1", 2, 600));
        assert_eq!(run.cost.unwrap().amount, "0.08");
        assert!(run.addresses.unwrap().status.ends_with(&format!("{RUN}/status")));
        assert_eq!(queue_of("https://fal.run").as_deref(), Some("https://queue.fal.run/"));
        assert_eq!(queue_of("http://127.0.0.1:9/x").as_deref(), Some("http://127.0.0.1:9/x"));
        assert_eq!(input("fal-ai/flux-pro/v1.1-ultra", &lamp())["aspect_ratio"], "4:3");
        assert_eq!((ratio(64, 4096).as_str(), ratio(1000, 999).as_str()), ("9:21", "1:1"));
    }

    #[tokio::test]
    async fn what_a_submit_comes_to_is_sorted_by_whether_it_may_have_begun() {
        let detail = |detail: &str| json!({ "detail": detail });
        for (answer, code) in [
            (json(401, detail("no key")), "provider_misconfigured"),
            (json(403, detail("Exhausted balance")), "provider_misconfigured"),
            (json(404, detail("Application not found")), "provider_misconfigured"),
            (
                json(422, json!({ "detail": [{ "loc": ["body", "seed"], "msg": "too large", "type": "x" }] })),
                "provider_rejected",
            ),
            (json(429, detail("slow down")).insert_header("retry-after", "7"), "rate_limited"),
            (json(503, json!({ "detail": "busy", "error_type": "runner_scheduling_failure" })), "provider_unavailable"),
            (json(500, detail("internal")), "provider_unavailable"),
            (ResponseTemplate::new(502).set_body_string("<html>nginx</html>"), "provider_unavailable"),
            (ResponseTemplate::new(503), "provider_unavailable"),
            (ResponseTemplate::new(504), "unknown_outcome"),
            (json(200, json!({})), "unknown_outcome"),
            (ResponseTemplate::new(200).set_body_string("<html>"), "unknown_outcome"),
        ] {
            let error = submit(answer).await;
            assert_eq!(error.code(), code, "{error}");
        }
        let error =
            submit(json(422, json!({ "detail": [{ "loc": ["body", "seed"], "msg": "too large", "type": "x" }] })))
                .await;
        assert!(error.to_string().contains("seed") && error.to_string().contains("too large"), "{error}");
        let nowhere = Fal::new("id:hush", "http://127.0.0.1:1", MODEL, 600, "").unwrap();
        assert_eq!(nowhere.submit(&lamp(), None).await.unwrap_err().code(), "provider_unavailable", "it never arrived");
    }

    #[tokio::test]
    async fn a_run_is_asked_for_at_the_addresses_that_it_came_with() {
        let server = MockServer::start().await;
        let run = begun(&server).await;
        on(&server, "GET", &format!("{RUN}/status"), json(202, json!({ "status": "IN_PROGRESS" }))).await;
        assert_eq!(fal(&server).ask(&run).await.unwrap(), RunState::UnderWay);
        server.reset().await;

        on(&server, "GET", &format!("{RUN}/status"), json(200, json!({ "status": "COMPLETED" }))).await;
        let image = |n: u32| json!({ "url": format!("https://v3.fal.media/{n}.jpeg"), "width": 1024, "height": 768 });
        let made =
            json!({ "images": [image(0), image(1)], "has_nsfw_concepts": [false, true], "seed": 6_252_023_123_u64 });
        on(&server, "GET", RUN, json(200, made)).await;
        let RunState::Made(pictures) = fal(&server).ask(&Run { count: 2, ..run.clone() }).await.unwrap() else {
            panic!("nothing was made")
        };
        assert_eq!((pictures.pictures.len(), pictures.flagged.as_slice()), (1, [1].as_slice()));
        assert_eq!(pictures.pictures[0].seed, 6_252_023_123);
        assert_eq!(pictures.cost, run.cost);

        let mut elsewhere = run;
        elsewhere.addresses.as_mut().unwrap().status = "https://queue.fal.example/status".to_owned();
        let error = fal(&server).ask(&elsewhere).await.unwrap_err();
        assert!(error.code() == "provider_unable" && error.to_string().contains("FAL_QUEUE_BASE_URL"), "{error}");
        assert!(!fal(&server).can_look(&elsewhere), "nobody is asked, and no key goes there");
    }

    #[tokio::test]
    async fn a_run_that_failed_is_told_from_a_call_that_failed() {
        let code = |state: Result<RunState, ProviderError>| match state {
            Ok(RunState::Failed(failed)) => (failed.error.code(), failed.is_certain, failed.is_billed),
            state => panic!("{state:?}"),
        };
        let run_failed = |status: u16, body: Value| async move {
            let server = MockServer::start().await;
            let run = begun(&server).await;
            on(&server, "GET", &format!("{RUN}/status"), json(200, json!({ "status": "COMPLETED" }))).await;
            let answer = if body.is_null() { ResponseTemplate::new(status) } else { json(status, body) };
            on(&server, "GET", RUN, answer).await;
            fal(&server).ask(&run).await
        };
        let policy =
            json!({ "detail": [{ "loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation" }] });
        assert_eq!(code(run_failed(422, policy).await), ("provider_rejected", true, false));
        let runner = json!({ "detail": "gone", "error_type": "runner_disconnected" });
        let doubtful = ("provider_unavailable", false, false);
        assert_eq!(code(run_failed(503, runner).await), doubtful, "the result may be there");
        assert!(run_failed(502, Value::Null).await.is_err(), "a gateway's page says nothing of the run");
        assert!(run_failed(429, json!({ "detail": "slow down" })).await.is_err());
        let cancelled = json!({ "detail": "Request was cancelled", "error_type": "cancelled" });
        assert_eq!(code(run_failed(400, cancelled).await), ("provider_unavailable", true, false));
        let flagged =
            json!({ "images": [{ "url": "https://v3.fal.media/0.jpeg" }], "has_nsfw_concepts": [true], "seed": 1 });
        assert_eq!(code(run_failed(200, flagged).await), ("provider_rejected", true, true));

        let server = MockServer::start().await;
        let run = begun(&server).await;
        let lost = json(404, json!({ "detail": "Request not found" }));
        on(&server, "GET", &format!("{RUN}/status"), lost).await;
        assert_eq!(code(fal(&server).ask(&run).await), doubtful);
    }

    #[tokio::test]
    async fn a_run_is_cancelled_unless_it_has_ended() {
        let said = |text: &str| ResponseTemplate::new(200).set_body_string(text);
        for (answer, stopped) in [
            (json(202, json!({ "status": "CANCELLATION_REQUESTED" })), true),
            (said("OK"), true),
            (said("ALREADY_COMPLETED"), false),
            (json(400, json!({ "status": "ALREADY_COMPLETED" })), false),
            (json(404, json!({ "status": "NOT_FOUND" })), false),
        ] {
            let server = MockServer::start().await;
            let run = begun(&server).await;
            on(&server, "PUT", &format!("{RUN}/cancel"), answer).await;
            assert_eq!(fal(&server).cancel(&run).await.unwrap(), stopped);
        }
    }
}
