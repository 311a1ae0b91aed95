//! A stand-in of S3 with one bucket, addressed by path: put, get, head, delete, list, conditional put, multipart uploads.
//!
//! It checks the signature (version 4) of each request, its date, and the hash of its body.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{NaiveDateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{
    fault::{About, Faults, Front},
    lock, pairs, text, value,
};

const MOST_BODY_BYTES: usize = 64 * 1024 * 1024;
const SKEW_MIN: i64 = 15;
const MOST_LISTED: usize = 1_000;
const LEAST_PART_BYTES: usize = 5 * 1024 * 1024;

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct S3 {
    front: Front,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    bucket: String,
    key_id: String,
    secret: String,
    region: String,
    state: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    all: BTreeMap<String, Bytes>,
    /// Parts by number, by upload.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    last_upload: u64,
}

type Refusal = (StatusCode, &'static str, String);

impl S3 {
    /// Starts it on a port (0 is a free one) with one empty bucket in `us-east-1`.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, bucket: &str, key_id: &str, secret: &str) -> anyhow::Result<Self> {
        let account = Arc::new(Account {
            bucket: bucket.to_owned(),
            key_id: key_id.to_owned(),
            secret: secret.to_owned(),
            region: "us-east-1".to_owned(),
            state: Mutex::default(),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&account));
        Ok(Self { front: Front::start(port, routes).await?, account })
    }

    /// What belongs into `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes are counted by the object's name: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// The names of the objects, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.account.state).all.keys().cloned().collect()
    }

    /// What is in an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Bytes> {
        lock(&self.account.state).all.get(name).cloned()
    }

    /// How many multipart uploads were begun, and neither completed nor aborted.
    #[must_use]
    pub fn n_unfinished(&self) -> usize {
        lock(&self.account.state).uploads.len()
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What of a request is signed.
#[derive(Debug)]
pub struct Signed<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// As it is sent, encoded.
    pub path: &'a str,
    /// The decoded pairs of the query.
    pub query: &'a [(String, String)],
    /// Names in lower case with their values, sorted by name; `host` and `x-amz-date` (`20261122T181300Z`) among them.
    pub headers: &'a [(String, String)],
    /// The hash of the body in hex, or `UNSIGNED-PAYLOAD`.
    pub payload: &'a str,
}

/// The signature of a request to S3 in `region`, as AWS Signature Version 4 computes it.
#[must_use]
pub fn sign(signed: &Signed<'_>, secret: &str, region: &str) -> String {
    let encode = |text: &str| {
        url::form_urlencoded::byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
            .replace('*', "%2A")
            .replace("%7E", "~")
    };
    let mut query: Vec<String> =
        signed.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    query.sort();
    let headers: String = signed.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| name.as_str()).collect();
    let canonical =
        [signed.method, signed.path, &query.join("&"), &headers, &names.join(";"), signed.payload].join("\n");
    let at = signed.headers.iter().find(|(name, _)| name == "x-amz-date").map_or("", |(_, value)| value.as_str());
    let day = at.get(..8).unwrap_or_default();
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{day}/{region}/s3/aws4_request\n{}", hex(Sha256::digest(canonical)));
    let key = [day, region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    hex(hmac(&key, &text))
}

impl Account {
    fn authorize(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<(), Refusal> {
        let denied = |code, message: &str| Err((StatusCode::FORBIDDEN, code, message.to_owned()));
        let given = text(headers, header::AUTHORIZATION.as_str());
        let Some(given) = given.strip_prefix("AWS4-HMAC-SHA256 ") else {
            return denied("AccessDenied", "Access Denied");
        };
        let part = |name: &str| {
            given.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let scope: Vec<&str> = part("Credential").split('/').collect();
        let [key_id, day, region, "s3", "aws4_request"] = scope[..] else {
            return denied("AuthorizationHeaderMalformed", "The authorization header is malformed");
        };
        if key_id != self.key_id {
            return denied("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
        }
        if region != self.region {
            let message = format!("the region '{region}' is wrong; expecting '{}'", self.region);
            return Err((StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", message));
        }
        let at = text(headers, "x-amz-date");
        let then = NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ");
        let is_now = then.is_ok_and(|then| (Utc::now().naive_utc() - then).num_minutes().abs() <= SKEW_MIN);
        if !is_now || !at.starts_with(day) {
            return denied(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            );
        }
        let payload = text(headers, "x-amz-content-sha256");
        if payload != "UNSIGNED-PAYLOAD" && payload != hex(Sha256::digest(body)) {
            return Err((
                StatusCode::BAD_REQUEST,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned(),
            ));
        }
        let names = part("SignedHeaders").split(';');
        let signed_headers: Vec<(String, String)> =
            names.map(|name| (name.to_owned(), text(headers, name).to_owned())).collect();
        let signed =
            Signed { method: method.as_str(), path: uri.path(), query: &pairs(uri), headers: &signed_headers, payload };
        if sign(&signed, &self.secret, region) != part("Signature") {
            return denied(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            );
        }
        Ok(())
    }
}

fn xml(status: StatusCode, body: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    (status, [(header::CONTENT_TYPE, "application/xml")], text).into_response()
}

fn refuse((status, code, message): Refusal) -> Response {
    xml(
        status,
        &format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>standin</RequestId></Error>"),
    )
}

fn etag(body: &Bytes) -> String {
    format!("\"{}\"", &hex(Sha256::digest(body))[..32])
}

async fn answer(State(account): State<Arc<Account>>, request: Request) -> Response {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let body = axum::body::to_bytes(request.into_body(), MOST_BODY_BYTES).await.unwrap_or_default();
    if let Err(refusal) = account.authorize(&method, &uri, &headers, &body) {
        return refuse(refusal);
    }
    let path = format!("http://x{}", uri.path());
    let path = url::Url::parse(&path).ok().and_then(|url| {
        let segments: Vec<String> = url.path_segments()?.map(decode).collect();
        Some(segments.join("/"))
    });
    let path = path.unwrap_or_default();
    let (bucket, name) = path.split_once('/').unwrap_or((&path, ""));
    if bucket != account.bucket {
        return refuse((StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist".to_owned()));
    }
    let query = pairs(&uri);
    let mut state = lock(&account.state);
    let outcome = match (method.as_str(), name) {
        ("GET", "") => Ok(state.list(bucket, &query)),
        ("HEAD", "") => Ok(StatusCode::OK.into_response()),
        ("PUT", name) if value(&query, "partNumber").is_some() => state.put_part(name, &query, body),
        ("PUT", name) => state.put(name, text(&headers, "if-none-match") == "*", body),
        ("GET" | "HEAD", name) => state.get(name),
        ("DELETE", _) if value(&query, "uploadId").is_some() => {
            state.uploads.remove(value(&query, "uploadId").unwrap_or_default());
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("DELETE", name) => {
            state.all.remove(name);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("POST", name) if value(&query, "uploads").is_some() => Ok(state.begin(bucket, name)),
        ("POST", name) if value(&query, "uploadId").is_some() => state.complete(name, &query),
        _ => Err((StatusCode::NOT_IMPLEMENTED, "NotImplemented", "This stand-in does not know that.".to_owned())),
    };
    outcome.unwrap_or_else(refuse)
}

fn decode(segment: &str) -> String {
    // A plus is itself in a path.
    let query = segment.replace('+', "%2B");
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

impl Objects {
    fn put(&mut self, name: &str, only_new: bool, body: Bytes) -> Result<Response, Refusal> {
        if only_new && self.all.contains_key(name) {
            let message = "At least one of the pre-conditions you specified did not hold".to_owned();
            return Err((StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message));
        }
        let mut response = [(header::ETAG, etag(&body))].into_response();
        response.extensions_mut().insert(About(name.to_owned()));
        self.all.insert(name.to_owned(), body);
        Ok(response)
    }

    fn get(&self, name: &str) -> Result<Response, Refusal> {
        let missing = || (StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.".to_owned());
        let body = self.all.get(name).ok_or_else(missing)?;
        let headers = [
            (header::ETAG, etag(body)),
            (header::LAST_MODIFIED, "Sun, 22 Nov 2026 18:00:00 GMT".to_owned()),
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        ];
        Ok((headers, body.clone()).into_response())
    }

    fn list(&self, bucket: &str, query: &[(String, String)]) -> Response {
        let prefix = value(query, "prefix").unwrap_or_default();
        let after = value(query, "continuation-token").or_else(|| value(query, "start-after")).unwrap_or_default();
        let most = value(query, "max-keys").and_then(|most| most.parse().ok()).unwrap_or(MOST_LISTED).min(MOST_LISTED);
        let found: Vec<_> = self
            .all
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after)
            .take(most + 1)
            .collect();
        let shown = &found[..found.len().min(most)];
        let mut items = String::new();
        for (name, body) in shown {
            write!(
                items,
                "<Contents><Key>{name}</Key><LastModified>2026-11-22T18:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                etag(body).replace('"', "&quot;"),
                body.len()
            )
            .expect("a string takes everything");
        }
        let next = shown.last().filter(|_| found.len() > most);
        let next =
            next.map_or(String::new(), |(name, _)| format!("<NextContinuationToken>{name}</NextContinuationToken>"));
        let is_cut = !next.is_empty();
        xml(
            StatusCode::OK,
            &format!(
                "<ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{most}</MaxKeys>\
                 <IsTruncated>{is_cut}</IsTruncated>{items}{next}</ListBucketResult>",
                shown.len()
            ),
        )
    }

    fn begin(&mut self, bucket: &str, name: &str) -> Response {
        self.last_upload += 1;
        let id = format!("upload-{}", self.last_upload);
        self.uploads.insert(id.clone(), (name.to_owned(), BTreeMap::new()));
        let body = format!(
            "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{name}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        xml(StatusCode::OK, &body)
    }

    fn put_part(&mut self, name: &str, query: &[(String, String)], body: Bytes) -> Result<Response, Refusal> {
        let number =
            value(query, "partNumber").and_then(|number| number.parse().ok()).filter(|n| (1..=10_000).contains(n));
        let upload = value(query, "uploadId").and_then(|id| self.uploads.get_mut(id)).filter(|(of, _)| of == name);
        let (Some(number), Some((_, parts))) = (number, upload) else { return Err(no_upload()) };
        let response = [(header::ETAG, etag(&body))].into_response();
        parts.insert(number, body);
        Ok(response)
    }

    fn complete(&mut self, name: &str, query: &[(String, String)]) -> Result<Response, Refusal> {
        let id = value(query, "uploadId").unwrap_or_default();
        let (_, parts) = self.uploads.get(id).filter(|(of, _)| of == name).ok_or_else(no_upload)?;
        let parts: Vec<&Bytes> = parts.values().collect();
        let Some((_, before)) = parts.split_last() else {
            return Err((StatusCode::BAD_REQUEST, "InvalidPart", "No part was uploaded.".to_owned()));
        };
        if before.iter().any(|part| part.len() < LEAST_PART_BYTES) {
            let message = "Your proposed upload is smaller than the minimum allowed size".to_owned();
            return Err((StatusCode::BAD_REQUEST, "EntityTooSmall", message));
        }
        let body: Bytes = parts.into_iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>().into();
        self.uploads.remove(id);
        let tag = etag(&body).replace('"', "&quot;");
        self.all.insert(name.to_owned(), body);
        let mut response = xml(
            StatusCode::OK,
            &format!(
                "<CompleteMultipartUploadResult><Key>{name}</Key><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
            ),
        );
        response.extensions_mut().insert(About(name.to_owned()));
        Ok(response)
    }
}

fn no_upload() -> Refusal {
    (StatusCode::NOT_FOUND, "NoSuchUpload", "The specified multipart upload does not exist.".to_owned())
}
