//! Takes a product and publishes nothing. The same SKU in the same shop always gets the same id.

use futures::future::{BoxFuture, FutureExt};
use sha2::{Digest, Sha256};

use super::{Product, Publication, PublicationStatus, Publisher};
use crate::{Provider, ProviderError};

#[derive(Debug)]
pub(crate) struct NoShop;

impl Provider for NoShop {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl Publisher for NoShop {
    fn publish<'a>(&'a self, product: &'a Product) -> BoxFuture<'a, Result<Publication, ProviderError>> {
        async move {
            let hash = Sha256::digest(format!("{}\n{}", product.shop, product.sku));
            let external_id = format!("mock-{}", hex::encode(&hash[..8]));
            Ok(Publication { status: PublicationStatus::Mock, external_id })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{content::Price, publication::Shop};

    fn product(shop: Shop) -> Product {
        Product {
            sku: "CUP-1".to_owned(),
            shop,
            title: "Cup".to_owned(),
            description_html: "<p>A cup.</p>".to_owned(),
            price: Price { amount: "12.99".to_owned(), currency: "EUR".to_owned() },
            image_url: None,
        }
    }

    #[tokio::test]
    async fn a_mock_publication_never_counts_as_published() {
        let answer = NoShop.publish(&product(Shop::Shopify)).await.unwrap();
        assert_eq!(answer.status, PublicationStatus::Mock);
        assert!(answer.external_id.starts_with("mock-"));
    }

    #[tokio::test]
    async fn the_id_is_the_same_again_and_another_in_another_shop() {
        let first = NoShop.publish(&product(Shop::Shopify)).await.unwrap();
        assert_eq!(first, NoShop.publish(&product(Shop::Shopify)).await.unwrap());
        assert_ne!(first, NoShop.publish(&product(Shop::Prestashop)).await.unwrap());
    }
}
