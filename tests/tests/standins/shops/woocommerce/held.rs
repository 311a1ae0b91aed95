//! What makes a job wait or give up: limits, credentials, maintenance, a shop that works on after it was given up.

use providers::{
    ProviderError,
    publication::{Action, PublicationStatus, PublishError},
};
use serde_json::json;
use tests::standins::Fault;

use super::{SKU, mug, n_writes, start, the_one};

fn provider(error: PublishError) -> ProviderError {
    match error {
        PublishError::Provider(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_limit_of_the_host_is_told_with_its_wait() {
    let (shop, till) = start().await;
    shop.faults().next(1, Fault::retry_after(429, 30));
    let limited = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
    let ProviderError::RateLimited { retry_after, .. } = &limited else { panic!("{limited}") };
    assert_eq!(retry_after.map(|wait| wait.as_secs()), Some(30));
    assert_eq!(shop.faults().n_requests(), 1, "it is not asked again in this run");
    assert_eq!(till.publish("1", &mug()).await.status, PublicationStatus::Published);
    the_one(&shop, "after the wait");
}

/// W64.
#[tokio::test]
async fn maintenance_is_waited_for() {
    let (shop, till) = start().await;
    shop.set(|settings| settings.is_closed = true);
    let closed = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
    let ProviderError::Transient { retry_after, .. } = &closed else { panic!("{closed}") };
    assert_eq!(retry_after.map(|wait| wait.as_secs()), Some(600));
}

/// W1, W8, W9, W10, W57.
#[tokio::test]
async fn credentials_and_addresses_that_open_nothing_are_told_with_their_causes() {
    type Change = fn(&mut tests::standins::woocommerce::Settings);
    let cases: [(Change, &str); 2] = [
        (|settings| settings.read_only = true, "Read/Write"),
        (|settings| settings.plain_permalinks = true, "permalinks"),
    ];
    for (change, words) in cases {
        let (shop, till) = start().await;
        shop.set(change);
        let refused = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
        assert!(
            matches!(&refused, ProviderError::Misconfigured { message, .. } if message.contains(words)),
            "{refused}"
        );
        assert_eq!(shop.all().len(), 0);
    }
    let (shop, _) = start().await;
    for (key, secret, words) in
        [("ck_other", "cs_test", "the key is unknown"), ("ck_test", "cs_other", "secret is wrong")]
    {
        let variables = [("WOO_STORE_URL", shop.url()), ("WOO_CONSUMER_KEY", key), ("WOO_CONSUMER_SECRET", secret)];
        let till = super::super::Till::new(providers::publication::Shop::Woocommerce, &variables, SKU);
        let refused = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
        assert!(
            matches!(&refused, ProviderError::Misconfigured { message, .. } if message.contains(words)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (shop, till) = start().await;
    let headers = [("location".to_owned(), "https://www.shop.example/wp-json/wc/v3/products?x=1".to_owned())].into();
    shop.faults().next(1, Fault::Status { status: 301, headers, body: String::new() });
    let refused = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
    let words = "https://www.shop.example/wp-json/wc/v3/products";
    assert!(
        matches!(&refused, ProviderError::Misconfigured { message, .. } if message.contains(words) && !message.contains("x=1")),
        "{refused}"
    );
    assert_eq!(shop.faults().n_requests(), 1);
}

/// Over plain http each call is signed anew (W5), so that a repeated one is not refused.
#[tokio::test]
async fn a_repeated_call_has_a_signature_of_its_own() {
    let (shop, till) = start().await;
    shop.faults().next(1, Fault::status(502));
    till.publish("1", &mug()).await;
    let queries: std::collections::BTreeSet<String> = shop
        .faults()
        .last()
        .iter()
        .map(|seen| seen.path.split("oauth_nonce=").nth(1).unwrap().split('&').next().unwrap().to_owned())
        .collect();
    assert_eq!(queries.len(), shop.faults().n_requests());
}

/// W67: a creation that was given up goes on in the shop. Whoever looked at once would find nothing and make a second product.
#[tokio::test]
async fn a_creation_that_goes_on_after_it_was_given_up_is_waited_for() {
    let (shop, till) = start().await;
    shop.hold();
    // The connection breaks while the shop is at it.
    let patch = mug();
    let run = till.run("1", Action::Publish, &patch, false);
    let asked = async {
        while shop.n_waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = run => panic!("{end:?}"),
        () = asked => {}
    }
    let held = provider(till.run("1", Action::Publish, &mug(), false).await.unwrap_err());
    let ProviderError::Held { retry_in, .. } = &held else { panic!("{held}") };
    assert_eq!(retry_in.as_secs(), 60, "twice what a call may take");
    assert_eq!(shop.faults().n_asked("POST /wp-json/wc/v3/products"), 1);
    shop.release();
    let done = till.publish("1", &mug()).await;
    assert_eq!(
        (done.status, the_one(&shop, "late")["status"].clone()),
        (PublicationStatus::Published, json!("publish"))
    );
    assert_eq!((shop.n_created(SKU), shop.media().len()), (1, 2));
}

/// W30: a 500 after a write is looked up before anything is repeated.
#[tokio::test]
async fn an_error_after_a_write_is_looked_up() {
    let (shop, till) = start().await;
    shop.faults().nth(3, Fault::WrongType);
    till.publish("1", &mug()).await;
    assert_eq!(shop.n_created(SKU), 1);
    let long = providers::publication::Patch { title: super::set(&"x".repeat(70_000)), ..mug() };
    let n_before = n_writes(&shop);
    let refused = till.try_carry_out("2", Action::Publish, &long).await.unwrap_err().to_string();
    assert!(refused.starts_with("title: is longer than"), "{refused}");
    assert_eq!(n_writes(&shop), n_before);
}

#[tokio::test]
async fn a_store_is_tested_without_a_change() {
    let (shop, till) = start().await;
    till.test().await.unwrap();
    assert_eq!(shop.all().len(), 0);
    shop.set(|settings| settings.read_only = true);
    let refused = till.test().await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::Misconfigured { message, .. } if message.contains("Read/Write")),
        "{refused}"
    );
    let other = super::till(&shop, "X");
    assert!(other.test().await.is_err());
}
