//! Whose SKU it is: W12 to W20b.

use providers::publication::{Action, Field, Patch, PublicationStatus, Status};
use serde_json::json;

use super::{SKU, euros, mug, n_writes, set, start, the_one, till};

const WHO: &str = "the shop takes it for that of another product";

/// W12b, W15: the shop takes another case, an accent or another form of Unicode for the same; we do not.
#[tokio::test]
async fn a_sku_that_only_the_shop_takes_for_the_same_is_another_products() {
    for (theirs, ours) in [("ABC9", "abc9"), ("CAFÉ9", "CAFE9"), ("e\u{301}9", "é9")] {
        let (shop, _) = start().await;
        shop.plant(&json!({ "name": "Theirs", "sku": theirs, "regular_price": "1" }));
        let till = till(&shop, ours);
        let refused = till.try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
        assert!(refused.starts_with("sku: ") && refused.contains(WHO), "{refused}");
        let product = the_one(&shop, ours);
        assert_eq!((&product["name"], n_writes(&shop)), (&json!("Theirs"), 0));
    }
}

/// W16: blanks are the shop's to tidy, and ours.
#[tokio::test]
async fn a_sku_with_blanks_is_found_again() {
    let (shop, _) = start().await;
    let till = till(&shop, " A  1,2 ");
    till.publish("1", &mug()).await;
    assert_eq!(the_one(&shop, "blanks")["sku"], "A 1,2");
    assert_eq!(till.publish("2", &mug()).await.status, PublicationStatus::Unchanged);
}

/// W12b: a variation has the SKU.
#[tokio::test]
async fn a_sku_of_a_variation_is_not_adopted() {
    let (shop, till) = start().await;
    let parent = shop.plant(&json!({ "name": "P", "type": "variable", "sku": "P" }));
    shop.plant_variation(parent, &json!({ "sku": SKU, "regular_price": "1" })).unwrap();
    let refused = till.try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
    assert!(refused.contains(WHO) && refused.contains("variant"), "{refused}");
    assert_eq!(n_writes(&shop), 0);
}

/// W14: the trash holds the SKU; what is in it is revived.
#[tokio::test]
async fn a_product_in_the_trash_is_revived() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let id = the_one(&shop, "made")["id"].as_u64().unwrap();
    shop.trash(id);
    // Ours, whose id is known; then one that only its SKU tells.
    for till in [till, super::till(&shop, SKU)] {
        shop.trash(id);
        let price = if till.listing().external_id.is_some() { "20" } else { "21" };
        let patch = Patch { price: euros(price), status: Field::Set(Status::Active), ..mug() };
        assert_eq!(till.publish("2", &patch).await.status, PublicationStatus::Published);
        let product = the_one(&shop, "revived");
        assert_eq!(
            (&product["id"], &product["status"], &product["regular_price"]),
            (&json!(id), &json!("publish"), &json!(price))
        );
    }
    // A variation of a trashed product.
    let parent = shop.plant(&json!({ "name": "P", "type": "variable", "sku": "P" }));
    shop.plant_variation(parent, &json!({ "sku": "V", "regular_price": "1" })).unwrap();
    shop.trash(parent);
    let refused = super::till(&shop, "V").try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
    assert!(refused.contains(WHO), "{refused}");
}

/// A product that a merchant made with the very SKU is worked on, and deleted only when that is forced.
#[tokio::test]
async fn a_foreign_product_is_changed_but_not_deleted() {
    let (shop, till) = start().await;
    let id = shop.plant(&json!({ "name": "Theirs", "sku": SKU, "regular_price": "1", "description": "Long" }));
    till.publish("1", &Patch { price: euros("2"), ..Patch::default() }).await;
    let product = the_one(&shop, "foreign");
    assert_eq!(
        (&product["id"], &product["name"], &product["regular_price"]),
        (&json!(id), &json!("Theirs"), &json!("2"))
    );
    let refused = till.try_carry_out("2", Action::Delete, &Patch::default()).await.unwrap_err().to_string();
    assert!(refused.contains("not made here"), "{refused}");
    assert_eq!(shop.all().len(), 1);
    till.run("3", Action::Delete, &Patch::default(), true).await.unwrap();
    assert_eq!(shop.all().len(), 0);
}

/// W13b: two products have the SKU.
#[tokio::test]
async fn of_two_products_with_the_sku_none_is_chosen() {
    let (shop, till) = start().await;
    let ids = [1, 2].map(|n| shop.plant(&json!({ "name": format!("{n}"), "sku": SKU, "regular_price": "1" })));
    let refused = till.try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
    assert!(
        refused.contains("several products") && ids.iter().all(|id| refused.contains(&id.to_string())),
        "{refused}"
    );
    assert_eq!(n_writes(&shop), 0);
}

/// W18, W19, W20b: such SKUs are never asked for.
#[tokio::test]
async fn skus_that_the_shop_cannot_hold_are_refused_by_name() {
    let (shop, _) = start().await;
    shop.plant(&json!({ "name": "Theirs", "sku": "X", "regular_price": "1" }));
    for sku in ["0", " ", "a<b", "<b>x</b>", "a%41b", "a%20b", &"x".repeat(101)] {
        let refused = till(&shop, sku).try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
        assert!(refused.starts_with("sku: "), "{sku}: {refused}");
    }
    assert_eq!(shop.faults().n_requests(), 0);
}

/// W20b by a plugin: what comes has nothing to do with what was asked for.
#[tokio::test]
async fn an_answer_that_ignores_its_filter_is_noticed() {
    let (shop, till) = start().await;
    shop.plant(&json!({ "name": "Theirs", "sku": "X", "regular_price": "1" }));
    shop.set(|settings| settings.ignores_sku = true);
    let refused = till.try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
    assert!(refused.contains("with others (X)"), "{refused}");
    assert_eq!((n_writes(&shop), the_one(&shop, "ignored")["name"].clone()), (0, json!("Theirs")));
}

/// W66.
#[tokio::test]
async fn a_gtin_that_another_product_has_is_named() {
    let (shop, till) = start().await;
    let id =
        shop.plant(&json!({ "name": "Theirs", "sku": "X", "regular_price": "1", "global_unique_id": "4006381333931" }));
    let refused = till.try_carry_out("1", Action::Publish, &mug()).await.unwrap_err().to_string();
    assert_eq!(refused, format!("gtin: {WHO}, product {id}, which stays as it is"));
    till.publish("2", &Patch { gtin: Field::Keep, title: set("Mug"), price: euros("1"), ..Patch::default() }).await;
    assert_eq!(shop.products(SKU).len(), 1);
}

/// Two runs that know nothing of each other: the SKU is single, so one of them takes the other's product.
#[tokio::test]
async fn two_runs_at_once_make_one_product() {
    for _ in 0..5 {
        let (shop, one) = start().await;
        let other = till(&shop, SKU);
        let (patch, second) = (super::mugs(), super::mugs());
        let (one, other) = tokio::join!(one.publish("1", &patch), other.publish("2", &second));
        assert_eq!(one.external_id, other.external_id);
        let product = the_one(&shop, "at once");
        assert_eq!(product["variations"].as_array().unwrap().len(), 2, "{product}");
        assert_eq!(product["status"], "publish");
    }
}
