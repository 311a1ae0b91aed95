//! Variants: rows of `combinations`. The shop takes the same values twice, so a row is matched by SKU, then by values, before one is made.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::super::{
    error::PublishError,
    fault::{Fault, Wrong},
    listing::Desk,
    patch::Variant,
};
use super::{
    Presta,
    find::is_loosely,
    money,
    names::{gtins, ids},
    product::{Combination, Product, Stock},
    webservice::{Outcome, unknown},
    xml::Node,
};

/// What is ordered, with the ids of its values, and the row that is there for it.
struct Wanted<'w> {
    variant: &'w Variant,
    values: Vec<u64>,
    row: Option<Combination>,
}

impl Presta<'_> {
    /// The product has these variants and no others.
    pub(super) async fn write_variants(
        &self,
        product: &mut Product,
        variants: &[Variant],
        desk: &mut Desk<'_>,
    ) -> Result<(), PublishError> {
        let mut known: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut wanted = Vec::new();
        for variant in variants {
            let mut values = Vec::new();
            for (option, value) in &variant.options {
                let id = match known.get(&(option.as_str(), value.as_str())) {
                    Some(id) => *id,
                    None => self.option_value(option, value).await?,
                };
                known.insert((option, value), id);
                values.push(id);
            }
            values.sort_unstable();
            wanted.push(Wanted { variant, values, row: None });
        }
        let mut left = std::mem::take(&mut product.variants);
        for wanted in &mut wanted {
            let at = left.iter().position(|row| row.reference == wanted.variant.sku);
            wanted.row = at.map(|at| left.remove(at));
        }
        for wanted in wanted.iter_mut().filter(|wanted| wanted.row.is_none()) {
            let at = left.iter().position(|row| row.values == wanted.values);
            wanted.row = at.map(|at| left.remove(at));
        }
        self.not_taken(product.id, &wanted).await?;
        let has_default = wanted.iter().filter_map(|wanted| wanted.row.as_ref()).chain(&left).any(|row| row.is_default);
        let mut made = false;
        for (position, wanted) in wanted.iter_mut().enumerate() {
            let row = fields(product, wanted, self.webservice.settings().await?.grams());
            let is = match wanted.row.take() {
                Some(is) => {
                    self.reduce_before(product, wanted.variant, &is, &row).await?;
                    if !row.children.is_empty() {
                        self.webservice.change("combinations", is.id, &row, "variants").await?;
                    }
                    is
                }
                None => {
                    made = true;
                    self.make_variant(product.id, wanted, row, position == 0 && !has_default).await?
                }
            };
            wanted.row = Some(is);
        }
        product.variants = wanted.iter().filter_map(|wanted| wanted.row.clone()).collect();
        if made {
            // Each new one has a row of its stock.
            let shop = self.webservice.settings().await?.shop;
            let rows =
                self.webservice.rows("stock_availables", &[("id_product", product.id.to_string())], "full").await?;
            let rows = rows.iter().filter(|row| row.number("id_product") == product.id);
            product.stocks = rows.filter_map(|row| Stock::of(row, shop)).collect();
        }
        for wanted in &wanted {
            let Some(row) = &wanted.row else { continue };
            let (id, variant) = (row.id, wanted.variant);
            if let Some(price) = variant.price.change() {
                // In-memory only: what was written above.
                let paid = price.and_then(|price| money::normal(&price.amount));
                let more = paid.map_or(Decimal::ZERO, |paid| money::without_tax(paid, product.rate) - product.price);
                if let Some(row) = product.variants.iter_mut().find(|row| row.id == id) {
                    row.price = more;
                }
            }
            if let Some(sale) = variant.sale_price.change() {
                let sale = sale.and_then(|sale| money::normal(&sale.amount));
                let has_row = |variant| product.reductions.iter().any(|reduction| reduction.variant == variant);
                // A row of nothing says something only as long as there is one for the product.
                if product.reduced(id) != sale || (sale.is_none() && has_row(id) && !has_row(0)) {
                    self.reduce(product, id, sale, "variants").await?;
                }
            }
            if let Some(stock) = variant.stock.change() {
                self.write_stock(product, id, stock.copied(), "variants").await?;
            }
        }
        if !product.variants.is_empty() && !product.variants.iter().any(|row| row.is_default) {
            // Before the old one leaves, so that a run that was cut off in between sees that there is still something to do; one after the
            // other, because the shop's table does not take two.
            let default = |is_default: u8| Node::new("combination").with(Node::value("default_on", is_default));
            for row in left.iter().filter(|row| row.is_default) {
                self.webservice.change("combinations", row.id, &default(0), "variants").await?;
            }
            self.webservice.change("combinations", product.variants[0].id, &default(1), "variants").await?;
        }
        for row in &left {
            self.webservice.remove(&format!("combinations/{}", row.id), "variants").await?;
        }
        let noted: BTreeMap<String, String> = wanted
            .iter()
            .filter_map(|wanted| Some((wanted.variant.sku.clone(), wanted.row.as_ref()?.id.to_string())))
            .collect();
        if desk.listing.variants != noted {
            desk.listing.variants = noted;
            desk.save().await?;
        }
        Ok(())
    }

    /// The reduction of a variant whose price falls goes first, as the product's does: in between it is dearer, and never cheaper.
    async fn reduce_before(
        &self,
        product: &mut Product,
        variant: &Variant,
        is: &Combination,
        row: &Node,
    ) -> Result<(), PublishError> {
        let price = row.child("price").map(|price| money::read(&price.text)).filter(|price| *price < is.price);
        let (Some(price), Some(sale)) = (price, variant.sale_price.change()) else { return Ok(()) };
        if !product.reductions.iter().any(|reduction| [0, is.id].contains(&reduction.variant)) {
            return Ok(());
        }
        let sale = sale.and_then(|sale| money::normal(&sale.amount));
        product.variants.push(Combination { price, ..is.clone() });
        let done = self.reduce(product, is.id, sale, "variants").await;
        product.variants.pop();
        done
    }

    /// A new variant's SKU is nobody else's in the shop.
    async fn not_taken(&self, product: u64, wanted: &[Wanted<'_>]) -> Result<(), PublishError> {
        let new: Vec<&str> =
            wanted.iter().filter(|wanted| wanted.row.is_none()).map(|wanted| wanted.variant.sku.as_str()).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut faults = Vec::new();
        for (resource, display, of) in
            [("products", "[id,reference]", "id"), ("combinations", "[id,id_product,reference]", "id_product")]
        {
            let rows = self.webservice.rows(resource, &[("reference", new.join("|"))], display).await?;
            // The product itself may have the SKU of one of its variants.
            for row in rows.iter().filter(|row| row.number(of) != product) {
                let reference = row.text_of("reference");
                if new.iter().any(|sku| is_loosely(sku, reference)) {
                    let by = format!("product {} ({reference})", row.number(of));
                    faults.push(Fault::new("variants", Wrong::Taken { by }));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(PublishError::Refused(faults)) }
    }

    async fn make_variant(
        &self,
        product: u64,
        wanted: &Wanted<'_>,
        row: Node,
        is_default: bool,
    ) -> Result<Combination, PublishError> {
        let mut row = row.with(Node::value("id_product", product)).with(Node::value("minimal_quantity", 1));
        if is_default {
            row = row.with(Node::value("default_on", 1));
        }
        let sku = &wanted.variant.sku;
        let id = match self.webservice.add("combinations", &row, "variants").await? {
            Outcome::Done(made) => made.id(),
            Outcome::Perhaps(said) => {
                // The shop answered, so it is at an end with it.
                let rows = self.webservice.rows("combinations", &[("id_product", product.to_string())], "full").await?;
                let made =
                    rows.iter().find(|row| row.number("id_product") == product && row.text_of("reference") == sku);
                made.map(Node::id).ok_or_else(|| unknown(said))?
            }
            Outcome::Gone => return Err(unknown(format!("variant {sku} could not be made")).into()),
        };
        Ok(Combination {
            id,
            reference: sku.clone(),
            values: wanted.values.clone(),
            is_default,
            ..Combination::default()
        })
    }
}

/// What of a variant differs from the row that is there.
fn fields(product: &Product, wanted: &Wanted<'_>, grams: Decimal) -> Node {
    let (variant, is) = (wanted.variant, wanted.row.as_ref());
    let nothing = Combination::default();
    let was = is.unwrap_or(&nothing);
    let mut row = Node::new("combination");
    if was.reference != variant.sku {
        row = row.with(Node::value("reference", &variant.sku));
    }
    if let Some(price) = variant.price.change() {
        let paid = price.and_then(|price| money::normal(&price.amount));
        let more = paid.map_or(Decimal::ZERO, |paid| money::without_tax(paid, product.rate) - product.price);
        if more != was.price {
            row = row.with(Node::value("price", money::sent(more)));
        }
    }
    if let Some(weight) = variant.weight_g.change() {
        let more = weight.map_or(Decimal::ZERO, |weight| money::of_grams(*weight, grams) - product.weight);
        if more != was.weight {
            row = row.with(Node::value("weight", money::sent(more)));
        }
    }
    if let Some(gtin) = variant.gtin.change() {
        let both = gtins(gtin.map(String::as_str));
        if both[0].text != was.ean13 || both[1].text != was.upc {
            row = row.with_all(both);
        }
    }
    let mut associations = Node::new("associations");
    if was.values != wanted.values {
        associations =
            associations.with(ids("product_option_values", "product_option_value", wanted.values.iter().copied()));
    }
    if let Some(image) = variant.image.change() {
        let pictures = product.faced();
        let picture = image.and_then(|at| pictures.get(usize::try_from(*at).ok()?)).copied();
        if was.pictures.first().copied() != picture {
            associations = associations.with(ids("images", "image", picture));
        }
    }
    if !associations.children.is_empty() {
        row = row.with(associations);
    }
    row
}
