//! The product of a SKU: the shop takes other cases, accents and blanks for the same, and one reference for as many products as you like.

use super::super::{
    api::{Found, Key},
    fault::{Fault, Wrong},
    listing::Listing,
};
use super::{Presta, answer::transient, xml::Node};
use crate::error::ProviderError;

/// Whether the shop's look-ups take one for the other: without regard to case, accents and blanks at the end.
pub(super) fn is_loosely(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_end(), other.trim_end());
    let same = |(a, b): (char, char)| a == b || a.to_lowercase().eq(b.to_lowercase()) || !a.is_ascii() || !b.is_ascii();
    one == other || (one.chars().count() == other.chars().count() && one.chars().zip(other.chars()).all(same))
}

impl Presta<'_> {
    pub(super) async fn look_up(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        let settings = self.webservice.settings().await?;
        let found = |product| Ok(Found::Product(Box::new(self.seen(&product, settings, listing))));
        // An id alone is not trusted: in a shop that was restored it can be another product's.
        if let Some(id) = listing.external_id.as_deref().and_then(|id| id.parse().ok())
            && let Some(product) = self.product(id).await?
            && is_loosely(&product.reference, key.sku)
        {
            return found(product);
        }
        let rows = self.by_reference("products", key.sku, "[id,reference]").await?;
        let exact = rows.iter().find(|row| row.text_of("reference") == key.sku);
        let variants = self.by_reference("combinations", key.sku, "[id,id_product,reference]").await?;
        let foreign = variants.iter().find(|row| Some(row.number("id_product")) != exact.map(Node::id));
        if let Some(row) = foreign {
            let by =
                format!("variant {} of product {} ({})", row.id(), row.number("id_product"), row.text_of("reference"));
            return Ok(Found::Foreign(Fault::new("sku", Wrong::Taken { by })));
        }
        match (exact, rows.as_slice()) {
            (_, []) => Ok(Found::Nothing),
            (Some(row), [_]) => match self.product(row.id()).await? {
                Some(product) => found(product),
                None => Err(transient(format!("product {} went away while it was read", row.id()))),
            },
            (None, [row]) => {
                let by = format!("product {} ({})", row.id(), row.text_of("reference"));
                Ok(Found::Foreign(Fault::new("sku", Wrong::Taken { by })))
            }
            (_, rows) => {
                let ids = rows.iter().map(|row| row.id().to_string()).collect();
                Ok(Found::Foreign(Fault::new("sku", Wrong::Several { ids })))
            }
        }
    }

    /// The rows that the shop takes for those of a SKU. A shop that lost the filter answers with all its rows, which is noticed.
    pub(super) async fn by_reference(
        &self,
        resource: &str,
        sku: &str,
        display: &str,
    ) -> Result<Vec<Node>, ProviderError> {
        let rows = self.webservice.rows(resource, &[("reference", sku.to_owned())], display).await?;
        match rows.iter().find(|row| !is_loosely(row.text_of("reference"), sku)) {
            None => Ok(rows),
            Some(row) => Err(transient(format!(
                "the shop was asked for the {resource} of reference {sku:?}, and answered with {:?}: nothing is written after such a look-up",
                row.text_of("reference")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shop_takes_for_the_same() {
        // P17, P18.
        for (one, other) in [("SKU12", "sku12"), ("E1x", "É1x"), ("A", "A  "), ("É", "é")] {
            assert!(is_loosely(one, other), "{one} {other}");
        }
        for (one, other) in [("SKU12", "SKU13"), ("A", " A"), ("A", "AB"), ("A B", "AB")] {
            assert!(!is_loosely(one, other), "{one} {other}");
        }
    }
}
