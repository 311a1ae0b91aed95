//! What tenants used, on a real MongoDB.

use mongodb::{
    Client,
    bson::{Document, doc},
};
use store::{NewUsage, Store};

fn used(id: &str, tenant: &str, model: &str) -> NewUsage {
    NewUsage {
        at: None,
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        service: "openai".to_owned(),
        model: model.to_owned(),
        calls: 2,
        unpriced_calls: 0,
        tokens_in: 400,
        tokens_out: 600,
        cost_nano_usd: 340_000,
    }
}

async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    (Store::open(servers::mongo(), &name).await.expect("the URL is good"), name)
}

#[tokio::test]
async fn what_is_counted_again_counts_once() {
    let (store, _database) = store().await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            // Each twice, at the same moment.
            tokio::spawn(async move { store.count_usage(used(&format!("job-{}/1", n / 2), "acme", "m")).await })
        })
        .collect();
    let mut n_counted = 0;
    for task in tasks {
        n_counted += usize::from(task.await.unwrap().unwrap());
    }
    assert_eq!(n_counted, 10);
    assert!(!store.count_usage(used("job-3/1", "acme", "m")).await.unwrap());
    assert!(store.count_usage(used("job-3/2", "acme", "m")).await.unwrap(), "another attempt");
    let days = store.usage(Some("acme"), "2000-01-01", "9999-12-31", 10).await.unwrap();
    let [day] = days.as_slice() else { panic!("{days:?}") };
    assert_eq!((day.calls, day.tokens_in, day.tokens_out, day.cost_nano_usd), (22, 4_400, 6_600, 3_740_000));
}

#[tokio::test]
async fn usage_is_told_by_tenant_model_and_day() {
    let (store, database) = store().await;
    store.prepare(&[]).await.unwrap();
    for (id, tenant, model) in [("1", "acme", "b"), ("1", "acme", "a"), ("2", "acme", "a"), ("3", "other", "a")] {
        store.count_usage(used(id, tenant, model)).await.unwrap();
    }
    let rows = async |tenant: Option<&str>, from: &str, to: &str| {
        let days = store.usage(tenant, from, to, 10).await.unwrap();
        days.into_iter().map(|day| (day.tenant, day.model, day.calls)).collect::<Vec<_>>()
    };
    let row = |tenant: &str, model: &str, calls| (tenant.to_owned(), model.to_owned(), calls);
    let (from, to) = ("2000-01-01", "9999-12-31");
    assert_eq!(rows(Some("acme"), from, to).await, [row("acme", "a", 4), row("acme", "b", 2)]);
    assert_eq!(rows(None, from, to).await, [row("acme", "a", 4), row("acme", "b", 2), row("other", "a", 2)]);
    assert_eq!(rows(None, from, "2000-01-02").await, []);
    assert_eq!(rows(Some("nobody"), from, to).await, []);
    assert_eq!(store.usage(None, from, to, 2).await.unwrap().len(), 2);

    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let usage = client.database(&database).collection::<Document>("usage");
    assert_eq!(usage.list_index_names().await.unwrap(), ["_id_", "tenant_day", "day", "expires_at"]);
    let document = usage.find_one(doc! { "tenant": "other" }).await.unwrap().unwrap();
    assert!(document.get_datetime("expires_at").is_ok(), "it is deleted some day");
}

#[tokio::test]
async fn a_document_remembers_only_so_many() {
    let (store, database) = store().await;
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let collection = client.database(&database).collection::<Document>("usage");
    store.count_usage(used("first", "acme", "m")).await.unwrap();
    let many: Vec<String> = (0..1_000).map(|n| format!("job-{n}")).collect();
    collection.update_one(doc! {}, doc! { "$push": { "counted": { "$each": many } } }).await.unwrap();
    store.count_usage(used("last", "acme", "m")).await.unwrap();
    let document = collection.find_one(doc! {}).await.unwrap().unwrap();
    let counted = document.get_array("counted").unwrap();
    assert_eq!((counted.len(), counted.last().unwrap().as_str()), (1_000, Some("last")));
}
