//! What is published, and who publishes.

use std::fmt::{self, Debug};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    chain::{Ask, Provider},
    content::Price,
    error::ProviderError,
};

/// Puts products into shops.
pub trait Publisher: Provider + Debug {
    /// Puts one product into its shop.
    ///
    /// # Errors
    /// [`ProviderError`], sorted by what follows.
    fn publish<'a>(&'a self, product: &'a Product) -> BoxFuture<'a, Result<Publication, ProviderError>>;
}

/// The shop software that takes the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shop {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    Woocommerce,
    /// PrestaShop.
    Prestashop,
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shopify => "shopify",
            Self::Woocommerce => "woocommerce",
            Self::Prestashop => "prestashop",
        })
    }
}

/// A product as a shop shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// What the shop knows the product by.
    pub sku: String,
    /// Where it goes.
    pub shop: Shop,
    /// Plain text.
    pub title: String,
    /// HTML.
    pub description_html: String,
    /// Selling price.
    pub price: Price,
    /// Where the shop fetches the picture from.
    pub image_url: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What was done.
    pub status: PublicationStatus,
    /// The product's id in the shop; begins with `mock-` when no shop has it.
    pub external_id: String,
}

/// What was done with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublicationStatus {
    /// The shop shows it.
    Published,
    /// Nothing left the system.
    Mock,
}

impl<'p> Ask<dyn Publisher + 'p> for Product {
    type Value = Publication;

    fn ask<'a>(&'a self, provider: &'a (dyn Publisher + 'p)) -> BoxFuture<'a, Result<Publication, ProviderError>> {
        provider.publish(self)
    }

    fn is_write(&self) -> bool {
        true
    }
}
