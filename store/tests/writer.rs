//! What is written together, on a MongoDB of its own, whose commands are counted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::future::{FutureExt, join_all};
use mongodb::{
    Client,
    bson::{Bson, Document, doc},
};
use serde_json::{Value, json};
use servers::MongoServer;
use store::{Error, NewResult, Receipt, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn new_result(job_id: &str, result: Value) -> NewResult {
    NewResult {
        job_id: job_id.to_owned(),
        tenant: "acme".to_owned(),
        kind: "content".to_owned(),
        product_id: None,
        provider: Some("mock".to_owned()),
        degraded: false,
        degraded_reason: None,
        payload: None,
        result,
    }
}

async fn on(server: &MongoServer) -> (Store, Client) {
    let store = Store::open(&server.url(), "shop").await.unwrap();
    (store, Client::with_uri_str(server.url()).await.unwrap())
}

/// How many such commands the server has carried out.
async fn n_commands(client: &Client, name: &str) -> i64 {
    let status = client.database("admin").run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let commands = status.get_document("metrics").unwrap().get_document("commands").unwrap();
    match commands.get_document(name).unwrap().get("total") {
        Some(Bson::Int64(n)) => *n,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn results_that_come_together_are_written_in_a_few_commands_and_a_lone_one_in_one() {
    let server = MongoServer::start();
    let (store, client) = on(&server).await;
    store.put_result("contents", &new_result("first", json!({}))).await.unwrap();
    let before = n_commands(&client, "insert").await;
    store.put_result("contents", &new_result("second", json!({}))).await.unwrap();
    assert_eq!(n_commands(&client, "insert").await - before, 1);

    let ids: Vec<String> = (0..1_200).map(|n| format!("job {n}")).collect();
    let results: Vec<NewResult> = ids.iter().map(|id| new_result(id, json!({ "of": id }))).collect();
    let before = n_commands(&client, "insert").await;
    let mut writes: Vec<_> = results.iter().map(|result| Box::pin(store.put_result("contents", result))).collect();
    // All are handed in before anything else has its turn on this test's thread.
    tokio::task::unconstrained(async { writes.iter_mut().for_each(|write| assert!(write.now_or_never().is_none())) })
        .await;
    let written = join_all(writes).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert_eq!(n_commands(&client, "insert").await - before, 3, "500, 500 and 200");
    let stored = store.results("contents", &ids).await.unwrap();
    assert!(ids.iter().all(|id| stored[id] == json!({ "of": id })));
}

#[tokio::test]
async fn of_results_that_come_together_each_is_told_what_became_of_its_own() {
    let server = MongoServer::start();
    let (store, client) = on(&server).await;
    let rule = doc! { "create": "contents", "validator": { "result.bad": { "$exists": false } } };
    client.database("shop").run_command(rule).await.unwrap();
    store.put_result("contents", &new_result("again", json!({ "n": 1 }))).await.unwrap();
    let results = [
        new_result("bad", json!({ "bad": true })),
        new_result("huge", json!({ "text": "x".repeat(17 << 20) })),
        new_result("again", json!({ "n": 2 })),
        new_result("good", json!({ "n": 3 })),
    ];
    let written = join_all(results.iter().map(|result| store.put_result("contents", result))).await;
    for (id, written) in results.iter().map(|result| &result.job_id).zip(&written) {
        match (id.as_str(), written) {
            ("bad" | "huge", Err(error @ Error::Refused { .. })) => {
                let begin = format!("cannot store the result of job {id} in contents: ");
                assert!(error.to_string().starts_with(&begin), "{error}");
            }
            ("again" | "good", Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.result("contents", "again").await.unwrap(), Some(json!({ "n": 2 })));
    assert_eq!(store.result("contents", "good").await.unwrap(), Some(json!({ "n": 3 })));
}

#[tokio::test]
async fn more_bytes_than_one_command_takes_go_in_several() {
    let server = MongoServer::start();
    let (store, _client) = on(&server).await;
    let ids: Vec<String> = (0..30).map(|n| format!("job {n}")).collect();
    let large = json!({ "text": "x".repeat(5 << 20) });
    let results: Vec<NewResult> = ids.iter().map(|id| new_result(id, large.clone())).collect();
    let written = join_all(results.iter().map(|result| store.put_result("contents", result))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert_eq!(store.results("contents", &ids).await.unwrap().len(), ids.len());
}

#[tokio::test]
async fn receipts_that_come_together_are_written_together_and_each_keeps_its_order() {
    let server = MongoServer::start();
    let (store, client) = on(&server).await;
    let (begun, completed) = (n_commands(&client, "insert").await, n_commands(&client, "update").await);
    let ids: Vec<String> = (0..300).map(|n| format!("job {n}")).collect();
    let once = async |id: &String| {
        assert_eq!(store.begin_receipt(id, "send", "key").await.unwrap(), Receipt::Fresh);
        store.complete_receipt(id, "send", &json!({ "of": id })).await.unwrap();
        assert_eq!(store.begin_receipt(id, "send", "key").await.unwrap(), Receipt::Completed(json!({ "of": id })));
    };
    join_all(ids.iter().map(once)).await;
    let (begun, completed) =
        (n_commands(&client, "insert").await - begun, n_commands(&client, "update").await - completed);
    assert!(begun < 150 && completed < 150, "{begun} and {completed} commands for 300 receipts");
    let receipts = client.database("shop").collection::<Document>("receipts");
    assert_eq!(receipts.count_documents(doc! { "completed_at": { "$exists": true } }).await.unwrap(), 300);
}

#[tokio::test]
async fn while_mongodb_is_away_all_that_wait_are_told_so_and_later_writes_are_made() {
    let server = MongoServer::start();
    let (store, _client) = on(&server).await;
    store.put_result("contents", &new_result("before", json!({}))).await.unwrap();
    server.stop();
    let ids: Vec<String> = (0..50).map(|n| format!("job {n}")).collect();
    let results: Vec<NewResult> = ids.iter().map(|id| new_result(id, json!({}))).collect();
    let written = join_all(results.iter().map(|result| store.put_result("contents", result))).await;
    for (id, written) in ids.iter().zip(written) {
        let error = written.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains(&format!("of job {id} in")), "{error}");
    }
    server.restart();
    let patience = std::time::Duration::from_secs(60);
    servers::wait_until("a result is stored again", patience, async || {
        store.put_result("contents", &new_result("after", json!({}))).await.is_ok()
    })
    .await;
}

/// A way to the server on which the answer to the next `insert` is lost, and the connection with it.
async fn losing_one_answer(server: &MongoServer) -> (String, Arc<AtomicBool>) {
    let there = server.url().split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mongodb://{}/?directConnection=true", listener.local_addr().unwrap());
    let is_lost = Arc::new(AtomicBool::new(false));
    let lost = is_lost.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (mut server, lost) = (TcpStream::connect(&there).await.unwrap(), lost.clone());
            tokio::spawn(async move {
                let (mut from_client, mut from_server) = ([0; 64 << 10], [0; 64 << 10]);
                let mut loses = false;
                loop {
                    tokio::select! {
                        n = client.read(&mut from_client) => match n {
                            Ok(n) if n > 0 => {
                                let sent = &from_client[..n];
                                if sent.windows(8).any(|part| part == b"\x02insert\0") {
                                    loses |= !lost.swap(true, Ordering::SeqCst);
                                }
                                server.write_all(sent).await.unwrap();
                            }
                            _ => return,
                        },
                        n = server.read(&mut from_server) => match n {
                            Ok(n) if n > 0 && !loses => client.write_all(&from_server[..n]).await.unwrap(),
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    (url, is_lost)
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_told_to_be_made_once() {
    let server = MongoServer::start();
    let (url, is_lost) = losing_one_answer(&server).await;
    let store = Store::open(&url, "shop").await.unwrap();
    // Had it been taken for another's, the step would seem to have begun before.
    assert_eq!(store.begin_receipt("job", "send", "key").await.unwrap(), Receipt::Fresh);
    assert!(is_lost.load(Ordering::SeqCst), "the answer was lost");
    assert_eq!(store.begin_receipt("job", "send", "key").await.unwrap(), Receipt::Begun);
}
