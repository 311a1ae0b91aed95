//! Which product a SKU means.

use super::*;

#[tokio::test]
async fn the_sku_of_another_product_is_left_alone() {
    for (skus, part) in [
        (&["MUG-12", "MUG-13"][..], "a variant"),
        (&["mug-12"][..], "stays as it is"),
        (&["Mug-12 "][..], "stays as it is"),
    ] {
        let (shop, till) = open().await;
        shop.plant("Theirs", skus);
        let before = shop.products();
        let said = fault(till.try_carry_out("1", Action::Publish, &mug()).await);
        assert!(said.starts_with("sku: ") && said.contains(part), "{skus:?}: {said}");
        assert_eq!((shop.products(), shop.n_writes()), (before, 0));
    }
    let (shop, till) = open().await;
    let ids = [shop.plant("One", &[SKU]), shop.plant("Two", &[SKU])];
    let said = fault(till.try_carry_out("1", Action::Publish, &mug()).await);
    assert!(ids.iter().all(|id| said.contains(id.as_str())) && shop.n_writes() == 0, "{said}");
    // Others that the search finds besides are no matter; accents tell SKUs apart.
    let (shop, till) = open().await;
    shop.plant("Longer", &["MUG-12-XL"]);
    shop.plant("Accent", &["MÜG-12"]);
    assert_eq!(till.publish("1", &mug()).await.status, PublicationStatus::Published);
    assert_eq!(shop.products().len(), 3);
}

#[tokio::test]
async fn the_sku_of_a_variant_that_another_product_has_is_refused_by_name() {
    let (shop, till) = open().await;
    shop.plant("Theirs", &["mug-b"]);
    let said = fault(till.try_carry_out("1", Action::Publish, &coloured()).await);
    assert!(said.starts_with("variants.MUG-B: ") && said.contains("Theirs"), "{said}");
    assert_eq!(shop.visible_states().len(), 0, "it stays hidden");
}

#[tokio::test]
async fn a_product_that_has_just_this_sku_is_adopted_and_not_taken_for_ours() {
    let (shop, till) = open().await;
    let id = shop.plant("Theirs", &[SKU]);
    let publication = till.publish("1", &Patch { price: eur("9"), ..Patch::default() }).await;
    assert_eq!((publication.external_id, only(&shop)["title"].as_str()), (Some(id), Some("Theirs")));
    assert!(fault(till.try_carry_out("2", Action::Delete, &Patch::default()).await).contains("force"));
    // What a person has put into the archive, which is the nearest that Shopify has to a trash, comes back.
    let id = only(&shop)["id"].as_str().unwrap().to_owned();
    shop.edit(&id, |product| product["status"] = json!("ARCHIVED"));
    till.publish("3", &Patch::default().with_status(Status::Active)).await;
    assert_eq!((&only(&shop)["id"], &only(&shop)["status"]), (&json!(id), &json!("ACTIVE")));
}

#[tokio::test]
async fn a_handle_that_another_product_has_is_not_overwritten() {
    let (shop, till) = open().await;
    let id = shop.plant("Mug 12", &["OTHER"]);
    let theirs = |shop: &Shopify| shop.products().into_iter().find(|product| product["id"] == id.as_str()).unwrap();
    let before = theirs(&shop);
    assert_eq!(before["handle"], "mug-12");
    let order = Patch { slug: Field::Keep, ..mug() };
    assert_eq!(till.publish("1", &order).await.status, PublicationStatus::Published);
    assert_eq!((theirs(&shop), shop.products().len()), (before.clone(), 2));
    assert!(shop.products().iter().any(|product| product["handle"].as_str().unwrap().starts_with("mug-12-")));
    let said =
        fault(till.try_carry_out("2", Action::Publish, &Patch { slug: set("mug-12"), ..Patch::default() }).await);
    assert!(said.starts_with("seo.slug: ") && theirs(&shop) == before, "{said}");
}

#[tokio::test]
async fn a_search_that_is_behind_or_finds_everything_makes_no_second_product() {
    let (shop, till) = open().await;
    shop.lag(true);
    till.publish("1", &Patch { slug: Field::Keep, ..mug() }).await;
    let forgetful = self::till(&shop, SKU);
    let again = forgetful.publish("2", &Patch { price: eur("20"), ..Patch::default() }).await;
    assert_eq!((again.external_id.as_deref(), changed(&again)), (only(&shop)["id"].as_str(), vec!["price"]));
    assert!(forgetful.listing().made_by_us, "by its mark");

    let (shop, till) = open().await;
    for n in 0..30 {
        let skus: Vec<String> = (0..20).map(|at| format!("X{n}-{at}")).collect();
        shop.plant("Many", &skus.iter().map(String::as_str).collect::<Vec<_>>());
    }
    shop.find_everything(true);
    let said = fault(till.try_carry_out("1", Action::Publish, &mug()).await);
    assert!(said.contains("finds everything") && shop.n_writes() == 0, "{said}");
}

#[tokio::test]
async fn a_creation_that_comes_late_is_found_and_not_made_again() {
    let (shop, till) = open().await;
    shop.create_late();
    let held = till.run("1", Action::Publish, &mug(), false).await.unwrap_err();
    assert!(matches!(held, PublishError::Provider(ProviderError::Held { .. })), "{held:?}");
    assert!(till.run("1", Action::Publish, &mug(), false).await.is_err(), "it waits");
    shop.land();
    till.publish("1", &mug()).await;
    is_the_mug(&only(&shop));
    // Or even after it was looked for: then it is refused.
    let (shop, till) = open().await;
    shop.create_late();
    let order = Patch { slug: Field::Keep, ..mug() };
    till.run("1", Action::Publish, &order, false).await.unwrap_err();
    till.publish("1", &order).await;
    shop.land();
    assert_eq!(only(&shop)["title"], "Mug");
}

#[tokio::test]
async fn two_runs_at_once_make_one_product() {
    let (shop, one) = open().await;
    let other = till(&shop, SKU);
    let order = Patch { slug: Field::Keep, images: Field::Keep, ..mug() };
    let both = futures::future::join(one.publish("1", &order), other.publish("2", &order)).await;
    assert_eq!(both.0.external_id, both.1.external_id);
    assert_eq!((only(&shop)["title"].as_str(), shop.n_created("mug-12")), (Some("Mug"), 1));
}

#[tokio::test]
async fn skus_that_the_shop_cannot_hold_are_refused_by_name() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    for sku in [" MUG", "MUG\n12", &"x".repeat(256)] {
        let said = fault(till(&shop, sku).try_carry_out("1", Action::Publish, &mug()).await);
        assert!(said.starts_with("sku: "), "{said}");
    }
    for sku in ["a \"quoted\" one", "back\\slash", "é/ü", "///"] {
        let till = till(&shop, sku);
        let order = Patch { slug: Field::Keep, ..mug() };
        let id = till.publish("1", &order).await.external_id;
        assert_eq!(self::till(&shop, sku).publish("2", &order).await.external_id, id, "{sku}");
    }
    assert_eq!((shop.n_writes() > 0, shop.products().len()), (true, 4));
}
