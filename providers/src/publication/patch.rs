//! What a job says of a product: a field that is not there stays as it is in the shop, `null` clears it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::content::Price;

/// What is to become of one field. Written with `#[serde(default, skip_serializing_if = "Field::is_kept")]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is emptied.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Field<T> {
    /// Whether it stays as it is.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// What it becomes, if it is set.
    #[must_use]
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// The same with what it becomes made anew.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Keep => Field::Keep,
            Self::Clear => Field::Clear,
            Self::Set(value) => Field::Set(change(value)),
        }
    }

    /// The other one, where this one stays as it is.
    #[must_use]
    pub fn or(self, other: &Self) -> Self
    where
        T: Clone,
    {
        if self.is_kept() { other.clone() } else { self }
    }

    /// `None` when it stays, `Some(None)` when it is emptied.
    #[must_use]
    pub fn change(&self) -> Option<Option<&T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.set().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// Whether customers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProductStatus)]
pub enum Status {
    /// They do.
    #[default]
    Active,
    /// They do not.
    Draft,
}

/// All that one job says of a product. Money is in the store's currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// Plain text.
    pub title: Field<String>,
    /// HTML.
    pub description_html: Field<String>,
    /// HTML.
    pub short_description_html: Field<String>,
    /// Plain text for search engines.
    pub seo_title: Field<String>,
    /// Plain text for search engines.
    pub seo_description: Field<String>,
    /// The last part of the product's address.
    pub slug: Field<String>,
    /// What customers pay when it is not reduced. PrestaShop keeps prices without tax: where the tax is not known, as for a product without
    /// tax group, this is written as the one without.
    pub price: Field<Price>,
    /// What they pay while it is reduced; less than the price.
    pub sale_price: Field<Price>,
    /// How many can be sold; cleared: it is not counted.
    pub stock: Field<i64>,
    /// Its pictures in order, the first being its face.
    pub images: Field<Vec<Picture>>,
    /// What its variants differ by, in order.
    pub options: Field<Vec<ProductOption>>,
    /// Its variants; those that are not among them leave. Cleared: it has none.
    pub variants: Field<Vec<Variant>>,
    /// By name.
    pub categories: Field<Vec<String>>,
    /// By name.
    pub tags: Field<Vec<String>>,
    /// By name.
    pub brand: Field<String>,
    /// 8, 12, 13 or 14 digits.
    pub gtin: Field<String>,
    /// In grams.
    pub weight_g: Field<u32>,
    /// Whether customers see it; kept when it is created: they do.
    pub status: Field<Status>,
    /// Texts in further languages, by language.
    pub translations: BTreeMap<String, Texts>,
}

/// The texts of a product in one further language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductTexts)]
pub struct Texts {
    /// Plain text.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 250)]
    pub title: Field<String>,
    /// HTML.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 65_000)]
    pub description_html: Field<String>,
    /// HTML.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 20_000)]
    pub short_description_html: Field<String>,
    /// Plain text for search engines.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 250)]
    pub seo_title: Field<String>,
    /// Plain text for search engines.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 1_000)]
    pub seo_description: Field<String>,
}

/// A picture, and where its bytes are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What tells it from others, however it is fetched: the hash of its bytes, or its address.
    pub key: String,
    /// Where a shop fetches it, if it can; ends with an extension.
    pub url: Option<String>,
    /// Its bytes, where a shop is sent them: `url` may be out of its reach.
    pub bytes: Original,
    /// The name of its file, with the extension that its bytes have.
    pub file_name: String,
    /// What it shows, in words.
    pub alt: String,
}

/// Where the bytes of a picture are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Original {
    /// They cannot be had.
    #[default]
    Nowhere,
    /// Here.
    Here(bytes::Bytes),
    /// With whoever ordered it, who is asked for them when they are sent, and only then: see [`super::Originals`].
    OnDemand,
}

/// What variants differ by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductOption {
    /// `Colour`.
    #[schema(min_length = 1, max_length = 100, example = "Colour")]
    pub name: String,
    /// `red`, `blue`, in order.
    #[schema(min_items = 1, max_items = 100)]
    pub values: Vec<String>,
}

/// One variant of a product. What it does not say stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductVariant)]
pub struct Variant {
    /// What the shop knows it by.
    #[schema(min_length = 1, max_length = 64)]
    pub sku: String,
    /// The value of each option, by the option's name.
    pub options: BTreeMap<String, String>,
    /// What it costs when it is not reduced.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Price>)]
    pub price: Field<Price>,
    /// What it costs while it is reduced.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Price>)]
    pub sale_price: Field<Price>,
    /// How many can be sold.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<i64>)]
    pub stock: Field<i64>,
    /// 8, 12, 13 or 14 digits.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{8}([0-9]{4,6})?$")]
    pub gtin: Field<String>,
    /// In grams.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<u32>)]
    pub weight_g: Field<u32>,
    /// Which of the product's pictures shows it: its position, from 0.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<u32>)]
    pub image: Field<u32>,
}
