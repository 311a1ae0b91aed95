//! How products are shown, hidden, deleted and looked at.

use super::*;

#[tokio::test]
async fn a_product_is_hidden_and_shown_again() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let hidden = till.carry_out("2", Action::Unpublish, &Patch::default()).await;
    assert_eq!((hidden.status, hidden.published, hidden.url), (PublicationStatus::Unpublished, false, None));
    assert_eq!(only(&shop)["status"], "DRAFT");
    let n_writes = shop.n_writes();
    let again = till.carry_out("3", Action::Unpublish, &Patch::default()).await;
    assert_eq!((again.status, shop.n_writes()), (PublicationStatus::Unchanged, n_writes));
    let shown = till.publish("4", &Patch::default().with_status(Status::Active)).await;
    assert_eq!((shown.status, changed(&shown)), (PublicationStatus::Published, vec!["status"]));
    is_the_mug(&only(&shop));
    let (shop, till) = open().await;
    let draft = till.publish("1", &mug().with_status(Status::Draft)).await;
    assert_eq!((draft.status, shop.visible_states().len()), (PublicationStatus::Draft, 0));
}

#[tokio::test]
async fn only_what_we_made_is_deleted_unless_it_is_forced() {
    let (shop, till) = open().await;
    till.publish("1", &mug()).await;
    let deleted = till.carry_out("2", Action::Delete, &Patch::default()).await;
    assert_eq!((deleted.status, shop.products().len()), (PublicationStatus::Deleted, 0));
    assert_eq!(till.carry_out("3", Action::Delete, &Patch::default()).await.status, PublicationStatus::Deleted);

    let foreign = self::till(&shop, "THEIRS");
    shop.plant("Theirs", &["THEIRS"]);
    assert!(fault(foreign.try_carry_out("1", Action::Delete, &Patch::default()).await).contains("force"));
    assert_eq!(shop.products().len(), 1);
    foreign.run("2", Action::Delete, &Patch::default(), true).await.unwrap();
    assert_eq!(shop.products().len(), 0);
}

#[tokio::test]
async fn a_dry_run_and_a_look_write_nothing() {
    let (shop, till) = open().await;
    let dry = till.carry_out("1", Action::DryRun, &mug()).await;
    assert_eq!(
        (dry.status, shop.n_writes(), dry.changes.len()),
        (PublicationStatus::Published, 0, 15),
        "{:?}",
        dry.changes
    );
    till.publish("2", &mug()).await;
    let n_writes = shop.n_writes();
    let dry = till.carry_out("3", Action::DryRun, &Patch { price: eur("20"), ..mug() }).await;
    let change = &dry.changes[0];
    assert_eq!(
        (dry.changes.len(), change.field.as_str(), &change.was, &change.becomes),
        (1, "price", &json!("12.5"), &json!("20"))
    );
    assert_eq!(till.carry_out("4", Action::Verify, &Patch::default()).await.status, PublicationStatus::Unchanged);
    let id = only(&shop)["id"].as_str().unwrap().to_owned();
    shop.edit(&id, |product| product["title"] = json!("Theirs"));
    let drifted = till.carry_out("5", Action::Verify, &Patch::default()).await;
    assert_eq!(
        (drifted.status, changed(&drifted), shop.n_writes()),
        (PublicationStatus::Drifted, vec!["title"], n_writes)
    );
}

#[tokio::test]
async fn what_a_later_job_set_is_not_undone_by_an_earlier_one() {
    let (shop, till) = open().await;
    till.publish("2", &Patch { images: Field::Keep, ..mug() }).await;
    till.publish(
        "1",
        &Patch { title: set("Old"), price: eur("1"), images: Field::Set(vec![picture("front")]), ..Patch::default() },
    )
    .await;
    let product = only(&shop);
    assert_eq!((&product["title"], &variants(&product)[0]["compareAtPrice"]), (&json!("Mug"), &json!("12.50")));
    assert_eq!(files(&product).len(), 1, "this no later job has set");
    till.carry_out("4", Action::Delete, &Patch::default()).await;
    till.publish("3", &mug()).await;
    assert_eq!(shop.products().len(), 0);
}
