//! The points that all queries of an app at a store share, over all processes.

use futures::future::join_all;
use providers::Hold;

use super::{super::processes, *};

/// One of many: no two have the same address.
fn one_mug() -> Patch {
    Patch { images: Field::Keep, slug: Field::Keep, ..mug() }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_what_is_left_of_the_points_and_are_never_throttled() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    let fleets = processes(2);
    // Each process hears once what queries cost.
    let processes: Vec<Till> = fleets.iter().map(|fleet| till_of(fleet, &shop, SKU)).collect();
    for (process, sku) in processes.iter().zip(["MUG-A", "MUG-B"]) {
        process.beside(sku).publish("1", &one_mug()).await;
    }
    shop.bucket(1_000.0, 600.0);
    // And what is left.
    processes[0].beside("MUG-C").carry_out("1", Action::Verify, &Patch::default()).await;
    fleets[0].flush().await;
    let tills: Vec<Till> = (0..6).map(|n| processes[n % 2].beside(&format!("CUP-{n}"))).collect();
    let cup = one_mug();
    let before = std::time::Instant::now();
    for done in join_all(tills.iter().map(|till| till.carry_out("1", Action::Publish, &cup))).await {
        assert!(done.published, "{done:?}");
    }
    assert_eq!(shop.n_too_dear(), 0);
    assert!(before.elapsed() > Duration::from_millis(500), "they had to wait: {:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_does_not_fit_for_long_is_not_sent_by_any_process() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    let fleets = processes(2);
    let processes: Vec<Till> = fleets.iter().map(|fleet| till_of(fleet, &shop, SKU)).collect();
    let tills = [processes[0].beside("MUG-A"), processes[1].beside("MUG-B")];
    for till in &tills {
        till.publish("1", &one_mug()).await;
    }
    shop.bucket(100.0, 0.5);
    let held = async |till: &Till| match till.run("2", Action::Verify, &Patch::default(), false).await {
        Err(PublishError::Provider(ProviderError::Held { hold: Hold::Limit, retry_in, .. })) => Some(retry_in),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    };
    let mut wait = None;
    while wait.is_none() {
        wait = held(&tills[0]).await;
        fleets[0].flush().await;
    }
    assert!(wait.unwrap() > Duration::from_secs(2));
    let n_asked = shop.faults().n_requests();
    assert!(held(&tills[1]).await.is_some(), "the other process knows it, too");
    assert_eq!((shop.faults().n_requests(), shop.n_too_dear()), (n_asked, 0), "nothing was sent");
}
