//! The page of plans, where Stripe does not do what it is asked.

use axum::{
    body::Body,
    http::{Request, header},
};
use providers::payments::simulation::Card;
use serde_json::json;
use tests::standins::Fault;
use url::form_urlencoded;

use crate::api::{Answer, Api};

impl Api {
    /// What stands behind `t=` in a link to the page, for acme.
    async fn link(&self) -> String {
        let link = self.post("acme", "subscribe-link", &json!({ "lang": "en" })).await;
        let url = link.body["url"].as_str().unwrap();
        url.split_once("?t=").unwrap().1.split('&').next().unwrap().to_owned()
    }

    async fn shown(&self, t: &str) -> Answer {
        let request = Request::get(format!("/subscribe?t={t}&lang=en"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A button of it.
    async fn click(&self, path: &str, t: &str, plan: &str) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([("t", t), ("lang", "en"), ("plan", plan)]);
        let request = Request::post(path).header(header::HOST, "localhost:8080");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.finish())).unwrap()).await
    }
}

#[track_caller]
fn says(page: &Answer, status: u16, words: &str) {
    let html = page.body.as_str().unwrap_or_default();
    assert!(page.status == status && html.contains(words), "{} {html}", page.status);
}

#[tokio::test]
async fn who_is_paused_goes_on_by_a_button() {
    let api = Api::new().await;
    api.pause().await;
    let t = api.link().await;
    says(&api.shown(&t).await, 200, "action=\"subscribe/resume\"");
    says(&api.click("/subscribe/resume", &t, "").await, 402, "The payment did not go through");
    let customer = api.stripe.objects("cus_")[0]["id"].as_str().unwrap().to_owned();
    api.stripe.set_card(&customer, Card::Good);
    let gone_on = api.click("/subscribe/resume", &t, "").await;
    assert_eq!(gone_on.status, 303, "{}", gone_on.body);
    assert!(gone_on.headers[header::LOCATION].to_str().unwrap().starts_with("../subscribe?t="));
    let page = api.shown(&t).await;
    says(&page, 200, "Renews on");
    assert!(!page.body.as_str().unwrap().contains("subscribe/resume"), "{}", page.body);
    assert_eq!(api.stripe.objects("sub_")[0]["status"], "active");
}

#[tokio::test]
async fn only_who_has_subscribed_is_told_so() {
    let api = Api::new().await;
    let t = api.link().await;
    let error = json!({ "error": { "type": "invalid_request_error", "message": "Not today." } });
    let refusal = || Fault::Status { status: 400, headers: [].into(), body: error.to_string() };
    api.stripe.faults().on("POST /v1/checkout/sessions", Some(1), refusal());
    says(&api.click("/subscribe", &t, "pro").await, 503, "Payments are not available");
    let opened = api.click("/subscribe", &t, "pro").await;
    assert_eq!(opened.status, 303, "{}", opened.body);
    api.stripe.faults().on("POST /v1/billing_portal/sessions", Some(1), refusal());
    says(&api.click("/subscribe/portal", &t, "").await, 503, "Payments are not available");
    // Though no webhook has told of it, and the page still has its buttons.
    let session = api.stripe.objects("cs_").pop().unwrap();
    let _subscription = api.stripe.complete(session["id"].as_str().unwrap());
    says(&api.click("/subscribe", &t, "premium").await, 409, "You have subscribed already");
    says(&api.shown(&t).await, 200, "Your subscription");
}
