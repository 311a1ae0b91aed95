//! Categories and brands by name.

use serde_json::{Value, json};

use super::{
    super::error::PublishError,
    client::{Client, PAGE, not_as_documented},
    read::{list, text},
    refusals::{refused, unexpected},
    texts::{decoded, escaped, folded, plain},
};
use crate::error::ProviderError;

/// Where terms of a kind are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Categories,
    Brands,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Categories => "/products/categories",
            Self::Brands => "/products/brands",
        }
    }

    /// The field of a product that has them.
    fn field(self) -> &'static str {
        match self {
            Self::Categories => "categories",
            Self::Brands => "brands",
        }
    }
}

impl Client<'_> {
    /// The ids of terms of these names, as a product's field takes them; those that are not there are made. `raw`: the product, whose own
    /// terms need no look-up.
    pub(super) async fn terms(&self, kind: Kind, names: &[String], raw: &Value) -> Result<Value, PublishError> {
        let mut ids = Vec::new();
        for name in names {
            let name = plain(name);
            let own = list(raw, kind.field()).iter().find(|term| is_named(term, &name));
            let id = match own.and_then(|term| term["id"].as_u64()) {
                Some(id) => id,
                None => self.term(kind, &name).await?,
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids.into_iter().map(|id| json!({ "id": id })).collect())
    }

    async fn term(&self, kind: Kind, name: &str) -> Result<u64, PublishError> {
        if let Some(id) = self.found_term(kind, name).await? {
            return Ok(id);
        }
        match self.post(kind.path(), &json!({ "name": escaped(name) })).await? {
            Ok(term) => Ok(term["id"].as_u64().ok_or_else(|| not_as_documented(kind.path(), &term))?),
            // Somebody else made it, or the search did not find it (W52).
            Err(refusal) if refusal.code == "term_exists" && refusal.owner().is_some() => {
                Ok(refusal.owner().unwrap_or_default())
            }
            Err(refusal) => Err(refused(&refusal, &format!("{}.", kind.field()))),
        }
    }

    /// Names are stored with `&amp;`, so that a search for `Lamps & Co` finds nothing: its longest part is searched for.
    async fn found_term(&self, kind: Kind, name: &str) -> Result<Option<u64>, ProviderError> {
        let part =
            name.split(['&', '<', '>', '"', '\'']).map(str::trim).max_by_key(|part| part.len()).unwrap_or_default();
        if part.is_empty() {
            return Ok(None);
        }
        let per_page = PAGE.to_string();
        let query = [("search", part), ("per_page", &per_page), ("orderby", "id"), ("order", "asc")];
        match self.get(kind.path(), &query).await? {
            Ok(Value::Array(terms)) => {
                let exact = terms.iter().find(|term| decoded(text(term, "name")) == name);
                let found = exact.or_else(|| terms.iter().find(|term| is_named(term, name)));
                Ok(found.and_then(|term| term["id"].as_u64()))
            }
            Ok(other) => Err(not_as_documented(kind.path(), &other)),
            Err(refusal) => Err(unexpected(&refusal)),
        }
    }
}

fn is_named(term: &Value, name: &str) -> bool {
    folded(&decoded(text(term, "name"))) == folded(name)
}
