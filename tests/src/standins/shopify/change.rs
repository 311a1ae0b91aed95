//! Mutations that change parts of a product, and what belongs to it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    document::Field,
    set::merge,
    state::{Answer, LOCATION, PUBLICATION, Stock, gid, list, user_error},
};

/// The keys of a product's texts that can be translated, and where they are.
const TEXTS: [(&str, &[&str]); 5] = [
    ("title", &["title"]),
    ("body_html", &["descriptionHtml"]),
    ("handle", &["handle"]),
    ("meta_title", &["seo", "title"]),
    ("meta_description", &["seo", "description"]),
];

/// Of a mutation that answers nothing besides, and of one that is refused.
fn errors(errors: &[Value]) -> Value {
    json!({ "product": null, "collection": null, "userErrors": errors })
}

fn refused(code: &str, field: &[&str], message: &str) -> Answer {
    Ok(errors(&[user_error(code, field, message)]))
}

impl Stock {
    pub(super) fn update(&mut self, input: &Value) -> Answer {
        let Some(id) = input["id"].as_str().filter(|id| self.products.contains_key(*id)).map(str::to_owned) else {
            return refused("", &["id"], "Product does not exist");
        };
        if let Some(handle) = input["handle"].as_str()
            && self.with_handle(handle).is_some_and(|other| other != id)
        {
            return refused("", &["handle"], "Handle has already been taken");
        }
        if input.get("title").is_some_and(|title| title.as_str().is_none_or(str::is_empty)) {
            return refused("", &["title"], "Title can't be blank");
        }
        for (at, collection) in list(&input["collectionsToJoin"]).iter().enumerate() {
            let collection = collection.as_str().and_then(|id| self.collections.get(id));
            let is_manual = |collection: &Value| list(&collection["sources"][0]["inclusion"]["conditions"]).is_empty();
            if !collection.is_some_and(is_manual) {
                return refused(
                    "",
                    &["collectionsToJoin", &at.to_string()],
                    "Can't manually add products to a smart collection",
                );
            }
        }
        let mut product = self.products.remove(&id).unwrap_or_default();
        for (name, value) in input.as_object().into_iter().flatten() {
            match name.as_str() {
                "id" | "redirectNewHandle" => {}
                "seo" => merge(&mut product["seo"], value),
                "vendor" if value == "" => product["vendor"] = json!("Stand-in"),
                "metafields" => {
                    for field in list(value) {
                        let fields = product["metafields"].as_array_mut();
                        let Some(fields) = fields else { continue };
                        fields.retain(|old| old["key"] != field["key"] || old["namespace"] != field["namespace"]);
                        fields.push(field.clone());
                    }
                }
                "collectionsToJoin" | "collectionsToLeave" => {
                    let mut ids: Vec<Value> =
                        list(&product["collections"]).iter().filter(|id| !list(value).contains(id)).cloned().collect();
                    if name == "collectionsToJoin" {
                        ids.extend(list(value).iter().cloned());
                    }
                    product["collections"] = json!(ids);
                }
                "tags" => {
                    let mut tags: Vec<&str> = list(value).iter().filter_map(Value::as_str).collect();
                    tags.sort_unstable_by_key(|tag| tag.to_lowercase());
                    product["tags"] = json!(tags);
                }
                name => product[name] = value.clone(),
            }
        }
        self.products.insert(id.clone(), product);
        Ok(json!({ "product": self.shown(&id), "userErrors": [] }))
    }

    pub(super) fn update_variants(&mut self, id: &Value, entries: &Value) -> Answer {
        let Some(mut product) = id.as_str().and_then(|id| self.products.get(id)).cloned() else {
            return refused("PRODUCT_DOES_NOT_EXIST", &["productId"], "Product does not exist");
        };
        for (at, entry) in list(entries).iter().enumerate() {
            let at = at.to_string();
            if entry.get("sku").is_some() {
                let message = "Variable $variants was provided invalid value: sku (Field is not defined on ProductVariantsBulkInput)";
                return Err(("INVALID_VARIABLE", message.to_owned()));
            }
            if entry.get("inventoryQuantities").is_some() {
                let path = ["variants", &at, "inventoryQuantities"];
                return refused(
                    "NO_INVENTORY_QUANTITIES_ON_VARIANTS_UPDATE",
                    &path,
                    "Inventory quantities can only be provided during create",
                );
            }
            let is_ready = |media: &Value| media["id"] == entry["mediaId"] && media["status"] == "READY";
            if entry["mediaId"].is_string() && !list(&product["media"]).iter().any(is_ready) {
                return refused("INVALID_INPUT", &["variants", &at, "mediaId"], "Media does not exist or is not ready");
            }
            let variants = product["variants"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
            let Some(variant) = variants.iter_mut().find(|variant| variant["id"] == entry["id"]) else {
                return refused(
                    "PRODUCT_VARIANT_DOES_NOT_EXIST",
                    &["variants", &at, "id"],
                    "Product variant does not exist",
                );
            };
            let mut changed = variant.clone();
            self.set_variant(&mut changed, entry);
            *variant = changed;
        }
        self.products.insert(id.as_str().unwrap_or_default().to_owned(), product);
        Ok(errors(&[]))
    }

    pub(super) fn detach(&mut self, id: &Value, entries: &Value) -> Answer {
        let product = id.as_str().and_then(|id| self.products.get_mut(id));
        for variant in product.and_then(|product| product["variants"].as_array_mut()).into_iter().flatten() {
            let id = variant["id"].clone();
            for entry in list(entries).iter().filter(|entry| entry["variantId"] == id) {
                let kept =
                    list(&variant["media"]).iter().filter(|media| !list(&entry["mediaIds"]).contains(&media["id"]));
                variant["media"] = kept.cloned().collect();
            }
        }
        Ok(errors(&[]))
    }

    /// What a key carries out once: a call with the same key is answered as the first one was.
    pub(super) fn once(&mut self, field: &Field, carry_out: impl FnOnce(&mut Self) -> Answer) -> Answer {
        let Some(key) = field.directives.get("idempotent").and_then(|directive| directive["key"].as_str()) else {
            let message = "The @idempotent directive is required for this mutation but was not provided.";
            return Err(("BAD_REQUEST", message.to_owned()));
        };
        if self.n_failing_keys > 0 {
            self.n_failing_keys -= 1;
            return refused(
                "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
                &["input"],
                "The request with this key has failed before",
            );
        }
        let sent = json!(field.arguments);
        match self.keys.get(key) {
            Some((before, answer)) if *before == sent => return Ok(answer.clone()),
            Some(_) => {
                return refused(
                    "IDEMPOTENCY_KEY_PARAMETER_MISMATCH",
                    &["input"],
                    "The key was used with other parameters",
                );
            }
            None => {}
        }
        let answer = carry_out(self)?;
        self.keys.insert(key.to_owned(), (sent, answer.clone()));
        Ok(answer)
    }

    pub(super) fn set_quantities(&mut self, input: &Value) -> Answer {
        if input["name"] != "available" || !input["reason"].is_string() {
            return refused("INVALID_NAME", &["input", "name"], "The quantity name must be available or on_hand");
        }
        let (n_sold, now) = (std::mem::take(&mut self.n_sold), self.next_id());
        if n_sold > 0
            && let Some(level) = self.level_of(&input["quantities"][0])
        {
            *level = Self::level(level["quantities"][0]["quantity"].as_i64().unwrap_or_default() - n_sold, now);
        }
        for (at, quantity) in list(&input["quantities"]).iter().enumerate() {
            let at = at.to_string();
            let path = ["input", "quantities", &at, "quantity"];
            if quantity.get("changeFromQuantity").is_none() {
                return Err(("BAD_REQUEST", "changeFromQuantity must be given, though it may be null".to_owned()));
            }
            let wanted = quantity["quantity"].as_i64().unwrap_or_default();
            if !(-1_000_000_000..=1_000_000_000).contains(&wanted) {
                return refused("INVALID_QUANTITY_TOO_HIGH", &path, "The quantity can't be higher than 1,000,000,000");
            }
            let has = self.level_of(quantity).map(|level| level["quantities"][0]["quantity"].clone());
            match has {
                None => return refused("INVALID_LOCATION", &path, "The item is not stocked at this location"),
                Some(has) if !quantity["changeFromQuantity"].is_null() && quantity["changeFromQuantity"] != has => {
                    return refused("CHANGE_FROM_QUANTITY_STALE", &path, "The quantity has changed since");
                }
                Some(_) => {}
            }
        }
        for quantity in list(&input["quantities"]) {
            let now = self.next_id();
            if let Some(level) = self.level_of(quantity) {
                *level = Self::level(quantity["quantity"].as_i64().unwrap_or_default(), now);
            }
        }
        Ok(errors(&[]))
    }

    pub(super) fn activate(&mut self, arguments: &Map<String, Value>) -> Answer {
        let now = self.next_id();
        let location = arguments["locationId"].as_str().unwrap_or(LOCATION).to_owned();
        let variants = self.products.values_mut().filter_map(|product| product["variants"].as_array_mut()).flatten();
        let item = variants
            .map(|variant| &mut variant["inventoryItem"])
            .find(|item| item["id"] == arguments["inventoryItemId"]);
        match item {
            Some(item) => {
                item["levels"][location] = Self::level(arguments["available"].as_i64().unwrap_or_default(), now);
                Ok(errors(&[]))
            }
            None => refused("", &["inventoryItemId"], "The product couldn't be stocked because it does not exist"),
        }
    }

    fn level_of(&mut self, quantity: &Value) -> Option<&mut Value> {
        let variants = self.products.values_mut().filter_map(|product| product["variants"].as_array_mut()).flatten();
        let item = variants
            .map(|variant| &mut variant["inventoryItem"])
            .find(|item| item["id"] == quantity["inventoryItemId"])?;
        item["levels"].get_mut(quantity["locationId"].as_str()?)
    }

    pub(super) fn publish(&mut self, id: &Value, input: &Value) -> Answer {
        let id = id.as_str().unwrap_or_default();
        let publications = [json!(PUBLICATION), json!(gid("Publication", 1))];
        let problem = match (self.products.get(id), self.collections.get(id)) {
            (None, None) => Some("The resource was not found"),
            (Some(product), _) if product["status"] != "ACTIVE" => Some("The product is not active"),
            _ if !publications.contains(&input[0]["publicationId"]) => Some("The publication was not found"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Ok(json!({ "userErrors": [{ "field": ["id"], "message": problem }] }));
        }
        let thing = self.products.get_mut(id).or_else(|| self.collections.get_mut(id));
        if let Some(all) = thing.and_then(|thing| thing["publications"].as_array_mut())
            && !all.contains(&input[0]["publicationId"])
        {
            all.push(input[0]["publicationId"].clone());
            if id.contains("/Product/") {
                self.published.push(id.to_owned());
            }
        }
        Ok(errors(&[]))
    }

    pub(super) fn delete(&mut self, id: &Value) -> Answer {
        match id.as_str().and_then(|id| self.products.remove(id)) {
            Some(_) => Ok(json!({ "deletedProductId": id, "userErrors": [] })),
            None => Ok(
                json!({ "deletedProductId": null, "userErrors": [{ "field": ["id"], "message": "Product does not exist" }] }),
            ),
        }
    }

    pub(super) fn clear(&mut self, fields: &Value) -> Answer {
        for field in list(fields) {
            let product = field["ownerId"].as_str().and_then(|id| self.products.get_mut(id));
            if let Some(all) = product.and_then(|product| product["metafields"].as_array_mut()) {
                all.retain(|old| old["key"] != field["key"] || old["namespace"] != field["namespace"]);
            }
        }
        Ok(errors(&[]))
    }

    /// What of a product can be translated. A text that is not there has no digest.
    pub(super) fn translatable(&self, id: &Value) -> Value {
        let Some(product) = id.as_str().and_then(|id| self.products.get(id)) else { return Value::Null };
        let contents = TEXTS.iter().map(|(key, path)| {
            let value = path.iter().fold(product, |value, part| &value[*part]).as_str().unwrap_or_default();
            let digest = (!value.is_empty()).then(|| hex::encode(Sha256::digest(value)));
            json!({ "key": key, "digest": digest, "locale": self.locales[0], "value": value })
        });
        json!({ "resourceId": id, "translatableContent": contents.collect::<Vec<_>>(), "translations": product["translations"] })
    }

    pub(super) fn register(&mut self, id: &Value, translations: &Value) -> Answer {
        let content = self.translatable(id);
        if content.is_null() {
            return refused("RESOURCE_NOT_FOUND", &["resourceId"], "Resource does not exist");
        }
        for (at, translation) in list(translations).iter().enumerate() {
            let at = at.to_string();
            let locale = translation["locale"].as_str().unwrap_or_default();
            if !self.locales[1..].iter().any(|known| known == locale) {
                let message = "Locale is not a valid locale for the shop";
                return refused("INVALID_LOCALE_FOR_SHOP", &["translations", &at, "locale"], message);
            }
            let original =
                list(&content["translatableContent"]).iter().find(|content| content["key"] == translation["key"]);
            if original.is_none_or(|original| {
                original["digest"].is_null() || original["digest"] != translation["translatableContentDigest"]
            }) {
                let path = ["translations", &at, "translatableContentDigest"];
                return refused("INVALID_TRANSLATABLE_CONTENT", &path, "Translatable content hash is invalid");
            }
        }
        for translation in list(translations) {
            let (locale, key) =
                (translation["locale"].as_str().unwrap_or_default().to_owned(), translation["key"].clone());
            self.untranslate(id, &[json!(locale)], std::slice::from_ref(&key));
            let product = id.as_str().and_then(|id| self.products.get_mut(id));
            if let Some(product) = product {
                let all =
                    product["translations"].as_object_mut().map(|all| all.entry(locale).or_insert_with(|| json!([])));
                all.and_then(Value::as_array_mut)
                    .into_iter()
                    .for_each(|all| all.push(json!({ "key": key, "value": translation["value"] })));
            }
        }
        Ok(errors(&[]))
    }

    pub(super) fn forget(&mut self, arguments: &Map<String, Value>) -> Answer {
        self.untranslate(&arguments["resourceId"], list(&arguments["locales"]), list(&arguments["translationKeys"]));
        Ok(errors(&[]))
    }

    fn untranslate(&mut self, id: &Value, locales: &[Value], keys: &[Value]) {
        let Some(product) = id.as_str().and_then(|id| self.products.get_mut(id)) else { return };
        for locale in locales.iter().filter_map(Value::as_str) {
            if let Some(all) = product["translations"].get_mut(locale).and_then(Value::as_array_mut) {
                all.retain(|old| !keys.contains(&old["key"]));
            }
        }
    }

    pub(super) fn collect(&mut self, input: &Value) -> Answer {
        let (title, handle) =
            (input["title"].as_str().unwrap_or_default(), input["handle"].as_str().unwrap_or_default());
        if title.is_empty() {
            return refused("", &["collection", "title"], "Title can't be blank");
        }
        if self.collections.values().any(|collection| collection["handle"] == handle) {
            return refused("", &["collection", "handle"], "Handle has already been taken");
        }
        let id = self.plant_collection(title, handle, false);
        let collection = self.collections.entry(id).or_default();
        collection["metafields"] = input["metafields"].clone();
        Ok(json!({ "collection": collection, "userErrors": [] }))
    }

    pub(super) fn stage(&mut self, input: &Value) -> Answer {
        let mut targets = Vec::new();
        for upload in list(input) {
            let number = self.next_id();
            let media_type = upload["mimeType"].as_str().unwrap_or_default().to_owned();
            self.staged.insert(number, media_type.clone());
            let parameters =
                json!([{ "name": "content_type", "value": media_type }, { "name": "acl", "value": "private" }]);
            targets.push(json!({ "url": format!("{}/_upload/{number}?signature=hush", self.url),
                "resourceUrl": format!("{}/_uploaded/{number}", self.url), "parameters": parameters }));
        }
        Ok(json!({ "stagedTargets": targets, "userErrors": [] }))
    }

    pub(super) fn settings(&self, name: &str) -> Value {
        let publication = |n, title: &str, app: &str| json!({ "id": gid("Publication", n), "catalog": { "__typename": "AppCatalog", "title": title, "apps": [{ "handle": app }] } });
        match name {
            "locations" => json!([{ "id": gid("Location", 1), "name": "Office", "fulfillsOnlineOrders": false },
                { "id": gid("Location", 9), "name": "New", "fulfillsOnlineOrders": true },
                { "id": LOCATION, "name": "Warehouse", "fulfillsOnlineOrders": true }]),
            "publications" => {
                json!([publication(1, "Point of Sale", "pos"), publication(2, "Online Store", "online_store")])
            }
            "shopLocales" => {
                let locales = self.locales.iter().enumerate();
                locales.map(|(at, locale)| json!({ "locale": locale, "name": locale, "primary": at == 0, "published": true })).collect()
            }
            "currentAppInstallation" => {
                json!({ "accessScopes": self.scopes.iter().map(|scope| json!({ "handle": scope })).collect::<Vec<_>>() })
            }
            _ => json!({ "id": gid("Shop", 1), "name": "Stand-in", "currencyCode": "EUR" }),
        }
    }
}
