//! Products in which there is something to choose.

use super::*;

#[tokio::test]
async fn variants_come_and_go_and_those_that_stay_keep_what_is_not_said() {
    let (shop, till) = open().await;
    till.publish("1", &coloured()).await;
    let product = only(&shop);
    let [red, blue] = <[Value; 2]>::try_from(variants(&product)).unwrap();
    let media: Vec<Value> = product["media"].as_array().unwrap().iter().map(|media| media["id"].clone()).collect();
    assert_eq!(
        (&red["sku"], &red["price"], &red["compareAtPrice"], stock(&red)),
        (&json!("MUG-R"), &json!("12.50"), &Value::Null, 3)
    );
    assert_eq!(
        (&blue["sku"], &blue["price"], &blue["compareAtPrice"], stock(&blue)),
        (&json!("MUG-B"), &json!("11.00"), &json!("13.00"), 4)
    );
    assert_eq!((&red["media"][0]["id"], &blue["media"][0]["id"]), (&media[0], &media[1]));
    shop.visible_states().iter().for_each(|seen| {
        assert_eq!(
            (variants(seen).len(), &seen["variants"][1]["media"][0]["id"]),
            (2, &media[1]),
            "never without its pictures"
        );
    });

    let more = Patch {
        options: colours(&["red", "blue", "green"]),
        variants: Field::Set(vec![
            variant("MUG-R", "red", &json!({})),
            variant("MUG-B", "blue", &json!({ "stock": 9 })),
            variant("MUG-G", "green", &json!({ "price": { "amount": "14", "currency": "EUR" }, "stock": 1 })),
        ]),
        ..Patch::default()
    };
    till.publish("2", &more).await;
    let [red_now, blue_now, green] = <[Value; 3]>::try_from(variants(&only(&shop))).unwrap();
    assert_eq!(
        (red_now, &blue_now["id"], stock(&blue_now), &blue_now["barcode"]),
        (red, &blue["id"], 9, &json!("4006381333931"))
    );
    assert_eq!(
        (&green["price"], stock(&green), &green["inventoryItem"]["tracked"]),
        (&json!("14.00"), 1, &json!(true))
    );

    let less = Patch {
        variants: Field::Set(vec![variant("MUG-G", "green", &json!({}))]),
        options: colours(&["green"]),
        ..Patch::default()
    };
    let publication = till.publish("3", &less).await;
    assert_eq!((changed(&publication), variants(&only(&shop))), (vec!["options", "variants"], vec![green]));

    let none = Patch { variants: Field::Clear, options: Field::Clear, ..Patch::default() };
    till.publish("4", &none).await;
    let product = only(&shop);
    assert_eq!((&product["hasOnlyDefaultVariant"], &variants(&product)[0]["sku"]), (&json!(true), &json!(SKU)));
    till.publish("5", &coloured()).await;
    assert_eq!(variants(&only(&shop)).len(), 2);
}

#[tokio::test]
async fn of_a_product_with_variants_the_price_is_that_of_those_without_their_own_and_stock_is_nobodys() {
    let (shop, till) = open().await;
    let prices = || variants(&only(&shop)).iter().map(|variant| variant["price"].clone()).collect::<Vec<_>>();
    till.publish("1", &coloured()).await;
    let price = Patch { price: eur("20"), sale_price: Field::Clear, ..Patch::default() };
    let done = till.publish("2", &price).await;
    assert_eq!((done.status, prices()), (PublicationStatus::Unchanged, vec![json!("12.50"), json!("11.00")]));
    // A third comes, of which nothing is said, and the price comes after it, or before.
    let green = variant("MUG-G", "green", &json!({}));
    let three = Patch {
        options: colours(&["red", "blue", "green"]),
        variants: Field::Set(vec![variant("MUG-R", "red", &json!({})), variant("MUG-B", "blue", &json!({})), green]),
        ..Patch::default()
    };
    till.publish("4", &three).await;
    assert_eq!(prices(), ["12.50", "11.00", "20.00"]);
    till.publish("5", &Patch { price: eur("21"), ..Patch::default() }).await;
    // A job that is tried again.
    till.publish("4", &three).await;
    till.publish("1", &coloured()).await;
    assert_eq!(prices(), ["12.50", "11.00", "21.00"]);
    let stock = Patch { stock: Field::Set(3), ..Patch::default() };
    assert!(fault(till.try_carry_out("8", Action::Publish, &stock).await).starts_with("stock: "));
    let wrong = Patch {
        variants: Field::Set(vec![variant("MUG-R", "yellow", &json!({}))]),
        options: colours(&["red"]),
        ..Patch::default()
    };
    assert!(fault(till.try_carry_out("9", Action::Publish, &wrong).await).starts_with("variants.MUG-R: "));
}
