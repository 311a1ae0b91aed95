//! A stand-in of a shop with PrestaShop's webservice: products by reference, stock, pictures, languages; XML both ways.
//!
//! A reference is not unique, as in the real one. [`PrestaShop::warn`] makes the next write answer 500 with a PHP warning
//! although it was made.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    basic,
    fault::{About, Faults, Front},
    lock, pairs, text, value,
};

const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;
const READ_ONLY: [&str; 2] = ["quantity", "manufacturer_name"];
/// Those of a product that are kept and shown, beside the languages' fields.
const PLAIN: [&str; 9] = [
    "reference",
    "price",
    "active",
    "state",
    "ean13",
    "id_category_default",
    "minimal_quantity",
    "visibility",
    "condition",
];
const TRANSLATED: [&str; 4] = ["name", "link_rewrite", "description", "description_short"];

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct PrestaShop {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    key: String,
    state: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    products: BTreeMap<u64, Product>,
    last_image: u64,
    warn: bool,
    created: BTreeMap<String, usize>,
    updated: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, Default)]
struct Product {
    /// As they were sent, by name; those of languages are `<language>` nodes.
    fields: BTreeMap<&'static str, String>,
    quantity: i64,
    images: Vec<u64>,
}

/// An error: status, code, message.
type Refusal = (u16, u16, String);

impl PrestaShop {
    /// Starts it on a port (0 is a free one). It knows one key of 32 characters.
    ///
    /// # Errors
    /// When the port cannot be bound, or the key has another length.
    pub async fn start(port: u16, key: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(key.len() == 32, "a key of a webservice has 32 characters");
        let shop = Arc::new(Shop { key: key.to_owned(), state: Mutex::default() });
        let routes = Router::new()
            .route("/api/", get(index))
            .route("/api/languages", get(languages))
            .route("/api/products", get(list).post(write_new))
            .route("/api/products/{id}", get(read).put(write).patch(write))
            .route("/api/stock_availables", get(stocks))
            .route("/api/stock_availables/{id}", get(stock).put(set_stock).patch(set_stock))
            .route("/api/images/products/{id}", get(images).post(add_image))
            .with_state(Arc::clone(&shop));
        Ok(Self { front: Front::start(port, routes).await?, shop })
    }

    /// What belongs into `PRESTA_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes of products are counted by reference: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// The next write of a product is made, and answered with 500 and a PHP warning.
    pub fn warn(&self) {
        lock(&self.shop.state).warn = true;
    }

    /// How often a product with this reference was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, reference: &str) -> usize {
        lock(&self.shop.state).created.get(reference).copied().unwrap_or(0)
    }

    /// How often a product with this reference was updated, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, reference: &str) -> usize {
        lock(&self.shop.state).updated.get(reference).copied().unwrap_or(0)
    }

    /// The quantities in stock of the products with this reference.
    #[must_use]
    pub fn quantities(&self, reference: &str) -> Vec<i64> {
        let state = lock(&self.shop.state);
        let found =
            state.products.values().filter(|product| product.fields.get("reference").is_some_and(|it| it == reference));
        found.map(|product| product.quantity).collect()
    }
}

impl Shop {
    fn check_key(&self, headers: &HeaderMap, pairs: &[(String, String)]) -> Result<(), Refusal> {
        let refused = |code, message: &str| Err((401, code, message.to_owned()));
        let given = basic(headers).map(|(user, _)| user).or_else(|| value(pairs, "ws_key").map(str::to_owned));
        match given {
            None => refused(17, "Authentication key is empty"),
            Some(key) if key.len() != 32 => refused(18, "Invalid authentication key format"),
            Some(key) if key != self.key => refused(20, "This authentication key does not exist"),
            Some(_) => Ok(()),
        }
    }
}

fn xml(status: u16, body: &str) -> Response {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<prestashop xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n{body}\n</prestashop>\n"
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "text/xml;charset=utf-8")], text).into_response()
}

fn answer(outcome: Result<Response, Refusal>) -> Response {
    outcome.unwrap_or_else(|(status, code, message)| {
        let error = format!(
            "<errors><error><code>{}</code><message>{}</message></error></errors>",
            cdata(&code.to_string()),
            cdata(&message)
        );
        xml(status, &error)
    })
}

fn cdata(text: &str) -> String {
    format!("<![CDATA[{text}]]>")
}

/// The content of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let at = rest.find(&format!("<{name}"))?;
        let after = &rest[at + name.len() + 1..];
        if after.starts_with(['>', ' ', '/']) {
            let (head, body) = after.split_once('>')?;
            return if head.ends_with('/') {
                Some("")
            } else {
                body.split_once(&format!("</{name}>")).map(|(body, _)| body)
            };
        }
        rest = after;
    }
}

/// The text of an element, out of its CDATA.
fn plain<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let body = element(xml, name)?;
    Some(body.strip_prefix("<![CDATA[").and_then(|body| body.strip_suffix("]]>")).unwrap_or(body))
}

/// Whether every element is closed in its turn.
fn is_well_formed(xml: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let end = match rest {
            _ if rest.starts_with("<![CDATA[") => rest.find("]]>").map(|end| end + 3),
            _ => rest.find('>').map(|end| end + 1),
        };
        let Some(end) = end else { return false };
        let tag = &rest[..end];
        rest = &rest[end..];
        if tag.starts_with("<!") || tag.starts_with("<?") || tag.ends_with("/>") {
            continue;
        }
        let name =
            |tag: &str| tag.trim_matches(['<', '>', '/']).split_whitespace().next().unwrap_or_default().to_owned();
        if tag.starts_with("</") {
            if open.pop() != Some(name(tag)) {
                return false;
            }
        } else {
            open.push(name(tag));
        }
    }
    open.is_empty()
}

/// What every call brings.
struct Call {
    shop: Arc<Shop>,
    method: Method,
    pairs: Vec<(String, String)>,
    headers: HeaderMap,
    body: String,
    raw: Bytes,
}

impl axum::extract::FromRequest<Arc<Shop>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, shop: &Arc<Shop>) -> Result<Self, Response> {
        let (method, headers): (Method, HeaderMap) = (request.method().clone(), request.headers().clone());
        let uri: Uri = request.uri().clone();
        let pairs = pairs(&uri);
        shop.check_key(&headers, &pairs).map_err(|refusal| answer(Err(refusal)))?;
        let raw = axum::body::to_bytes(request.into_body(), MOST_BODY_BYTES).await.unwrap_or_default();
        let is_file = text(&headers, header::CONTENT_TYPE.as_str()).starts_with("multipart/form-data");
        let body = if is_file { String::new() } else { String::from_utf8_lossy(&raw).into_owned() };
        if !is_file && !(is_well_formed(&body) && (method == Method::GET || body.contains('<'))) {
            let message = "XML error : String could not be parsed as XML".to_owned();
            return Err(answer(Err((500, 127, message))));
        }
        Ok(Self { shop: Arc::clone(shop), method, pairs, headers, body, raw })
    }
}

/// `[SKU12]` of `filter[reference]=[SKU12]`.
fn filter<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let value = value(pairs, &format!("filter[{name}]"))?;
    Some(value.trim_start_matches('[').trim_end_matches(']'))
}

async fn index(_call: Call) -> Response {
    let all = r#"get="true" put="true" post="true" patch="true" delete="false" head="true""#;
    let names = ["products", "images", "stock_availables", "languages"];
    let resources: String = names.iter().map(|name| format!("<{name} {all}/>")).collect();
    xml(200, &format!("<api shopName=\"Stand-in\">{resources}</api>"))
}

async fn languages(_call: Call) -> Response {
    let language = |id: u8, code: &str| {
        format!(
            "<language><id>{}</id><iso_code>{}</iso_code><active>{}</active></language>",
            cdata(&id.to_string()),
            cdata(code),
            cdata("1")
        )
    };
    xml(200, &format!("<languages>{}{}</languages>", language(2, "fr"), language(5, "en")))
}

async fn list(call: Call) -> Response {
    let state = lock(&call.shop.state);
    let wanted = filter(&call.pairs, "reference").map(str::to_lowercase);
    let limit = value(&call.pairs, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let reference = |product: &Product| product.fields.get("reference").cloned().unwrap_or_default();
    let found = state
        .products
        .iter()
        .filter(|(_, product)| wanted.as_ref().is_none_or(|wanted| reference(product).to_lowercase() == *wanted));
    let mut shown = String::new();
    for (id, product) in found.take(limit) {
        write!(
            shown,
            "<product><id>{}</id><reference>{}</reference></product>",
            cdata(&id.to_string()),
            cdata(&reference(product))
        )
        .expect("a string takes everything");
    }
    xml(200, &format!("<products>{shown}</products>"))
}

fn show(id: u64, product: &Product) -> String {
    let mut shown = format!("<product><id>{}</id><quantity>{}</quantity>", cdata(&id.to_string()), cdata("0"));
    for (name, value) in &product.fields {
        let value = if TRANSLATED.contains(name) { value.clone() } else { cdata(value) };
        write!(shown, "<{name}>{value}</{name}>").expect("a string takes everything");
    }
    shown + "</product>"
}

async fn read(Path(id): Path<u64>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    state
        .products
        .get(&id)
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |product| xml(200, &show(id, product)))
}

async fn write_new(call: Call) -> Response {
    answer(lock(&call.shop.state).write(None, &call))
}

async fn write(Path(id): Path<u64>, call: Call) -> Response {
    answer(lock(&call.shop.state).write(Some(id), &call))
}

impl Stock {
    fn write(&mut self, id: Option<u64>, call: &Call) -> Result<Response, Refusal> {
        let sent = element(&call.body, "product").ok_or((400, 127, "no product in the body".to_owned()))?;
        // Ids inside of associations are not the product's own.
        let own = sent.split("<associations>").next().unwrap_or_default();
        let refuse = |code, message: &str| Err((400, code, message.to_owned()));
        match (id, plain(own, "id")) {
            (None, Some(_)) => return refuse(91, "id is forbidden when adding a new resource"),
            (Some(_), None) => return refuse(90, "id is required when modifying a resource"),
            (Some(id), Some(sent)) if sent != id.to_string() => {
                return refuse(90, "id is another one than that of the URL");
            }
            _ => {}
        }
        if let Some(name) = READ_ONLY.into_iter().find(|name| element(own, name).is_some()) {
            return refuse(93, &format!("parameter \"{name}\" not writable. Please remove this attribute of this XML"));
        }
        let mut product = match id {
            None => Product::default(),
            Some(id) => self.products.get(&id).cloned().ok_or((404, 92, "Some objects do not exist".to_owned()))?,
        };
        if call.method == Method::PUT {
            // What a PUT leaves out is emptied.
            product.fields.clear();
        }
        for name in PLAIN {
            if let Some(value) = plain(own, name) {
                product.fields.insert(name, value.to_owned());
            }
        }
        for name in TRANSLATED {
            if let Some(value) = element(own, name) {
                product.fields.insert(name, value.to_owned());
            }
        }
        let price = product.fields.get("price").map_or("", String::as_str);
        if price.parse::<f64>().is_err() {
            return refuse(85, "Validation error: \"Property Product->price is not valid\"");
        }
        for name in ["name", "link_rewrite"] {
            if product.fields.get(name).and_then(|value| plain(value, "language")).is_none_or(str::is_empty) {
                return refuse(85, &format!("Validation error: \"Property Product->{name} is empty\""));
            }
        }
        let reference = product.fields.get("reference").cloned().unwrap_or_default();
        let number = id.unwrap_or_else(|| self.products.keys().last().map_or(1, |last| last + 1));
        let counts = if id.is_none() { &mut self.created } else { &mut self.updated };
        *counts.entry(reference.clone()).or_default() += 1;
        let shown = show(number, &product);
        self.products.insert(number, product);
        if std::mem::take(&mut self.warn) {
            return Err((500, 2, "[PHP Warning #2] Undefined array key \"x\" (/classes/Hook.php, line 1)".to_owned()));
        }
        let mut response = xml(if id.is_none() { 201 } else { 200 }, &shown);
        response.extensions_mut().insert(About(reference));
        Ok(response)
    }
}

/// A stock has its product's number.
fn show_stock(id: u64, product: &Product) -> String {
    let field = |name: &str, value: &str| format!("<{name}>{}</{name}>", cdata(value));
    let (id, quantity) = (id.to_string(), product.quantity.to_string());
    let fields = [("id", id.as_str()), ("id_product", &id), ("id_product_attribute", "0"), ("quantity", &quantity)];
    let fields: String = fields.iter().map(|(name, value)| field(name, value)).collect();
    format!("<stock_available>{fields}</stock_available>")
}

async fn stocks(call: Call) -> Response {
    let wanted = filter(&call.pairs, "id_product").and_then(|id| id.parse::<u64>().ok());
    let state = lock(&call.shop.state);
    let found = state.products.iter().filter(|(id, _)| wanted.is_none_or(|wanted| **id == wanted));
    let shown: String = found.map(|(id, product)| show_stock(*id, product)).collect();
    xml(200, &format!("<stock_availables>{shown}</stock_availables>"))
}

async fn stock(Path(id): Path<u64>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    state
        .products
        .get(&id)
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |product| xml(200, &show_stock(id, product)))
}

async fn set_stock(Path(id): Path<u64>, call: Call) -> Response {
    let mut state = lock(&call.shop.state);
    let Some(product) = state.products.get_mut(&id) else { return StatusCode::NOT_FOUND.into_response() };
    let sent = element(&call.body, "stock_available").unwrap_or_default();
    if plain(sent, "id") != Some(&id.to_string()) {
        return answer(Err((400, 90, "id is required when modifying a resource".to_owned())));
    }
    let Some(quantity) = plain(sent, "quantity").and_then(|quantity| quantity.parse().ok()) else {
        return answer(Err((
            400,
            85,
            "Validation error: \"Property StockAvailable->quantity is not valid\"".to_owned(),
        )));
    };
    product.quantity = quantity;
    xml(200, &show_stock(id, product))
}

async fn images(Path(id): Path<u64>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    let Some(product) = state.products.get(&id).filter(|product| !product.images.is_empty()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let shown: String = product.images.iter().map(|image| format!("<declination id=\"{image}\"/>")).collect();
    xml(200, &format!("<image id=\"{id}\">{shown}</image>"))
}

async fn add_image(Path(id): Path<u64>, call: Call) -> Response {
    let is_file = text(&call.headers, header::CONTENT_TYPE.as_str()).starts_with("multipart/form-data");
    let sent = String::from_utf8_lossy(&call.raw);
    if !is_file || !sent.contains("name=\"image\"") || !sent.contains("filename=") {
        return answer(Err((400, 76, "Please set an \"image\" parameter with image data for value".to_owned())));
    }
    let mut state = lock(&call.shop.state);
    state.last_image += 1;
    let image = state.last_image;
    let Some(product) = state.products.get_mut(&id) else { return StatusCode::NOT_FOUND.into_response() };
    product.images.push(image);
    xml(
        200,
        &format!(
            "<image><id>{}</id><id_product>{}</id_product></image>",
            cdata(&image.to_string()),
            cdata(&id.to_string())
        ),
    )
}
