//! Each request cut off, once in each way: afterwards there is one product, and it holds what was ordered.

use providers::publication::{Action, Field, Patch};
use serde_json::Value;
use tests::standins::prestashop::PrestaShop;

use super::{super::every_drop, SKU, Till, assert_only_whole, cups, names, pictures, price, set, shop, till, variant};

/// What a shop holds after the same without any fault. Ids are left out: pictures may have been sent again.
async fn undisturbed(jobs: &[(&str, Action, Patch)]) -> Value {
    let shop = shop().await;
    let till = till(&shop);
    for (job, action, patch) in jobs {
        till.carry_out(job, *action, patch).await;
    }
    shop.product(SKU)
}

fn whole() -> Patch {
    Patch {
        description_html: set("<p>A cup.</p>"),
        categories: names(&["Cups"]),
        tags: names(&["blue"]),
        brand: set("Potter"),
        sale_price: price("11"),
        ..cups()
    }
}

fn assert_tidy(shop: &PrestaShop, when: &str) {
    assert_eq!(shop.n_products(SKU), 1, "{when}");
    let rows =
        ["products", "combinations", "stock_availables", "specific_prices", "product_options", "product_option_values"];
    assert_eq!(rows.map(|resource| shop.n_rows(resource)), [1, 2, 3, 1, 1, 2], "{when}");
    let names = ["categories", "tags", "manufacturers"];
    assert_eq!(names.map(|resource| shop.n_rows(resource)), [3, 1, 1], "{when}");
}

#[tokio::test]
async fn while_a_product_is_made_with_pictures_and_variants() {
    let order = whole();
    let expected = undisturbed(&[("1", Action::Publish, order.clone())]).await;
    let start = async || {
        let shop = shop().await;
        let till = till(&shop);
        (shop, till)
    };
    let then = async |till: &Till| {
        till.publish("1", &order).await;
    };
    let check = |shop: &PrestaShop, when: &str| {
        assert_eq!(shop.product(SKU), expected, "{when}");
        assert_eq!(shop.n_created(SKU), 1, "{when}");
        assert_tidy(shop, when);
        assert_only_whole(shop, &expected, when);
    };
    let n_cut = every_drop(start, PrestaShop::faults, then, check).await;
    assert!(n_cut > 4 * 40, "{n_cut}");
}

#[tokio::test]
async fn while_it_is_changed() {
    let change = Patch {
        title: set("Mug"),
        price: price("13"),
        images: pictures(&["new", "back"]),
        weight_g: Field::Set(200),
        variants: Field::Set(vec![
            variant("CUP-B", "blue"),
            providers::publication::Variant { stock: Field::Set(2), ..variant("CUP-G", "green") },
        ]),
        ..Patch::default()
    };
    let jobs = [("1", Action::Publish, cups()), ("2", Action::Publish, change.clone())];
    let expected = undisturbed(&jobs).await;
    let start = async || {
        let shop = shop().await;
        let till = till(&shop);
        till.publish("1", &cups()).await;
        (shop, till)
    };
    let then = async |till: &Till| {
        till.publish("2", &change).await;
    };
    let check = |shop: &PrestaShop, when: &str| {
        assert_eq!(shop.product(SKU), expected, "{when}");
        assert_eq!((shop.n_rows("combinations"), shop.n_rows("stock_availables")), (2, 3), "{when}");
    };
    let n_cut = every_drop(start, PrestaShop::faults, then, check).await;
    assert!(n_cut > 4 * 20, "{n_cut}");
}

#[tokio::test]
async fn while_only_the_price_changes_under_variants_and_a_reduction() {
    let change = Patch { price: price("20"), ..Patch::default() };
    let jobs = [("1", Action::Publish, whole()), ("2", Action::Publish, change.clone())];
    let expected = undisturbed(&jobs).await;
    let start = async || {
        let shop = shop().await;
        let till = till(&shop);
        till.publish("1", &whole()).await;
        (shop, till)
    };
    let then = async |till: &Till| {
        till.publish("2", &change).await;
    };
    let check = |shop: &PrestaShop, when: &str| assert_eq!(shop.product(SKU), expected, "{when}");
    let n_cut = every_drop(start, PrestaShop::faults, then, check).await;
    assert!(n_cut > 4 * 10, "{n_cut}");
}

#[tokio::test]
async fn while_it_is_deleted() {
    let start = async || {
        let shop = shop().await;
        let till = till(&shop);
        till.publish("1", &cups()).await;
        (shop, till)
    };
    let then = async |till: &Till| {
        till.carry_out("2", Action::Delete, &Patch::default()).await;
    };
    let check = |shop: &PrestaShop, when: &str| {
        assert_eq!(
            (shop.n_rows("products"), shop.n_rows("combinations"), shop.n_rows("stock_availables")),
            (0, 0, 0),
            "{when}"
        );
    };
    let n_cut = every_drop(start, PrestaShop::faults, then, check).await;
    assert!(n_cut > 4 * 3, "{n_cut}");
}

#[tokio::test]
async fn while_it_is_hidden_and_shown() {
    let start = async || {
        let shop = shop().await;
        let till = till(&shop);
        till.publish("1", &Patch { title: set("Cup"), price: price("1"), ..Patch::default() }).await;
        (shop, till)
    };
    let then = async |till: &Till| {
        till.carry_out("2", Action::Unpublish, &Patch::default()).await;
        till.publish(
            "3",
            &Patch { title: set("Mug"), ..Patch::default() }.with_status(providers::publication::Status::Active),
        )
        .await;
    };
    let check = |shop: &PrestaShop, when: &str| {
        let is = shop.product(SKU);
        assert_eq!((&is["visible"], &is["name"]["en"]), (&Value::Bool(true), &Value::from("Mug")), "{when}");
    };
    let n_cut = every_drop(start, PrestaShop::faults, then, check).await;
    assert!(n_cut > 4 * 5, "{n_cut}");
}
