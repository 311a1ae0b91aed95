//! The shop softwares.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The shop software that a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shop {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    Woocommerce,
    /// PrestaShop.
    Prestashop,
}

impl Shop {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shopify, Self::Woocommerce, Self::Prestashop];

    /// As it is written in requests, results and errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::Woocommerce => "woocommerce",
            Self::Prestashop => "prestashop",
        }
    }
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
