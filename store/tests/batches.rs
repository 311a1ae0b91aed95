//! Products that were handed over together.

use store::{BatchItem, Store};

#[tokio::test]
async fn a_part_is_its_tenants_and_keeps_what_came_of_each_item() {
    let store = Store::open(servers::mongo(), &servers::prefix()).await.unwrap();
    store.prepare(&[]).await.unwrap();
    let item = |line: u32| BatchItem { line, text: format!("{{\"n\":{line}}}"), outcome: None };
    let items = [item(0), item(7)];
    for _ in 0..2 {
        store.keep_part("b", "shop", 3, &items).await.unwrap();
    }
    assert_eq!(store.part("b", "shop", 3).await.unwrap().unwrap(), items);
    assert_eq!(store.part("b", "other", 3).await.unwrap(), None);
    assert_eq!(store.part("b", "shop", 4).await.unwrap(), None);
    store.note_outcomes("b", 3, &[(1, "\"done\"".to_owned())]).await.unwrap();
    store.note_outcomes("b", 3, &[]).await.unwrap();
    let part = store.part("b", "shop", 3).await.unwrap().unwrap();
    assert_eq!((&part[0], part[1].outcome.as_deref()), (&items[0], Some("\"done\"")));
    store.keep_part("other", "shop", 0, &items).await.unwrap();
    store.drop_batch("b", "other").await.unwrap();
    assert!(store.part("b", "shop", 3).await.unwrap().is_some(), "it is another tenant's");
    store.drop_batch("b", "shop").await.unwrap();
    assert_eq!(store.part("b", "shop", 3).await.unwrap(), None);
    assert!(store.part("other", "shop", 0).await.unwrap().is_some());
}
