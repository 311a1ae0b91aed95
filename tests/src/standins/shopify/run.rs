//! The fields of queries and mutations that it knows.

use serde_json::{Map, Value, json};

use super::{
    answer::select,
    document::{Document, Field, Selection},
    set::{has_metafield, look_at},
    state::{Answer, Stock, list},
};

/// What a document costs: a point for each field that is asked of each object that it may answer, at a tenth, and ten for a mutation.
pub(super) fn price(document: &Document) -> f64 {
    let fields: f64 = document.fields.iter().map(of_selection).sum();
    (if document.is_mutation { 10.0 } else { 1.0 }) + (fields / 10.0).ceil()
}

fn of_selection(selection: &Selection) -> f64 {
    match selection {
        Selection::On(_, fields) => fields.iter().map(of_selection).sum(),
        Selection::Field(field) => {
            let n = field.arguments.get("first").and_then(Value::as_f64).unwrap_or(1.0);
            if field.fields.is_empty() { 0.0 } else { 1.0 + n * field.fields.iter().map(of_selection).sum::<f64>() }
        }
    }
}

/// The right that a field needs.
fn scope(name: &str) -> Option<&'static str> {
    Some(match name {
        "productSet"
        | "productUpdate"
        | "productVariantsBulkUpdate"
        | "productVariantDetachMedia"
        | "productDelete"
        | "collectionCreate"
        | "metafieldsDelete" => "write_products",
        "product" | "productByIdentifier" | "productVariants" | "collections" | "collectionByIdentifier" => {
            "read_products"
        }
        "inventorySetQuantities" | "inventoryActivate" => "write_inventory",
        "locations" => "read_locations",
        "publications" => "read_publications",
        "publishablePublish" => "write_publications",
        "shopLocales" => "read_locales",
        "translatableResource" => "read_translations",
        "translationsRegister" | "translationsRemove" => "write_translations",
        _ => return None,
    })
}

impl Stock {
    pub(super) fn run(&mut self, document: &Document) -> Answer {
        let mut data = Map::new();
        for selection in &document.fields {
            let Selection::Field(field) = selection else {
                return Err(("undefinedField", "no fragment was expected here".to_owned()));
            };
            if let Some(scope) = scope(&field.name)
                && !self.scopes.iter().any(|has| {
                    has == scope
                        || Some(has.as_str())
                            == scope.strip_prefix("read_").map(|what| format!("write_{what}")).as_deref()
                })
            {
                let message =
                    format!("Access denied for {} field. Required access: `{scope}` access scope.", field.name);
                return Err(("ACCESS_DENIED", message));
            }
            let value = if document.is_mutation { self.mutate(field)? } else { self.query(field)? };
            let value = select(&value, &field.fields).map_err(|problem| ("undefinedField", problem))?;
            data.insert(field.alias.clone(), value);
        }
        if document.is_mutation {
            self.look();
        }
        Ok(Value::Object(data))
    }

    fn mutate(&mut self, field: &Field) -> Answer {
        let arguments = &field.arguments;
        let argument = |name: &str| arguments.get(name).unwrap_or(&Value::Null);
        if field.name != "stagedUploadsCreate" {
            self.n_writes += 1;
        }
        match field.name.as_str() {
            "productSet" => self.set(arguments.get("identifier"), argument("input")),
            "productUpdate" => self.update(argument("product")),
            "productVariantsBulkUpdate" => self.update_variants(argument("productId"), argument("variants")),
            "productVariantDetachMedia" => self.detach(argument("productId"), argument("variantMedia")),
            "inventorySetQuantities" => self.once(field, |stock| stock.set_quantities(argument("input"))),
            "inventoryActivate" => self.once(field, |stock| stock.activate(arguments)),
            "publishablePublish" => self.publish(argument("id"), argument("input")),
            "productDelete" => self.delete(&argument("input")["id"]),
            "metafieldsDelete" => self.clear(argument("metafields")),
            "translationsRegister" => self.register(argument("resourceId"), argument("translations")),
            "translationsRemove" => self.forget(arguments),
            "collectionCreate" => self.collect(argument("collection")),
            "stagedUploadsCreate" => self.stage(argument("input")),
            name => {
                Err(("undefinedField", format!("Field '{name}' doesn't exist on type 'Mutation' of this stand-in")))
            }
        }
    }

    fn query(&mut self, field: &Field) -> Answer {
        let argument = |name: &str| field.arguments.get(name).unwrap_or(&Value::Null);
        Ok(match field.name.as_str() {
            "product" => self.product(argument("id")),
            "productByIdentifier" => {
                let identifier = argument("identifier");
                let is_it = |product: &Value| match (&identifier["handle"], &identifier["customId"]) {
                    (Value::String(handle), _) => product["handle"] == handle.as_str(),
                    (_, custom @ Value::Object(_)) => has_metafield(&product["metafields"], custom),
                    _ => product["id"] == identifier["id"],
                };
                let id = self.products.iter().find(|(_, product)| is_it(product)).map(|(id, _)| json!(id));
                id.map(|id| self.product(&id)).unwrap_or_default()
            }
            "productVariants" => paged(&self.search_variants(argument("query").as_str().unwrap_or_default()), field)?,
            "collectionByIdentifier" => {
                let handle = &argument("identifier")["handle"];
                self.collections
                    .values()
                    .find(|collection| collection["handle"] == *handle)
                    .cloned()
                    .unwrap_or_default()
            }
            "collections" => {
                let title = searched(argument("query").as_str().unwrap_or_default(), "title").to_lowercase();
                let is_found = |collection: &&Value| {
                    let id = collection["id"].as_str().unwrap_or_default();
                    !self.unindexed.contains(id)
                        && collection["title"].as_str().unwrap_or_default().to_lowercase().contains(&title)
                };
                paged(&self.collections.values().filter(is_found).cloned().collect::<Vec<_>>(), field)?
            }
            "translatableResource" => self.translatable(argument("resourceId")),
            name @ ("locations" | "publications") => paged(list(&self.settings(name)), field)?,
            name @ ("shopLocales" | "currentAppInstallation" | "shop") => self.settings(name),
            name => {
                return Err((
                    "undefinedField",
                    format!("Field '{name}' doesn't exist on type 'QueryRoot' of this stand-in"),
                ));
            }
        })
    }

    /// Looking at a product brings its pictures nearer.
    fn product(&mut self, id: &Value) -> Value {
        let id = id.as_str().unwrap_or_default();
        let media = self.products.get_mut(id).and_then(|product| product["media"].as_array_mut());
        media.into_iter().flatten().for_each(|picture| look_at(picture, 1));
        self.shown(id)
    }

    /// The variants whose SKU begins with what is looked for, in any case. It knows those that are indexed.
    fn search_variants(&self, query: &str) -> Vec<Value> {
        let skus: Vec<String> = query.split(" OR ").map(|part| searched(part, "sku").to_lowercase()).collect();
        let mut found = Vec::new();
        for id in self.products.keys().filter(|id| !self.unindexed.contains(*id)) {
            let product = self.shown(id);
            for variant in list(&product["variants"]) {
                let has = variant["sku"].as_str().unwrap_or_default().trim().to_lowercase();
                let is_one = |sku: &String| has == sku.trim() || has.starts_with(&format!("{sku}-"));
                if self.finds_everything || skus.iter().any(is_one) {
                    let mut variant = variant.clone();
                    variant["product"] = product.clone();
                    found.push(variant);
                }
            }
        }
        found
    }
}

/// The value in `sku:"…"`.
fn searched(query: &str, name: &str) -> String {
    let value = query.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(query);
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    value.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// A list at the top is paged as those within are.
fn paged(all: &[Value], field: &Field) -> Answer {
    if !field.arguments.contains_key("first") {
        let message = format!("you must provide one of first or last for {}", field.name);
        return Err(("BAD_REQUEST", message));
    }
    let argument = |name: &str| field.arguments.get(name).unwrap_or(&Value::Null);
    Ok(super::answer::page(all, argument("first"), argument("after")))
}
