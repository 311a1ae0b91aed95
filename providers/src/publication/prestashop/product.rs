//! A product with all that hangs on it, as the webservice shows it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{money, xml::Node};

/// Fields that have a text in each language.
pub(super) const TEXTS: [&str; 6] =
    ["name", "description", "description_short", "meta_title", "meta_description", "link_rewrite"];

/// A product. It is what a partial write is merged with, so it is kept in [`super::super::Seen::raw`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Product {
    pub(super) id: u64,
    pub(super) reference: String,
    /// Without tax.
    pub(super) price: Decimal,
    /// In the shop's unit.
    pub(super) weight: Decimal,
    pub(super) visible: bool,
    pub(super) tax_group: u64,
    /// The tax in what customers pay, where it is known; otherwise 0.
    pub(super) rate: Decimal,
    pub(super) brand: String,
    pub(super) ean13: String,
    pub(super) upc: String,
    pub(super) default_category: u64,
    pub(super) cover: u64,
    /// By field, then by the language's id.
    pub(super) texts: BTreeMap<String, BTreeMap<u64, String>>,
    pub(super) categories: Vec<Named>,
    pub(super) tags: Vec<Named>,
    /// In the order of the shop.
    pub(super) pictures: Vec<u64>,
    pub(super) variants: Vec<Combination>,
    pub(super) stocks: Vec<Stock>,
    pub(super) reductions: Vec<Reduction>,
}

/// A category or tag of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) id: u64,
    pub(super) name: String,
    /// Of a tag: its language.
    pub(super) language: u64,
}

/// A variant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Combination {
    pub(super) id: u64,
    pub(super) reference: String,
    /// What it costs more than the product, without tax.
    pub(super) price: Decimal,
    /// What it weighs more.
    pub(super) weight: Decimal,
    pub(super) ean13: String,
    pub(super) upc: String,
    pub(super) is_default: bool,
    /// Ids of values, sorted.
    pub(super) values: Vec<u64>,
    /// The values' names by the options'.
    pub(super) options: BTreeMap<String, String>,
    pub(super) pictures: Vec<u64>,
}

/// How many there are of the product (0) or of one of its variants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stock {
    pub(super) id: u64,
    pub(super) variant: u64,
    pub(super) quantity: i64,
    /// Whether it can be ordered when there is none.
    pub(super) always: bool,
}

/// A reduced price for everybody and always; those for some customers, dates or quantities are not ours to touch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reduction {
    pub(super) id: u64,
    pub(super) variant: u64,
    /// In place of the product's, without tax; negative: the product's.
    price: Decimal,
    reduction: Decimal,
    is_percentage: bool,
    has_tax: bool,
}

impl Product {
    /// Of a row of `products`; what has rows of its own is added by whoever reads them.
    pub(super) fn of(row: &Node) -> Self {
        let texts = TEXTS.iter().filter_map(|field| Some(((*field).to_owned(), by_language(row.child(field)?))));
        let flag = |name: &str| row.text_of(name).trim() == "1";
        Self {
            id: row.id(),
            reference: row.text_of("reference").to_owned(),
            price: money::read(row.text_of("price")),
            weight: money::read(row.text_of("weight")),
            visible: flag("active") && flag("state"),
            tax_group: row.number("id_tax_rules_group"),
            brand: if row.number("id_manufacturer") == 0 {
                String::new()
            } else {
                row.text_of("manufacturer_name").to_owned()
            },
            ean13: row.text_of("ean13").trim().to_owned(),
            upc: row.text_of("upc").trim().to_owned(),
            default_category: row.number("id_category_default"),
            cover: row.number("id_default_image"),
            texts: texts.collect(),
            ..Self::default()
        }
    }

    /// What a text is in a language.
    pub(super) fn text(&self, field: &str, language: u64) -> &str {
        self.texts.get(field).and_then(|texts| texts.get(&language)).map_or("", String::as_str)
    }

    /// Its pictures as customers see them: its face first.
    pub(super) fn faced(&self) -> Vec<u64> {
        let mut pictures = self.pictures.clone();
        pictures.sort_by_key(|picture| *picture != self.cover);
        pictures
    }

    pub(super) fn stock(&self, variant: u64) -> Option<&Stock> {
        self.stocks.iter().find(|stock| stock.variant == variant)
    }

    /// What a variant costs customers; 0 is the product itself.
    pub(super) fn paid(&self, variant: u64) -> Decimal {
        let more =
            self.variants.iter().find(|known| known.id == variant).map_or(Decimal::ZERO, |variant| variant.price);
        money::with_tax(self.price + more, self.rate)
    }

    /// What it costs them while it is reduced, if it is.
    pub(super) fn reduced(&self, variant: u64) -> Option<Decimal> {
        let own = self.reductions.iter().find(|reduction| reduction.variant == variant);
        let reduction = own.or_else(|| self.reductions.iter().find(|reduction| reduction.variant == 0))?;
        let full = if reduction.price.is_sign_negative() {
            self.paid(variant)
        } else {
            money::with_tax(reduction.price, self.rate)
        };
        let less = match (reduction.is_percentage, reduction.has_tax) {
            (true, _) => full * reduction.reduction,
            (false, true) => reduction.reduction,
            (false, false) => reduction.reduction * (Decimal::ONE + self.rate),
        };
        // A variant can be left out of what holds for the product: then it is reduced by nothing.
        let sale = money::normal(&(full - less).max(Decimal::ZERO).to_string());
        sale.filter(|_| !less.is_zero())
    }
}

/// The texts of a field by the language's id.
pub(super) fn by_language(field: &Node) -> BTreeMap<u64, String> {
    let text = |node: &Node| Some((node.attribute("id")?.parse().ok()?, node.text.clone()));
    field.children.iter().filter_map(text).collect()
}

impl Combination {
    pub(super) fn of(row: &Node) -> Self {
        let mut values = row.associated("product_option_values");
        values.sort_unstable();
        Self {
            id: row.id(),
            reference: row.text_of("reference").to_owned(),
            price: money::read(row.text_of("price")),
            weight: money::read(row.text_of("weight")),
            ean13: row.text_of("ean13").trim().to_owned(),
            upc: row.text_of("upc").trim().to_owned(),
            is_default: row.text_of("default_on").trim() == "1",
            values,
            options: BTreeMap::new(),
            pictures: row.associated("images"),
        }
    }

    /// What it is known by: its SKU, or its id in the shop where it has none.
    pub(super) fn key(&self) -> String {
        if self.reference.is_empty() { format!("shop:{}", self.id) } else { self.reference.clone() }
    }
}

impl Stock {
    /// Of a row of `stock_availables`, if it is of this shop. Rows of 0 are of shops that share their stock.
    pub(super) fn of(row: &Node, shop: u64) -> Option<Self> {
        let is_ours = [0, shop].contains(&row.number("id_shop"));
        is_ours.then(|| Self {
            id: row.id(),
            variant: row.number("id_product_attribute"),
            quantity: row.text_of("quantity").trim().parse().unwrap_or(0),
            always: row.text_of("out_of_stock").trim() == "1",
        })
    }

    /// How many can be sold; `None`: it is not counted.
    pub(super) fn shown(&self) -> Option<i64> {
        (!self.always || self.quantity > 0).then_some(self.quantity)
    }
}

impl Reduction {
    /// Of a row of `specific_prices`, if it is for everybody and always.
    pub(super) fn of(row: &Node, shop: u64) -> Option<Self> {
        let limits = ["id_cart", "id_currency", "id_country", "id_group", "id_customer", "id_specific_price_rule"];
        let is_always = ["from", "to"].iter().all(|name| {
            let date = row.text_of(name).trim();
            date.is_empty() || date.starts_with("0000")
        });
        let is_for_all = limits.iter().all(|name| row.number(name) == 0) && row.number("from_quantity") <= 1;
        (is_for_all && is_always && [0, shop].contains(&row.number("id_shop"))).then(|| Self {
            id: row.id(),
            variant: row.number("id_product_attribute"),
            price: money::read(row.text_of("price")),
            reduction: money::read(row.text_of("reduction")),
            is_percentage: row.text_of("reduction_type").trim() == "percentage",
            has_tax: row.text_of("reduction_tax").trim() != "0",
        })
    }
}
