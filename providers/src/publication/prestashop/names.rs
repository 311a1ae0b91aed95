//! What products are known by in the shop and has an id there: categories, tags, brands, options and their values. The shop takes the same
//! name twice, so it is looked for before it is made.

use super::super::error::PublishError;
use super::{
    Presta,
    read::name_of,
    settings::Settings,
    webservice::{Outcome, unknown},
    xml::Node,
};
use crate::error::ProviderError;

/// A field with a text in each language.
pub(super) fn in_languages(field: &str, texts: impl IntoIterator<Item = (u64, String)>) -> Node {
    let node = |(language, text): (u64, String)| Node {
        attributes: vec![("id".to_owned(), language.to_string())],
        ..Node::value("language", text)
    };
    Node::new(field).with_all(texts.into_iter().map(node))
}

/// A list of ids for `associations`.
pub(super) fn ids(list: &str, one: &str, ids: impl IntoIterator<Item = u64>) -> Node {
    Node::new(list).with_all(ids.into_iter().map(|id| Node::new(one).with(Node::value("id", id))))
}

/// Twelve digits are a UPC, all others go where EANs are. A number is in one of the two only.
pub(super) fn gtins(gtin: Option<&str>) -> [Node; 2] {
    let gtin = gtin.unwrap_or_default();
    let (ean13, upc) = if gtin.len() == 12 { ("", gtin) } else { (gtin, "") };
    [Node::value("ean13", ean13), Node::value("upc", upc)]
}

fn in_all(settings: &Settings, field: &str, text: &str) -> Node {
    in_languages(field, settings.languages.iter().map(|language| (language.id, text.to_owned())))
}

/// The last part of an address.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        let c = match c {
            'à'..='å' => 'a',
            'ç' => 'c',
            'è'..='ë' => 'e',
            'ì'..='ï' => 'i',
            'ñ' => 'n',
            'ò'..='ö' => 'o',
            'ù'..='ü' => 'u',
            c => c,
        };
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "category".to_owned() } else { slug.to_owned() }
}

impl Presta<'_> {
    /// The id of a category; of several with this name one of `known`, else the oldest.
    pub(super) async fn category(&self, name: &str, known: &[u64]) -> Result<u64, PublishError> {
        let settings = self.webservice.settings().await?;
        let row = Node::new("category")
            .with(Node::value("id_parent", settings.home))
            .with(Node::value("active", 1))
            .with(in_all(settings, "name", name))
            .with(in_all(settings, "link_rewrite", &slug(name)));
        self.id_of("categories", "categories", name, &[], known, row).await
    }

    /// The id of a tag in the language of texts that say none.
    pub(super) async fn tag(&self, name: &str) -> Result<u64, PublishError> {
        let language = self.webservice.settings().await?.default;
        let row = Node::new("tag").with(Node::value("id_lang", language)).with(Node::value("name", name));
        self.id_of("tags", "tags", name, &[("id_lang", language)], &[], row).await
    }

    /// The id of a brand.
    pub(super) async fn brand(&self, name: &str) -> Result<u64, PublishError> {
        let row = Node::new("manufacturer").with(Node::value("active", 1)).with(Node::value("name", name));
        self.id_of("manufacturers", "brand", name, &[], &[], row).await
    }

    /// The ids of an option and of one of its values.
    pub(super) async fn option_value(&self, option: &str, value: &str) -> Result<u64, PublishError> {
        let settings = self.webservice.settings().await?;
        let row = Node::new("product_option")
            .with(Node::value("is_color_group", 0))
            .with(Node::value("group_type", "select"))
            .with(in_all(settings, "name", option))
            .with(in_all(settings, "public_name", option));
        let group = self.id_of("product_options", "options", option, &[], &[], row).await?;
        let row = Node::new("product_option_value")
            .with(Node::value("id_attribute_group", group))
            .with(in_all(settings, "name", value));
        self.id_of("product_option_values", "options", value, &[("id_attribute_group", group)], &[], row).await
    }

    /// The name of the category that all products are in.
    pub(super) async fn home_name(&self) -> Result<String, ProviderError> {
        let settings = self.webservice.settings().await?;
        let row = self.webservice.row("categories", settings.home).await?;
        Ok(row.map(|row| name_of(&row, settings.default)).unwrap_or_default())
    }

    /// The id of what has this name, which is made if there is none.
    async fn id_of(
        &self,
        resource: &str,
        field: &str,
        name: &str,
        among: &[(&str, u64)],
        known: &[u64],
        row: Node,
    ) -> Result<u64, PublishError> {
        let name = name.trim();
        if let Some(id) = self.find_id(resource, name, among, known).await? {
            return Ok(id);
        }
        let made = match self.webservice.add(resource, &row, field).await? {
            Outcome::Done(made) => made.id(),
            Outcome::Perhaps(said) => {
                let found = self.find_id(resource, name, among, known).await?;
                return found.ok_or_else(|| unknown(said).into());
            }
            Outcome::Gone => return Err(unknown(format!("{resource} {name:?} could not be made")).into()),
        };
        // Another run may have made the same in this moment: all take the oldest.
        let oldest = self.find_id(resource, name, among, &[]).await?.unwrap_or(made);
        if oldest != made && self.webservice.settings().await?.rights.allows(resource, "delete") {
            self.webservice.remove(&format!("{resource}/{made}"), field).await?;
        }
        Ok(oldest)
    }

    async fn find_id(
        &self,
        resource: &str,
        name: &str,
        among: &[(&str, u64)],
        known: &[u64],
    ) -> Result<Option<u64>, ProviderError> {
        let language = self.webservice.settings().await?.default;
        let mut filters = vec![("name", name.to_owned())];
        filters.extend(among.iter().map(|(field, id)| (*field, id.to_string())));
        let rows = self.webservice.rows(resource, &filters, "full").await?;
        // The shop takes other letters for the same, we do not.
        let is_same = |row: &&Node| {
            name_of(row, language).trim() == name && among.iter().all(|(field, id)| row.number(field) == *id)
        };
        let found: Vec<u64> = rows.iter().filter(is_same).map(Node::id).collect();
        Ok(found.iter().copied().find(|id| known.contains(id)).or_else(|| found.iter().copied().min()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_made_of_a_name() {
        assert_eq!(
            ["Été à la mer", "Cups & Mugs", "日本", " A--b "].map(slug),
            ["ete-a-la-mer", "cups-mugs", "category", "a-b"]
        );
    }
}
