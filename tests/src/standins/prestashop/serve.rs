//! One call: who asks, for which shop, whether the key may, and who answers.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Request, State as Shared},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    super::{basic, lock, pairs, text, value},
    Shop, pictures, rows,
    rules::{Refusal, refused},
    state::State,
    table::{RESOURCES, resource},
    xml::{Element, cdata, document},
};

const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;
const METHODS: [&str; 6] = ["get", "put", "post", "patch", "delete", "head"];

/// What every call brings.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) pairs: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) raw: Bytes,
    /// The shop that it names.
    pub(super) shop: Option<u64>,
}

pub(super) fn xml(status: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "text/xml;charset=utf-8")], document(body)).into_response()
}

fn answer(outcome: Result<Response, Refusal>) -> Response {
    outcome.unwrap_or_else(|(status, errors)| {
        let error = |(code, message): &(u16, String)| {
            format!("<error><code>{}</code><message>{}</message></error>", cdata(&code.to_string()), cdata(message))
        };
        let errors: String = errors.iter().map(error).collect();
        xml(status, &format!("<errors>{errors}</errors>"))
    })
}

pub(super) async fn serve(Shared(shop): Shared<Arc<Shop>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let raw = axum::body::to_bytes(body, MOST_BODY_BYTES).await.unwrap_or_default();
    let pairs = pairs(&head.uri);
    let named = value(&pairs, "id_shop").map(|shop| shop.parse().unwrap_or(0));
    let call = Call { method: head.method, pairs, headers: head.headers, raw, shop: named };
    let path = head.uri.path().trim_start_matches("/api").trim_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(response) = refusal(&shop, &call, &parts) {
        return response;
    }
    if call.method == Method::POST && parts == ["products"] {
        let gate = lock(&shop.state).gate.clone();
        if let Some(gate) = gate {
            gate.wait().await;
        }
    }
    let mut state = lock(&shop.state);
    dispatched(&mut state, &call, &parts)
}

/// What is answered to a call that gets no further.
fn refusal(shop: &Shop, call: &Call, parts: &[&str]) -> Option<Response> {
    let state = lock(&shop.state);
    let refuse = |status, code, message: &str| Some(answer(Err(refused(status, code, message))));
    let given = basic(&call.headers).map(|(user, _)| user).or_else(|| value(&call.pairs, "ws_key").map(str::to_owned));
    let Some(key) = given else {
        // P1: no XML.
        return Some((StatusCode::UNAUTHORIZED, "401 Unauthorized").into_response());
    };
    let host = text(&call.headers, header::HOST.as_str());
    if state.host.as_deref().is_some_and(|own| own != host) {
        // P71: for every method; the path is lost.
        return Some((StatusCode::FOUND, [(header::LOCATION, "https://shop.example/?url=products")]).into_response());
    }
    if state.is_off {
        return refuse(
            503,
            22,
            "The PrestaShop webservice is disabled. Please activate it in the PrestaShop Back Office",
        );
    }
    match key.as_str() {
        "" => return refuse(401, 17, "Authentication key is empty"),
        key if key.len() != 32 => return refuse(401, 18, "Invalid authentication key format"),
        key if key != shop.key || state.is_revoked => {
            let said = vec![
                (20, "Authentication key does not exist".to_owned()),
                (21, "Authentication key is not active".to_owned()),
            ];
            return Some(answer(Err((401, said))));
        }
        _ => {}
    }
    let shops = state.table("shop_urls").into_iter().flatten().map(|(_, row)| row.number("id_shop"));
    if call.shop.is_some_and(|named| named != 1 && !shops.clone().any(|shop| shop == named)) {
        // P63.
        return Some((StatusCode::FOUND, [(header::LOCATION, "/")]).into_response());
    }
    let name = parts.first()?;
    if state.denied.contains(&((*name).to_owned(), "*".to_owned())) {
        return refuse(401, 26, "No permission for this authentication key");
    }
    let method = call.method.as_str().to_lowercase();
    if call.method == Method::PATCH && state.without_patch {
        return refuse(405, 23, "Method PATCH is not valid");
    }
    if state.denied.contains(&((*name).to_owned(), method)) {
        // P5.
        return refuse(405, 25, "Method is not allowed for the resource with this authentication key");
    }
    None
}

fn dispatched(state: &mut State, call: &Call, parts: &[&str]) -> Response {
    let is_json = value(&call.pairs, "output_format") == Some("JSON");
    let Some(name) = parts.first() else {
        // P6b.
        return if is_json { StatusCode::INTERNAL_SERVER_ERROR.into_response() } else { index(state) };
    };
    let id = |at: usize| parts.get(at).map(|id| id.parse::<u64>().unwrap_or(0));
    if *name == "images" {
        if is_json {
            // P45d.
            return (StatusCode::INTERNAL_SERVER_ERROR, "{\"\":").into_response();
        }
        return match id(2) {
            Some(product) => answer(pictures::answer(state, call, product, id(3))),
            None => answer(Err(refused(400, 27, "The images are of products"))),
        };
    }
    let Some(resource) = resource(name) else {
        return answer(Err(refused(400, 27, "Resource of this type does not exist")));
    };
    let outcome = match (&call.method, id(1)) {
        (&Method::GET, None) => rows::list(state, resource, call),
        (&Method::GET, Some(id)) => Ok(rows::read(state, resource, id)),
        (&Method::DELETE, Some(id)) => rows::delete(state, resource, id),
        (&Method::POST | &Method::PUT | &Method::PATCH, _) => match Element::parse(&String::from_utf8_lossy(&call.raw))
        {
            Some(body) => rows::write(state, resource, call, &body),
            None => return unparsed(&String::from_utf8_lossy(&call.raw)),
        },
        _ => Err(refused(405, 23, "Method is not valid")),
    };
    answer(outcome)
}

/// P46: several errors, the telling one last. P46b: what is echoed can hold our own CDATA, so that the answer is no XML itself.
fn unparsed(body: &str) -> Response {
    let begin: String = body.chars().take(200).collect();
    let errors = format!(
        "<errors><error><code><![CDATA[3]]></code><message><![CDATA[[PHP Warning #2] simplexml_load_string(): {begin}]]></message></error>\
         <error><code><![CDATA[127]]></code><message><![CDATA[XML error : String could not be parsed as XML]]></message></error></errors>"
    );
    xml(500, &errors)
}

/// What the key may do.
fn index(state: &State) -> Response {
    let names = RESOURCES.iter().map(|resource| resource.name).chain(["images"]);
    let is_denied = |name: &str, method: &str| state.denied.contains(&(name.to_owned(), method.to_owned()));
    let row = |name: &str| {
        let methods: String = METHODS
            .iter()
            .map(|method| {
                let may = !(is_denied(name, method) || (*method == "patch" && state.without_patch));
                format!(" {method}=\"{may}\"")
            })
            .collect();
        format!("<{name}{methods}><description>rows</description></{name}>")
    };
    let rows: String = names.filter(|name| !is_denied(name, "*")).map(row).collect();
    xml(200, &format!("<api shopName=\"Stand-in\">{rows}</api>"))
}
