//! What becomes of fields.

use providers::publication::{Action, Field, Patch, PublicationStatus, Status, Texts};
use serde_json::json;
use tests::standins::Fault;

use super::{Till, changed, cup, names, price, set, shop, till};

#[tokio::test]
async fn a_product_is_made_hidden_completed_and_shown() {
    let shop = shop().await;
    let done = till(&shop).publish("1", &cup()).await;
    assert_eq!((done.status, done.published), (PublicationStatus::Published, true));
    let url = format!("{}/index.php?controller=product&id_product=1", shop.url());
    assert_eq!((done.external_id.as_deref(), done.url.as_deref()), (Some("1"), Some(url.as_str())));
    let is = shop.product("CUP-1");
    for (field, value) in [
        ("visible", json!(true)),
        ("for_sale", json!(true)),
        ("price", json!(12.5)),
        ("stock", json!(7)),
        ("weight", json!(0.25)),
        // P9: a product without a name in a language is none there.
        ("name", json!({ "en": "Cup", "fr": "Tasse", "de": "Cup" })),
        ("description", json!({ "en": "<p>A <b>cup</b>.</p>", "fr": "<p>Une tasse.</p>", "de": "" })),
        ("meta_title", json!({ "en": "Buy a cup", "fr": "", "de": "" })),
        ("link_rewrite", json!({ "en": "cup", "fr": "cup", "de": "cup" })),
        ("brand", json!("Potter")),
        ("ean13", json!("4006381333931")),
        ("tags", json!(["blue", "clay"])),
        ("default_category", json!(["Cups"])),
        ("categories", json!(["Cups", "Home"])),
        ("pictures", json!(["front.jpg", "back.jpg"])),
    ] {
        assert_eq!(is[field], value, "{field}");
    }
    assert_eq!(shop.shown(), [is], "customers saw the whole product and nothing else");
}

#[tokio::test]
async fn what_is_unchanged_is_not_written() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let (n_writes, n_created) = (shop.n_writes(), shop.n_created("CUP-1"));
    for job in ["1", "2"] {
        let done = till.publish(job, &cup()).await;
        assert_eq!((done.status, done.changes.len()), (PublicationStatus::Unchanged, 0), "{:?}", done.changes);
    }
    assert_eq!((shop.n_writes(), shop.n_created("CUP-1")), (n_writes, n_created));
    let asked = shop.faults().last();
    assert!(asked.iter().skip(1).all(|seen| seen.path.contains("id_shop=1")
        || ["/api/", "/api/shop_urls?display=full"].contains(&seen.path.as_str())));
}

#[tokio::test]
async fn the_price_alone_leaves_all_else_as_it_is_also_what_a_merchant_changed_meanwhile() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    shop.edit("CUP-1", "condition", "used");
    shop.edit_text("CUP-1", "name", 1, "My cup");
    shop.edit_text("CUP-1", "name", 3, "Becher");
    let before = shop.product("CUP-1");
    let done = till.publish("2", &Patch { price: price("13.00"), ..Patch::default() }).await;
    assert_eq!((done.status, changed(&done)), (PublicationStatus::Published, vec!["price"]));
    assert_eq!((&done.changes[0].was, &done.changes[0].becomes), (&json!("12.5"), &json!("13")));
    let mut expected = before;
    expected["price"] = json!(13.0);
    assert_eq!(shop.product("CUP-1"), expected);
}

#[tokio::test]
async fn the_stock_alone_is_written_to_row_0_of_this_shop_and_to_nothing_else() {
    // P36, P63b.
    let shop = shop().await;
    shop.second_shop();
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let n_writes = shop.n_writes();
    let done = till.publish("2", &Patch { stock: Field::Set(2), ..Patch::default() }).await;
    assert_eq!((changed(&done), shop.quantities("CUP-1"), shop.n_writes() - n_writes), (vec!["stock"], vec![2, 0], 1));
    till.publish("3", &Patch { stock: Field::Clear, ..Patch::default() }).await;
    let again = till.publish("4", &Patch { stock: Field::Clear, ..Patch::default() }).await;
    assert_eq!(
        (again.status, shop.quantities("CUP-1")),
        (PublicationStatus::Unchanged, vec![0, 0]),
        "it is not counted"
    );
    till.publish("5", &Patch { stock: Field::Set(0), ..Patch::default() }).await;
    assert_eq!(
        till.publish("6", &Patch { stock: Field::Set(0), ..Patch::default() }).await.status,
        PublicationStatus::Unchanged
    );
}

#[tokio::test]
async fn null_clears() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let nothing = Patch {
        description_html: Field::Clear,
        short_description_html: Field::Clear,
        seo_title: Field::Clear,
        seo_description: Field::Clear,
        images: Field::Clear,
        categories: Field::Clear,
        tags: Field::Clear,
        brand: Field::Clear,
        gtin: Field::Clear,
        weight_g: Field::Clear,
        ..Patch::default()
    };
    till.publish("2", &nothing).await;
    let is = shop.product("CUP-1");
    for (field, value) in [
        ("description", json!({ "en": "", "fr": "<p>Une tasse.</p>", "de": "" })),
        ("meta_title", json!({ "en": "", "fr": "", "de": "" })),
        ("brand", json!(null)),
        ("ean13", json!("")),
        ("weight", json!(0.0)),
        ("tags", json!([])),
        // P39h, P56: never without any category.
        ("categories", json!(["Home"])),
        ("default_category", json!(["Home"])),
        ("pictures", json!([])),
        ("name", json!({ "en": "Cup", "fr": "Tasse", "de": "Cup" })),
    ] {
        assert_eq!(is[field], value, "{field}");
    }
    assert_eq!(till.publish("3", &nothing).await.status, PublicationStatus::Unchanged);
}

#[tokio::test]
async fn texts_of_a_language_that_a_job_does_not_carry_stay_also_of_one_that_is_not_active() {
    // P14, P14c.
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    shop.edit_text("CUP-1", "name", 3, "Becher");
    shop.edit_text("CUP-1", "description", 3, "<p>Ein Becher.</p>");
    let french = Texts { title: set("Une tasse"), seo_title: set("Acheter"), ..Texts::default() };
    let done = till.publish("2", &Patch { translations: [("fr".to_owned(), french)].into(), ..Patch::default() }).await;
    assert_eq!(changed(&done), ["translations.fr.seo.title", "translations.fr.title"]);
    till.publish("3", &Patch { title: set("Mug"), description_html: set("<p>A mug.</p>"), ..Patch::default() }).await;
    let is = shop.product("CUP-1");
    assert_eq!(is["name"], json!({ "en": "Mug", "fr": "Une tasse", "de": "Becher" }));
    assert_eq!(
        is["description"],
        json!({ "en": "<p>A mug.</p>", "fr": "<p>Une tasse.</p>", "de": "<p>Ein Becher.</p>" })
    );
    assert_eq!(is["meta_title"], json!({ "en": "Buy a cup", "fr": "Acheter", "de": "" }));
}

#[tokio::test]
async fn a_store_s_first_language_is_that_of_texts_that_say_none() {
    let shop = shop().await;
    let till: Till =
        till(&shop).with(|store| providers::publication::Store { languages: vec!["fr".to_owned()], ..store });
    let english = Texts { title: set("Cup"), ..Texts::default() };
    let patch = Patch {
        title: set("Tasse"),
        price: price("1"),
        translations: [("en".to_owned(), english)].into(),
        ..Patch::default()
    };
    till.publish("1", &patch).await;
    assert_eq!(shop.product("CUP-1")["name"], json!({ "en": "Cup", "fr": "Tasse", "de": "Tasse" }));
    assert_eq!(till.publish("2", &patch).await.status, PublicationStatus::Unchanged);
}

#[tokio::test]
async fn html_that_the_shop_rewrites_is_not_written_again_and_gets_through_also_when_the_shop_warns() {
    // P28b, P28c.
    let shop = shop().await;
    shop.html_warns();
    let till = till(&shop);
    let patch = Patch {
        title: set("Cup"),
        price: price("1"),
        description_html: set("<p onclick=\"x()\">caf\u{e9}<br>&nbsp;A</p><script>x</script>"),
        ..Patch::default()
    };
    till.publish("1", &patch).await;
    assert_eq!(shop.product("CUP-1")["description"]["en"], "<p>caf\u{e9}<br />\u{a0}A</p>");
    assert_eq!(till.publish("2", &patch).await.status, PublicationStatus::Unchanged);
    assert_eq!(shop.n_products("CUP-1"), 1);
    let done = till.publish("3", &Patch { description_html: set("<p>B</p>"), ..Patch::default() }).await;
    assert_eq!((changed(&done), shop.n_created("CUP-1")), (vec!["description_html"], 1));
}

#[tokio::test]
async fn names_are_adopted_before_they_are_made_and_others_words_for_home_do_not_count() {
    // P69.
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &Patch { categories: names(&["Cups", "Home"]), ..cup() }).await;
    let other = super::till_of(&shop, "CUP-2");
    other.publish("2", &cup()).await;
    other
        .publish("3", &Patch { tags: names(&["blue"]), categories: names(&["Sale", "Cups"]), ..Patch::default() })
        .await;
    let rows = ["categories", "tags", "manufacturers"].map(|resource| shop.n_rows(resource));
    assert_eq!(rows, [4, 2, 1], "Root, Home, Cups, Sale");
    let is = shop.product("CUP-2");
    assert_eq!(
        (&is["tags"], &is["categories"], &is["default_category"]),
        (&json!(["blue"]), &json!(["Sale", "Cups", "Home"]), &json!(["Cups"]))
    );
}

#[tokio::test]
async fn it_is_hidden_shown_again_and_deleted_if_it_is_ours() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let done = till.carry_out("2", Action::Unpublish, &Patch::default()).await;
    assert_eq!(
        (done.status, done.published, &shop.product("CUP-1")["visible"]),
        (PublicationStatus::Unpublished, false, &json!(false))
    );
    assert_eq!(till.carry_out("3", Action::Unpublish, &Patch::default()).await.status, PublicationStatus::Unchanged);
    let draft = till.publish("4", &Patch { title: set("Mug"), ..Patch::default() }).await;
    assert_eq!(draft.status, PublicationStatus::Draft, "it stays as it is");
    till.publish("5", &Patch::default().with_status(Status::Active)).await;
    assert_eq!(shop.product("CUP-1")["visible"], json!(true));
    assert_eq!(till.carry_out("6", Action::Delete, &Patch::default()).await.status, PublicationStatus::Deleted);
    assert_eq!((shop.n_products("CUP-1"), shop.n_rows("stock_availables")), (0, 0));
    till.publish("7", &cup()).await;
    assert_eq!((shop.n_products("CUP-1"), till.listing().external_id.as_deref()), (1, Some("2")));
}

#[tokio::test]
async fn a_foreign_product_is_adopted_not_deleted_unless_that_is_forced() {
    let shop = shop().await;
    let id = shop.plant("CUP-1", "Theirs");
    let till = till(&shop);
    let done = till.publish("1", &Patch { title: set("Cup"), ..Patch::default() }).await;
    assert_eq!(
        (done.external_id, changed(&till.publish("2", &Patch::default()).await).len()),
        (Some(id.to_string()), 0)
    );
    let error = till.try_carry_out("3", Action::Delete, &Patch::default()).await.unwrap_err();
    assert!(error.to_string().contains("was not made here"), "{error}");
    assert_eq!(shop.n_products("CUP-1"), 1);
    till.run("4", Action::Delete, &Patch::default(), true).await.unwrap();
    assert_eq!(shop.n_products("CUP-1"), 0);
}

#[tokio::test]
async fn a_dry_run_and_a_verification_tell_and_write_nothing() {
    let shop = shop().await;
    let till = till(&shop);
    let dry = till.carry_out("1", Action::DryRun, &cup()).await;
    assert_eq!((dry.status, shop.n_writes()), (PublicationStatus::Published, 0));
    assert!(changed(&dry).contains(&"title"));
    till.publish("2", &cup()).await;
    let n_writes = shop.n_writes();
    assert_eq!(till.carry_out("3", Action::Verify, &Patch::default()).await.status, PublicationStatus::Unchanged);
    shop.edit_text("CUP-1", "name", 1, "My cup");
    let drift = till.carry_out("4", Action::Verify, &Patch::default()).await;
    assert_eq!((drift.status, changed(&drift)), (PublicationStatus::Drifted, vec!["title"]));
    let dry = till
        .carry_out("5", Action::DryRun, &Patch { title: set("Mug"), price: price("12.5"), ..Patch::default() })
        .await;
    assert_eq!((changed(&dry), shop.n_writes()), (vec!["title"], n_writes));
}

#[tokio::test]
async fn a_later_job_s_fields_are_not_undone_by_an_earlier_one() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    till.publish("3", &Patch { title: set("Later"), ..Patch::default() }).await;
    till.publish("2", &Patch { title: set("Earlier"), price: price("9"), ..Patch::default() }).await;
    let is = shop.product("CUP-1");
    assert_eq!((&is["name"]["en"], &is["price"]), (&json!("Later"), &json!(9.0)));
}

#[tokio::test]
async fn an_older_shop_without_patch_is_put_the_whole() {
    // P12, P21c.
    let (shop, newer) = (shop().await, shop().await);
    shop.without_patch();
    let (till, other) = (till(&shop), till(&newer));
    for (job, patch) in [("1", cup()), ("2", Patch { price: price("13"), ..Patch::default() }), ("3", super::cups())] {
        let patch = if job == "3" { Patch { stock: Field::Keep, ..patch } } else { patch };
        till.publish(job, &patch).await;
        other.publish(job, &patch).await;
        assert_eq!(shop.product("CUP-1"), newer.product("CUP-1"), "job {job}");
    }
    assert_eq!(
        shop.faults().last().iter().filter(|seen| seen.method == "PATCH" && seen.status == Some(405)).count(),
        3,
        "asked once an attempt"
    );
}

#[tokio::test]
async fn a_warning_after_a_save_and_a_refused_association_are_looked_up() {
    // P55b, P28c.
    let shop = shop().await;
    shop.warn();
    shop.refuse_association();
    till(&shop).publish("1", &cup()).await;
    assert_eq!((shop.n_products("CUP-1"), shop.n_created("CUP-1")), (1, 1));
    let other = super::till_of(&shop, "CUP-2");
    shop.refuse_association();
    other.publish("1", &cup()).await;
    assert_eq!((shop.n_products("CUP-2"), shop.n_created("CUP-2")), (1, 1));
    shop.faults().next(1, Fault::WrongType);
    assert_eq!(other.publish("2", &cup()).await.status, PublicationStatus::Unchanged);
}
