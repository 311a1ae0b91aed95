//! The JSON that a page's scripts and attributes hold, wherever it begins: behind a name that tells of products, in scripts that are all
//! JSON, in the stream of Next.js, and in the tables and functions that Nuxt packs its state into.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::json::{self, Json};
use crate::dom::{At, Dom};

/// So many letters of scripts are read on a page.
const LETTERS: usize = 3_000_000;
/// So many pieces of scripts are read.
const PIECES: usize = 60;
/// So often each mark counts in a script.
const OFTEN: usize = 6;
/// So many values of a packed state are put together.
const VALUES: usize = 20_000;
/// So deep are they put together.
const DEPTH: usize = 6;
/// So many parameters a packed state has.
const PARAMETERS: usize = 5_000;

/// What begins a value that tells of products, in scripts. The first brace or bracket right behind it opens the value.
const MARKS: [&str; 47] = [
    "dataLayer.push(",
    "dataLayer=",
    "dataLayer =",
    "var meta =",
    "ShopifyAnalytics.meta",
    "utag_data",
    "BCData",
    "__INITIAL_STATE__",
    "__initialState__",
    "__INITIAL_DATA__",
    "__PRELOADED_STATE__",
    "__APOLLO_STATE__",
    "__NUXT__",
    "__STATE__",
    "initialState",
    "initialData",
    "runParams",
    "digitalData",
    "digitaldata",
    "digital_data",
    "view_item",
    "ViewContent",
    "ec:addProduct",
    "'ecommerce'",
    "\"ecommerce\"",
    "ecommerce:",
    "vtex.events.addData(",
    "skuJson",
    "productDetail",
    "productJson",
    "productJSON",
    "productData",
    "product_data",
    "productObj",
    "currentProduct",
    "var product",
    "const product",
    "window.product",
    "var item",
    "_learnq.push(",
    "productInfo",
    "spConfig",
    "OptionsPrice(",
    "jsonConfig",
    "pageData",
    "page_data",
    "pdpData",
];

/// Behind these stands the page's product.
const OF_PRODUCT: [&str; 9] = [
    "view_item",
    "ViewContent",
    "ec:addProduct",
    "BCData",
    "utag_data",
    "productDetail",
    "productJ",
    "spConfig",
    "OptionsPrice",
];

/// In a row of Next.js that nests too deep.
const IN_ROWS: [&str; 4] = ["\"product\":{", "\"productData\":{", "\"initialProduct\":{", "\"item\":{"];

/// JSON that was found.
pub(super) struct Piece {
    pub(super) value: Json,
    /// It is the page's product, and no list of many.
    pub(super) is_product: bool,
    /// Whole numbers are cents.
    pub(super) in_cents: bool,
}

/// Gives each piece of JSON in the page's scripts to `take`.
pub(super) fn each(dom: &Dom<'_>, mut take: impl FnMut(Piece)) {
    let mut reader = Scripts { letters: 0, pieces: 0, flight: String::new() };
    for at in dom.all("script") {
        let content = dom.content(at);
        let kind = dom.attr(at, "type").unwrap_or_default().to_ascii_lowercase();
        if kind.contains("ld+json") || content.len() < 20 {
            continue;
        }
        if content.contains("__next_f") {
            reader.chunks(content);
        } else if speaks_of_prices(content) {
            reader.script(dom, at, &kind, content, &mut take);
        }
    }
    reader.rows(&mut take);
}

pub(super) fn speaks_of_prices(content: &str) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(content.as_bytes(), word).is_some();
    has(b"rice") || has(b"PRICE") || has(b"mount")
}

struct Scripts {
    letters: usize,
    pieces: usize,
    /// What Next.js streams, put together.
    flight: String,
}

impl Scripts {
    /// The value that begins at `from`, and its length.
    fn first(&mut self, content: &str, from: usize) -> Option<(Json, usize)> {
        if self.letters > LETTERS || self.pieces >= PIECES {
            return None;
        }
        self.pieces += 1;
        let (value, length) = json::first(&content[from..])?;
        self.letters += length;
        Some((value, length))
    }

    fn script(&mut self, dom: &Dom<'_>, at: At, kind: &str, content: &str, take: &mut impl FnMut(Piece)) {
        let is_json =
            kind.contains("json") || kind.contains("magento-init") || content.trim_start().starts_with(['{', '[']);
        if is_json {
            let from = content.len() - content.trim_start().len();
            let Some(open) = content[from..].bytes().take(60).position(|b| matches!(b, b'{' | b'[')) else { return };
            let Some((value, _)) = self.first(content, from + open) else { return };
            let is_nuxt = dom.attr(at, "id").is_some_and(|id| id.starts_with("__NUXT_DATA"));
            match value {
                Json::List(table) if is_nuxt => {
                    revive(&table)
                        .into_iter()
                        .for_each(|value| take(Piece { value, is_product: false, in_cents: false }));
                }
                value => take(Piece { value, is_product: false, in_cents: false }),
            }
            return;
        }
        let mut read_to = 0;
        for (start, mark) in marks(content) {
            let open = content[start..].bytes().take(60).position(|b| matches!(b, b'{' | b'['));
            let Some(from) = open.map(|open| start + open).filter(|from| *from >= read_to) else { continue };
            if mark == "__NUXT__"
                && let Some((value, length)) = self.function(&content[start..])
            {
                read_to = start + length;
                take(Piece { value, is_product: false, in_cents: false });
                continue;
            }
            let Some((value, length)) = self.first(content, from) else { continue };
            read_to = from + length;
            let is_product = OF_PRODUCT.iter().any(|own| mark.contains(own));
            take(Piece { value, is_product, in_cents: mark.contains("meta") });
        }
    }

    /// The state as Nuxt 2 packs it: `=(function(a,b){return {price:a}}(12.5,"EUR"))`.
    fn function(&mut self, content: &str) -> Option<(Json, usize)> {
        let head = content.get(..content.len().min(20))?;
        let from = content[..head.find("(function(")? + "(function(".len()].len();
        let close = from + content[from..].find(')')?;
        let names: Vec<&str> = content[from..close].split(',').map(str::trim).take(PARAMETERS).collect();
        let body = close + content[close..].find("return")?;
        let open = body + content[body..].bytes().take(60).position(|b| b == b'{')?;
        let (mut value, length) = self.first(content, open)?;
        let behind = open + length;
        let call = behind + content[behind..].bytes().take(40).position(|b| b == b'(')?;
        // A list in brackets of another kind.
        let list = format!("[{}", &content[call + 1..]);
        let (given, read) = self.first(&list, 0)?;
        if let Json::List(given) = given {
            let mut given: Vec<(&str, Json)> = names.into_iter().zip(given).collect();
            given.sort_by_key(|(name, _)| *name);
            fill(&mut value, &given, &mut VALUES.saturating_mul(10), DEPTH * 6);
        }
        Some((value, call + read))
    }

    /// The texts that Next.js pushes are pieces of one: `self.__next_f.push([1,"…"])`.
    fn chunks(&mut self, content: &str) {
        const PUSH: &str = "__next_f.push([1,\"";
        let mut rest = content;
        while let Some(at) = rest.find(PUSH)
            && self.flight.len() <= LETTERS
        {
            rest = &rest[at + PUSH.len() - 1..];
            let Some(end) = end_of_text(rest) else { return };
            // A list, since only lists and objects are read.
            if let Some((Json::List(texts), _)) = json::first(&format!("[{}]", &rest[..end]))
                && let Some(Json::Text(text)) = texts.first()
            {
                self.flight.push_str(text);
            }
            rest = &rest[end..];
        }
    }

    /// Its rows are JSON: `7:["$","$L12",null,{…}]`.
    fn rows(&mut self, take: &mut impl FnMut(Piece)) {
        let flight = std::mem::take(&mut self.flight);
        for row in flight.lines() {
            let Some((id, rest)) = row.split_once(':') else { continue };
            let is_row = id.len() <= 6 && id.bytes().all(|b| b.is_ascii_hexdigit()) && rest.starts_with(['[', '{']);
            if !is_row || !speaks_of_prices(rest) {
                continue;
            }
            if let Some((value, _)) = self.first(rest, 0) {
                take(Piece { value, is_product: false, in_cents: false });
                continue;
            }
            for mark in IN_ROWS {
                for (at, _) in rest.match_indices(mark).take(OFTEN) {
                    if let Some((value, _)) = self.first(rest, at + mark.len() - 1) {
                        take(Piece { value, is_product: false, in_cents: false });
                    }
                }
            }
        }
    }
}

/// Where a text ends that begins with a quotation mark.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// Where a script's marks end, in its order.
fn marks(content: &str) -> Vec<(usize, &'static str)> {
    static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(MARKS).ok());
    let Some(search) = SEARCH.as_ref() else { return Vec::new() };
    let mut n_found = [0; MARKS.len()];
    let mut found = Vec::new();
    for mark in search.find_iter(content) {
        let own = mark.pattern().as_usize();
        n_found[own] += 1;
        if n_found[own] <= OFTEN {
            found.push((mark.end(), MARKS[own]));
        }
    }
    found
}

/// Puts what a function is given in the place of its parameters' names. `given` is in the order of the names.
fn fill(value: &mut Json, given: &[(&str, Json)], values: &mut usize, depth: usize) {
    let Some(depth) = depth.checked_sub(1).filter(|_| *values > 0) else { return };
    *values -= 1;
    match value {
        Json::Text(name) if name.len() <= 4 => {
            let found = given.binary_search_by(|(own, _)| (*own).cmp(name.as_str()));
            if let Ok(at) = found
                && !matches!(given[at].1, Json::List(_) | Json::Object(_))
            {
                *value = given[at].1.clone();
            }
        }
        Json::List(items) => items.iter_mut().for_each(|item| fill(item, given, values, depth)),
        Json::Object(pairs) => pairs.iter_mut().for_each(|(_, value)| fill(value, given, values, depth)),
        _ => {}
    }
}

/// The objects of a state as Nuxt 3 packs it that have a name and a price: all values stand in one table, and numbers are places in it.
fn revive(table: &[Json]) -> Vec<Json> {
    let mut values = VALUES;
    let is_named = |pairs: &[(String, Json)]| {
        let has = |words: [&str; 3]| {
            pairs.iter().any(|(key, _)| words.iter().any(|word| key.to_ascii_lowercase().contains(word)))
        };
        has(["name", "title", "label"]) && has(["price", "amount", "offer"])
    };
    let objects = table.iter().filter(|value| matches!(value, Json::Object(pairs) if is_named(pairs)));
    objects.map(|object| place(object, table, &mut values, DEPTH)).collect()
}

/// A value with all that it points at.
fn place(value: &Json, table: &[Json], values: &mut usize, depth: usize) -> Json {
    let Some(depth) = depth.checked_sub(1).filter(|_| *values > 0) else { return Json::Null };
    *values -= 1;
    let at = |index: &Json| {
        let Json::Number(index) = index else { return None };
        table.get(index.parse::<usize>().ok()?)
    };
    let mut follow = |index: &Json| match at(index) {
        Some(found @ (Json::List(_) | Json::Object(_))) => place(found, table, values, depth),
        Some(found) => found.clone(),
        None => Json::Null,
    };
    match value {
        // `["Reactive", 4]`
        Json::List(items) => match items.as_slice() {
            [Json::Text(_), index] => follow(index),
            items => Json::List(items.iter().take(40).map(follow).collect()),
        },
        Json::Object(pairs) => Json::Object(pairs.iter().map(|(key, index)| (key.clone(), follow(index))).collect()),
        _ => value.clone(),
    }
}
