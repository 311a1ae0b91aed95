//! Made, changed, hidden, deleted, told of; and every request of that cut off.

use providers::publication::{Action, Change, Field, Patch, PublicationStatus, Status, Texts};
use serde_json::{Value, json};
use tests::standins::woocommerce::WooCommerce;

use super::{super::every_drop, SKU, euros, mug, n_writes, picture, set, start, the_one};

/// What was ordered with [`mug`], as the shop keeps it.
#[track_caller]
fn assert_is_the_mug(product: &Value, about: &str) {
    let names = |terms: &str| -> Vec<String> {
        let terms = product[terms].as_array().unwrap().iter();
        terms.map(|term| term["name"].as_str().unwrap().to_owned()).collect()
    };
    let kept = json!({
        "name": "Mug &amp; &lt;more&gt;", "description": "<p>Red, 5 &lt; 6</p>", "short_description": "A mug", "slug": "red-mug",
        "status": "publish", "type": "simple", "sku": SKU, "regular_price": "12.5", "sale_price": "9.9", "manage_stock": true,
        "stock_quantity": 4, "global_unique_id": "4006381333931", "weight": "0.25",
    });
    for (name, value) in kept.as_object().unwrap() {
        assert_eq!(&product[name], value, "{about}: {name} of {product}");
    }
    assert_eq!(
        (names("categories"), names("tags")),
        (vec!["Lamps &amp; Co".into(), "Mugs".into()], vec!["red".into(), "gift".into()])
    );
    assert_eq!(names("brands"), ["Acme"]);
    let alts: Vec<&Value> = product["images"].as_array().unwrap().iter().map(|image| &image["alt"]).collect();
    assert_eq!(alts, [&json!("Red mug"), &json!("")], "{about}");
    let meta: Vec<(&str, &str)> = product["meta_data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|meta| (meta["key"].as_str().unwrap(), meta["value"].as_str().unwrap()))
        .collect();
    let mut sorted = meta.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("_ecomsimply_id", "p-12/SKU12"),
            ("_yoast_wpseo_metadesc", "A mug for coffee"),
            ("_yoast_wpseo_title", "The mug"),
            ("rank_math_description", "A mug for coffee"),
            ("rank_math_title", "The mug"),
        ],
        "{about}"
    );
}

/// The one product is as it was ordered; nothing else is there; customers never saw less.
#[track_caller]
fn assert_only_the_mug(shop: &WooCommerce, about: &str) {
    assert_is_the_mug(&the_one(shop, about), about);
    assert_eq!(shop.media().len(), 2, "{about}: pictures were fetched twice");
    assert_eq!((shop.terms("categories").len(), shop.terms("brands").len()), (2, 1), "{about}");
    let shown = shop.shown();
    assert!(!shown.is_empty(), "{about}");
    for state in &shown {
        assert_is_the_mug(state, about);
    }
}

#[tokio::test]
async fn a_product_is_made_hidden_completed_and_shown_and_is_left_alone_when_nothing_changes() {
    let (shop, till) = start().await;
    let made = till.publish("1", &mug()).await;
    assert_eq!((made.status, made.published), (PublicationStatus::Published, true));
    assert_only_the_mug(&shop, "made");
    let id = the_one(&shop, "made")["id"].to_string();
    assert_eq!(made.external_id.as_deref(), Some(id.as_str()));
    assert_eq!(made.url, Some(format!("{}/product/red-mug/", shop.url())));
    let (n_before, n_requests) = (n_writes(&shop), shop.faults().n_requests());
    let again = till.publish("2", &mug()).await;
    assert_eq!((again.status, again.changes), (PublicationStatus::Unchanged, Vec::new()));
    assert_eq!(n_writes(&shop), n_before, "nothing is written when nothing changes: {:?}", shop.faults().last());
    assert!(shop.faults().n_requests() - n_requests <= 2, "{:?}", shop.faults().last());
    assert!(
        shop.faults().last().iter().all(|seen| seen.status.is_some_and(|status| status < 300)),
        "{:?}",
        shop.faults().last()
    );
}

#[tokio::test]
async fn what_a_job_does_not_carry_stays_as_it_is_also_when_a_merchant_changed_it() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let product = the_one(&shop, "made");
    let id = product["id"].as_u64().unwrap();
    shop.edit(id, &json!({ "name": "My mug", "stock_quantity": 3, "purchase_note": "x" }));
    let n_before = n_writes(&shop);
    let done = till.publish("2", &Patch { price: euros("13.00"), ..Patch::default() }).await;
    assert_eq!((done.status, n_writes(&shop) - n_before), (PublicationStatus::Published, 1));
    assert_eq!(done.changes, [Change { field: "price".to_owned(), was: json!("12.5"), becomes: json!("13") }]);
    let done = till.publish("3", &Patch { stock: Field::Set(7), ..Patch::default() }).await;
    assert_eq!(done.changes, [Change { field: "stock".to_owned(), was: json!(3), becomes: json!(7) }]);
    let after = the_one(&shop, "changed");
    for name in [
        "description",
        "short_description",
        "images",
        "categories",
        "tags",
        "brands",
        "meta_data",
        "sale_price",
        "weight",
    ] {
        assert_eq!(after[name], product[name], "{name}");
    }
    assert_eq!(
        (&after["name"], &after["regular_price"], &after["stock_quantity"]),
        (&json!("My mug"), &json!("13"), &json!(7))
    );
}

#[tokio::test]
async fn null_clears() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let cleared = Patch {
        description_html: Field::Clear,
        short_description_html: Field::Clear,
        seo_title: Field::Clear,
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
    till.publish("2", &cleared).await;
    let product = the_one(&shop, "cleared");
    for name in ["description", "short_description", "sale_price", "global_unique_id", "weight"] {
        assert_eq!(product[name], "", "{name}");
    }
    for name in ["images", "tags", "brands"] {
        assert_eq!(product[name], json!([]), "{name}");
    }
    assert_eq!((&product["stock_quantity"], &product["stock_status"]), (&Value::Null, &json!("instock")));
    // W51.
    assert_eq!(product["categories"][0]["name"], "Uncategorized");
    assert_eq!((&product["regular_price"], &product["slug"]), (&json!("12.5"), &json!("red-mug")));
    let n_before = n_writes(&shop);
    assert_eq!(till.publish("3", &cleared).await.status, PublicationStatus::Unchanged);
    assert_eq!(n_writes(&shop), n_before);
    // W48: nothing was sent as null, or the name would be gone.
    assert_eq!(product["name"], "Mug &amp; &lt;more&gt;");
    let refused = till.try_carry_out("4", Action::Publish, &Patch { title: Field::Clear, ..Patch::default() }).await;
    assert!(refused.unwrap_err().to_string().starts_with("title: "));
}

#[tokio::test]
async fn a_picture_is_replaced_and_none_is_fetched_twice() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let images =
        |images: Vec<providers::publication::Picture>| Patch { images: Field::Set(images), ..Patch::default() };
    till.publish("2", &images(vec![picture("side", "Side"), picture("front", "Front")])).await;
    let shown = |shop: &WooCommerce| -> Vec<(String, String)> {
        let product = the_one(shop, "pictures");
        let images = product["images"].as_array().unwrap().iter();
        images
            .map(|image| {
                (
                    image["src"].as_str().unwrap().rsplit('/').next().unwrap().to_owned(),
                    image["alt"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    };
    let pair = |file: &str, alt: &str| (file.to_owned(), alt.to_owned());
    assert_eq!(shown(&shop), [pair("side.jpg", "Side"), pair("front.jpg", "Front")]);
    // One that left comes back, an alternative text goes.
    till.publish("3", &images(vec![picture("front", ""), picture("back", "Back")])).await;
    assert_eq!(shown(&shop), [pair("front.jpg", ""), pair("back.jpg", "Back")]);
    assert_eq!(shop.media().len(), 3, "each was fetched once");
    // A merchant's own is not one of ours, and leaves.
    let id = the_one(&shop, "pictures")["id"].as_u64().unwrap();
    let n_before = n_writes(&shop);
    assert_eq!(
        till.publish("4", &images(vec![picture("front", ""), picture("back", "Back")])).await.status,
        PublicationStatus::Unchanged
    );
    assert_eq!((n_writes(&shop), id > 0), (n_before, true));
}

#[tokio::test]
async fn a_picture_that_cannot_be_fetched_is_named_and_leaves_nothing_behind() {
    let (shop, till) = start().await;
    let mut bad = picture("bad", "");
    bad.url = Some("https://cdn.example/bad.svg".to_owned());
    let patch = Patch { images: Field::Set(vec![picture("front", ""), bad]), ..mug() };
    let refused = till.try_carry_out("1", Action::Publish, &patch).await.unwrap_err().to_string();
    assert!(refused.starts_with("images.1: ") && refused.contains("file type"), "{refused}");
    assert_eq!((shop.media().len(), shop.shown().len()), (1, 0), "W37");
    let mut nowhere = picture("bad", "");
    nowhere.url = None;
    let patch = Patch { images: Field::Set(vec![picture("front", ""), nowhere]), ..mug() };
    let refused = till.try_carry_out("2", Action::Publish, &patch).await.unwrap_err().to_string();
    assert!(refused.starts_with("images.1: ") && refused.contains("PUBLIC_URL"), "{refused}");
    till.publish("3", &mug()).await;
    assert_only_the_mug(&shop, "mended");
}

#[tokio::test]
async fn a_product_is_hidden_shown_again_and_deleted() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let hidden = till.carry_out("2", Action::Unpublish, &Patch::default()).await;
    assert_eq!((hidden.status, hidden.published, hidden.url), (PublicationStatus::Unpublished, false, None));
    assert_eq!(the_one(&shop, "hidden")["status"], "draft");
    let price = Patch { price: euros("14"), ..Patch::default() };
    assert_eq!(till.publish("3", &price).await.status, PublicationStatus::Draft);
    let shown = till.publish("4", &Patch { status: Field::Set(Status::Active), ..Patch::default() }).await;
    assert_eq!(
        (shown.status, the_one(&shop, "shown")["status"].clone()),
        (PublicationStatus::Published, json!("publish"))
    );
    let gone = till.carry_out("5", Action::Delete, &Patch::default()).await;
    assert_eq!((gone.status, shop.all().len()), (PublicationStatus::Deleted, 0));
    assert_eq!(till.carry_out("6", Action::Delete, &Patch::default()).await.status, PublicationStatus::Deleted);
    // A draft stays one.
    till.publish("7", &mug().with_status(Status::Draft)).await;
    assert_eq!(the_one(&shop, "draft")["status"], "draft");
    assert_eq!(till.publish("8", &price).await.status, PublicationStatus::Draft);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_writes_nothing() {
    let (shop, till) = start().await;
    let told = till.carry_out("1", Action::DryRun, &mug()).await;
    assert_eq!((told.status, told.external_id, n_writes(&shop)), (PublicationStatus::Published, None, 0));
    till.publish("2", &mug()).await;
    let n_before = n_writes(&shop);
    let told =
        till.carry_out("3", Action::DryRun, &Patch { price: euros("1"), brand: set("Acme"), ..Patch::default() }).await;
    assert_eq!(told.changes, [Change { field: "price".to_owned(), was: json!("12.5"), becomes: json!("1") }]);
    assert_eq!(n_writes(&shop), n_before);
}

#[tokio::test]
async fn what_somebody_changed_in_the_shop_is_told() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    assert_eq!(till.carry_out("2", Action::Verify, &Patch::default()).await.status, PublicationStatus::Unchanged);
    let id = the_one(&shop, "made")["id"].as_u64().unwrap();
    shop.edit(
        id,
        &json!({ "name": "Cup", "regular_price": "10", "meta_data": [{ "key": "rank_math_title", "value": "Cup" }] }),
    );
    let told = till.carry_out("3", Action::Verify, &Patch::default()).await;
    assert_eq!(told.status, PublicationStatus::Drifted);
    let fields: Vec<&str> = told.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["price", "seo.title", "title"]);
    assert_eq!((&told.changes[2].was, &told.changes[2].becomes), (&json!("Mug & <more>"), &json!("Cup")));
}

/// WooCommerce has one language.
#[tokio::test]
async fn other_languages_are_refused_and_the_stores_own_is_taken() {
    let (shop, till) = start().await;
    let texts = Texts { title: set("Tasse"), ..Texts::default() };
    let patch = Patch { translations: [("fr".to_owned(), texts)].into(), ..mug() };
    let refused = till.try_carry_out("1", Action::Publish, &patch).await.unwrap_err().to_string();
    assert!(refused.starts_with("translations.fr: the store does not have this language"), "{refused}");
    assert_eq!(n_writes(&shop), 0);
    let till = till.with(|store| providers::publication::Store { languages: vec!["fr".to_owned()], ..store });
    till.publish("2", &patch).await;
    assert_eq!(the_one(&shop, "french")["name"], "Tasse");
    assert_eq!(till.publish("3", &patch).await.status, PublicationStatus::Unchanged);
}

/// W21: a shop with a decimal comma reads our prices right, too.
#[tokio::test]
async fn prices_are_read_right_whatever_the_shop_writes() {
    let (shop, till) = start().await;
    shop.set(|settings| settings.decimal_comma = true);
    till.publish("1", &mug()).await;
    assert_only_the_mug(&shop, "comma");
    // W26.
    let refused = till.try_carry_out("2", Action::Publish, &Patch { price: euros("9.90"), ..Patch::default() }).await;
    assert_eq!(refused.unwrap_err().to_string(), "sale_price: must be below the price, or the shop drops it");
    assert_eq!(the_one(&shop, "refused")["sale_price"], "9.9");
}

/// W52, W51: names with `&`, another case, somebody who makes the category at the same time.
#[tokio::test]
async fn categories_that_are_there_are_used() {
    let (shop, till) = start().await;
    let lamps = shop.plant_term("categories", "lamps & co").unwrap();
    let amps = shop.plant_term("categories", "&").unwrap();
    let patch = Patch { categories: Field::Set(vec!["Lamps & Co".to_owned(), "&".to_owned()]), ..mug() };
    till.publish("1", &patch).await;
    let product = the_one(&shop, "categories");
    let mut ids: Vec<u64> =
        product["categories"].as_array().unwrap().iter().map(|term| term["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!((ids, shop.terms("categories").len()), (vec![lamps, amps], 2));
    assert_eq!(till.publish("2", &patch).await.status, PublicationStatus::Unchanged);
}

/// Before WooCommerce 9.6 there are no brands: an attribute tells it, beside those of the merchant.
#[tokio::test]
async fn a_brand_is_an_attribute_where_the_shop_has_no_brands() {
    let (shop, till) = start().await;
    shop.set(|settings| settings.has_brands = false);
    let id = shop.plant(&json!({ "name": "Mug", "sku": SKU, "regular_price": "1",
        "attributes": [{ "name": "Material", "options": ["clay"], "visible": true }] }));
    till.publish("1", &Patch { brand: set("Acme & Sons"), ..Patch::default() }).await;
    let attributes = the_one(&shop, "brand")["attributes"].clone();
    assert_eq!(
        (&attributes[0]["name"], &attributes[1]["options"][0]),
        (&json!("Material"), &json!("Acme &amp; Sons")),
        "{id}"
    );
    assert_eq!(
        till.publish("2", &Patch { brand: set("Acme & Sons"), ..Patch::default() }).await.status,
        PublicationStatus::Unchanged
    );
    till.publish("3", &Patch { brand: Field::Clear, ..Patch::default() }).await;
    assert_eq!(the_one(&shop, "brand")["attributes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_later_jobs_fields_are_not_undone_by_an_earlier_one() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    till.publish("3", &Patch { price: euros("20"), ..Patch::default() }).await;
    till.publish("2", &Patch { price: euros("15"), stock: Field::Set(9), ..Patch::default() }).await;
    let product = the_one(&shop, "late");
    assert_eq!((&product["regular_price"], &product["stock_quantity"]), (&json!("20"), &json!(9)));
    let other = super::till(&shop, "OTHER");
    assert_eq!(other.carry_out("1", Action::Delete, &Patch::default()).await.status, PublicationStatus::Deleted);
    assert_eq!(shop.all().len(), 1);
}

#[tokio::test]
async fn a_creation_cut_off_anywhere_ends_with_one_whole_product() {
    let n_cut = every_drop(
        start,
        WooCommerce::faults,
        async |till| drop(till.publish("1", &mug()).await),
        |shop, about| assert_only_the_mug(shop, about),
    )
    .await;
    assert!(n_cut >= 4 * 10, "{n_cut}");
}

#[tokio::test]
async fn a_change_cut_off_anywhere_ends_with_what_was_ordered() {
    let change = Patch {
        title: set("Cup"),
        price: euros("20"),
        images: Field::Set(vec![picture("side", "Side"), picture("front", "Front")]),
        categories: Field::Set(vec!["Cups".to_owned()]),
        ..Patch::default()
    };
    let n_cut = every_drop(
        async || {
            let (shop, till) = start().await;
            till.publish("1", &mug()).await;
            (shop, till)
        },
        WooCommerce::faults,
        async |till| drop(till.publish("2", &change).await),
        |shop, about| {
            let product = the_one(shop, about);
            assert_eq!((&product["name"], &product["regular_price"]), (&json!("Cup"), &json!("20")), "{about}");
            assert_eq!((shop.media().len(), product["images"].as_array().unwrap().len()), (3, 2), "{about}: {product}");
            assert_eq!(
                (&product["images"][0]["alt"], &product["images"][1]["alt"]),
                (&json!("Side"), &json!("Front")),
                "{about}"
            );
            assert_eq!(product["stock_quantity"], 4, "{about}");
            for state in shop.shown() {
                assert!(
                    state["images"].as_array().unwrap().len() >= 2 && state["sale_price"] == "9.9",
                    "{about}: {state}"
                );
            }
        },
    )
    .await;
    assert!(n_cut >= 4 * 5, "{n_cut}");
}

#[tokio::test]
async fn a_deletion_cut_off_anywhere_ends_without_the_product() {
    let n_cut = every_drop(
        async || {
            let (shop, till) = start().await;
            till.publish("1", &mug()).await;
            (shop, till)
        },
        WooCommerce::faults,
        async |till| drop(till.carry_out("2", Action::Delete, &Patch::default()).await),
        |shop, about| assert_eq!(shop.all().len(), 0, "{about}"),
    )
    .await;
    assert!(n_cut >= 4 * 2, "{n_cut}");
}
