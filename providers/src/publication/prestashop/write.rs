//! Writes what a patch carries, and nothing else: read, merge, write.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::super::{
    api::{Key, Seen},
    error::PublishError,
    fault::{Fault, Wrong},
    listing::{Desk, Listing},
    patch::{Original, Patch, Texts},
    turns::name_of,
};
use super::{
    Presta, html, money,
    names::{gtins, ids, in_languages},
    pending::{Kept, Pending},
    product::{Combination, Product, TEXTS},
    settings::Settings,
    webservice::{Outcome, unknown},
    xml::Node,
};

/// What of a product of no tax group is in its price.
const NO_TAX: Decimal = Decimal::ZERO;

/// The text that a patch gives a field of the shop.
fn text_of<'t>(texts: &'t Texts, field: &str) -> Option<Option<&'t String>> {
    match field {
        "name" => texts.title.change(),
        "description" => texts.description_html.change(),
        "description_short" => texts.short_description_html.change(),
        "meta_title" => texts.seo_title.change(),
        "meta_description" => texts.seo_description.change(),
        _ => None,
    }
}

/// A field's texts in every language, also in those that are not active: one that is left out is emptied. `None`: the patch does not
/// change it.
fn merged(field: &str, patch: &Patch, was: Option<&Product>, settings: &Settings) -> Option<BTreeMap<u64, String>> {
    let of = |text: Option<&String>| match text {
        Some(text) if field.starts_with("description") => html::clean(text),
        Some(text) => text.clone(),
        None => String::new(),
    };
    let own = Texts {
        title: patch.title.clone(),
        description_html: patch.description_html.clone(),
        short_description_html: patch.short_description_html.clone(),
        seo_title: patch.seo_title.clone(),
        seo_description: patch.seo_description.clone(),
    };
    let own = if field == "link_rewrite" { patch.slug.change() } else { text_of(&own, field) }.map(of);
    let mut changed: BTreeMap<u64, String> = own.clone().map(|text| (settings.default, text)).into_iter().collect();
    for (code, texts) in &patch.translations {
        if let Some((language, text)) = settings.language(code).zip(text_of(texts, field)) {
            changed.insert(language, of(text));
        }
    }
    if changed.is_empty() {
        return None;
    }
    let of_language = |language: u64| {
        let before = || match was {
            Some(was) => was.text(field, language).to_owned(),
            // A product without a name is none: until it is translated it has the one that it has.
            None if matches!(field, "name" | "link_rewrite") => own.clone().unwrap_or_default(),
            None => String::new(),
        };
        changed.get(&language).cloned().unwrap_or_else(before)
    };
    Some(settings.languages.iter().map(|language| (language.id, of_language(language.id))).collect())
}

/// The product's own fields that a patch carries, but for associations.
fn own_fields(patch: &Patch, was: Option<&Product>, settings: &Settings) -> Vec<Node> {
    let mut nodes = Vec::new();
    for field in TEXTS {
        if let Some(texts) = merged(field, patch, was, settings) {
            nodes.push(in_languages(field, texts));
        }
    }
    if let Some(paid) = patch.price.set().and_then(|price| money::normal(&price.amount)) {
        let rate = was.map_or(NO_TAX, |product| product.rate);
        nodes.push(Node::value("price", money::sent(money::without_tax(paid, rate))));
    }
    if let Some(weight) = patch.weight_g.change() {
        let weight = money::of_grams(weight.copied().unwrap_or(0), settings.grams());
        nodes.push(Node::value("weight", money::sent(weight)));
    }
    if let Some(gtin) = patch.gtin.change() {
        nodes.extend(gtins(gtin.map(String::as_str)));
    }
    nodes
}

impl Presta<'_> {
    /// Makes a product that customers do not see.
    pub(super) async fn make(&self, key: Key<'_>, patch: &Patch) -> Result<Seen, PublishError> {
        let settings = self.webservice.settings().await?;
        if patch.images.set().is_some_and(|pictures| pictures.iter().any(|picture| picture.bytes == Original::Nowhere))
        {
            return Err(super::pictures::no_bytes().into());
        }
        // What is not sent is no default here but 0: a product that cannot be ordered and shows no price.
        let fixed = [
            ("active", "0"),
            ("state", "1"),
            ("available_for_order", "1"),
            ("show_price", "1"),
            ("minimal_quantity", "1"),
            ("visibility", "both"),
            ("condition", "new"),
        ];
        let row = Node::new("product")
            .with(Node::value("reference", key.sku))
            .with_all(fixed.map(|(name, value)| Node::value(name, value)))
            .with(Node::value("id_category_default", settings.home))
            .with_all(own_fields(patch, None, settings))
            // Without one the product is in no category at all, whatever its default category is.
            .with(Node::new("associations").with(ids("categories", "category", [settings.home])));
        let made = self.webservice.add("products", &row, "product").await?;
        // From here on there may be a product, whatever fails.
        self.made(key, made).await.map_err(|error| match error {
            PublishError::Provider(error) => unknown(error.to_string()).into(),
            error => error,
        })
    }

    /// Sees what came of it.
    async fn made(&self, key: Key<'_>, made: Outcome) -> Result<Seen, PublishError> {
        let rows = self.by_reference("products", key.sku, "[id,reference]").await?;
        let all: Vec<u64> = rows.iter().map(Node::id).collect();
        let id = match made {
            Outcome::Done(row) if row.id() > 0 => row.id(),
            // The shop has answered, so it is at an end: what is there now is all that there will be.
            Outcome::Perhaps(_) if all.len() == 1 => all[0],
            Outcome::Perhaps(said) => return Err(unknown(said).into()),
            _ => return Err(unknown("the shop did not say which product it made".to_owned()).into()),
        };
        if all.iter().any(|other| *other < id) {
            // The shop takes a reference twice. Of two runs at the same moment the earlier product stays.
            self.webservice.remove(&format!("products/{id}"), "sku").await?;
            return Err(unknown(format!("another run made {:?} in the same moment", key.sku)).into());
        }
        let product =
            self.product(id).await?.ok_or_else(|| unknown(format!("product {id} was made and is not there")))?;
        let settings = self.webservice.settings().await?;
        Ok(self.seen(&product, settings, &Listing::default()))
    }

    /// Writes all that a patch carries.
    pub(super) async fn write_all(&self, seen: &Seen, patch: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError> {
        let mut product: Product = serde_json::from_value(seen.raw.clone())
            .map_err(|error| PublishError::Notes(format!("what was read of the product is lost: {error}")))?;
        let settings = self.webservice.settings().await?;
        self.write_own(&mut product, patch, settings, desk).await?;
        if let Some(pictures) = patch.images.change() {
            self.write_pictures(&mut product, pictures.map(Vec::as_slice).unwrap_or_default(), desk).await?;
        }
        if let Some(variants) = patch.variants.change() {
            self.write_variants(&mut product, variants.map(Vec::as_slice).unwrap_or_default(), desk).await?;
        }
        if let Some(stock) = patch.stock.change() {
            if !product.variants.is_empty() {
                let message = "it is the sum of its variants' stocks: set theirs".to_owned();
                return Err(Fault::new("stock", Wrong::Said { message }).into());
            }
            self.write_stock(&product, 0, stock.copied(), "stock").await?;
        }
        Ok(())
    }

    /// The row of `products`, and what else its price and weight move.
    async fn write_own(
        &self,
        product: &mut Product,
        patch: &Patch,
        settings: &Settings,
        desk: &mut Desk<'_>,
    ) -> Result<(), PublishError> {
        let mut row = Node::new("product").with_all(own_fields(patch, Some(product), settings));
        if let Some(brand) = patch.brand.change() {
            let id = match brand.map(|brand| brand.trim()).filter(|brand| !brand.is_empty()) {
                Some(brand) => self.brand(brand).await?,
                None => 0,
            };
            row = row.with(Node::value("id_manufacturer", id));
        }
        let mut associations = Node::new("associations");
        if let Some(categories) = patch.categories.change() {
            let wanted = self.categories(product, categories.map(Vec::as_slice).unwrap_or_default(), settings).await?;
            let default = wanted.iter().copied().find(|id| *id != settings.home).unwrap_or(settings.home);
            if !wanted.contains(&product.default_category) || product.default_category == settings.home {
                row = row.with(Node::value("id_category_default", default));
            }
            associations = associations.with(ids("categories", "category", wanted));
        }
        if let Some(tags) = patch.tags.change() {
            // Those of other languages are in the same list.
            let others = product.tags.iter().filter(|tag| tag.language != settings.default).map(|tag| tag.id);
            let mut wanted: Vec<u64> = others.collect();
            for tag in tags.into_iter().flatten().map(|tag| tag.trim()).filter(|tag| !tag.is_empty()) {
                let id = self.tag(tag).await?;
                if !wanted.contains(&id) {
                    wanted.push(id);
                }
            }
            associations = associations.with(ids("tags", "tag", wanted));
        }
        if !associations.children.is_empty() {
            row = row.with(associations);
        }
        let mut pending = Pending::of(&desk.listing);
        let moves = row.child("price").is_some() || row.child("weight").is_some();
        if moves && pending.prices.is_none() {
            let reduced =
                desk.listing.written.get("sale_price").and(product.reduced(0)).filter(|_| patch.sale_price.is_kept());
            let kept = Kept::of(product, reduced, &desk.listing);
            if let Some(price) = row.child("price").map(|price| money::with_tax(money::read(&price.text), product.rate))
                && reduced.is_some_and(|reduced| reduced >= price)
            {
                return Err(Fault::new("sale_price", Wrong::SaleNotBelow).into());
            }
            if kept != Kept::default() {
                pending.prices = Some(kept);
                pending.note(desk).await?;
            }
        }
        let before = product.price;
        if let Some(price) = row.child("price") {
            product.price = money::read(&price.text);
        }
        if let Some(weight) = row.child("weight") {
            product.weight = money::read(&weight.text);
        }
        // What follows the price is kept as a difference to it. Between the two calls customers see the old one with the new other: that is
        // to be dearer, and never cheaper, than both.
        let falls = product.price < before;
        if falls {
            self.follow(product, pending.prices.as_ref(), patch).await?;
        }
        if !row.children.is_empty() {
            self.webservice.change("products", product.id, &row, "product").await?;
        }
        if !falls {
            self.follow(product, pending.prices.as_ref(), patch).await?;
        }
        pending.prices = None;
        pending.note(desk).await
    }

    /// What is kept as a difference to the product's own price and weight: what is to be as before, and the reduced price that is ordered.
    async fn follow(&self, product: &mut Product, kept: Option<&Kept>, patch: &Patch) -> Result<(), PublishError> {
        if let Some(kept) = kept {
            let reduced = kept.reduced.filter(|_| patch.sale_price.is_kept());
            self.restore(product, &Kept { reduced, ..kept.clone() }).await?;
        }
        match patch.sale_price.change() {
            Some(sale) => {
                let sale = sale.map(|sale| money::normal(&sale.amount).unwrap_or_default());
                self.reduce(product, 0, sale, "sale_price").await
            }
            None => Ok(()),
        }
    }

    /// All categories that the product is to be in, never none: the one that all are in stays, or is what is left.
    async fn categories(
        &self,
        product: &Product,
        names: &[String],
        settings: &Settings,
    ) -> Result<Vec<u64>, PublishError> {
        let known: Vec<u64> = product.categories.iter().map(|category| category.id).collect();
        let mut wanted = Vec::new();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            let id = self.category(name, &known).await?;
            if !wanted.contains(&id) {
                wanted.push(id);
            }
        }
        if !wanted.contains(&settings.home) && (wanted.is_empty() || known.contains(&settings.home)) {
            wanted.push(settings.home);
        }
        Ok(wanted)
    }

    /// Variants' prices and weights are differences to the product's, and a reduction is one too: they are what they were.
    async fn restore(&self, product: &mut Product, kept: &Kept) -> Result<(), PublishError> {
        let (base, rate, weight) = (product.price, product.rate, product.weight);
        for variant in &mut product.variants {
            let mut row = Node::new("combination");
            if let Some(paid) = kept.prices.get(&variant.id) {
                let price = money::without_tax(*paid, rate) - base;
                if price != variant.price {
                    row = row.with(Node::value("price", money::sent(price)));
                    variant.price = price;
                }
            }
            if let Some(own) = kept.weights.get(&variant.id).map(|own| own - weight)
                && own != variant.weight
            {
                row = row.with(Node::value("weight", money::sent(own)));
                variant.weight = own;
            }
            if !row.children.is_empty() {
                self.webservice.change("combinations", variant.id, &row, "variants").await?;
            }
        }
        if kept.reduced.is_some() && product.reduced(0).is_some() {
            self.reduce(product, 0, kept.reduced, "sale_price").await?;
        }
        Ok(())
    }

    /// How many there are of the product (0) or of a variant. `None`: they are not counted.
    pub(super) async fn write_stock(
        &self,
        product: &Product,
        variant: u64,
        stock: Option<i64>,
        field: &str,
    ) -> Result<(), PublishError> {
        let Some(row) = product.stock(variant) else {
            let message = "the shop has no row of its stock in this shop".to_owned();
            return Err(Fault::new(field, Wrong::Said { message }).into());
        };
        if row.shown() == stock {
            return Ok(());
        }
        let mut sent = Node::new("stock_available").with(Node::value("quantity", stock.unwrap_or(0)));
        match stock {
            None => sent = sent.with(Node::value("out_of_stock", 1)),
            // It was not counted; now it is, and what the shop does at 0 is what it does with all others.
            Some(stock) if row.always && (stock <= 0 || row.shown().is_none()) => {
                sent = sent.with(Node::value("out_of_stock", 2));
            }
            Some(_) => {}
        }
        self.webservice.change("stock_availables", row.id, &sent, field).await
    }

    /// Lets customers see it, or no longer.
    pub(super) async fn set_visible(&self, seen: &Seen, visible: bool) -> Result<(), PublishError> {
        let mut row = Node::new("product").with(Node::value("active", u8::from(visible)));
        if visible {
            row = row.with(Node::value("state", 1));
        }
        self.webservice.change("products", id(seen)?, &row, "status").await
    }
}

impl Kept {
    /// What a product's own price and weight would move. A variant without a price of its own costs what the product costs; one that was
    /// given one may cost the same by chance.
    fn of(product: &Product, reduced: Option<Decimal>, listing: &Listing) -> Self {
        let variants = &product.variants;
        let has_own = |variant: &Combination| listing.own_prices.contains_key(&name_of(&variant.reference, "price"));
        let prices = variants.iter().filter(|variant| !variant.price.is_zero() || has_own(variant));
        let weights = variants.iter().filter(|variant| !variant.weight.is_zero());
        Self {
            prices: prices.map(|variant| (variant.id, product.paid(variant.id))).collect(),
            weights: weights.map(|variant| (variant.id, product.weight + variant.weight)).collect(),
            reduced,
        }
    }
}

/// The product's id, as a number.
pub(super) fn id(seen: &Seen) -> Result<u64, PublishError> {
    let id = seen.external_id.parse();
    id.map_err(|_| PublishError::Notes(format!("{:?} is no id of a product", seen.external_id)))
}
