//! Pictures, for shops and browsers: behind signed addresses that stand in the results of image jobs.

use std::ops::RangeInclusive;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use jobs::{Handler, image};
use queue::JobId;
use store::{Store, StoredFile};
use url::form_urlencoded;

use crate::{
    answer::{Problem, Type},
    request::PathPart,
    state::App,
};

/// An address stays the same when a real picture takes the place of a placeholder, so whoever keeps one asks whether it is still good.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Gives a size of a picture. The address comes whole from a job's result, and needs no token.
#[utoipa::path(
    get, path = "/api/images/{id}/{file}", tag = "images", security(()),
    params(
        ("id" = String, Path, description = "The picture, as in the job's result"),
        ("file" = String, Path, description = "`master`, `1200`, `600` or `150`, and `.jpg` or `.webp`"),
        ("exp" = Option<String>, Query, description = "As in the address"),
        ("sig" = Option<String>, Query, description = "As in the address"),
    ),
    responses(
        (status = 200, description = "The picture; its `ETag` is made of its bytes", content(
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")
        )),
        (status = 206, description = "The part of it that `Range` asks for", content(
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")
        )),
        (status = 304, description = "It is still the one that `If-None-Match` names"),
        (status = 403, description = "`forbidden`: the address is not one that we signed, or no longer good"),
        (status = 416, description = "Nothing of it lies in `Range`"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    PathPart((id, file)): PathPart<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&app, &id, query.as_deref().unwrap_or_default())?;
    let missing = || Problem::new(Type::NotFound, format!("there is no picture {id:?} with a file {file:?}"));
    let (place, media_type) = image::place_of(&file).ok_or_else(missing)?;
    let store = app.open_store()?;
    let hash = hash(store, &id, place).await?.ok_or_else(missing)?;
    let etag = format!("\"{hash}\"");
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let always = [
        (header::ETAG, value(&etag)),
        (header::CACHE_CONTROL, CACHE),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if names(&headers, &header::IF_NONE_MATCH, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, always).into_response());
    }
    let stored = store.file(&hash).await.map_err(Problem::store_away)?.ok_or_else(missing)?;
    let (status, range) = match asked_for(&headers, &etag, stored.length) {
        Asked::All => (StatusCode::OK, 0..=stored.length.saturating_sub(1)),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Nothing => {
            let length = [(header::CONTENT_RANGE, value(&format!("bytes */{}", stored.length)))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, always, length).into_response());
        }
    };
    let (from, to) = (*range.start(), *range.end());
    let ours = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_LENGTH, (to + 1 - from).into()),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    let mut response = (status, always, ours, body(store.clone(), stored.clone(), range)).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let part = value(&format!("bytes {from}-{to}/{}", stored.length));
        response.headers_mut().insert(header::CONTENT_RANGE, part);
    }
    Ok(response)
}

/// Ids can be guessed, so nothing is told without the signature. What is added to an address on its way does not matter.
fn check(app: &App, id: &str, query: &str) -> Result<(), Problem> {
    let parameter = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let signed = parameter("exp").zip(parameter("sig"));
    if signed.is_some_and(|(exp, sig)| app.services.links.is_image(id, &exp, &sig, app.client.now_ms() / 1000)) {
        return Ok(());
    }
    let detail = "this address is not complete or no longer good: look at the picture's job again for a new one";
    Err(Problem::new(Type::Forbidden, detail))
}

/// What the job's result says of the bytes, as it is now: a healed picture is another one at the same address.
async fn hash(store: &Store, id: &str, place: usize) -> Result<Option<String>, Problem> {
    let Some((job, n)) = id.rsplit_once('-') else { return Ok(None) };
    let (Ok(job), Ok(n)) = (job.parse::<JobId>(), n.parse::<usize>()) else { return Ok(None) };
    let result = store.result(image::Image::COLLECTION, &job.to_string()).await.map_err(Problem::store_away)?;
    Ok(result.and_then(|result| result["images"][n]["files"][place].as_str().map(str::to_owned)))
}

/// Piece by piece, as the client reads it: a slow one takes no more memory than a piece. It ends early if the file is deleted meanwhile.
fn body(store: Store, file: StoredFile, range: RangeInclusive<u64>) -> Body {
    let left = (!range.is_empty() && file.length > 0).then_some(range);
    Body::from_stream(stream::try_unfold(left, move |left| {
        let (store, file) = (store.clone(), file.clone());
        async move {
            let Some(range) = left else { return Ok(None) };
            let piece = store.read_file(&file, &range).await?;
            let from = range.start() + piece.len() as u64;
            if piece.is_empty() {
                let what = "read a picture".to_owned();
                return Err(store::Error::Refused { what, reason: "it is gone".to_owned() });
            }
            let left = (from <= *range.end()).then(|| from..=*range.end());
            Ok(Some((Bytes::from(piece), left)))
        }
    }))
}

#[derive(Debug, PartialEq)]
enum Asked {
    All,
    Part(RangeInclusive<u64>),
    Nothing,
}

/// One range of bytes; of several, and of what is no range, all is given, which is always allowed.
fn asked_for(headers: &HeaderMap, etag: &str, length: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let range = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="));
    // The part of another picture is of no use.
    let is_other = text(header::IF_RANGE).is_some_and(|tag| tag.trim() != etag);
    let Some((first, last)) = range.filter(|_| !is_other).and_then(|range| range.trim().split_once('-')) else {
        return Asked::All;
    };
    let number = |text: &str| (!text.is_empty()).then(|| text.parse::<u64>());
    match (number(first), number(last)) {
        (Some(Ok(first)), _) if first >= length => Asked::Nothing,
        (Some(Ok(first)), None) => Asked::Part(first..=length - 1),
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Asked::Part(first..=last.min(length - 1)),
        (None, Some(Ok(0))) => Asked::Nothing,
        (None, Some(Ok(_))) if length == 0 => Asked::Nothing,
        (None, Some(Ok(last))) => Asked::Part(length.saturating_sub(last)..=length - 1),
        _ => Asked::All,
    }
}

/// Whether a list of tags has this one.
fn names(headers: &HeaderMap, name: &header::HeaderName, etag: &str) -> bool {
    let tags = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|tags| tags.split(','));
    tags.map(|tag| tag.trim()).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &'static str) -> Asked {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
        asked_for(&headers, "\"a\"", 100)
    }

    #[test]
    fn a_part_is_what_lies_in_the_picture() {
        for (range, expected) in [
            ("bytes=0-9", Asked::Part(0..=9)),
            ("bytes=90-", Asked::Part(90..=99)),
            ("bytes=90-1000", Asked::Part(90..=99)),
            ("bytes=-10", Asked::Part(90..=99)),
            ("bytes=-1000", Asked::Part(0..=99)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
        ] {
            assert_eq!(asked(range), expected, "{range}");
        }
        // No ranges, or more than one.
        for all in ["bytes=9-0", "bytes=a-b", "bytes=0-1,5-6", "pages=1-2", "bytes=", "bytes=-", "bytes=1"] {
            assert_eq!(asked(all), Asked::All, "{all}");
        }
    }

    #[test]
    fn the_part_of_another_picture_is_not_given() {
        let range = (header::RANGE, HeaderValue::from_static("bytes=0-9"));
        for (tag, expected) in [("\"a\"", Asked::Part(0..=9)), ("\"b\"", Asked::All), ("W/\"a\"", Asked::All)] {
            let headers = HeaderMap::from_iter([range.clone(), (header::IF_RANGE, HeaderValue::from_static(tag))]);
            assert_eq!(asked_for(&headers, "\"a\"", 100), expected, "{tag}");
        }
    }

    #[test]
    fn tags_are_found_in_lists() {
        let has = |tags: &'static str| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(tags))]);
            names(&headers, &header::IF_NONE_MATCH, "\"a\"")
        };
        assert!(["\"a\"", "\"b\", \"a\"", "*", "W/\"a\""].into_iter().all(has));
        assert!(!["\"b\"", "a", ""].into_iter().any(has));
        assert!(!names(&HeaderMap::new(), &header::IF_NONE_MATCH, "\"a\""));
    }
}
