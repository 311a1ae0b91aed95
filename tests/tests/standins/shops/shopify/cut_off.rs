//! Runs that are cut off at each of their requests.

use super::*;

#[tokio::test]
async fn whatever_is_cut_off_there_is_one_product_in_the_end_and_it_was_never_seen_incomplete() {
    let is_complete = |product: &Value| {
        let [red, blue] = <[Value; 2]>::try_from(variants(product)).unwrap();
        assert_eq!(
            (stock(&red), stock(&blue), &blue["price"], &blue["compareAtPrice"]),
            (3, 4, &json!("11.00"), &json!("13.00"))
        );
        let media: Vec<&Value> = product["media"].as_array().unwrap().iter().map(|media| &media["id"]).collect();
        assert_eq!((media.len(), &red["media"][0]["id"], &blue["media"][0]["id"]), (2, media[0], media[1]));
        assert_eq!(product["descriptionHtml"], "<p>Red or blue</p>");
    };
    let order = Patch { description_html: set("<p>Red or blue</p>"), categories: names(&["Kitchen"]), ..coloured() };
    let n_cut = every_drop(
        async || {
            let (shop, till) = open().await;
            shop.picture_looks(2);
            shop.lag(true);
            (shop, till)
        },
        |shop| shop.faults(),
        async |till| {
            till.publish("1", &order).await;
        },
        |shop, cut| {
            println!("{cut}");
            is_complete(&only(shop));
            shop.visible_states().iter().for_each(is_complete);
            assert_eq!((shop.n_files(), shop.collections().len()), (2, 1), "{cut}: nothing is there twice");
        },
    )
    .await;
    assert!(n_cut > 40, "{n_cut}");
}

#[tokio::test]
async fn whatever_of_an_update_is_cut_off_all_of_it_is_done() {
    let order = Patch {
        price: eur("20"),
        stock: Field::Set(9),
        images: Field::Set(vec![picture("side"), picture("front")]),
        title: set("Cup"),
        ..Patch::default()
    };
    let n_cut = every_drop(
        async || {
            let (shop, till) = open().await;
            till.publish("1", &mug()).await;
            (shop, till)
        },
        |shop| shop.faults(),
        async |till| {
            till.publish("2", &order).await;
        },
        |shop, cut| {
            let product = only(shop);
            let only = &variants(&product)[0];
            assert_eq!(
                (&product["title"], &only["compareAtPrice"], stock(only)),
                (&json!("Cup"), &json!("20.00"), 9),
                "{cut}"
            );
            let sources: Vec<String> = files(&product).into_iter().map(|(source, _)| source).collect();
            assert!(
                sources.len() == 2 && sources[0].contains("side") && sources[1].contains("front"),
                "{cut}: {sources:?}"
            );
            assert_eq!((shop.n_files(), &product["tags"]), (3, &json!(["china", "red"])), "{cut}");
        },
    )
    .await;
    assert!(n_cut > 25, "{n_cut}");
}

#[tokio::test]
async fn whatever_of_a_deletion_is_cut_off_nothing_is_left() {
    let n_cut = every_drop(
        async || {
            let (shop, till) = open().await;
            till.publish("1", &mug()).await;
            (shop, till)
        },
        |shop| shop.faults(),
        async |till| {
            till.carry_out("2", Action::Delete, &Patch::default()).await;
        },
        |shop, cut| assert_eq!(shop.products().len(), 0, "{cut}"),
    )
    .await;
    assert!(n_cut > 4, "{n_cut}");
}
