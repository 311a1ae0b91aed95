//! `productSet`: makes a product, or replaces the lists of one that it is sent.

use serde_json::{Map, Value, json};

use super::state::{Answer, LOCATION, Stock, gid, list, user_error};

fn refused(error: &Value) -> Value {
    json!({ "product": null, "productSetOperation": null, "userErrors": [error] })
}

fn invalid<T>(problem: &str) -> Result<T, (&'static str, String)> {
    Err(("INVALID_VARIABLE", format!("Variable $input of type ProductSetInput! was provided invalid value: {problem}")))
}

impl Stock {
    pub(super) fn set(&mut self, identifier: Option<&Value>, input: &Value) -> Answer {
        let Some(fields) = input.as_object() else { return invalid("Expected value to not be null") };
        for variant in list(&input["variants"]) {
            if !variant["optionValues"].is_array() {
                return invalid("variants.0.optionValues (Expected value to not be null)");
            }
            if ["price", "compareAtPrice"]
                .iter()
                .any(|name| variant.get(*name).is_some_and(|price| !price.is_string() && !price.is_null()))
            {
                return invalid("variants.0.price (this stand-in wants money as a string)");
            }
        }
        let found = match self.identified(identifier, input)? {
            Ok(found) => found,
            Err(error) => return Ok(refused(&error)),
        };
        if let Some(problem) = self.problem_of_set(found.as_deref(), input) {
            return Ok(refused(&problem));
        }
        if found.is_none() && self.is_late {
            self.is_late = false;
            self.late.push(input.clone());
            return Err(("LATE", String::new()));
        }
        let is_new = found.is_none();
        let id = found.unwrap_or_else(|| self.new_id("Product"));
        let mut product = self.products.get(&id).cloned().unwrap_or_else(|| {
            let title = input["title"].as_str().unwrap_or_default();
            let handle = input["handle"]
                .as_str()
                .map_or_else(|| self.free_handle(&title.to_lowercase().replace(' ', "-")), str::to_owned);
            Self::bare_product(&id, title, &handle)
        });
        if fields.contains_key("variants") {
            match self.variants(&product, input) {
                Ok((options, variants)) => (product["options"], product["variants"]) = (options, variants),
                Err(error) => return Ok(refused(&error)),
            }
        }
        if let Some(files) = fields.get("files") {
            match self.files(&product, files) {
                Ok(media) => product["media"] = media,
                Err(error) => return Ok(refused(&error)),
            }
            let ids: Vec<Value> = list(&product["media"]).iter().map(|media| media["id"].clone()).collect();
            for variant in product["variants"].as_array_mut().into_iter().flatten() {
                let kept = list(&variant["media"]).iter().filter(|media| ids.contains(&media["id"])).cloned().collect();
                variant["media"] = kept;
            }
        }
        for (name, value) in fields {
            match name.as_str() {
                "variants" | "productOptions" | "files" => {}
                "seo" => merge(&mut product["seo"], value),
                // Lists that are sent replace the old ones.
                name => product[name] = value.clone(),
            }
        }
        let handle = product["handle"].as_str().unwrap_or_default().to_owned();
        let counts = if is_new { &mut self.created } else { &mut self.updated };
        *counts.entry(handle).or_default() += 1;
        self.products.insert(id.clone(), product);
        Ok(json!({ "product": self.shown(&id), "productSetOperation": null, "userErrors": [] }))
    }

    pub(super) fn land(&mut self) {
        for input in std::mem::take(&mut self.late) {
            // One that is refused now was late for good.
            let _ = self.set(None, &input);
        }
    }

    /// The product that an identifier means; `Ok(Err(…))`: one of `userErrors`.
    fn identified(
        &self,
        identifier: Option<&Value>,
        input: &Value,
    ) -> Result<Result<Option<String>, Value>, (&'static str, String)> {
        let Some(identifier) = identifier.filter(|identifier| !identifier.is_null()) else { return Ok(Ok(None)) };
        let keys = identifier.as_object().map(|keys| keys.iter().collect::<Vec<_>>()).unwrap_or_default();
        let [(name, value)] = keys.as_slice() else {
            return invalid("identifier: exactly one key must be given (@oneOf)");
        };
        if value.is_null() {
            return invalid("identifier: its value must not be null");
        }
        let in_input = &input[name.as_str()];
        Ok(match name.as_str() {
            "id" if !in_input.is_null() => Err(user_error(
                "ID_NOT_ALLOWED",
                &["input", "id"],
                "The id field is not allowed if identifier is provided.",
            )),
            "id" => match value.as_str().filter(|id| self.products.contains_key(*id)) {
                Some(id) => Ok(Some(id.to_owned())),
                None => Err(user_error("PRODUCT_DOES_NOT_EXIST", &["identifier"], "Product does not exist")),
            },
            "handle" if in_input.is_null() => {
                let message = "The input field corresponding to the identifier is required.";
                Err(user_error("MISSING_FIELD_REQUIRED", &["input", "handle"], message))
            }
            "handle" if in_input != *value => {
                let message = "The identifier value does not match the value of the corresponding field in the input.";
                Err(user_error("INPUT_MISMATCH", &["input", "handle"], message))
            }
            "handle" => Ok(value.as_str().and_then(|handle| self.with_handle(handle))),
            "customId" if !has_metafield(&input["metafields"], value) => {
                let message = "The identifier value does not match the value of the corresponding field in the input.";
                Err(user_error("METAFIELD_MISMATCH", &["input", "metafields"], message))
            }
            "customId" => {
                let is_it = |(_, product): &(&String, &Value)| has_metafield(&product["metafields"], value);
                Ok(self.products.iter().find(is_it).map(|(id, _)| id.clone()))
            }
            other => return invalid(&format!("identifier: unknown key {other}")),
        })
    }

    fn problem_of_set(&self, found: Option<&str>, input: &Value) -> Option<Value> {
        let error = |code, field, message| Some(user_error(code, &["input", field], message));
        if input["variants"].is_array() && !input["productOptions"].is_array() {
            let message = "Product options input is required when updating variants";
            return error("PRODUCT_OPTIONS_INPUT_MISSING", "productOptions", message);
        }
        if input["productOptions"].is_array() && !input["variants"].is_array() {
            return error(
                "VARIANTS_INPUT_MISSING",
                "variants",
                "Variants input is required when updating product options",
            );
        }
        let taken = input["handle"].as_str().and_then(|handle| self.with_handle(handle));
        if taken.is_some() && taken.as_deref() != found {
            return error("HANDLE_NOT_UNIQUE", "handle", "Handle already in use. Please provide a new handle.");
        }
        if found.is_none() && input["title"].as_str().is_none_or(str::is_empty) {
            return error("INVALID_INPUT", "title", "Title can't be blank");
        }
        None
    }

    /// The lists of options and variants: what has an id or the same choice stays with all that is not said of it.
    fn variants(&mut self, product: &Value, input: &Value) -> Result<(Value, Value), Value> {
        let options = list(&input["productOptions"]);
        if options.len() > 3 {
            return Err(user_error("OPTIONS_OVER_LIMIT", &["input", "productOptions"], "Over the limit of 3"));
        }
        let mut variants: Vec<Value> = Vec::new();
        for (at, entry) in list(&input["variants"]).iter().enumerate() {
            let at = at.to_string();
            let chosen: Vec<Value> = list(&entry["optionValues"])
                .iter()
                .map(|value| json!({ "name": value["optionName"], "value": value["name"] }))
                .collect();
            for option in options {
                let value = chosen.iter().find(|chosen| chosen["name"] == option["name"]);
                let is_one = value
                    .is_some_and(|value| list(&option["values"]).iter().any(|known| known["name"] == value["value"]));
                if !is_one {
                    let path = ["input", "variants", &at, "optionValues"];
                    return Err(user_error("OPTION_VALUE_DOES_NOT_EXIST", &path, "Option value does not exist"));
                }
            }
            if variants.iter().any(|other| other["selectedOptions"] == json!(chosen)) {
                return Err(user_error("INVALID_VARIANT", &["input", "variants", &at], "The variant already exists"));
            }
            let same = |variant: &&Value| match entry["id"].as_str() {
                Some(id) => variant["id"] == id,
                None => variant["selectedOptions"] == json!(chosen),
            };
            let known = list(&product["variants"]).iter().find(same).cloned();
            if known.is_none() && entry["id"].is_string() {
                let path = ["input", "variants", &at, "id"];
                return Err(user_error("PRODUCT_VARIANT_DOES_NOT_EXIST", &path, "Product variant does not exist"));
            }
            let mut variant = known.unwrap_or_else(|| self.bare_variant());
            variant["selectedOptions"] = json!(chosen);
            self.set_variant(&mut variant, entry);
            variants.push(variant);
        }
        let is_used = |option: &Value, value: &Value| {
            variants.iter().any(|variant| {
                list(&variant["selectedOptions"]).contains(&json!({ "name": option["name"], "value": value["name"] }))
            })
        };
        let options: Vec<Value> = options
            .iter()
            .map(|option| {
                let values: Vec<&Value> =
                    list(&option["values"]).iter().filter(|value| is_used(option, value)).collect();
                json!({ "id": gid("ProductOption", self.next_id()), "name": option["name"], "optionValues": values })
            })
            .collect();
        Ok((json!(options), json!(variants)))
    }

    /// What is said of one variant, by any mutation.
    pub(super) fn set_variant(&mut self, variant: &mut Value, entry: &Value) {
        for (name, value) in entry.as_object().into_iter().flatten() {
            match name.as_str() {
                "price" | "compareAtPrice" => {
                    // It shows two digits behind the point.
                    let amount = value.as_str().and_then(|amount| amount.parse::<f64>().ok());
                    variant[name] = amount.map(|amount| json!(format!("{amount:.2}"))).unwrap_or_default();
                }
                "barcode" | "sku" => variant[name] = value.clone(),
                "mediaId" => variant["media"] = json!([{ "id": value }]),
                "inventoryItem" => {
                    merge(&mut variant["inventoryItem"], value);
                    if let Some(sku) = value.get("sku") {
                        variant["sku"] = sku.clone();
                    }
                }
                "inventoryQuantities" => {
                    for quantity in list(value) {
                        let location = quantity["locationId"].as_str().unwrap_or(LOCATION).to_owned();
                        let now = self.next_id();
                        variant["inventoryItem"]["levels"][location] =
                            Self::level(quantity["quantity"].as_i64().unwrap_or(0), now);
                    }
                }
                _ => {}
            }
        }
        variant["inventoryItem"]["sku"] = variant["sku"].clone();
    }

    /// The list of files: each source is a new file.
    fn files(&mut self, product: &Value, files: &Value) -> Result<Value, Value> {
        let mut media = Vec::new();
        for (at, file) in list(files).iter().enumerate() {
            let known = list(&product["media"]).iter().find(|media| media["id"] == file["id"]).cloned();
            let mut picture = match (known, file["originalSource"].as_str()) {
                (Some(known), _) => known,
                (None, Some(source)) => self.file(source, file),
                (None, None) => {
                    let path = ["input", "files", &at.to_string()];
                    return Err(user_error("INVALID_INPUT", &path, "The file does not exist"));
                }
            };
            if let Some(alt) = file.get("alt") {
                picture["alt"] = alt.clone();
            }
            media.push(picture);
        }
        Ok(json!(media))
    }

    fn file(&mut self, source: &str, file: &Value) -> Value {
        self.n_files += 1;
        let id = gid("MediaImage", self.next_id());
        let own = source.strip_prefix(&format!("{}/_uploaded/", self.url));
        let arrived = own.is_none_or(|number| number.parse().is_ok_and(|number| self.uploaded.contains_key(&number)));
        let failing = self.failing.iter().position(|part| source.contains(part.as_str()));
        if let Some(at) = failing {
            self.failing.remove(at);
        }
        let name =
            file["filename"].as_str().unwrap_or_else(|| source.rsplit('/').next().unwrap_or_default()).to_owned();
        let looks = if failing.is_some() || !arrived { json!("never") } else { json!(self.picture_looks) };
        let mut picture = json!({ "__typename": "MediaImage", "id": id, "alt": "", "mediaContentType": "IMAGE", "status": "UPLOADED",
            "mediaErrors": [], "image": null, "fileName": name, "looks": looks, "source": source });
        look_at(&mut picture, 0);
        picture
    }
}

/// A picture is taken up a while after it was sent: each look brings it nearer.
pub(super) fn look_at(picture: &mut Value, n: u64) {
    if picture["status"] == "READY" || picture["status"] == "FAILED" {
        return;
    }
    match picture["looks"].as_u64() {
        None if n > 0 => {
            picture["status"] = json!("FAILED");
            picture["mediaErrors"] =
                json!([{ "code": "IMAGE_DOWNLOAD_FAILURE", "message": "The image could not be downloaded" }]);
        }
        None => {}
        Some(looks) if looks <= n => {
            picture["status"] = json!("READY");
            let name = picture["fileName"].as_str().unwrap_or_default();
            picture["image"] = json!({ "url": format!("https://cdn.example/files/{name}?v=1") });
        }
        Some(looks) => {
            picture["status"] = json!("PROCESSING");
            picture["looks"] = json!(looks - n);
        }
    }
}

pub(super) fn has_metafield(metafields: &Value, custom: &Value) -> bool {
    list(metafields).iter().any(|field| field["key"] == custom["key"] && field["value"] == custom["value"])
}

/// Objects within objects are merged.
pub(super) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
