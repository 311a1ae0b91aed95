//! Texts, tags, vendor, address and collections of a product in one call; its translations in others.

use serde_json::{Map, Value, json};

use super::{
    super::{
        api::Key,
        error::PublishError,
        fault::{Fault, Wrong},
        patch::{Field, Patch, Texts},
    },
    client::Client,
    collections, names, normal, queries, read, settings,
};

/// Writes what a patch says of the product itself.
pub(super) async fn write(
    client: &Client<'_>,
    key: Key<'_>,
    product: &Value,
    patch: &Patch,
) -> Result<(), PublishError> {
    let mut update = Map::new();
    let mut put = |name: &str, value: Value| _ = update.insert(name.to_owned(), value);
    if let Some(title) = patch.title.set() {
        put("title", json!(title.trim()));
    }
    if let Some(html) = patch.description_html.change() {
        put("descriptionHtml", json!(html.map(|html| normal::clean(html)).unwrap_or_default()));
    }
    if !(patch.seo_title.is_kept() && patch.seo_description.is_kept()) {
        // Both, so that none is lost where the shop takes them for one.
        let text = |field: &Field<String>, name: &str| match field.change() {
            Some(text) => json!(text.map(String::as_str).unwrap_or_default()),
            None => json!(product["seo"][name].as_str().unwrap_or_default()),
        };
        put(
            "seo",
            json!({ "title": text(&patch.seo_title, "title"), "description": text(&patch.seo_description, "description") }),
        );
    }
    if let Some(slug) = patch.slug.change() {
        put("handle", json!(normal::slug_of(slug.map(String::as_str), key)));
        // Links to where customers found it go on leading there.
        put("redirectNewHandle", json!(read::is_visible(product)));
    }
    if let Some(brand) = patch.brand.change() {
        put("vendor", json!(brand.map(|brand| brand.trim()).unwrap_or_default()));
    }
    if let Some(tags) = patch.tags.change() {
        put("tags", json!(tags.into_iter().flatten().map(|tag| tag.trim()).collect::<Vec<_>>()));
    }
    if let Some(categories) = patch.categories.change() {
        let titles: Vec<&str> = categories.into_iter().flatten().map(|title| title.trim()).collect();
        let (join, leave) = collections::changes(client, product, &titles).await?;
        for (name, ids) in [("collectionsToJoin", join), ("collectionsToLeave", leave)] {
            if !ids.is_empty() {
                put(name, json!(ids));
            }
        }
    }
    let short =
        patch.short_description_html.change().map(|html| html.map(|html| normal::clean(html)).unwrap_or_default());
    if let Some(short) = short.as_ref().filter(|short| !short.is_empty()) {
        put(
            "metafields",
            json!([{ "namespace": names::NAMESPACE, "key": "short_description", "type": "multi_line_text_field", "value": short }]),
        );
    }
    if !update.is_empty() {
        update.insert("id".to_owned(), product["id"].clone());
        client.change(&queries::UPDATE, json!({ "product": update })).await?;
    }
    if short.is_some_and(|short| short.is_empty()) && product["short"].is_object() {
        let field = json!({ "ownerId": product["id"], "namespace": names::NAMESPACE, "key": "short_description" });
        client.change(&queries::CLEAR, json!({ "metafields": [field] })).await?;
    }
    for (language, texts) in &patch.translations {
        translate(client, product, language, texts).await?;
    }
    Ok(())
}

/// Writes the texts of one language. Each belongs to the words that it is a translation of, which the shop tells by their digest.
async fn translate(client: &Client<'_>, product: &Value, language: &str, texts: &Texts) -> Result<(), PublishError> {
    let locales = client.locales().await?;
    let Some(locale) = settings::locale(&locales, language) else { return Ok(()) };
    let id = read::id(product);
    let resource = client.translations(id, language).await?;
    let digest = |key: &str| {
        read::list(&resource["translatableContent"]).find(|content| content["key"] == key)?["digest"]
            .as_str()
            .map(str::to_owned)
    };
    let (mut registered, mut forgotten, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (key, field) in read::TRANSLATED {
        let text = match field {
            "title" => &texts.title,
            "description_html" => &texts.description_html,
            "seo.title" => &texts.seo_title,
            _ => &texts.seo_description,
        };
        let text = text.change().map(|text| match text {
            Some(html) if field == "description_html" => normal::clean(html),
            Some(text) => text.clone(),
            None => String::new(),
        });
        match (text, digest(key)) {
            (None, _) => {}
            (Some(text), _) if text.is_empty() => forgotten.push(key),
            (Some(text), Some(digest)) => {
                registered
                    .push(json!({ "key": key, "locale": locale, "value": text, "translatableContentDigest": digest }));
            }
            (Some(_), None) => {
                let message = format!("the product has no {field} that this could be a translation of");
                faults.push(Fault::new(format!("translations.{language}.{field}"), Wrong::Said { message }));
            }
        }
    }
    if !faults.is_empty() {
        return Err(PublishError::Refused(faults));
    }
    if !registered.is_empty() {
        client.change(&queries::REGISTER, json!({ "id": id, "translations": registered })).await?;
    }
    if !forgotten.is_empty() {
        client.change(&queries::FORGET, json!({ "id": id, "keys": forgotten, "locales": [locale] })).await?;
    }
    Ok(())
}
