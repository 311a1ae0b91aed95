//! Waits, rights and tokens.

use super::*;

#[tokio::test]
async fn a_shop_that_asks_for_a_wait_is_left_alone_for_so_long() {
    let (shop, till) = open().await;
    let wait = async |till: &Till| match till.run("1", Action::Publish, &mug(), false).await.unwrap_err() {
        PublishError::Provider(ProviderError::RateLimited { retry_after, .. }) => retry_after.unwrap(),
        other => panic!("{other:?}"),
    };
    shop.faults().next(1, Fault::retry_after(429, 7));
    assert_eq!(wait(&till).await, Duration::from_secs(7));
    // Throttled with 200, and with the sums by which the wait is known.
    shop.bucket(50.0, 1.0);
    shop.throttle(1);
    assert!(wait(&till).await >= Duration::from_secs(2));
    shop.bucket(20_000.0, 100.0);
    till.publish("1", &mug()).await;
    is_the_mug(&only(&shop));
}

#[tokio::test]
async fn a_shop_that_does_not_let_us_in_says_what_is_to_be_done() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let unusable = async |till: &Till| match till
        .run("2", Action::Publish, &Patch { price: eur("30"), ..Patch::default() }, false)
        .await
    {
        Err(PublishError::Provider(ProviderError::Misconfigured { message, .. })) => message,
        other => panic!("{other:?}"),
    };
    for (status, part) in [(402, "bill"), (423, "locked"), (404, "no shop"), (403, "may not"), (307, "myshopify.com")] {
        shop.faults().next(1, Fault::status(status));
        assert!(unusable(&till).await.contains(part), "{status}");
    }
    shop.allow(&["read_products", "read_locations", "write_publications"]);
    assert!(unusable(&till).await.contains("write_products"));
    shop.revoke();
    assert!(unusable(&till).await.contains("refused (401)"));
}

#[tokio::test]
async fn an_answer_that_is_not_the_shops_says_nothing_of_what_became_of_a_write() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let order = Patch { price: eur("30"), ..Patch::default() };
    shop.faults().next(1, Fault::WrongType);
    let read = till.run("2", Action::Publish, &order, false).await.unwrap_err();
    assert!(matches!(read, PublishError::Provider(ProviderError::Transient { .. })), "{read:?}");
    shop.faults().nth(2, Fault::WrongType);
    let written = till.run("2", Action::Publish, &order, false).await.unwrap_err();
    assert!(matches!(written, PublishError::Provider(ProviderError::UnknownOutcome { .. })), "{written:?}");
    let n_writes = shop.n_writes();
    till.publish("2", &order).await;
    assert_eq!(
        (&variants(&only(&shop))[0]["compareAtPrice"], shop.n_writes()),
        (&json!("30.00"), n_writes),
        "it is looked up first"
    );
}

#[tokio::test]
async fn a_test_names_the_rights_that_the_app_lacks() {
    let (shop, till) = open().await;
    till.test().await.unwrap();
    shop.allow(&["write_products", "write_publications", "read_locations"]);
    match till.test().await.unwrap_err() {
        ProviderError::Misconfigured { message, .. } => {
            assert!(message.contains("rights in this shop: write_inventory;"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn tokens_of_an_app_are_had_once_and_renewed_when_they_are_refused() {
    let (shop, till) = open().await;
    shop.take_app("app-id", "app-secret");
    shop.revoke();
    let with = |secret: &str| Credentials::ShopifyApp {
        client_id: "app-id".to_owned(),
        client_secret: secret.to_owned().into(),
    };
    let till = till.with(|store| providers::publication::Store { credentials: with("app-secret"), ..store });
    let n_granted = || shop.faults().n_asked("POST /admin/oauth/access_token");
    till.publish("1", &mug()).await;
    assert_eq!(n_granted(), 1);
    shop.revoke();
    till.publish("2", &Patch { price: eur("20"), ..Patch::default() }).await;
    assert_eq!(n_granted(), 2);
    let wrong =
        self::till(&shop, SKU).with(|store| providers::publication::Store { credentials: with("wrong"), ..store });
    match wrong.run("3", Action::Publish, &mug(), false).await.unwrap_err() {
        PublishError::Provider(ProviderError::Misconfigured { message, .. }) => {
            assert!(message.contains("credentials are refused"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_token_of_an_app_and_one_of_them_renews_it() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (key, n_at_first, n_at_last) in [(Some(key), 1, 2), (None, 2, 4)] {
        let shop = Shopify::start(0, TOKEN).await.unwrap();
        shop.take_app("app-id", "app-secret");
        shop.revoke();
        let url = shop.url();
        let mut store = vec![
            ("SHOPIFY_STORE_URL", url.as_str()),
            ("SHOPIFY_CLIENT_ID", "app-id"),
            ("SHOPIFY_CLIENT_SECRET", "app-secret"),
        ];
        store.extend(key.map(|key| ("ENCRYPTION_KEY", key)));
        let fleets = super::super::processes(2);
        let tills: Vec<Till> = fleets
            .iter()
            .zip(["MUG-A", "MUG-B"])
            .map(|(fleet, sku)| Till::sharing(fleet, Shop::Shopify, &store, sku))
            .collect();
        let n_granted = || shop.faults().n_asked("POST /admin/oauth/access_token");
        let mug = Patch { images: Field::Keep, slug: Field::Keep, ..mug() };
        futures::future::join_all(tills.iter().map(|till| till.publish("1", &mug))).await;
        assert_eq!(n_granted(), n_at_first, "{key:?}");
        // What is refused is renewed at once, by whoever hears it first.
        shop.revoke();
        let dearer = Patch { price: eur("20"), sale_price: Field::Clear, ..Patch::default() };
        futures::future::join_all(tills.iter().map(|till| till.publish("2", &dearer))).await;
        assert_eq!(n_granted(), n_at_last, "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_other_credentials_is_not_taken_from_another_process() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    shop.take_app("app-id", "app-secret");
    let url = shop.url();
    let store = |secret| {
        [
            ("SHOPIFY_STORE_URL", url.clone()),
            ("SHOPIFY_CLIENT_ID", "app-id".to_owned()),
            ("SHOPIFY_CLIENT_SECRET", secret),
            ("ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        ]
    };
    let till = |fleet: &fleet::Fleet, secret: &str| {
        let store = store(secret.to_owned());
        let store = store.each_ref().map(|(name, value)| (*name, value.as_str()));
        Till::sharing(fleet, Shop::Shopify, &store, SKU)
    };
    let fleets = super::super::processes(2);
    till(&fleets[0], "app-secret").test().await.unwrap();
    match till(&fleets[1], "wrong").test().await.unwrap_err() {
        ProviderError::Misconfigured { message, .. } => {
            assert!(message.contains("credentials are refused"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}
