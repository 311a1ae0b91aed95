//! Pages for people: the page of plans, and those that stand in for Stripe's where payments are mock.

use chrono::Utc;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::json;
use servers::wait_until;
use services::Links;
use tests::{
    Answer, JOB_PATIENCE, Options, PATIENCE, System,
    standins::{Fault, stripe::Stripe},
};

use super::{KEY, browser::Browser, collection, kept, until_state, variables};

/// A system where payments are mock though Stripe is set up.
async fn start(stripe: &Stripe) -> System {
    let options = variables(stripe).into_iter().filter(|(name, _)| *name != "MOCK_MODE_PAYMENTS");
    let options = options.fold(Options::default().workers(1), |options, (name, value)| options.env(name, value));
    let system = System::start(options).await;
    let tenant = doc! { "_id": "acme", "name": "<b>Zoé</b> & \"Co\"", "email": "a@shop.example", "language": "fr",
    "time_zone": "Europe/Paris" };
    collection(&system, "tenants").await.insert_one(tenant).await.unwrap();
    system
}

async fn link(system: &System, body: serde_json::Value) -> Answer {
    system.post("/api/payments/subscribe-link?tenant=acme", &body).await
}

fn t(url: &str) -> &str {
    let query = url.split_once("?t=").unwrap().1;
    query.split('&').next().unwrap()
}

async fn until_kept(system: &System, what: &str, is: impl Fn(&Document) -> bool) {
    wait_until(what, JOB_PATIENCE, async || kept(system).await.is_some_and(|kept| is(&kept))).await;
}

#[tokio::test]
async fn a_tenant_subscribes_changes_and_recovers_on_the_pages_of_the_mock() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let system = start(&stripe).await;
    let browser = Browser::new(&system, "en");
    let answer = link(&system, json!({ "lang": "fr" })).await;
    let url = answer.body["url"].as_str().unwrap_or_else(|| panic!("{}", answer.body));
    assert!(url.starts_with("/subscribe?t=") && url.ends_with("&lang=fr"), "{url}");
    let t = t(url);
    let expires = answer.body["expires_at"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap();
    assert!((3_500..=3_600).contains(&(expires - Utc::now()).num_seconds()), "{expires}");

    // The plans, in both languages; what tenants are named is text.
    let french = browser.get(url).await;
    french.says(
        200,
        "fr",
        &["Choisissez votre formule", "29,00\u{a0}€", "par mois", "2\u{202f}000 tâches par jour", "14 jours"],
    );
    assert!(french.html.contains("&lt;b&gt;Zoé&lt;&#x2f;b&gt; &amp; &quot;Co&quot;"), "{}", french.html);
    let plans = format!("/subscribe?t={t}");
    browser.get(&plans).await.says(
        200,
        "en",
        &["Choose your plan", "€29.00", "a month", "2,000 jobs a day", "Try Pro"],
    );

    // A checkout, and back from it; then the same one, which is completed.
    let fields = [("t", t), ("lang", "fr"), ("plan", "pro")];
    let begun = browser.post("/subscribe", &fields).await;
    let checkout = begun.leads_to().to_owned();
    assert!(checkout.starts_with("/mock/checkout/cs_mock") && checkout.ends_with("?lang=fr"), "{checkout}");
    browser.get(&checkout).await.says(200, "fr", &["Simulation", "29,00\u{a0}€", "Commencer l’essai"]);
    let bare = checkout.split('?').next().unwrap();
    browser.get(bare).await.says(200, "en", &["Mock", "€29.00", "Start the trial", "14 days of free trial"]);
    let back = browser.click(&checkout, "cancel").await.leads_to().to_owned();
    browser.get(&back).await.says(200, "fr", &["Rien n’a changé", "Voir les formules"]);
    assert_eq!(browser.post("/subscribe", &fields).await.leads_to(), checkout, "it is still open");
    let back = browser.click(&checkout, "good").await.leads_to().to_owned();
    browser.get(&back).await.says(200, "fr", &["Merci"]);
    until_kept(&system, "the mock's event has come", |kept| {
        kept.get_bool("mock").ok() == Some(true) && kept.get_str("plan").is_ok()
    })
    .await;
    let trialing = kept(&system).await.unwrap();
    assert_eq!((trialing.get_str("plan").unwrap(), trialing.get_str("state").unwrap()), ("pro", "trialing"));
    browser.get(bare).await.says(404, "en", &["not there"]);
    let events = collection(&system, "stripe_events").await;
    assert!(events.count_documents(doc! { "kind": "checkout.session.completed" }).await.unwrap() == 1);

    // The subscription, with no second checkout.
    let current = browser.get(&plans).await;
    current.says(200, "en", &["Your subscription", "Free trial until", "Manage my subscription", "Your current plan"]);
    assert!(!current.html.contains("name=\"plan\""), "{}", current.html);
    browser.post("/subscribe", &fields).await.says(409, "fr", &["Vous êtes déjà abonné"]);

    // The portal.
    let portal = browser.post("/subscribe/portal", &[("t", t)]).await.leads_to().to_owned();
    assert!(portal.starts_with("/mock/portal/bps_mock"), "{portal}");
    browser.get(&portal).await.says(
        200,
        "en",
        &["Mock", "trialing", "Cancel at the end of the period", "Change to Premium"],
    );
    assert!(browser.click(&portal, "cancel").await.leads_to().starts_with("bps_mock"));
    until_kept(&system, "it is cancelled", |kept| kept.get_bool("cancel_at_period_end").unwrap()).await;
    browser.get(&plans).await.says(200, "en", &["Ends on"]);
    browser.click(&portal, "resume").await.leads_to();
    until_kept(&system, "it is resumed", |kept| !kept.get_bool("cancel_at_period_end").unwrap()).await;
    browser.click(&portal, "plan:premium").await.leads_to();
    until_kept(&system, "the plan is changed", |kept| kept.get_str("plan").ok() == Some("premium")).await;
    browser.click(&portal, "fail").await.leads_to();
    until_state(&system, "past_due").await;
    browser.get(&plans).await.says(200, "en", &["A payment is due"]);
    let invoice =
        kept(&system).await.unwrap().get_document("invoice").unwrap().get_str("hosted_url").unwrap().to_owned();
    browser.get(&invoice).await.says(200, "en", &["€99.00", "open"]);
    browser.click(&invoice, "declining").await.says(402, "en", &["declined"]);
    browser.click(&invoice, "good").await.leads_to();
    until_state(&system, "active").await;
    browser.get(&portal).await.says(200, "en", &["active", "€99.00", "paid"]);
    assert_eq!(stripe.objects("cus_"), Vec::<serde_json::Value>::new(), "stripe was asked for nothing");
}

#[tokio::test]
async fn what_the_mock_has_counts_for_nothing_once_payments_are_real_and_its_pages_are_gone() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let system = start(&stripe).await;
    let browser = Browser::new(&system, "fr-FR, en;q=0.5");
    let url = link(&system, json!({})).await.body["url"].as_str().unwrap().to_owned();
    let t = t(&url);
    let pro = [("t", t), ("plan", "pro")];
    let checkout = browser.post("/subscribe", &pro).await.leads_to().to_owned();
    browser.click(&checkout, "good").await.leads_to();
    until_state(&system, "trialing").await;
    let portal = browser.post("/subscribe/portal", &[("t", t)]).await.leads_to().to_owned();
    browser.get(&portal).await.says(200, "fr", &["Simulation", "Résilier à la fin de la période"]);

    let real = json!({ "mode": "real", "service": "payments", "reason": "go live" });
    let switched = Answer::to(system.request(Method::PUT, "/api/mode").json(&real)).await.unwrap();
    assert_eq!(switched.status, 200, "{}", switched.body);
    wait_until("the switch is known", PATIENCE, async || browser.get(&portal).await.status == 404).await;
    let invoice =
        kept(&system).await.unwrap().get_document("invoice").unwrap().get_str("hosted_url").unwrap().to_owned();
    for page in [&checkout, &portal, &invoice] {
        browser.get(page).await.says(404, "fr", &["n’existe pas"]);
        browser.click(page, "good").await.says(404, "fr", &["n’existe pas"]);
    }

    // The plans again, with Stripe's prices; the form may lead to Stripe's pages.
    let plans = browser.get(&url).await;
    plans.says(200, "fr", &["Choisissez votre formule", "14 jours"]);
    assert!(!plans.html.contains("démonstration"), "{}", plans.html);
    let policy = plans.header("content-security-policy");
    for origin in ["https://checkout.stripe.com", "https://billing.stripe.com", stripe.url().as_str()] {
        assert!(policy.contains(origin), "{policy}");
    }
    browser.post("/subscribe/portal", &[("t", t)]).await.says(409, "fr", &["pas encore abonné"]);
    browser.post("/subscribe", &[("t", t), ("plan", "gold")]).await.says(422, "fr", &["Cette formule n’existe pas"]);
    let at_stripe = browser.post("/subscribe", &pro).await.leads_to().to_owned();
    assert!(at_stripe.starts_with(&stripe.url()), "{at_stripe}");
    let session = at_stripe.rsplit_once('/').unwrap().1;
    assert!(stripe.complete(session).starts_with("sub_"));
    // No webhook has told of it, yet nobody subscribes twice.
    browser.post("/subscribe", &pro).await.says(409, "fr", &["Vous êtes déjà abonné"]);

    stripe.faults().always(Fault::status(500));
    let away = browser.post("/subscribe/portal", &[("t", t)]).await;
    away.says(503, "fr", &["Les paiements sont indisponibles"]);
    assert_eq!(away.header("retry-after"), "5");
}

#[tokio::test]
async fn a_link_that_was_changed_or_is_over_opens_nothing() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let system = start(&stripe).await;
    link(&system, json!({ "lang": "de" })).await.assert_problem(422, "invalid-payload");
    let unknown = link(&system, json!({ "language": "fr" })).await;
    unknown.assert_problem(422, "invalid-payload");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/language");
    let read_only = system.token(&[producer::Scope::PaymentsRead]);
    let request = system.client().post(format!("{}/api/payments/subscribe-link", system.url())).bearer_auth(read_only);
    Answer::to(request.json(&json!({}))).await.unwrap().assert_problem(403, "forbidden");

    let url = link(&system, json!({})).await.body["url"].as_str().unwrap().to_owned();
    let good = t(&url);
    let links = Links::new(None, Some(system.secret().into()));
    let now_s = u64::try_from(Utc::now().timestamp()).unwrap();
    let over = links.subscribe("acme", now_s - 3_601).unwrap().0;
    assert!(links.is_subscribe(good, now_s).is_some() && links.is_subscribe(t(&over), now_s).is_none());
    let (named, signature) = good.rsplit_once('.').unwrap();
    let changed = format!("{named}9.{signature}");
    for bad in [t(&over), changed.as_str(), &good[..good.len() - 1], "", "x"] {
        for (language, words) in [("fr", "Ce lien n’est plus valable"), ("en", "This link is no longer good")] {
            let browser = Browser::new(&system, language);
            browser.get(&format!("/subscribe?t={bad}")).await.says(403, language, &[words]);
            for address in ["/subscribe", "/subscribe/portal"] {
                browser.post(address, &[("t", bad), ("plan", "pro")]).await.says(403, language, &[words]);
            }
        }
    }
    assert_eq!(collection(&system, "mock_payments").await.count_documents(doc! {}).await.unwrap(), 0);
    let browser = Browser::new(&system, "en");
    for nothing in ["/mock/checkout/cs_mock0123456789_1", "/mock/portal/x", "/mock/invoice/in_1"] {
        browser.get(nothing).await.says(404, "en", &["not there"]);
    }
}
