//! Whose a SKU is.

use providers::publication::{Action, Patch, PublicationStatus};
use serde_json::json;

use super::{cup, price, set, shop, till, till_of};

#[tokio::test]
async fn a_sku_that_a_variant_another_case_or_accent_or_two_products_have_is_refused() {
    // P15, P17, P18.
    for (taken, expected) in [("cup-1", "product 1 (cup-1)"), ("C\u{fb}P-1", "product 1"), ("CUP-1 ", "product 1")] {
        let shop = shop().await;
        let id = shop.plant(taken, "Theirs");
        let before = shop.product_of_id(id);
        let error = till(&shop).try_carry_out("1", Action::Publish, &cup()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{taken}: {error}");
        assert_eq!((shop.n_writes(), shop.product_of_id(id)), (0, before), "{taken}");
    }
    let shop = shop().await;
    let (one, two) = (shop.plant("CUP-1", "One"), shop.plant("CUP-1", "Two"));
    let error = till(&shop).try_carry_out("1", Action::Publish, &cup()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("several products of the shop have it: {one}, {two}")), "{error}");
    let other = shop.plant("OTHER", "Other");
    let variant = shop.plant_variant(other, "VAR-1");
    let error = till_of(&shop, "VAR-1").try_carry_out("1", Action::Publish, &cup()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("variant {variant} of product {other}")), "{error}");
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn skus_that_the_shop_cannot_hold_or_find_are_refused_by_name() {
    // P19, P19b, P19c, P19d.
    let shop = shop().await;
    for (sku, found) in [
        ("[z]", "[ ]"),
        ("a|b", "|"),
        ("a<b", "<"),
        ("a;b", ";"),
        ("{a}", "{ }"),
        (" a", "a blank"),
        ("4,60", "a comma"),
    ] {
        let error = till_of(&shop, sku).try_carry_out("1", Action::Publish, &cup()).await.unwrap_err().to_string();
        assert!(
            error.contains("sku: has characters that the shop cannot keep: ") && error.contains(found),
            "{sku}: {error}"
        );
    }
    let error = till_of(&shop, &"x".repeat(65)).try_carry_out("1", Action::Publish, &cup()).await.unwrap_err();
    assert!(error.to_string().contains("64"), "{error}");
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn a_look_up_whose_filter_was_lost_is_noticed() {
    // P19c.
    let shop = shop().await;
    let id = shop.plant("THEIRS", "Theirs");
    shop.ignore_filters();
    let error = till(&shop).run("1", Action::Publish, &cup(), false).await.unwrap_err();
    assert!(error.to_string().contains("nothing is written after such a look-up"), "{error}");
    assert_eq!((shop.n_writes(), &shop.product_of_id(id)["name"]["en"]), (0, &json!("Theirs")));
}

#[tokio::test]
async fn an_id_that_is_another_product_s_now_is_not_trusted() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    // The shop was restored: the same id, another product.
    shop.edit("CUP-1", "reference", "THEIRS");
    let before = shop.product("THEIRS");
    let done = till.publish("2", &cup()).await;
    assert_eq!((done.external_id.as_deref(), shop.product("THEIRS")), (Some("2"), before));
    assert_eq!(shop.n_products("CUP-1"), 1);
}

#[tokio::test]
async fn two_runs_that_make_one_sku_at_once_leave_one_product() {
    // P16.
    let shop = shop().await;
    shop.make_at_once(2);
    let (one, two) = (till(&shop), till(&shop));
    let patch = Patch { title: set("Cup"), price: price("1"), ..Patch::default() };
    let both = tokio::join!(one.run("1", Action::Publish, &patch, false), two.run("2", Action::Publish, &patch, false));
    assert_eq!((shop.n_created("CUP-1"), shop.n_products("CUP-1")), (2, 1));
    assert_eq!([both.0.is_ok(), both.1.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1, "the other one comes again");
    for (till, job) in [(&one, "1"), (&two, "2")] {
        let done = till.publish(job, &patch).await;
        assert_eq!((done.external_id.as_deref(), done.status), (Some("1"), PublicationStatus::Unchanged), "{job}");
    }
    assert!(one.listing().made_by_us && two.listing().made_by_us);
}
