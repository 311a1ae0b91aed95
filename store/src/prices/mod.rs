//! Prices of other shops: the collections `offers` (one document a page of a tenant's product, with its history of prices), `product_prices`
//! (what the offers of a product say together) and `rates` (one document a day).
//!
//! `offers._id` is made of tenant, product and page. A document has the last price, its `points`, of which there is one a change, and
//! `alerts` that are to go out. It is changed only as it was read (`revision`), so that of any number of writers at the same moment each
//! sees what the others wrote; one update writes price, point and alert together, so that none is there without the others.
//!
//! Order, lowest first: `offer`, `product`, `rates`.

mod offer;
mod product;
mod rates;

use std::time::Duration;

use mongodb::{bson::doc, options::IndexOptions};

pub use offer::{Alert, Money, Offer, OfferLine, PricePoint, WriteOffer, offer_id};
pub(crate) use product::of_product;
pub use product::{OfProduct, Unified};
pub use rates::StoredRates;

use crate::{
    Error, Store,
    index::{index, index_with},
};
use offer::OFFERS;
use product::PRODUCTS;
use rates::RATES;

/// An offer leaves so long after the last visit to its page, and so does what is known of a product.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
const RATES_KEPT: Duration = Duration::from_secs(800 * 24 * 3600);

impl Store {
    pub(crate) async fn prepare_prices(&self) -> Result<(), Error> {
        let kept = || IndexOptions::builder().expire_after(KEPT).build();
        let sparse = IndexOptions::builder().sparse(true).build();
        let offers = [
            index("product", doc! { "tenant": 1, "product_id": 1, "visited_at": -1 }),
            index("changed", doc! { "tenant": 1, "since": -1 }),
            index_with("alerts", doc! { "alerts.at": 1 }, sparse),
            index_with("kept", doc! { "visited_at": 1 }, kept()),
        ];
        self.create_indexes(OFFERS, offers).await?;
        self.create_indexes(PRODUCTS, [index_with("kept", doc! { "at": 1 }, kept())]).await?;
        let rates = IndexOptions::builder().expire_after(RATES_KEPT).build();
        self.create_indexes(RATES, [index_with("kept", doc! { "at": 1 }, rates)]).await
    }
}
