//! What is written, and what is left alone.

use super::*;

#[tokio::test]
async fn a_product_is_made_hidden_completed_and_then_shown() {
    let (shop, till) = open().await;
    let publication = till.publish("1", &mug()).await;
    assert_eq!(publication.status, PublicationStatus::Published);
    assert!(publication.url.unwrap().ends_with("/products/the-mug") && publication.published);
    is_the_mug(&only(&shop));
    shop.visible_states().iter().for_each(is_the_mug);
    assert_eq!(shop.n_files(), 2);
    let collections = shop.collections();
    assert!(
        collections.iter().all(|collection| collection["publications"].as_array().unwrap().len() == 1),
        "customers see them"
    );
}

#[tokio::test]
async fn what_is_so_already_is_not_written() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let n_writes = shop.n_writes();
    let publication = till.publish("2", &mug()).await;
    assert_eq!((publication.status, shop.n_writes()), (PublicationStatus::Unchanged, n_writes));
    let (shop, till) = open().await;
    till.publish("1", &coloured()).await;
    let n_writes = shop.n_writes();
    let publication = till.publish("2", &coloured()).await;
    assert_eq!(
        (publication.status, shop.n_writes()),
        (PublicationStatus::Unchanged, n_writes),
        "{:?}",
        publication.changes
    );
}

#[tokio::test]
async fn a_price_alone_leaves_all_else_as_a_person_left_it() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let id = only(&shop)["id"].as_str().unwrap().to_owned();
    shop.edit(&id, |product| {
        product["title"] = json!("A merchant's mug");
        product["templateSuffix"] = json!("special");
        product["media"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "__typename": "Video", "id": "gid://shopify/Video/1", "alt": "",
            "mediaContentType": "VIDEO", "status": "READY", "mediaErrors": [], "image": null, "source": "film" }));
        product["metafields"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "namespace": "custom", "key": "care", "value": "by hand" }));
        product["variants"][0]["inventoryItem"]["levels"]["gid://shopify/Location/2"]["quantities"][0]["quantity"] =
            json!(2);
    });
    let before = only(&shop);
    let n_writes = shop.n_writes();
    let publication = till.publish("2", &Patch { price: eur("15"), ..Patch::default() }).await;
    assert_eq!((changed(&publication), shop.n_writes()), (vec!["price"], n_writes + 1));
    let mut wanted = before;
    wanted["variants"][0]["compareAtPrice"] = json!("15.00");
    assert_eq!(only(&shop), wanted);
}

#[tokio::test]
async fn stock_alone_is_set_once_for_each_order_whatever_was_sold_in_between() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let before = only(&shop);
    let id = before["id"].as_str().unwrap().to_owned();
    let order = Patch { stock: Field::Set(8), ..Patch::default() };
    let n_writes = shop.n_writes();
    let publication = till.publish("2", &order).await;
    assert_eq!((changed(&publication), shop.n_writes()), (vec!["stock"], n_writes + 1));
    assert_eq!((stock(&variants(&only(&shop))[0]), &only(&shop)["media"]), (8, &before["media"]));
    // Sold down to what it was before, and the same ordered again: another order, with another key.
    for job in ["3", "4"] {
        shop.edit(&id, |product| {
            let level = &mut product["variants"][0]["inventoryItem"]["levels"]["gid://shopify/Location/2"];
            *level = json!({ "updatedAt": format!("2026-12-0{job}"), "quantities": [{ "name": "available", "quantity": 5 }] });
        });
        till.publish(job, &order).await;
        assert_eq!(stock(&variants(&only(&shop))[0]), 8, "{job}");
    }
    shop.sell_in_between(3);
    let n_writes = shop.n_writes();
    till.publish("4b", &Patch { stock: Field::Set(6), ..Patch::default() }).await;
    assert_eq!((stock(&variants(&only(&shop))[0]), shop.n_writes()), (6, n_writes + 2), "it was read again");
    shop.fail_keys(2);
    till.publish("5", &Patch { stock: Field::Set(1), ..Patch::default() }).await;
    assert_eq!(stock(&variants(&only(&shop))[0]), 1, "a call that failed is made with another key");
    shop.edit(&id, |product| product["variants"][0]["inventoryItem"]["levels"] = json!({}));
    till.publish("6", &Patch { stock: Field::Set(2), ..Patch::default() }).await;
    assert_eq!(stock(&variants(&only(&shop))[0]), 2, "the location did not have it");
}

#[tokio::test]
async fn what_is_null_is_emptied() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let empty = Patch {
        description_html: Field::Clear,
        short_description_html: Field::Clear,
        seo_title: Field::Clear,
        slug: Field::Clear,
        sale_price: Field::Clear,
        stock: Field::Clear,
        images: Field::Clear,
        categories: Field::Clear,
        tags: Field::Clear,
        brand: Field::Clear,
        gtin: Field::Clear,
        weight_g: Field::Clear,
        ..Patch::default()
    };
    let publication = till.publish("2", &empty).await;
    assert_eq!(publication.changes.len(), 12, "{:?}", publication.changes);
    let product = only(&shop);
    assert_eq!(
        (&product["descriptionHtml"], &product["tags"], &product["handle"]),
        (&json!(""), &json!([]), &json!("mug-12"))
    );
    assert_eq!((&product["seo"]["title"], &product["seo"]["description"]), (&json!(""), &json!("The best mug")));
    assert_eq!((product["media"].as_array().unwrap().len(), product["collections"].as_array().unwrap().len()), (0, 0));
    assert_eq!(product["metafields"].as_array().unwrap().len(), 1, "our mark stays");
    let only = &variants(&product)[0];
    assert_eq!(
        (&only["price"], &only["compareAtPrice"], &only["barcode"]),
        (&json!("12.50"), &Value::Null, &Value::Null)
    );
    assert_eq!(only["inventoryItem"]["tracked"], json!(false));
    let n_writes = shop.n_writes();
    assert_eq!((till.publish("3", &empty).await.status, shop.n_writes()), (PublicationStatus::Unchanged, n_writes));
    let needed = Patch { title: Field::Clear, price: Field::Clear, ..Patch::default() };
    assert_eq!(fault(till.try_carry_out("4", Action::Publish, &needed).await).matches("is needed").count(), 2);
}

#[tokio::test]
async fn pictures_are_sent_once_replaced_and_waited_for() {
    let (shop, till) = open().await;
    shop.picture_looks(3);
    till.publish("1", &mug()).await;
    shop.visible_states().iter().for_each(is_the_mug);
    assert!(only(&shop)["media"].as_array().unwrap().iter().all(|media| media["status"] == "READY"));
    let renamed = Picture { alt: "From behind".to_owned(), ..picture("back") };
    let order = Patch { images: Field::Set(vec![renamed.clone(), picture("side")]), ..Patch::default() };
    let publication = till.publish("2", &order).await;
    assert_eq!((changed(&publication), shop.n_files()), (vec!["images"], 3), "only the new one was sent");
    let files = files(&only(&shop));
    assert_eq!(files[0], ("https://pictures.example/back.jpg".to_owned(), "From behind".to_owned()));
    assert!(files.len() == 2 && files[1].0.contains("side"));

    shop.fail_picture("broken");
    let broken = Patch { images: Field::Set(vec![renamed, picture("broken")]), ..Patch::default() };
    let said = fault(till.try_carry_out("3", Action::Publish, &broken).await);
    assert!(
        said.starts_with("images: ") && said.contains("The broken") && said.contains("could not be downloaded"),
        "{said}"
    );
    till.publish("4", &broken).await;
    assert_eq!(shop.n_files(), 5, "what failed is sent again");
    assert_eq!(only(&shop)["media"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn pictures_that_the_shop_cannot_fetch_are_uploaded() {
    let (shop, till) = open().await;
    let own =
        Picture { url: None, bytes: Original::Here("bytes".into()), file_name: "own.png".to_owned(), ..picture("own") };
    let order = Patch { images: Field::Set(vec![own]), ..mug() };
    till.publish("1", &order).await;
    let product = only(&shop);
    assert!(files(&product)[0].0.starts_with(&format!("{}/_uploaded/", shop.url())), "{:?}", files(&product));
    let name = product["media"][0]["fileName"].as_str().unwrap();
    assert!(name.starts_with("own-") && name.ends_with(".png"), "{name}");
    let n = shop.faults().n_requests();
    till.publish("2", &order).await;
    assert!(shop.n_files() == 1 && shop.faults().n_requests() - n < 4, "it is not uploaded again");
}

#[tokio::test]
async fn texts_are_translated_into_the_languages_that_the_store_has() {
    let (shop, till) = open().await;
    shop.speak(&["en", "fr", "pt-PT"]);
    let texts = |title: &str| Texts {
        title: set(title),
        description_html: set(&format!("<p>{title}</p>")),
        seo_title: set(title),
        ..Texts::default()
    };
    let order =
        Patch { translations: [("fr".to_owned(), texts("Tasse")), ("pt".to_owned(), texts("Caneca"))].into(), ..mug() };
    till.publish("1", &order).await;
    let french = |product: &Value, key: &str| {
        let all = product["translations"]["fr"].as_array().unwrap().clone();
        all.iter().find(|text| text["key"] == key).map(|text| text["value"].clone())
    };
    let product = only(&shop);
    assert_eq!(
        (french(&product, "title"), french(&product, "body_html")),
        (Some(json!("Tasse")), Some(json!("<p>Tasse</p>")))
    );
    assert_eq!(product["translations"]["pt-PT"][0]["value"], "Caneca");
    shop.visible_states().iter().for_each(|seen| assert_eq!(french(seen, "title"), Some(json!("Tasse"))));
    let n_writes = shop.n_writes();
    assert_eq!((till.publish("2", &order).await.status, shop.n_writes()), (PublicationStatus::Unchanged, n_writes));

    // The words that it is a translation of change with it.
    let new = Patch {
        title: set("Cup"),
        translations: [("fr".to_owned(), Texts { title: set("Coupe"), seo_title: Field::Clear, ..Texts::default() })]
            .into(),
        ..Patch::default()
    };
    let publication = till.publish("3", &new).await;
    assert_eq!(changed(&publication), ["title", "translations.fr.seo.title", "translations.fr.title"]);
    let product = only(&shop);
    assert_eq!((french(&product, "title"), french(&product, "meta_title")), (Some(json!("Coupe")), None));
    assert!(french(&product, "body_html").is_some());

    let german = Patch { translations: [("de".to_owned(), texts("Tasse"))].into(), ..Patch::default() };
    assert!(fault(till.try_carry_out("4", Action::Publish, &german).await).contains("it has en, fr, pt-PT"));
    let short = Texts { short_description_html: set("x"), ..Texts::default() };
    let short = Patch { translations: [("fr".to_owned(), short)].into(), ..Patch::default() };
    assert!(
        fault(till.try_carry_out("5", Action::Publish, &short).await)
            .starts_with("translations.fr.short_description_html: ")
    );
}

#[tokio::test]
async fn categories_are_collections_that_are_filled_by_hand() {
    let (shop, till) = open().await;
    shop.plant_smart_collection("Gifts", "gifts");
    till.publish("1", &mug()).await;
    is_the_mug(&only(&shop));
    let gifts: Vec<Value> =
        shop.collections().into_iter().filter(|collection| collection["title"] == "Gifts").collect();
    assert_eq!((gifts.len(), gifts[0]["handle"].as_str()), (2, Some("gifts")), "one with conditions cannot be joined");
    let other = self::till(&shop, "OTHER");
    other.publish("1", &Patch { slug: Field::Keep, categories: names(&["Gifts"]), ..mug() }).await;
    assert_eq!(shop.collections().len(), 3, "there is one already");
    till.publish("2", &Patch { categories: names(&["Kitchen"]), ..Patch::default() }).await;
    let products = shop.products();
    let of_mug = products.iter().find(|product| product["handle"] == "the-mug").unwrap();
    assert_eq!(of_mug["collections"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn money_in_another_currency_is_refused() {
    let (shop, till) = open().await;
    let dollars = Field::Set(serde_json::from_value(json!({ "amount": "12", "currency": "USD" })).unwrap());
    match till.try_carry_out("1", Action::Publish, &Patch { price: dollars, ..mug() }).await.unwrap_err() {
        PublishError::Refused(faults) => assert_eq!(faults[0].what, Wrong::Currency { store: "EUR".to_owned() }),
        other => panic!("{other:?}"),
    }
    assert_eq!(shop.n_writes(), 0);
}
