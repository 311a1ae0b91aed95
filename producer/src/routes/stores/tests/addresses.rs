//! Where stores are: of a tenant's stores of one shop each is elsewhere.

use super::*;

#[tokio::test]
async fn two_stores_of_a_tenant_are_not_at_one_address() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example/boutique")).await.status, 201);
    world.shops.asked();
    for same in ["https://SHOP.example:443/boutique/", "https://shop.example./boutique"] {
        let detail = world.put("other", &presta(same)).await;
        assert_eq!(
            detail.refused(409, "conflict"),
            "the store \"main\" is at shop.example/boutique already: let jobs name that one, or delete it"
        );
    }
    assert_eq!(world.shops.asked(), [], "nobody is asked");
    let woo = json!({ "shop": "woocommerce", "url": "http://shop.example/boutique", "allow_http": true,
        "credentials": { "consumer_key": "ck_hush", "consumer_secret": "cs_hush" } });
    assert_eq!(world.put("woo", &woo).await.status, 201, "of another shop's software");
    let mut by_https = woo.clone();
    by_https["url"] = json!("https://shop.example/boutique");
    world.put("woo-2", &by_https).await.refused(409, "conflict");
    assert_eq!(world.put("woo", &by_https).await.status, 200, "itself may move");
    assert_eq!(world.put("other", &presta("https://shop.example")).await.status, 201);
    world.put("other", &presta("https://shop.example/boutique")).await.refused(409, "conflict");
    let theirs = presta("https://shop.example/boutique");
    let bolt = world.send(Method::PUT, "/api/stores/main", "bolt", &[Scope::StoresWrite], Some(&theirs)).await;
    assert_eq!(bolt.status, 201, "another tenant's");
    assert_eq!(world.delete("main").await.status, 204);
    assert_eq!(world.put("other", &presta("https://shop.example/boutique")).await.status, 200);
}

#[tokio::test]
async fn of_stores_that_come_at_once_to_one_address_one_is_added() {
    let world = World::real().await;
    world.mongo.prepare(&[]).await.unwrap();
    let body = presta("https://shop.example");
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    let answers = futures::future::join_all(names.iter().map(|name| world.put(name, &body))).await;
    let added: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(added.len(), 1, "{:?}", answers.iter().map(|answer| &answer.body).collect::<Vec<_>>());
    let named = format!("the store {} is at shop.example", added[0].body["name"]);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!(answer.refused(409, "conflict").starts_with(&named), "{}", answer.body);
    }
}
