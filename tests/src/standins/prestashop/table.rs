//! Which resources there are, and what their rows have.

use std::collections::BTreeMap;

/// What rows of a resource have.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) name: &'static str,
    /// The element of one row.
    pub(super) one: &'static str,
    pub(super) plain: &'static [&'static str],
    /// Those with a text in each language.
    pub(super) texts: &'static [&'static str],
    /// Lists in `associations`, with the element of one entry.
    pub(super) lists: &'static [(&'static str, &'static str)],
    /// Without these a row is refused with code 41.
    pub(super) required: &'static [&'static str],
}

/// Numbers that are kept with six decimals.
pub(super) const DECIMALS: [&str; 4] = ["price", "weight", "reduction", "wholesale_price"];
/// Those that are 0 or 1.
pub(super) const FLAGS: [&str; 6] = ["active", "state", "available_for_order", "show_price", "on_sale", "default_on"];

pub(super) const RESOURCES: [Resource; 14] = [
    Resource {
        name: "products",
        one: "product",
        plain: &[
            "reference",
            "price",
            "wholesale_price",
            "weight",
            "active",
            "state",
            "available_for_order",
            "show_price",
            "on_sale",
            "visibility",
            "condition",
            "minimal_quantity",
            "id_category_default",
            "id_manufacturer",
            "id_tax_rules_group",
            "ean13",
            "upc",
        ],
        texts: &["name", "description", "description_short", "meta_title", "meta_description", "link_rewrite"],
        lists: &[("categories", "category"), ("tags", "tag"), ("combinations", "combination"), ("images", "image")],
        required: &["price"],
    },
    Resource {
        name: "combinations",
        one: "combination",
        plain: &["id_product", "reference", "price", "weight", "ean13", "upc", "minimal_quantity", "default_on"],
        texts: &[],
        lists: &[("product_option_values", "product_option_value"), ("images", "image")],
        required: &["id_product", "minimal_quantity"],
    },
    Resource {
        name: "stock_availables",
        one: "stock_available",
        plain: &["id_product", "id_product_attribute", "id_shop", "quantity", "depends_on_stock", "out_of_stock"],
        texts: &[],
        lists: &[],
        required: &["id_product", "id_product_attribute", "quantity", "depends_on_stock", "out_of_stock"],
    },
    Resource {
        name: "specific_prices",
        one: "specific_price",
        plain: &[
            "id_shop_group",
            "id_shop",
            "id_cart",
            "id_product",
            "id_product_attribute",
            "id_currency",
            "id_country",
            "id_group",
            "id_customer",
            "id_specific_price_rule",
            "price",
            "from_quantity",
            "reduction",
            "reduction_tax",
            "reduction_type",
            "from",
            "to",
        ],
        texts: &[],
        lists: &[],
        required: &[
            "id_shop",
            "id_cart",
            "id_product",
            "id_currency",
            "id_country",
            "id_group",
            "id_customer",
            "price",
            "from_quantity",
            "reduction",
            "reduction_tax",
            "reduction_type",
            "from",
            "to",
        ],
    },
    Resource {
        name: "categories",
        one: "category",
        plain: &["id_parent", "active"],
        texts: &["name", "link_rewrite"],
        lists: &[],
        required: &["active"],
    },
    Resource {
        name: "tags",
        one: "tag",
        plain: &["id_lang", "name"],
        texts: &[],
        lists: &[],
        required: &["id_lang", "name"],
    },
    Resource {
        name: "manufacturers",
        one: "manufacturer",
        plain: &["active", "name"],
        texts: &[],
        lists: &[],
        required: &["name"],
    },
    Resource {
        name: "product_options",
        one: "product_option",
        plain: &["is_color_group", "group_type"],
        texts: &["name", "public_name"],
        lists: &[],
        required: &["group_type"],
    },
    Resource {
        name: "product_option_values",
        one: "product_option_value",
        plain: &["id_attribute_group"],
        texts: &["name"],
        lists: &[],
        required: &["id_attribute_group"],
    },
    Resource {
        name: "languages",
        one: "language",
        plain: &["iso_code", "active"],
        texts: &[],
        lists: &[],
        required: &[],
    },
    Resource {
        name: "configurations",
        one: "configuration",
        plain: &["name", "value", "id_shop"],
        texts: &[],
        lists: &[],
        required: &[],
    },
    Resource {
        name: "shop_urls",
        one: "shop_url",
        plain: &["id_shop", "domain", "physical_uri", "virtual_uri"],
        texts: &[],
        lists: &[],
        required: &[],
    },
    Resource {
        name: "tax_rules",
        one: "tax_rule",
        plain: &["id_tax_rules_group", "id_country", "id_state", "zipcode_from", "id_tax"],
        texts: &[],
        lists: &[],
        required: &[],
    },
    Resource { name: "taxes", one: "tax", plain: &["rate", "active"], texts: &[], lists: &[], required: &[] },
];

pub(super) fn resource(name: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.name == name)
}

/// A row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) plain: BTreeMap<&'static str, String>,
    pub(super) texts: BTreeMap<&'static str, BTreeMap<u64, String>>,
    pub(super) lists: BTreeMap<&'static str, Vec<u64>>,
}

impl Row {
    pub(super) fn of(plain: &[(&'static str, &str)]) -> Self {
        Self { plain: plain.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), ..Self::default() }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.plain.get(name).map_or("", String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub(super) fn in_language(&self, name: &str, language: u64) -> &str {
        self.texts.get(name).and_then(|texts| texts.get(&language)).map_or("", String::as_str)
    }

    pub(super) fn list(&self, name: &str) -> &[u64] {
        self.lists.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A literal as the database compares it: case, accents and blanks at the end do not count (P17, P18).
pub(super) fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        c => c,
    };
    text.trim_end().to_lowercase().chars().map(plain).collect()
}

/// What a filter lets pass.
#[derive(Debug)]
pub(super) enum Filter {
    /// It was lost (P19c).
    All,
    /// One of these.
    AnyOf(Vec<String>),
    /// From one number to another (P19).
    Between(f64, f64),
}

impl Filter {
    /// `[A]`, `[A|B]`, `[1,10]`; `None`: an empty one, which is no filter that the shop takes (P20c).
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let inner = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value);
        if inner.starts_with('[') {
            return Some(Self::All);
        }
        let number = |text: &str| text.trim().parse::<f64>().ok();
        if let Some((from, to)) = inner.split_once(',').and_then(|(from, to)| number(from).zip(number(to))) {
            return Some(Self::Between(from, to));
        }
        Some(Self::AnyOf(inner.split('|').map(folded).collect()))
    }

    pub(super) fn passes(&self, value: &str) -> bool {
        match self {
            Self::All => true,
            Self::AnyOf(literals) => literals.contains(&folded(value)),
            Self::Between(from, to) => value.parse::<f64>().is_ok_and(|value| (*from..=*to).contains(&value)),
        }
    }
}
