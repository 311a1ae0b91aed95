//! Reduced prices: rows of `specific_prices` that hold for everybody and always. All others are the merchant's, and stay.

use rust_decimal::Decimal;

use super::super::{
    error::PublishError,
    fault::{Fault, Wrong},
};
use super::{
    Presta, money,
    product::{Product, Reduction},
    webservice::{Outcome, unknown},
    xml::Node,
};

impl Presta<'_> {
    /// What a product (0) or a variant costs while it is reduced; `None`: it no longer is.
    pub(super) async fn reduce(
        &self,
        product: &mut Product,
        variant: u64,
        sale: Option<Decimal>,
        field: &str,
    ) -> Result<(), PublishError> {
        let shop = self.webservice.settings().await?.shop;
        let own: Vec<u64> = product
            .reductions
            .iter()
            .filter(|reduction| reduction.variant == variant)
            .map(|reduction| reduction.id)
            .collect();
        let paid = product.paid(variant);
        let holds_for_all = variant != 0 && product.reductions.iter().any(|reduction| reduction.variant == 0);
        // What holds for the product holds for its variants, unless one has a row of its own: then that of nothing.
        let sale = sale.or(holds_for_all.then_some(paid));
        let Some(sale) = sale else {
            for id in own {
                self.webservice.remove(&format!("specific_prices/{id}"), field).await?;
            }
            product.reductions.retain(|reduction| reduction.variant != variant);
            return Ok(());
        };
        let less = paid - sale;
        if less <= Decimal::ZERO && !(holds_for_all && less.is_zero()) {
            return Err(Fault::new(field, Wrong::SaleNotBelow).into());
        }
        let changed = [
            ("price", "-1".to_owned()),
            ("reduction", money::sent(less)),
            ("reduction_tax", "1".to_owned()),
            ("reduction_type", "amount".to_owned()),
        ];
        let changed = Node::new("specific_price").with_all(changed.map(|(name, value)| Node::value(name, value)));
        if let Some(id) = own.first() {
            self.webservice.change("specific_prices", *id, &changed, field).await?;
            note(product, *id, &changed, variant, shop);
            return Ok(());
        }
        let nobody = ["id_cart", "id_currency", "id_country", "id_group", "id_customer", "id_shop_group"];
        let row = changed
            .with(Node::value("id_shop", shop))
            .with(Node::value("id_product", product.id))
            .with(Node::value("id_product_attribute", variant))
            .with(Node::value("from_quantity", 1))
            .with_all(nobody.map(|name| Node::value(name, 0)))
            .with_all(["from", "to"].map(|name| Node::value(name, "0000-00-00 00:00:00")));
        match self.webservice.add("specific_prices", &row, field).await? {
            Outcome::Done(made) => {
                note(product, made.id(), &row, variant, shop);
                Ok(())
            }
            Outcome::Perhaps(said) => Err(unknown(said).into()),
            Outcome::Gone => Err(unknown("a reduced price could not be made".to_owned()).into()),
        }
    }
}

/// The product with its reduction as it is now.
fn note(product: &mut Product, id: u64, row: &Node, variant: u64, shop: u64) {
    let row = row.clone().with(Node::value("id", id)).with(Node::value("id_product_attribute", variant));
    product.reductions.retain(|reduction| reduction.variant != variant);
    product.reductions.extend(Reduction::of(&row, shop));
}
