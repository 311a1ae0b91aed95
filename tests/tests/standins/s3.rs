//! S3.

use chrono::Utc;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tests::standins::{
    Fault,
    s3::{S3, Signed, sign},
};

use crate::client;

const BUCKET: &str = "backups";
const KEY: &str = "AKIASTANDIN";
const SECRET: &str = "secret";

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

async fn s3() -> S3 {
    S3::start(0, BUCKET, KEY, SECRET).await.unwrap()
}

fn hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signed request, as a client of `secret` makes it at `date`.
async fn send(s3: &S3, method: Method, path: &str, body: &[u8], secret: &str, date: &str) -> reqwest::Result<Answer> {
    let url = url::Url::parse(&format!("{}/{BUCKET}{path}", s3.url())).unwrap();
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let payload = hash(body);
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let headers = [("host", host.as_str()), ("x-amz-content-sha256", &payload), ("x-amz-date", date)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signed =
        Signed { method: method.as_str(), path: url.path(), query: &query, headers: &headers, payload: &payload };
    let signature = sign(&signed, secret, "us-east-1");
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/{}/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}",
        &date[..8]
    );
    let request = client().request(method, url).header("authorization", authorization);
    let request = request.header("x-amz-content-sha256", &payload).header("x-amz-date", date).body(body.to_vec());
    let answer = request.header("if-none-match", if path.contains("only-new") { "*" } else { "" }).send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.text().await? })
}

fn now() -> String {
    Utc::now().format("%Y%m%dT%H%M%SZ").to_string()
}

async fn call(s3: &S3, method: Method, path: &str, body: &[u8]) -> Answer {
    send(s3, method, path, body, SECRET, &now()).await.unwrap()
}

#[tokio::test]
async fn an_object_is_put_read_listed_and_deleted() {
    let s3 = s3().await;
    for name in ["/db/a%20b.zst", "/db/c.zst", "/db/d.zst", "/other/e.zst"] {
        assert_eq!(call(&s3, Method::PUT, name, b"hello").await.status, 200);
    }
    assert_eq!(s3.names(), ["db/a b.zst", "db/c.zst", "db/d.zst", "other/e.zst"]);
    assert_eq!(call(&s3, Method::GET, "/db/a%20b.zst", b"").await.body, "hello");
    let head = call(&s3, Method::HEAD, "/db/c.zst", b"").await;
    assert_eq!((head.status, head.headers["content-length"].to_str().unwrap()), (200, "5"));
    let listed = call(&s3, Method::GET, "/?list-type=2&prefix=db/&max-keys=2", b"").await.body;
    assert!(listed.contains("<Key>db/c.zst</Key>") && listed.contains("<IsTruncated>true</IsTruncated>"), "{listed}");
    let rest = call(&s3, Method::GET, "/?list-type=2&prefix=db/&continuation-token=db/c.zst", b"").await.body;
    assert!(rest.contains("<Key>db/d.zst</Key>") && !rest.contains("other") && rest.contains("<KeyCount>1<"), "{rest}");
    assert_eq!(call(&s3, Method::DELETE, "/db/c.zst", b"").await.status, 204);
    let gone = call(&s3, Method::GET, "/db/c.zst", b"").await;
    assert!(gone.status == 404 && gone.body.contains("NoSuchKey"), "{}", gone.body);
}

#[tokio::test]
async fn what_shall_be_new_is_written_once_although_the_answer_was_lost() {
    let s3 = s3().await;
    s3.faults().next(1, Fault::DropAfter);
    assert!(send(&s3, Method::PUT, "/only-new", b"1", SECRET, &now()).await.is_err());
    let again = call(&s3, Method::PUT, "/only-new", b"2").await;
    assert!(again.status == 412 && again.body.contains("PreconditionFailed"), "{}", again.body);
    assert_eq!((&s3.object("only-new").unwrap()[..], s3.faults().n_answered("only-new")), (&b"1"[..], 0));
}

#[tokio::test]
async fn a_large_object_comes_in_parts() {
    let s3 = s3().await;
    let begun = call(&s3, Method::POST, "/big?uploads", b"").await.body;
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part = vec![7; 5 * 1024 * 1024];
    for (number, body) in [(2, &part[..100]), (1, &part[..])] {
        let put = call(&s3, Method::PUT, &format!("/big?partNumber={number}&uploadId={id}"), body).await;
        assert!(put.status == 200 && put.headers.contains_key("etag"));
    }
    assert_eq!((s3.n_unfinished(), s3.names().len()), (1, 0), "nothing is there before the end");
    assert_eq!(call(&s3, Method::POST, &format!("/big?uploadId={id}"), b"<Complete/>").await.status, 200);
    assert_eq!((s3.n_unfinished(), s3.object("big").unwrap().len()), (0, 5 * 1024 * 1024 + 100));
    let begun = call(&s3, Method::POST, "/small?uploads", b"").await.body;
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    for number in [1, 2] {
        call(&s3, Method::PUT, &format!("/small?partNumber={number}&uploadId={id}"), b"x").await;
    }
    assert!(call(&s3, Method::POST, &format!("/small?uploadId={id}"), b"").await.body.contains("EntityTooSmall"));
    assert_eq!(call(&s3, Method::DELETE, &format!("/small?uploadId={id}"), b"").await.status, 204);
    assert_eq!(s3.n_unfinished(), 0);
}

#[tokio::test]
async fn a_wrong_secret_an_old_date_and_another_bucket_are_refused() {
    let s3 = s3().await;
    let wrong = send(&s3, Method::PUT, "/a", b"x", "other", &now()).await.unwrap();
    assert!(wrong.status == 403 && wrong.body.contains("SignatureDoesNotMatch"), "{}", wrong.body);
    let old = send(&s3, Method::PUT, "/a", b"x", SECRET, "20200101T000000Z").await.unwrap();
    assert!(old.status == 403 && old.body.contains("RequestTimeTooSkewed"), "{}", old.body);
    let other = send(&s3, Method::GET, "/../elsewhere/a", b"", SECRET, &now()).await.unwrap();
    assert!(other.status == 404 && other.body.contains("NoSuchBucket"), "{}", other.body);
    let unsigned = client().get(format!("{}/{BUCKET}/a", s3.url())).send().await.unwrap();
    assert_eq!((unsigned.status().as_u16(), s3.names().len()), (403, 0));
}

/// The value was computed with Python's hmac and hashlib.
#[test]
fn a_signature_is_the_one_that_others_compute() {
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let headers = owned(&[("host", "s3.example"), ("x-amz-date", "20261122T181300Z")]);
    let query = owned(&[("prefix", "a b/*~"), ("list-type", "2")]);
    let signed =
        Signed { method: "GET", path: "/backups/", query: &query, headers: &headers, payload: "UNSIGNED-PAYLOAD" };
    assert_eq!(
        sign(&signed, "secret", "us-east-1"),
        "2c3bd026978bfbc185ceba56ef56e17c57f853e756e3e4bbd97c2092fafd9d0e"
    );
}
