//! A patch as fields, before a shop makes of it what it keeps.

use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, money},
    patch::{Field, Patch, Status, Texts, Variant},
};
use crate::content::Price;

/// A patch as it was meant, for whoever rewrites nothing. Shops begin with it and change what they keep otherwise.
#[must_use]
pub fn plain(patch: &Patch) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: &str, change: Option<Option<Value>>| {
        if let Some(value) = change {
            fields.insert(name.to_owned(), value.unwrap_or_default());
        }
    };
    put("title", text(&patch.title));
    put("description_html", text(&patch.description_html));
    put("short_description_html", text(&patch.short_description_html));
    put("seo.title", text(&patch.seo_title));
    put("seo.description", text(&patch.seo_description));
    put("seo.slug", text(&patch.slug));
    put("price", price(&patch.price));
    put("sale_price", price(&patch.sale_price));
    put("stock", number(&patch.stock));
    put("brand", text(&patch.brand));
    put("gtin", text(&patch.gtin));
    put("weight_g", number(&patch.weight_g));
    put("categories", sorted(&patch.categories));
    put("tags", sorted(&patch.tags));
    let images = patch.images.change().map(|images| {
        images.map(|images| images.iter().map(|image| json!({ "key": image.key, "alt": image.alt })).collect())
    });
    put("images", images);
    let options = patch.options.change().map(|options| options.map(|options| json!(options)));
    put("options", options);
    let variants = patch.variants.change().map(|variants| {
        variants.map(|variants| variants.iter().map(|variant| (variant.sku.clone(), of_variant(variant))).collect())
    });
    put("variants", variants);
    let status = patch.status.change().map(|status| Some(json!(status.copied().unwrap_or(Status::Active))));
    put("status", status);
    for (language, texts) in &patch.translations {
        let Texts { title, description_html, short_description_html, seo_title, seo_description } = texts;
        let texts = [
            ("title", title),
            ("description_html", description_html),
            ("short_description_html", short_description_html),
            ("seo.title", seo_title),
            ("seo.description", seo_description),
        ];
        for (name, field) in texts {
            put(&format!("translations.{language}.{name}"), text(field));
        }
    }
    fields
}

fn of_variant(variant: &Variant) -> Value {
    let mut fields = Map::new();
    fields.insert("options".to_owned(), json!(variant.options));
    let changes = [
        ("price", price(&variant.price)),
        ("sale_price", price(&variant.sale_price)),
        ("stock", number(&variant.stock)),
        ("gtin", text(&variant.gtin)),
        ("weight_g", number(&variant.weight_g)),
        ("image", number(&variant.image)),
    ];
    for (name, change) in changes {
        if let Some(value) = change {
            fields.insert(name.to_owned(), value.unwrap_or_default());
        }
    }
    Value::Object(fields)
}

fn text(field: &Field<String>) -> Option<Option<Value>> {
    field.change().map(|text| text.filter(|text| !text.is_empty()).map(|text| json!(text)))
}

fn price(field: &Field<Price>) -> Option<Option<Value>> {
    field.change().map(|price| price.map(|price| json!(money(&price.amount).unwrap_or_else(|| price.amount.clone()))))
}

fn number<T: serde::Serialize>(field: &Field<T>) -> Option<Option<Value>> {
    field.change().map(|number| number.map(|number| json!(number)))
}

fn sorted(field: &Field<Vec<String>>) -> Option<Option<Value>> {
    field.change().map(|names| {
        names.filter(|names| !names.is_empty()).map(|names| {
            let mut names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
            names.sort_unstable();
            names.dedup();
            json!(names)
        })
    })
}
