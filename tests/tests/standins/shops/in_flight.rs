//! Calls to one store at the same time, by processes that share a fleet.

use futures::future::join_all;
use providers::publication::{Action, Field, Patch, Shop};
use serde_json::json;
use tests::standins::{Fault, Faults, prestashop::PrestaShop, woocommerce::WooCommerce};

use super::{Till, processes};

const KEY: &str = "hushhushhushhushhushhushhushhush";

fn cup() -> Patch {
    let price = serde_json::from_value(json!({ "amount": "12.50", "currency": "EUR" })).unwrap();
    Patch { title: Field::Set("Cup".to_owned()), price: Field::Set(price), ..Patch::default() }
}

/// Two processes publish four products each, all at once, while each call takes a while; the most calls that were under way.
async fn most_at_once(shop: Shop, variables: &[(&str, &str)], faults: &Faults) -> usize {
    faults.always(Fault::Delay { ms: 20 });
    let fleets = processes(2);
    let tills: Vec<Till> =
        (0..8).map(|n| Till::sharing(&fleets[n % fleets.len()], shop, variables, &format!("CUP-{n}"))).collect();
    let cup = cup();
    for done in join_all(tills.iter().map(|till| till.carry_out("1", Action::Publish, &cup))).await {
        assert!(done.published, "{done:?}");
    }
    faults.most_at_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_woocommerce_has_no_more_calls_under_way_than_it_may() {
    let shop = WooCommerce::plain(0, "ck_1", "cs_1").await.unwrap();
    let url = shop.url();
    let store = [("WOO_STORE_URL", url), ("WOO_CONSUMER_KEY", "ck_1"), ("WOO_CONSUMER_SECRET", "cs_1")];
    assert_eq!(most_at_once(Shop::Woocommerce, &store, shop.faults()).await, 4, "unless told otherwise");
    let one = WooCommerce::plain(0, "ck_1", "cs_1").await.unwrap();
    let url = one.url();
    let store = [("WOO_STORE_URL", url), store[1], store[2], ("WOO_IN_FLIGHT", "1")];
    assert_eq!(most_at_once(Shop::Woocommerce, &store, one.faults()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_prestashop_has_no_more_calls_under_way_than_it_may() {
    let shop = PrestaShop::start(0, KEY).await.unwrap();
    let url = shop.url();
    let store = [("PRESTA_STORE_URL", url.as_str()), ("PRESTA_API_KEY", KEY)];
    assert_eq!(most_at_once(Shop::Prestashop, &store, shop.faults()).await, 2, "unless told otherwise");
}
