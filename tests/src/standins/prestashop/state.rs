//! What the shop holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::Barrier;

use super::table::Row;

/// English, French, and German, which is not active.
const LANGUAGES: [(u64, &str, &str); 3] = [(1, "en", "1"), (2, "fr", "1"), (3, "de", "0")];
/// The category that all products are in.
pub(super) const HOME: u64 = 2;
const COUNTRY: u64 = 8;

/// A picture's row; its file is not there when an upload failed (P43).
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) file: Option<Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Pictures {
    pub(super) rows: Vec<Picture>,
    pub(super) cover: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tables: BTreeMap<&'static str, BTreeMap<u64, Row>>,
    last: BTreeMap<&'static str, u64>,
    pub(super) pictures: BTreeMap<u64, Pictures>,
    last_picture: u64,
    /// The next write of a product is made and answered with 500.
    pub(super) warn: bool,
    /// So is every one with HTML (P28c).
    pub(super) html_warns: bool,
    /// The next association is refused, and the rest of the product saved (P55b).
    pub(super) refuse_association: bool,
    /// Pictures are refused, their rows stay (P43).
    pub(super) refuse_pictures: bool,
    pub(super) denied: BTreeSet<(String, String)>,
    pub(super) is_off: bool,
    pub(super) is_revoked: bool,
    pub(super) without_patch: bool,
    pub(super) ignores_filters: bool,
    /// The shop's own host: others are redirected (P71).
    pub(super) host: Option<String>,
    pub(super) gate: Option<Arc<Barrier>>,
    pub(super) created: BTreeMap<String, usize>,
    pub(super) updated: BTreeMap<String, usize>,
    pub(super) n_writes: usize,
    /// What customers saw, one after the other.
    pub(super) shown: Vec<Value>,
}

impl State {
    /// A shop as it is after it was set up.
    pub(super) fn new() -> Self {
        let mut state = Self::default();
        for (id, code, active) in LANGUAGES {
            state.put("languages", id, Row::of(&[("iso_code", code), ("active", active)]));
        }
        for (id, parent, name) in [(1, "0", "Root"), (HOME, "1", "Home")] {
            let mut row = Row::of(&[("id_parent", parent), ("active", "1")]);
            row.texts.insert("name", state.in_all(name));
            state.put("categories", id, row);
        }
        let country = COUNTRY.to_string();
        for (name, value) in
            [("PS_LANG_DEFAULT", "1"), ("PS_HOME_CATEGORY", "2"), ("PS_COUNTRY_DEFAULT", &country), ("PS_TAX", "1")]
        {
            state.add("configurations", Row::of(&[("name", name), ("value", value), ("id_shop", "0")]));
        }
        state
    }

    pub(super) fn table(&self, name: &str) -> Option<&BTreeMap<u64, Row>> {
        self.tables.get(name)
    }

    pub(super) fn row(&self, table: &str, id: u64) -> Option<&Row> {
        self.tables.get(table)?.get(&id)
    }

    pub(super) fn row_mut(&mut self, table: &str, id: u64) -> Option<&mut Row> {
        self.tables.get_mut(table)?.get_mut(&id)
    }

    pub(super) fn put(&mut self, table: &'static str, id: u64, row: Row) {
        let last = self.last.entry(table).or_default();
        *last = (*last).max(id);
        self.tables.entry(table).or_default().insert(id, row);
    }

    pub(super) fn add(&mut self, table: &'static str, row: Row) -> u64 {
        let id = self.last.get(table).copied().unwrap_or(0) + 1;
        self.put(table, id, row);
        id
    }

    pub(super) fn in_all(&self, text: &str) -> BTreeMap<u64, String> {
        LANGUAGES.iter().map(|(id, ..)| (*id, text.to_owned())).collect()
    }

    pub(super) fn next_picture(&mut self) -> u64 {
        self.last_picture += 1;
        self.last_picture
    }

    /// Sets the tax of a group for the shop's country.
    pub(super) fn tax(&mut self, group: u64, percent: &str) {
        let tax = self.add("taxes", Row::of(&[("rate", percent), ("active", "1")])).to_string();
        let (group, country) = (group.to_string(), COUNTRY.to_string());
        self.add(
            "tax_rules",
            Row::of(&[
                ("id_tax_rules_group", &group),
                ("id_country", &country),
                ("id_state", "0"),
                ("zipcode_from", "0"),
                ("id_tax", &tax),
            ]),
        );
    }

    /// The ids of rows where a field has this value.
    pub(super) fn ids(&self, table: &str, field: &str, value: &str) -> Vec<u64> {
        let rows = self.table(table).into_iter().flatten();
        rows.filter(|(_, row)| row.text(field) == value).map(|(id, _)| *id).collect()
    }

    pub(super) fn products(&self, reference: &str) -> Vec<u64> {
        self.ids("products", "reference", reference)
    }

    pub(super) fn variants(&self, product: u64) -> Vec<u64> {
        self.ids("combinations", "id_product", &product.to_string())
    }

    /// The row of a product's stock in a shop; 0 is the product's own.
    pub(super) fn stock(&self, product: u64, variant: u64, shop: u64) -> Option<u64> {
        let mut rows = self.table("stock_availables")?.iter();
        let is_it = |row: &Row| {
            row.number("id_product") == product
                && row.number("id_product_attribute") == variant
                && row.number("id_shop") == shop
        };
        rows.find(|(_, row)| is_it(row)).map(|(id, _)| *id)
    }

    /// A row of its stock in each shop (P36).
    pub(super) fn add_stock(&mut self, product: u64, variant: u64) {
        let shops: BTreeSet<u64> =
            self.table("shop_urls").into_iter().flatten().map(|(_, row)| row.number("id_shop")).collect();
        let (product, variant) = (product.to_string(), variant.to_string());
        for shop in if shops.is_empty() { BTreeSet::from([1]) } else { shops } {
            let shop = shop.to_string();
            self.add(
                "stock_availables",
                Row::of(&[
                    ("id_product", &product),
                    ("id_product_attribute", &variant),
                    ("id_shop", &shop),
                    ("quantity", "0"),
                    ("depends_on_stock", "0"),
                    ("out_of_stock", "2"),
                ]),
            );
        }
    }

    /// The sum of the variants' stocks goes into row 0 by itself (P40).
    pub(super) fn sum_stock(&mut self, product: u64) {
        let variants = self.variants(product);
        if variants.is_empty() {
            return;
        }
        for shop in [1, 2] {
            let rows: Vec<u64> = variants.iter().filter_map(|variant| self.stock(product, *variant, shop)).collect();
            let quantity =
                |id: &u64| self.row("stock_availables", *id).and_then(|row| row.text("quantity").parse::<i64>().ok());
            let sum: i64 = rows.iter().filter_map(quantity).sum();
            let own = self.stock(product, 0, shop);
            if let Some(row) = own.and_then(|own| self.row_mut("stock_availables", own)) {
                row.plain.insert("quantity", sum.to_string());
            }
        }
    }

    /// Deletes a variant with its stock and prices.
    pub(super) fn drop_variant(&mut self, id: u64) {
        let Some(row) = self.tables.get_mut("combinations").and_then(|table| table.remove(&id)) else { return };
        for table in ["stock_availables", "specific_prices"] {
            if let Some(table) = self.tables.get_mut(table) {
                table.retain(|_, row| row.number("id_product_attribute") != id);
            }
        }
        self.sum_stock(row.number("id_product"));
    }

    /// Deletes a product with all that hangs on it.
    pub(super) fn drop_product(&mut self, id: u64) -> bool {
        for variant in self.variants(id) {
            self.drop_variant(variant);
        }
        for table in ["stock_availables", "specific_prices"] {
            if let Some(table) = self.tables.get_mut(table) {
                table.retain(|_, row| row.number("id_product") != id);
            }
        }
        self.pictures.remove(&id);
        self.tables.get_mut("products").is_some_and(|table| table.remove(&id).is_some())
    }

    /// After a write: what customers see now.
    pub(super) fn look(&mut self) {
        let ids: Vec<u64> = self.table("products").into_iter().flatten().map(|(id, _)| *id).collect();
        for id in ids {
            let seen = self.snapshot(id);
            let last = self.shown.iter().rev().find(|shown| shown["id"] == seen["id"]);
            if seen["visible"] == true && last != Some(&seen) {
                self.shown.push(seen);
            }
        }
    }

    fn text(&self, row: &Row, field: &str) -> Value {
        let code = |id: &u64| self.row("languages", *id).map_or("?", |row| row.text("iso_code")).to_owned();
        row.texts
            .get(field)
            .into_iter()
            .flatten()
            .map(|(id, text)| (code(id), json!(text)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn names(&self, table: &str, ids: &[u64]) -> Vec<String> {
        let name = |id: &u64| {
            let row = self.row(table, *id)?;
            let name = row.in_language("name", 1);
            Some(if name.is_empty() { row.text("name") } else { name }.to_owned())
        };
        ids.iter().filter_map(name).collect()
    }

    /// All of a product. Money is a number without zeros that say nothing, and without tax.
    pub(super) fn snapshot(&self, id: u64) -> Value {
        let Some(row) = self.row("products", id) else { return Value::Null };
        let number = |text: &str| json!(text.parse::<f64>().unwrap_or_default());
        let reduction = |variant: u64| {
            let mut rows = self.table("specific_prices").into_iter().flatten().map(|(_, row)| row);
            let is_it = |row: &&Row| row.number("id_product") == id && row.number("id_product_attribute") == variant;
            rows.find(is_it).map(|row| number(row.text("reduction")))
        };
        let stock = |variant: u64| {
            let row = self.stock(id, variant, 1).and_then(|id| self.row("stock_availables", id));
            row.and_then(|row| row.text("quantity").parse::<i64>().ok())
        };
        let variants = self.variants(id).into_iter().filter_map(|variant| {
            let row = self.row("combinations", variant)?;
            let mut options = Map::new();
            for value in row.list("product_option_values") {
                let of = self.row("product_option_values", *value)?;
                let group = self.row("product_options", of.number("id_attribute_group"))?;
                options.insert(group.in_language("name", 1).to_owned(), json!(of.in_language("name", 1)));
            }
            let pictures: Vec<&str> = row.list("images").iter().filter_map(|id| self.picture_name(*id)).collect();
            let shown = json!({
                "options": options, "more": number(row.text("price")), "weighs_more": number(row.text("weight")), "stock": stock(variant),
                "ean13": row.text("ean13"), "upc": row.text("upc"), "reduction": reduction(variant), "pictures": pictures,
            });
            Some((format!("{}{}", row.text("reference"), if row.text("default_on") == "1" { "*" } else { "" }), shown))
        });
        let own_stock = self.stock(id, 0, 1).and_then(|id| self.row("stock_availables", id));
        let sold_without_stock = own_stock.is_some_and(|row| row.text("out_of_stock") == "1");
        let nothing = Pictures::default();
        let pictures = self.pictures.get(&id).unwrap_or(&nothing);
        let mut rows: Vec<&Picture> = pictures.rows.iter().collect();
        rows.sort_by_key(|picture| Some(picture.id) != pictures.cover);
        let shown: Vec<&str> = rows
            .iter()
            .map(|picture| if picture.file.is_some() { picture.name.as_str() } else { "(no file)" })
            .collect();
        json!({
            "id": id, "reference": row.text("reference"),
            "visible": row.text("active") == "1" && row.text("state") == "1",
            "for_sale": row.text("available_for_order") == "1" && row.text("show_price") == "1",
            "price": number(row.text("price")), "reduction": reduction(0), "stock": stock(0), "weight": number(row.text("weight")),
            "sold_without_stock": sold_without_stock,
            "name": self.text(row, "name"), "description": self.text(row, "description"),
            "description_short": self.text(row, "description_short"), "meta_title": self.text(row, "meta_title"),
            "meta_description": self.text(row, "meta_description"), "link_rewrite": self.text(row, "link_rewrite"),
            "brand": self.row("manufacturers", row.number("id_manufacturer")).map(|row| row.text("name")),
            "ean13": row.text("ean13"), "upc": row.text("upc"),
            "categories": self.names("categories", row.list("categories")), "default_category": self.names("categories", &[row.number("id_category_default")]),
            "tags": self.names("tags", row.list("tags")),
            "variants": variants.collect::<Map<_, _>>(),
            "pictures": shown, "has_face": rows.is_empty() || pictures.cover.is_some(),
        })
    }

    fn picture_name(&self, id: u64) -> Option<&str> {
        self.pictures
            .values()
            .flat_map(|pictures| &pictures.rows)
            .find(|picture| picture.id == id)
            .map(|picture| picture.name.as_str())
    }
}
