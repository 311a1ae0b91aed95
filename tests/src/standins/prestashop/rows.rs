//! Reading and writing rows, as the webservice does it for all resources alike, and what is different for some.

use axum::{
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    super::{fault::About, value},
    rules::{self, Refusal, refused},
    serve::{Call, xml},
    state::{HOME, State},
    table::{Filter, Resource, Row},
    xml::{self, Element},
};

/// What a GET shows and no write takes.
const READ_ONLY: [&str; 2] = ["quantity", "manufacturer_name"];

/// The rows that the filters let pass.
pub(super) fn list(state: &State, resource: &Resource, call: &Call) -> Result<Response, Refusal> {
    let mut filters = Vec::new();
    for (name, text) in &call.pairs {
        let Some(field) = name.strip_prefix("filter[").and_then(|name| name.strip_suffix(']')) else { continue };
        let Some(filter) = Filter::parse(text) else {
            let said = vec![(33, "The filter is empty".to_owned()), (3, "[PHP Warning #2] Array to string".to_owned())];
            return Err((500, said));
        };
        filters.push((field.to_owned(), if state.ignores_filters { Filter::All } else { filter }));
    }
    let passes = |id: u64, row: &Row| {
        filters.iter().all(|(field, filter)| {
            if field == "id" {
                return filter.passes(&id.to_string());
            }
            let texts = row.texts.get(field.as_str());
            filter.passes(row.text(field)) && texts.is_none()
                || texts.is_some_and(|texts| texts.values().any(|text| filter.passes(text)))
        })
    };
    // Without a shop named, rows of all are shown (P36).
    let of_shop =
        |row: &Row| resource.name != "stock_availables" || call.shop.is_none_or(|shop| row.number("id_shop") == shop);
    let limit = value(&call.pairs, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let display = value(&call.pairs, "display").unwrap_or_default();
    let rows = state
        .table(resource.name)
        .into_iter()
        .flatten()
        .filter(|(id, row)| passes(**id, row) && of_shop(row))
        .take(limit);
    let shown: String = rows
        .map(|(id, row)| match display {
            "" => format!("<{} id=\"{id}\"/>", resource.one),
            "full" => show(state, resource, *id, row, None),
            fields => {
                let fields: Vec<&str> = fields.trim_matches(['[', ']']).split(',').collect();
                show(state, resource, *id, row, Some(&fields))
            }
        })
        .collect();
    Ok(xml(200, &format!("<{0}>{shown}</{0}>", resource.name)))
}

pub(super) fn read(state: &State, resource: &Resource, id: u64) -> Response {
    let row = state.row(resource.name, id);
    row.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |row| xml(200, &show(state, resource, id, row, None)))
}

/// A row as XML; `fields`: only these.
fn show(state: &State, resource: &Resource, id: u64, row: &Row, fields: Option<&[&str]>) -> String {
    let is_asked = |field: &str| fields.is_none_or(|fields| fields.contains(&field));
    let mut shown = if is_asked("id") { xml::value("id", &id.to_string()) } else { String::new() };
    for field in resource.plain.iter().filter(|field| is_asked(field)) {
        shown += &xml::value(field, row.text(field));
    }
    for field in resource.texts.iter().filter(|field| is_asked(field)) {
        let languages = state.table("languages").into_iter().flatten().map(|(id, _)| id);
        let texts: String = languages
            .map(|id| format!("<language id=\"{id}\">{}</language>", xml::cdata(row.in_language(field, *id))))
            .collect();
        shown += &format!("<{field}>{texts}</{field}>");
    }
    if fields.is_some() {
        return format!("<{0}>{shown}</{0}>", resource.one);
    }
    if resource.name == "products" {
        let pictures = state.pictures.get(&id);
        let cover = pictures.and_then(|pictures| pictures.cover).map(|cover| cover.to_string()).unwrap_or_default();
        let brand = state.row("manufacturers", row.number("id_manufacturer")).map_or("", |row| row.text("name"));
        shown += &xml::value("id_default_image", &cover);
        shown += &xml::value("manufacturer_name", brand);
        shown += &xml::value("quantity", "0");
        shown += &xml::value("position_in_category", "0");
    }
    if resource.name == "combinations" {
        shown += &xml::value("quantity", "0");
    }
    let lists: String = resource
        .lists
        .iter()
        .map(|(list, one)| xml::list(list, one, &listed(state, resource, id, row, list)))
        .collect();
    if !lists.is_empty() {
        shown += &format!("<associations>{lists}</associations>");
    }
    format!("<{0}>{shown}</{0}>", resource.one)
}

fn listed(state: &State, resource: &Resource, id: u64, row: &Row, list: &str) -> Vec<u64> {
    match (resource.name, list) {
        ("products", "combinations") => state.variants(id),
        ("products", "images") => state
            .pictures
            .get(&id)
            .map(|pictures| pictures.rows.iter().map(|picture| picture.id).collect())
            .unwrap_or_default(),
        _ => row.list(list).to_vec(),
    }
}

/// POST, PUT and PATCH. Several rows in one body are all written, and the last is answered (P46f).
pub(super) fn write(
    state: &mut State,
    resource: &'static Resource,
    call: &Call,
    body: &Element,
) -> Result<Response, Refusal> {
    let mut answer = None;
    for sent in body.children.iter().filter(|child| child.name == resource.one) {
        answer = Some(write_one(state, resource, call, sent)?);
    }
    answer.ok_or_else(|| refused(400, 90, "nothing of this resource in the body"))
}

fn write_one(state: &mut State, resource: &'static Resource, call: &Call, sent: &Element) -> Result<Response, Refusal> {
    // The body's id decides; that of the path is ignored (P11c).
    let id: Option<u64> = sent.child("id").and_then(|id| id.text.trim().parse().ok());
    let is_new = call.method == Method::POST;
    match (is_new, id) {
        (true, Some(_)) => return Err(refused(400, 91, "id is forbidden when adding a new resource")),
        (false, None) => return Err(refused(400, 90, "id is required when modifying a resource")),
        _ => {}
    }
    if is_new && resource.name == "stock_availables" {
        return Err(refused(405, 101, "Method POST is not allowed for this resource"));
    }
    let is_product = resource.name == "products";
    if is_product && let Some(name) = READ_ONLY.into_iter().find(|name| sent.child(name).is_some()) {
        return Err(refused(
            400,
            93,
            format!("parameter \"{name}\" not writable. Please remove this attribute of this XML"),
        ));
    }
    let mut row = match id {
        None => Row::default(),
        Some(id) => {
            state.row(resource.name, id).cloned().ok_or_else(|| refused(404, 92, "Some objects do not exist"))?
        }
    };
    if call.method == Method::PUT && is_product && sent.child("position_in_category").is_some() {
        // P21c.
        let code = if row.list("categories").is_empty() { 134 } else { 3 };
        return Err(refused(500, code, "You cannot set 0 or a negative position"));
    }
    if call.method != Method::PATCH
        && let Some(field) = resource.required.iter().find(|field| sent.child(field).is_none())
    {
        return Err(refused(400, 41, format!("parameter \"{field}\" required")));
    }
    take_fields(state, resource, call, sent, &mut row)?;
    if is_product && is_new && row.texts.get("name").is_none_or(|names| names.values().all(String::is_empty)) {
        // P9: nothing is saved.
        return Err(refused(500, 3, "[PHP Warning #2] Undefined array key 1"));
    }
    let as_sent = row.clone();
    rules::kept(resource, &mut row)?;
    if is_product {
        for id in [1, 2, 3] {
            // P9b: an address is made of the name.
            let slug = rules::slug(&row.in_language("name", id).to_lowercase());
            let own = row.texts.entry("link_rewrite").or_default().entry(id).or_default();
            if own.is_empty() {
                *own = slug;
            }
        }
    }
    let variants = row.lists.remove("combinations").filter(|_| is_product);
    if let Some(of) = (resource.name == "combinations").then(|| row.number("id_product"))
        && state.row("products", of).is_none()
    {
        return Err(refused(400, 85, "Validation error: \"Property Combination->id_product is not valid\""));
    }
    let id = match id {
        None => state.add(resource.name, row.clone()),
        Some(id) => {
            state.put(resource.name, id, row.clone());
            id
        }
    };
    state.n_writes += 1;
    after(state, resource, id, &row, is_new, sent);
    if let Some(kept) = variants {
        // P39h: those that the list leaves out are deleted.
        for variant in state.variants(id).into_iter().filter(|variant| !kept.contains(variant)) {
            state.drop_variant(variant);
        }
    }
    let reference = row.text("reference").to_owned();
    if is_product {
        let counts = if is_new { &mut state.created } else { &mut state.updated };
        *counts.entry(reference.clone()).or_default() += 1;
    }
    state.look();
    let has_html = ["description", "description_short"].iter().any(|field| sent.child(field).is_some());
    if is_product && (std::mem::take(&mut state.warn) || (has_html && state.html_warns)) {
        let code = if state.html_warns { 11 } else { 2 };
        return Err(refused(500, code, "[PHP Warning #2] Undefined array key \"x\" (/classes/Hook.php, line 1)"));
    }
    if let Some(name) = unknown_list(state, resource, sent) {
        return Err(refused(400, 86, format!("The association \"{name}\" does not exist")));
    }
    // The answer shows what was sent, not what is kept (P7).
    let shown = Row { plain: as_sent.plain, ..row };
    let mut response = xml(if is_new { 201 } else { 200 }, &show(state, resource, id, &shown, None));
    response.extensions_mut().insert(About(reference));
    Ok(response)
}

/// An association that the shop does not know: all else is saved (P55b).
fn unknown_list(state: &mut State, resource: &Resource, sent: &Element) -> Option<String> {
    let associations = sent.child("associations")?;
    if std::mem::take(&mut state.refuse_association) {
        return associations.children.first().map(|list| list.name.clone());
    }
    let is_known = |list: &&Element| !resource.lists.iter().any(|(name, _)| *name == list.name);
    associations.children.iter().find(is_known).map(|list| list.name.clone())
}

fn take_fields(state: &State, resource: &Resource, call: &Call, sent: &Element, row: &mut Row) -> Result<(), Refusal> {
    for field in resource.plain {
        match sent.child(field) {
            Some(element) => {
                row.plain.insert(field, element.text.clone());
            }
            // What a PUT or a POST leaves out is nothing (P12, P35).
            None if call.method != Method::PATCH => {
                row.plain.remove(field);
            }
            None => {}
        }
    }
    for field in resource.texts {
        match sent.child(field) {
            Some(element) => {
                if element.children.is_empty() && !element.text.trim().is_empty() {
                    // P22.
                    return Err(refused(500, 3, "[PHP Warning #2] Invalid argument supplied for foreach()"));
                }
                // Those that are left out are emptied (P14), unknown ones ignored.
                let texts = state.table("languages").into_iter().flatten().map(|(id, _)| {
                    let text =
                        element.children.iter().find(|child| child.id == Some(*id)).map(|child| child.text.clone());
                    (*id, text.unwrap_or_default())
                });
                row.texts.insert(field, texts.collect());
            }
            None if call.method != Method::PATCH => {
                row.texts.remove(field);
            }
            None => {}
        }
    }
    let associations = sent.child("associations");
    for (list, _) in resource.lists {
        // Those that are not there stay, also in a PUT (P12).
        let Some(sent) = associations.and_then(|associations| associations.child(list)) else { continue };
        let ids = sent.children.iter().filter_map(|one| one.child("id")?.text.trim().parse().ok());
        // Unknown categories are ignored (P55).
        let is_there = |id: &u64| match *list {
            "categories" | "tags" | "combinations" | "product_option_values" => state.row(list, *id).is_some(),
            _ => true,
        };
        row.lists.insert(list, ids.filter(is_there).collect());
    }
    Ok(())
}

/// What follows from a write.
fn after(state: &mut State, resource: &Resource, id: u64, row: &Row, is_new: bool, sent: &Element) {
    match resource.name {
        "products" => {
            if is_new {
                state.add_stock(id, 0);
            }
            if let Some(cover) = sent.child("id_default_image").and_then(|cover| cover.text.trim().parse().ok()) {
                state.pictures.entry(id).or_default().cover = Some(cover);
            }
        }
        "combinations" => {
            if is_new {
                state.add_stock(row.number("id_product"), id);
            }
            if row.text("default_on") == "1" {
                for other in state.variants(row.number("id_product")).into_iter().filter(|other| *other != id) {
                    if let Some(other) = state.row_mut("combinations", other) {
                        other.plain.remove("default_on");
                    }
                }
            }
            state.sum_stock(row.number("id_product"));
        }
        "stock_availables" if row.number("id_product_attribute") > 0 => state.sum_stock(row.number("id_product")),
        _ => {}
    }
}

pub(super) fn delete(state: &mut State, resource: &Resource, id: u64) -> Result<Response, Refusal> {
    let was_there = match resource.name {
        "products" => state.drop_product(id),
        "combinations" => {
            let was_there = state.row("combinations", id).is_some();
            state.drop_variant(id);
            was_there
        }
        name => state.tables.get_mut(name).is_some_and(|table| table.remove(&id).is_some()),
    };
    if !was_there {
        // P54.
        return Err(refused(404, 87, "Id(s) wrong"));
    }
    state.n_writes += 1;
    state.look();
    Ok(StatusCode::OK.into_response())
}

/// A product that somebody made in the back office.
pub(super) fn plant(state: &mut State, reference: &str, name: &str) -> u64 {
    let mut row = Row::of(&[
        ("reference", reference),
        ("price", "3.000000"),
        ("weight", "0.000000"),
        ("active", "1"),
        ("state", "1"),
        ("available_for_order", "1"),
        ("show_price", "1"),
        ("minimal_quantity", "1"),
        ("id_category_default", "2"),
    ]);
    row.texts.insert("name", state.in_all(name));
    row.texts.insert("link_rewrite", state.in_all(&rules::slug(name)));
    row.lists.insert("categories", vec![HOME]);
    let id = state.add("products", row);
    state.add_stock(id, 0);
    state.look();
    id
}
