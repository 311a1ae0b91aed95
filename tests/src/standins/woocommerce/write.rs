//! What becomes of a product's and a variation's fields.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    forms,
    refusal::Refusal,
    stock::{Row, Stock, text, unknown_product},
};

const STATUSES: &[&str] = &["draft", "pending", "private", "publish", "future"];
const TYPES: &[&str] = &["simple", "grouped", "external", "variable"];
const TEXTS: &[&str] = &[
    "name",
    "slug",
    "type",
    "status",
    "sku",
    "description",
    "short_description",
    "regular_price",
    "sale_price",
    "global_unique_id",
    "weight",
    "stock_status",
];
/// Of a column of type text, in bytes.
const TEXT_COLUMN: usize = 65_535;

/// What single calls check and those of a batch do not (W43e).
pub(super) fn check(fields: &Row) -> Result<(), Refusal> {
    for name in TEXTS {
        if fields.get(*name).is_some_and(|value| !(value.is_string() || value.is_null())) {
            return Err(Refusal::param(name, &format!("{name} is not of type string.")));
        }
    }
    let one_of = |name: &str, known: &[&str]| match fields.get(name).and_then(Value::as_str) {
        Some(value) if !known.contains(&value) => {
            Err(Refusal::param(name, &format!("{name} is not one of {}.", known.join(", "))))
        }
        _ => Ok(()),
    };
    one_of("status", STATUSES)?;
    one_of("type", TYPES)?;
    one_of("stock_status", &["instock", "outofstock", "onbackorder"])?;
    if let Some(quantity) = fields.get("stock_quantity") {
        let number = quantity.as_str().and_then(|text| text.parse::<i64>().ok()).or_else(|| quantity.as_i64());
        if number.is_none() && !quantity.is_null() {
            return Err(Refusal::param("stock_quantity", "stock_quantity is not of type integer,null."));
        }
    }
    if fields.get("manage_stock").is_some_and(|value| !value.is_boolean()) {
        return Err(Refusal::param("manage_stock", "manage_stock is not of type boolean."));
    }
    Ok(())
}

impl Stock {
    pub(super) fn new_product(&mut self, url: &str) -> Row {
        let id = self.next_id();
        let product = json!({
            "id": id, "name": "Product", "slug": "", "type": "simple", "status": "publish", "sku": "", "parent_id": 0, "price": "",
            "regular_price": "", "sale_price": "", "description": "", "short_description": "", "images": [], "categories": [],
            "tags": [], "brands": [], "attributes": [], "meta_data": [], "permalink": format!("{url}/?post_type=product&p={id}"),
            "manage_stock": false, "stock_quantity": null, "stock_status": "instock", "global_unique_id": "", "weight": "",
            "date_modified": null,
        });
        let Value::Object(product) = product else { return Row::new() };
        product
    }

    /// What is refused before anything is fetched.
    pub(super) fn may_be(&self, fields: &Row, id: Option<u64>) -> Result<(), Refusal> {
        if fields.get("name").and_then(Value::as_str).is_some_and(|name| name.len() > TEXT_COLUMN) {
            let error = json!({ "message": "Data too long", "file": "/var/www/html/wp-includes/post.php" });
            return Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_server_error",
                "There has been a critical error",
            )
            .with("error", error));
        }
        if let Some(sku) = fields.get("sku").and_then(Value::as_str) {
            self.free(&forms::one_line(sku), id)?;
        }
        if let Some(gtin) =
            fields.get("global_unique_id").and_then(Value::as_str).map(forms::gtin).filter(|gtin| !gtin.is_empty())
        {
            let owner =
                self.rows.iter().find(|(other, row)| Some(**other) != id && row["global_unique_id"] == gtin.as_str());
            if let Some((owner, _)) = owner {
                let message = "Invalid or duplicated GTIN, UPC, EAN or ISBN.";
                return Err(Refusal::bad("product_invalid_global_unique_id", message).with("resource_id", json!(owner)));
            }
        }
        Ok(())
    }

    /// A new product; `fetched` are its pictures.
    pub(super) fn create(&mut self, fields: &Row, fetched: Option<Value>, url: &str) -> Result<u64, Refusal> {
        let mut row = self.new_product(url);
        // The SKU may have been taken while pictures were fetched; those stay (W13, W67).
        self.free(&forms::one_line(text(fields, "sku")), None)
            .map_err(|_| super::stock::not_created(text(fields, "sku")))?;
        self.merge(&mut row, fields, fetched, url);
        Ok(self.keep(row, true))
    }

    pub(super) fn update(&mut self, id: u64, fields: &Row, fetched: Option<Value>, url: &str) -> Result<u64, Refusal> {
        let mut row = self.rows.get(&id).cloned().ok_or_else(|| unknown_product(StatusCode::BAD_REQUEST))?;
        let was_variable = row["type"] == "variable";
        self.merge(&mut row, fields, fetched, url);
        if was_variable && row["type"] == "simple" {
            for variation in self.variations(id) {
                self.rows.remove(&variation);
            }
        }
        Ok(self.keep(row, false))
    }

    /// The product that is written to at `/products/{id}`.
    pub(super) fn writable(&self, id: u64) -> Result<(), Refusal> {
        match self.rows.get(&id) {
            None => Err(unknown_product(StatusCode::BAD_REQUEST)),
            Some(row) if row["type"] == "variation" => {
                let message = "To manipulate product variations you should use the /products/<product_id>/variations/<id> endpoint.";
                Err(Refusal::new(StatusCode::NOT_FOUND, "woocommerce_rest_invalid_product_id", message))
            }
            Some(_) => Ok(()),
        }
    }

    fn keep(&mut self, mut row: Row, is_new: bool) -> u64 {
        let id = row["id"].as_u64().unwrap_or_default();
        row.insert("date_modified".to_owned(), self.now());
        let counts = if is_new { &mut self.created } else { &mut self.updated };
        *counts.entry(text(&row, "sku").to_owned()).or_default() += 1;
        self.rows.insert(id, row);
        self.note(id);
        id
    }

    fn merge(&mut self, row: &mut Row, fields: &Row, fetched: Option<Value>, url: &str) {
        if let Some(kind) = fields.get("type").and_then(Value::as_str) {
            row["type"] = json!(kind);
        }
        let is_variable = row["type"] == "variable";
        for (name, value) in fields {
            let words = value
                .as_str()
                .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned);
            match name.as_str() {
                "name" => row["name"] = json!(forms::name(&words)),
                "description" | "short_description" if value.is_null() => {}
                "description" | "short_description" => row[name] = json!(forms::html(&words)),
                "status" => {
                    row["status"] = json!(if STATUSES.contains(&words.as_str()) { words.as_str() } else { "draft" })
                }
                "slug" => row["slug"] = json!(forms::slug(&words)),
                "sku" => row["sku"] = json!(forms::one_line(&words)),
                "global_unique_id" => row[name] = json!(forms::gtin(&words)),
                "weight" => row["weight"] = json!(forms::decimal(&words, self.settings.decimal_comma)),
                "stock_status" => row[name] = json!(words),
                "categories" => row[name] = self.categories(value),
                "tags" => row[name] = self.tags(value),
                "brands" => self.brands(row, value),
                "attributes" => row[name] = attributes(value),
                "meta_data" => meta(row, value),
                _ => {}
            }
        }
        if let Some(fetched) = fetched {
            row["images"] = fetched;
        }
        self.prices(row, fields, is_variable);
        stock(row, fields);
        if text(row, "status") == "publish" && text(row, "slug").is_empty() {
            row["slug"] = json!(forms::slug(text(row, "name")));
        }
        if !text(row, "slug").is_empty() {
            let (id, wanted) = (row["id"].clone(), text(row, "slug").to_owned());
            let is_taken = |slug: &str| {
                self.rows.values().any(|other| other.get("slug").is_some_and(|s| s == slug) && other["id"] != id)
            };
            let free = std::iter::once(wanted.clone())
                .chain((2..).map(|n| format!("{wanted}-{n}")))
                .find(|slug| !is_taken(slug));
            row["slug"] = json!(free);
        }
        if text(row, "status") == "publish" {
            row["permalink"] = json!(format!("{url}/product/{}/", text(row, "slug")));
        }
        if row["categories"].as_array().is_some_and(Vec::is_empty) {
            row["categories"] = json!([{ "id": 0, "name": "Uncategorized", "slug": "uncategorized" }]);
        }
    }

    /// A sale price that is not below the price is emptied (W26).
    fn prices(&self, row: &mut Row, fields: &Row, is_variable: bool) {
        for name in ["regular_price", "sale_price"] {
            if is_variable {
                row[name] = json!("");
            } else if let Some(price) = fields.get(name) {
                let price = price
                    .as_str()
                    .map_or_else(|| if price.is_null() { String::new() } else { price.to_string() }, str::to_owned);
                row[name] = json!(forms::decimal(&price, self.settings.decimal_comma));
            }
        }
        let number = |name: &str| text(row, name).parse::<f64>().ok();
        let sale = number("sale_price").zip(number("regular_price")).is_some_and(|(sale, regular)| sale < regular);
        if !sale {
            row["sale_price"] = json!("");
        }
        row["price"] = if sale { row["sale_price"].clone() } else { row["regular_price"].clone() };
    }

    pub(super) fn create_variation(&mut self, product: u64, fields: &Row, url: &str) -> Result<u64, Refusal> {
        let image = self.image(fields, url)?;
        let id = self.next_id();
        let row = json!({
            "id": id, "parent_id": product, "type": "variation", "status": "publish", "sku": "", "regular_price": "", "sale_price": "",
            "price": "", "manage_stock": false, "stock_quantity": null, "stock_status": "instock", "global_unique_id": "", "weight": "",
            "image": null, "attributes": [], "meta_data": [], "description": "",
        });
        let Value::Object(mut row) = row else { return Ok(id) };
        self.merge_variation(&mut row, product, fields, image);
        Ok(self.keep(row, true))
    }

    pub(super) fn update_variation(&mut self, product: u64, id: u64, fields: &Row, url: &str) -> Result<u64, Refusal> {
        let image = self.image(fields, url)?;
        let unknown =
            || Refusal::new(StatusCode::NOT_FOUND, "woocommerce_rest_product_variation_invalid_id", "Invalid ID.");
        let mut row = self.rows.get(&id).filter(|row| row["parent_id"] == product).cloned().ok_or_else(unknown)?;
        self.merge_variation(&mut row, product, fields, image);
        Ok(self.keep(row, false))
    }

    fn image(&mut self, fields: &Row, url: &str) -> Result<Option<Value>, Refusal> {
        fields.get("image").map_or(Ok(None), |image| self.fetch_one(image, url))
    }

    fn merge_variation(&self, row: &mut Row, product: u64, fields: &Row, image: Option<Value>) {
        for (name, value) in fields {
            let words = value.as_str().unwrap_or_default();
            match name.as_str() {
                "sku" => row["sku"] = json!(forms::one_line(words)),
                "global_unique_id" => row[name] = json!(forms::gtin(words)),
                "weight" => row[name] = json!(forms::decimal(words, self.settings.decimal_comma)),
                "stock_status" | "status" => row[name] = json!(words),
                "attributes" => row[name] = self.choices(product, value),
                "meta_data" => meta(row, value),
                _ => {}
            }
        }
        if let Some(image) = image {
            row["image"] = image;
        }
        self.prices(row, fields, false);
        stock(row, fields);
    }

    /// Options of a variation; an attribute that the product does not have is dropped, which makes it one for any (W39).
    fn choices(&self, product: u64, chosen: &Value) -> Value {
        let known = self.rows.get(&product).and_then(|row| row["attributes"].as_array().cloned()).unwrap_or_default();
        let chosen = chosen.as_array().cloned().unwrap_or_default().into_iter().filter_map(|choice| {
            let attribute = known.iter().find(|attribute| {
                attribute["variation"] == true
                    && (attribute["name"] == choice["name"]
                        || (choice["id"].is_u64() && attribute["id"] == choice["id"]))
            })?;
            Some(json!({ "id": attribute["id"], "name": attribute["name"], "option": choice["option"] }))
        });
        chosen.collect()
    }
}

fn stock(row: &mut Row, fields: &Row) {
    if let Some(manage) = fields.get("manage_stock") {
        row["manage_stock"] = manage.clone();
    }
    if row["manage_stock"] != true {
        row["stock_quantity"] = Value::Null;
        return;
    }
    if let Some(quantity) = fields.get("stock_quantity") {
        let number = quantity.as_str().and_then(|text| text.parse::<i64>().ok()).or_else(|| quantity.as_i64());
        row["stock_quantity"] = json!(number.unwrap_or(0));
    }
    let is_there = row["stock_quantity"].as_i64().unwrap_or_default() > 0;
    row["stock_status"] = json!(if is_there { "instock" } else { "outofstock" });
}

fn attributes(value: &Value) -> Value {
    let attributes = value.as_array().into_iter().flatten().enumerate().map(|(position, attribute)| {
        let name = attribute["name"].as_str().map(|name| forms::ampersands(&forms::one_line(name)));
        json!({
            "id": attribute["id"].as_u64().unwrap_or_default(), "name": name, "slug": name, "position": position,
            "visible": attribute["visible"] == true, "variation": attribute["variation"] == true, "options": attribute["options"],
        })
    });
    attributes.collect()
}

/// A key that is there is changed in place; `_sku` is the SKU, and `null` deletes (W53).
fn meta(row: &mut Row, value: &Value) {
    for entry in value.as_array().cloned().unwrap_or_default() {
        let key = entry["key"].as_str().unwrap_or_default().to_owned();
        if key == "_sku" {
            row["sku"] = json!(forms::one_line(entry["value"].as_str().unwrap_or_default()));
            continue;
        }
        let Some(list) = row.get_mut("meta_data").and_then(Value::as_array_mut).filter(|_| key != "_price") else {
            continue;
        };
        let known = list.iter().position(|known| known["key"] == key.as_str());
        match (known, entry["value"].is_null()) {
            (Some(at), true) => {
                list.remove(at);
            }
            (Some(at), false) => list[at]["value"] = entry["value"].clone(),
            (None, true) => {}
            (None, false) => {
                let entry: Map<String, Value> =
                    [("id", json!(list.len() + 1)), ("key", json!(key)), ("value", entry["value"].clone())]
                        .map(|(name, value)| (name.to_owned(), value))
                        .into_iter()
                        .collect();
                list.push(Value::Object(entry));
            }
        }
    }
}
