//! Each call sends what Stripe's own client sends: tests/vectors/stripe.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::json;
use services::Name;

use super::*;
use crate::{
    Provider,
    payments::{
        gateway::Refusal,
        session::{Trial, WithoutCard},
    },
};

/// Keeps what is sent, and answers each time with the same.
#[derive(Debug)]
struct Recorder {
    sent: Mutex<Vec<Request>>,
    reply: Reply,
}

impl Provider for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }
}

impl Gateway for Recorder {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        self.sent.lock().unwrap().push(request.clone());
        ready(Ok(self.reply.clone())).boxed()
    }
}

fn recorder(reply: Reply) -> (Arc<Recorder>, Service<dyn Gateway>) {
    let recorder = Arc::new(Recorder { sent: Mutex::default(), reply });
    let service = Service::new(Name::Payments, false, vec![], Arc::clone(&recorder) as _, Duration::from_secs(5));
    (recorder, service)
}

fn calls(service: &Service<dyn Gateway>) -> Calls<'_> {
    let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: Duration::from_secs(5) };
    Calls::new(service, policy)
}

const CHANGE: ChangePrice<'_> = ChangePrice {
    subscription: "sub_1",
    item: "si_1",
    price: "price_2",
    proration: Proration::CreateProrations,
    proration_date: None,
};

#[tokio::test]
async fn calls_send_what_stripes_own_client_sends() {
    let (recorder, service) = recorder(Reply::Done(json!({ "data": [] })));
    let calls = calls(&service);
    // Whether the answer can be read is not asked here.
    let customer = NewCustomer { tenant: "Ünal & Co=1", email: Some("a+b@shop.example"), name: None };
    drop(calls.create_customer("k1", &customer).await);
    let session = NewSession {
        customer: "cus_1",
        tenant: "acme",
        price: "price_1",
        trial: Some(Trial { days: 14, without_card: Some(WithoutCard::Pause) }),
        success_url: "https://app.example/ok?s={CHECKOUT_SESSION_ID}",
        cancel_url: "https://app.example/no",
        locale: None,
        expires_at: None,
        metadata: BTreeMap::from([("plan", "pro")]),
    };
    drop(calls.create_session("k2", &session).await);
    drop(calls.change_price("k3", &CHANGE).await);
    drop(calls.resume("k4", "sub_1").await);
    drop(calls.cancel_now("sub_1", None).await);
    let preview =
        ChangePrice { proration: Proration::AlwaysInvoice, proration_date: DateTime::from_timestamp(7, 0), ..CHANGE };
    drop(calls.preview(&preview).await);
    let kinds = ["invoice.paid", "invoice.payment_failed"];
    let which = WhichEvents { kinds: &kinds, since: DateTime::from_timestamp(7, 0), undelivered: true };
    calls.events(which, None).await.unwrap();
    calls.customers_of("acme").await.unwrap();
    drop(calls.price("price_1").await);

    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/vectors/stripe/npm.json")).unwrap();
    let theirs: Vec<_> = vectors["sent"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|sent| {
            // Lists are cleared by forms, which have a test of their own.
            sent["body"] != "" && sent["body"] != "discounts=" || sent["method"] != "POST"
        })
        .collect();
    let ours = recorder.sent.lock().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let (path, query) =
            theirs["url"].as_str().unwrap().split_once('?').unwrap_or((theirs["url"].as_str().unwrap(), ""));
        assert_eq!(ours.words(), format!("{} {path}", theirs["method"].as_str().unwrap()));
        let form = if query.is_empty() { theirs["body"].as_str().unwrap() } else { query };
        let sorted = |pairs: Vec<(String, String)>| pairs.into_iter().collect::<BTreeMap<_, _>>();
        let theirs = sorted(url::form_urlencoded::parse(form.as_bytes()).into_owned().collect());
        assert_eq!(sorted(ours.params.pairs().to_vec()), theirs, "{path}");
    }
    let keys: Vec<_> = ours.iter().filter_map(|request| request.idempotency_key.as_deref()).collect();
    assert_eq!(keys, ["k1", "k2", "k3", "k4"], "a key is the caller's, and reads have none");
}

#[tokio::test]
async fn what_is_not_there_is_none_and_other_refusals_are_errors() {
    let refusal = |status: u16, code: Option<&str>, param: Option<&str>| {
        Reply::Refused(Refusal {
            status,
            kind: "invalid_request_error".to_owned(),
            code: code.map(str::to_owned),
            decline_code: None,
            param: param.map(str::to_owned),
            message: "no".to_owned(),
        })
    };
    let (_, missing) = recorder(refusal(404, Some("resource_missing"), Some("id")));
    let gone = calls(&missing);
    assert_eq!(gone.subscription("sub_1").await, Ok(None));
    assert_eq!(gone.cancel_now("sub_1", None).await, Ok(None));
    assert_eq!(gone.customer("cus_1").await, Ok(None));
    assert_eq!(gone.expire_session("k", "cs_1").await, Ok(None));
    assert_eq!(gone.resume("k", "sub_1").await.unwrap_err().code(), "provider_rejected");
    let (_, closed) = recorder(refusal(400, None, None));
    assert_eq!(calls(&closed).expire_session("k", "cs_1").await, Ok(None), "it is not open");
    assert_eq!(calls(&closed).subscription("sub_1").await.unwrap_err().code(), "provider_rejected");
    let (_, bad) = recorder(refusal(400, Some("parameter_unknown"), Some("x")));
    assert_eq!(calls(&bad).expire_session("k", "cs_1").await.unwrap_err().code(), "provider_rejected");
}

#[tokio::test]
async fn who_cancels_can_say_why_and_a_pause_has_a_call_of_its_own() {
    let (recorder, service) = recorder(Reply::Done(json!({ "id": "sub_1", "customer": "cus_1", "status": "active" })));
    let calls = calls(&service);
    calls.cancel_at_period_end("k1", "sub_1", Some("too expensive")).await.unwrap();
    calls.cancel_now("sub_1", Some("gone")).await.unwrap();
    calls.resume_paused("k2", "sub_1").await.unwrap();
    let sent = recorder.sent.lock().unwrap();
    let said: Vec<_> = sent.iter().map(|request| format!("{} {}", request.words(), request.params.encoded())).collect();
    let expected = [
        "POST /v1/subscriptions/sub_1 cancellation_details%5Bcomment%5D=too+expensive&cancel_at_period_end=true",
        "DELETE /v1/subscriptions/sub_1 cancellation_details%5Bcomment%5D=gone",
        "POST /v1/subscriptions/sub_1/resume ",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_card_that_is_declined_is_told_apart_from_what_is_asked_wrongly() {
    let refusal = |status: u16| Refusal {
        status,
        kind: "card_error".to_owned(),
        code: Some("card_declined".to_owned()),
        decline_code: Some("insufficient_funds".to_owned()),
        param: None,
        message: "no".to_owned(),
    };
    let (_, declined) = recorder(Reply::Refused(refusal(402)));
    let said = calls(&declined).change_price("k", &CHANGE).await.unwrap().unwrap_err();
    assert_eq!((said.code.as_str(), said.message.as_str()), ("insufficient_funds", "no"));
    let (_, wrong) = recorder(Reply::Refused(refusal(400)));
    assert_eq!(calls(&wrong).change_price("k", &CHANGE).await.unwrap_err().code(), "provider_rejected");
}

#[tokio::test]
async fn a_page_tells_where_the_next_one_begins_and_an_id_leads_nowhere_else() {
    let subscription = |id: &str| json!({ "id": id, "customer": "cus_1", "status": "active" });
    let list = json!({ "data": [subscription("sub_3"), { "id": "sub_2" }], "has_more": true });
    let (recorder, service) = recorder(Reply::Done(list));
    let page = calls(&service).subscriptions(None, Some("sub_4")).await.unwrap();
    assert_eq!(
        (page.items.len(), page.next.as_deref()),
        (1, Some("sub_2")),
        "what cannot be read is left out, not stopped at"
    );
    drop(calls(&service).subscription("../customers/cus_1?x").await);
    let sent = recorder.sent.lock().unwrap();
    let has = |name: &str, value: &str| sent[0].params.pairs().contains(&(name.to_owned(), value.to_owned()));
    assert!(has("status", "all") && has("limit", "100") && has("starting_after", "sub_4"));
    assert_eq!(sent[1].path, "subscriptions/..%2Fcustomers%2Fcus_1%3Fx");
}
