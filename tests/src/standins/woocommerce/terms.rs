//! Categories, tags and brands.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    forms,
    refusal::Refusal,
    stock::{Row, Stock},
};

impl Stock {
    /// A new term, or who has its name already (W52).
    pub(super) fn create_term(&mut self, kind: &'static str, fields: &Row) -> Result<Value, Refusal> {
        let Some(name) = fields.get("name").and_then(Value::as_str) else {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "rest_missing_callback_param",
                "Missing parameter(s): name",
            )
            .with("params", json!(["name"])));
        };
        let name = forms::ampersands(&forms::one_line(name));
        let known = self.terms.entry(kind).or_default();
        let is_same =
            |term: &Value| forms::collated(term["name"].as_str().unwrap_or_default()) == forms::collated(&name);
        if let Some((id, _)) = known.iter().find(|(_, term)| is_same(term)) {
            let message = "A term with the name provided already exists with this parent.";
            return Err(Refusal::bad("term_exists", message).with("resource_id", json!(id)));
        }
        let id = self.next_id();
        let term = json!({ "id": id, "name": name, "slug": forms::slug(&name), "parent": 0 });
        self.terms.entry(kind).or_default().insert(id, term.clone());
        Ok(term)
    }

    /// Those whose stored names have these words: `&` is stored as `&amp;`, so that it is not found (W52).
    pub(super) fn search(&self, kind: &'static str, words: Option<&str>) -> Vec<Value> {
        let words = words.map(forms::collated);
        let has = |term: &&Value| {
            let name = forms::collated(term["name"].as_str().unwrap_or_default());
            words.as_ref().is_none_or(|words| {
                let is_amp = words.contains('&') && !words.contains("&amp;");
                !is_amp && name.contains(words.as_str())
            })
        };
        self.terms.get(kind).into_iter().flat_map(|terms| terms.values()).filter(has).cloned().collect()
    }

    fn known(&self, kind: &'static str, id: &Value) -> Option<Value> {
        let term = self.terms.get(kind)?.get(&id.as_u64()?)?;
        Some(json!({ "id": term["id"], "name": term["name"], "slug": term["slug"] }))
    }

    /// Ids only; those that are not there are dropped (W51).
    pub(super) fn categories(&self, value: &Value) -> Value {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|category| self.known("categories", &category["id"]))
            .collect()
    }

    /// A name makes the tag (W51).
    pub(super) fn tags(&mut self, value: &Value) -> Value {
        let mut tags = Vec::new();
        for tag in value.as_array().cloned().unwrap_or_default() {
            let id = match tag["name"].as_str() {
                Some(name) => {
                    let fields: Row = [("name".to_owned(), json!(name))].into_iter().collect();
                    match self.create_term("tags", &fields) {
                        Ok(term) => term["id"].clone(),
                        Err(refusal) => refusal.body()["data"]["resource_id"].clone(),
                    }
                }
                None => tag["id"].clone(),
            };
            tags.extend(self.known("tags", &id).filter(|tag| !tags.contains(tag)));
        }
        Value::Array(tags)
    }

    /// As `rest_api_add_brands_to_product` of WooCommerce 9.6: an empty list changes nothing, and a term that is not there is dropped.
    pub(super) fn brands(&self, row: &mut Row, value: &Value) {
        let Some(brands) = value.as_array().filter(|brands| !brands.is_empty() && self.settings.has_brands) else {
            return;
        };
        row["brands"] = brands.iter().filter_map(|brand| self.known("brands", &brand["id"])).collect();
    }
}
