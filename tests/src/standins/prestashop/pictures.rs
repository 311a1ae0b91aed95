//! Pictures of products.

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;

use super::{
    super::{text, value},
    rules::{Refusal, is_picture, refused},
    serve::{Call, xml},
    state::{Picture, State},
    xml as write,
};

/// P72.
const MOST_BYTES: usize = 2_000 * 1_024;

/// `/images/products/{id}[/{picture}]`.
pub(super) fn answer(state: &mut State, call: &Call, product: u64, picture: Option<u64>) -> Result<Response, Refusal> {
    match (&call.method, picture) {
        (&Method::GET, None) => Ok(list(state, product)),
        (&Method::GET, Some(picture)) => file(state, product, picture),
        (&Method::POST, None) => add(state, call, product),
        // P73.
        (&Method::POST, Some(picture)) if value(&call.pairs, "ps_method") == Some("PUT") => {
            replace(state, call, product, picture)
        }
        (&Method::DELETE, Some(picture)) => delete(state, product, picture),
        // P74e.
        (&Method::DELETE, None) => Ok(StatusCode::OK.into_response()),
        _ => Err(refused(400, 76, "Please set an \"image\" parameter with image data for value")),
    }
}

fn list(state: &State, product: u64) -> Response {
    // None at all is 404 (P45).
    let Some(pictures) = state.pictures.get(&product).filter(|pictures| !pictures.rows.is_empty()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let shown: String = pictures.rows.iter().map(|picture| format!("<declination id=\"{}\"/>", picture.id)).collect();
    xml(200, &format!("<image id=\"{product}\">{shown}</image>"))
}

fn file(state: &State, product: u64, picture: u64) -> Result<Response, Refusal> {
    let pictures = state.pictures.get(&product).map(|pictures| pictures.rows.as_slice()).unwrap_or_default();
    let Some(picture) = pictures.iter().find(|known| known.id == picture) else {
        return Err(refused(404, 60, "This image id does not exist"));
    };
    let Some(file) = &picture.file else { return Err(refused(500, 61, "This image does not exist on disk")) };
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], file.clone()).into_response())
}

/// The name and bytes of the part `image`.
fn part(call: &Call) -> Option<(String, Bytes)> {
    let boundary =
        text(&call.headers, header::CONTENT_TYPE.as_str()).split_once("boundary=")?.1.trim_matches('"').to_owned();
    let find = |from: usize, what: &[u8]| {
        call.raw[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let head = find(0, b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&call.raw[..head]).into_owned();
    if !headers.contains("name=\"image\"") {
        return None;
    }
    let name = headers.split_once("filename=\"")?.1.split('"').next()?.to_owned();
    let end = find(head + 4, format!("\r\n--{boundary}").as_bytes())?;
    Some((name, call.raw.slice(head + 4..end)))
}

/// The part, if the shop takes it. The name's extension decides, whatever type is told (P42).
fn taken(call: &Call) -> Result<(String, Bytes), Refusal> {
    let is_file = text(&call.headers, header::CONTENT_TYPE.as_str()).starts_with("multipart/form-data");
    let no_picture = || refused(400, 76, "Please set an \"image\" parameter with image data for value");
    let (name, bytes) = if is_file { part(call).ok_or_else(no_picture)? } else { return Err(no_picture()) };
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
    if !["jpg", "jpeg", "png", "gif", "webp"].contains(&extension.as_str()) {
        return Err(refused(400, 76, "This type of image format is not recognized"));
    }
    if bytes.len() > MOST_BYTES {
        return Err(refused(400, 72, format!("The image is too large (maximum is {} kB)", MOST_BYTES / 1_024)));
    }
    Ok((name, bytes))
}

fn add(state: &mut State, call: &Call, product: u64) -> Result<Response, Refusal> {
    let (name, bytes) = taken(call)?;
    if state.row("products", product).is_none() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let (id, is_good) = (state.next_picture(), is_picture(&bytes) && !state.refuse_pictures);
    let pictures = state.pictures.entry(product).or_default();
    if pictures.rows.is_empty() {
        pictures.cover = Some(id);
    }
    // One that cannot be read leaves its row (P43).
    pictures.rows.push(Picture { id, name, file: is_good.then(|| bytes.clone()) });
    state.n_writes += 1;
    state.look();
    if !is_good {
        return Err(refused(400, 76, "An error occurred while processing the image"));
    }
    Ok(shown(product, id, &bytes))
}

/// The answer has the whole picture in it (P41).
fn shown(product: u64, id: u64, bytes: &Bytes) -> Response {
    let fields = [("id", id.to_string()), ("id_product", product.to_string()), ("content", BASE64.encode(bytes))];
    let fields: String = fields.iter().map(|(name, value)| write::value(name, value)).collect();
    xml(200, &format!("<image>{fields}</image>"))
}

fn replace(state: &mut State, call: &Call, product: u64, picture: u64) -> Result<Response, Refusal> {
    let (name, bytes) = taken(call)?;
    let rows = state.pictures.get_mut(&product).map(|pictures| pictures.rows.as_mut_slice()).unwrap_or_default();
    let Some(row) = rows.iter_mut().find(|row| row.id == picture) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    (row.name, row.file) = (name, Some(bytes.clone()));
    state.n_writes += 1;
    state.look();
    Ok(shown(product, picture, &bytes))
}

fn delete(state: &mut State, product: u64, picture: u64) -> Result<Response, Refusal> {
    let Some(pictures) = state.pictures.get_mut(&product) else { return Err(refused(404, 87, "Id(s) wrong")) };
    let n_before = pictures.rows.len();
    pictures.rows.retain(|row| row.id != picture);
    if pictures.rows.len() == n_before {
        return Err(refused(404, 87, "Id(s) wrong"));
    }
    // After that there is none (P74).
    pictures.cover = pictures.cover.filter(|cover| *cover != picture);
    state.n_writes += 1;
    state.look();
    Ok(StatusCode::OK.into_response())
}
