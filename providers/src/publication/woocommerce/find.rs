//! Which product of the shop a SKU is: by the shop's rules, which take more for the same than ours.

use serde_json::Value;

use super::{
    super::{
        api::{Found, Key},
        fault::{Fault, Wrong},
        listing::Listing,
    },
    client::{Client, EDIT, PAGE, not_as_documented},
    normal::language,
    read::{MARK, Reader, VARIATIONS, id, is_variable, meta, text},
    refusals::unexpected,
    rest::SHOP,
    texts::{decoded, folded, sku},
};
use crate::error::ProviderError;

/// What the rows of a look-up mean.
#[derive(Debug, PartialEq)]
pub(super) enum Chosen<'r> {
    Nothing,
    /// This one.
    Row(&'r Value),
    /// The SKU is another one's.
    Foreign(Fault),
    /// The filter was dropped: these SKUs have nothing to do with ours (W20b).
    Unfiltered(String),
}

impl Client<'_> {
    /// Finds a product, hidden and trashed ones too.
    pub(super) async fn find(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        if let Some(external_id) = &listing.external_id {
            match self.get(&format!("/products/{external_id}"), &[EDIT]).await? {
                Ok(raw) if is_of(&raw, key) => return self.found(raw, key, listing).await,
                // It has become another one's, or a merchant gave it another SKU.
                Ok(_) => {}
                Err(refusal) if refusal.is_gone() => {}
                Err(refusal) => return Err(unexpected(&refusal)),
            }
        }
        let wanted = sku(key.sku);
        // `any` leaves out the trash, which still holds the SKU (W14).
        for status in ["any", "trash"] {
            let per_page = PAGE.to_string();
            let query = [("sku", wanted.as_str()), ("status", status), ("per_page", &per_page), EDIT];
            let rows = match self.get("/products", &query).await? {
                Ok(Value::Array(rows)) => rows,
                Ok(other) => return Err(not_as_documented("/products", &other)),
                Err(refusal) => return Err(unexpected(&refusal)),
            };
            match choose(key, &rows) {
                Chosen::Nothing => {}
                Chosen::Row(row) => return self.found(row.clone(), key, listing).await,
                Chosen::Foreign(fault) => return Ok(Found::Foreign(fault)),
                Chosen::Unfiltered(skus) => {
                    let message = format!(
                        "the shop answered the look-up of SKU {:?} with others ({skus}): nothing is written",
                        key.sku
                    );
                    return Err(ProviderError::Rejected { service: SHOP, message });
                }
            }
        }
        Ok(Found::Nothing)
    }

    /// With its variations.
    async fn found(&self, mut raw: Value, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        if is_variable(&raw) {
            let rows = self.all(&format!("/products/{}/variations", id(&raw))).await?;
            raw[VARIATIONS] = Value::Array(rows.map_err(|refusal| unexpected(&refusal))?);
        }
        let weighs = listing.written.contains_key("weight_g") || listing.written.contains_key("variants");
        if weighs && self.known_unit().is_none() {
            self.unit().await?;
        }
        Ok(Found::Product(Box::new(self.reader(key, listing).seen(raw))))
    }

    pub(super) fn reader<'r>(&'r self, key: Key<'r>, listing: &'r Listing) -> Reader<'r> {
        Reader { key, listing, unit: self.known_unit(), language: language(self.store()) }
    }
}

/// Whether a product that was ours is still the one of this key.
fn is_of(raw: &Value, key: Key<'_>) -> bool {
    raw["type"] != "variation" && (meta(raw, MARK) == Some(&key.mark()) || has_sku(raw, key))
}

fn has_sku(raw: &Value, key: Key<'_>) -> bool {
    sku(&decoded(text(raw, "sku"))) == sku(key.sku)
}

/// What a row of the shop is called in a message.
fn called(row: &Value) -> String {
    let (sku, name) = (decoded(text(row, "sku")), decoded(text(row, "name")));
    match row["type"] == "variation" {
        true => format!("variant {} ({sku}) of product {}", id(row), row["parent_id"]),
        false => format!("product {} ({sku}, {name:?})", id(row)),
    }
}

/// Whether another of our SKUs has made the row: its mark tells one that is the same by the shop's rules only.
fn is_of_another(row: &Value, key: Key<'_>) -> bool {
    let Some((_, marked)) = meta(row, MARK).and_then(|mark| mark.split_once('/')) else { return false };
    // A copy that a merchant made carries the mark of its model.
    marked != key.sku && folded(marked) == folded(&decoded(text(row, "sku")))
}

pub(super) fn choose<'r>(key: Key<'_>, rows: &'r [Value]) -> Chosen<'r> {
    let wanted = folded(key.sku);
    let is_alike = |row: &&Value| folded(&decoded(text(row, "sku"))) == wanted;
    // Of a SKU with commas the parts are looked up too.
    let parts: Vec<String> = key.sku.split(',').map(folded).collect();
    let alike: Vec<&Value> = rows.iter().filter(is_alike).collect();
    let ours: Vec<&&Value> =
        alike.iter().filter(|row| row["type"] != "variation" && meta(row, MARK) == Some(&key.mark())).collect();
    if let [row] = ours[..] {
        return Chosen::Row(row);
    }
    let same: Vec<&&Value> = alike
        .iter()
        .filter(|row| row["type"] != "variation" && has_sku(row, key) && !is_of_another(row, key))
        .collect();
    match (&same[..], &alike[..]) {
        ([row], _) => Chosen::Row(row),
        ([_, _, ..], _) => {
            let ids = same.iter().map(|row| id(row)).collect();
            Chosen::Foreign(Fault::new("sku", Wrong::Several { ids }))
        }
        ([], [row, ..]) => Chosen::Foreign(Fault::new("sku", Wrong::Taken { by: called(row) })),
        ([], []) => {
            let strange: Vec<String> = rows
                .iter()
                .map(|row| decoded(text(row, "sku")))
                .filter(|sku| !parts.contains(&folded(sku)))
                .take(3)
                .collect();
            if strange.is_empty() { Chosen::Nothing } else { Chosen::Unfiltered(strange.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: Key<'_> = Key { sku: "Cafe 9", product_id: "p-12" };

    fn row(id: u64, sku: &str, mark: Option<&str>) -> Value {
        let meta: Vec<Value> = mark.iter().map(|mark| json!({ "key": MARK, "value": mark })).collect();
        json!({ "id": id, "sku": sku, "type": "simple", "name": "N", "meta_data": meta })
    }

    fn chosen(rows: &[Value]) -> String {
        match choose(KEY, rows) {
            Chosen::Nothing => "nothing".to_owned(),
            Chosen::Row(row) => id(row),
            Chosen::Foreign(fault) => match fault.what {
                Wrong::Taken { .. } => "taken".to_owned(),
                Wrong::Several { ids } => format!("several {}", ids.join(" ")),
                other => format!("{other:?}"),
            },
            Chosen::Unfiltered(skus) => format!("unfiltered {skus}"),
        }
    }

    #[test]
    fn a_row_is_adopted_only_when_its_sku_is_ours_by_both_rules() {
        let ours = Some("p-12/Cafe 9");
        assert_eq!(chosen(&[]), "nothing");
        assert_eq!(chosen(&[row(1, "Cafe  9", None)]), "1");
        assert_eq!(chosen(&[row(1, "CAFÉ 9", None)]), "taken");
        assert_eq!(chosen(&[row(1, "CAFÉ 9", ours)]), "1", "its case was changed in the shop");
        assert_eq!(chosen(&[row(1, "CAFÉ 9", None), row(2, "Cafe 9", None)]), "2");
        assert_eq!(chosen(&[row(1, "Cafe 9", None), row(2, "Cafe 9", None)]), "several 1 2");
        assert_eq!(chosen(&[row(1, "Cafe 9", None), row(2, "Cafe 9", ours)]), "2");
        assert_eq!(chosen(&[row(1, "Cafe 9", Some("p-12/CAFE 9"))]), "taken", "another SKU of ours made it");
        assert_eq!(chosen(&[row(1, "Cafe 9", Some("p-12/model"))]), "1", "a copy of a product of ours");
        assert_eq!(chosen(&[row(1, "A", None), row(2, "B", None)]), "unfiltered A, B");
        let variation = json!({ "id": 5, "sku": "Cafe 9", "type": "variation", "parent_id": 4 });
        assert_eq!(chosen(&[variation]), "taken");
    }

    #[test]
    fn parts_of_a_sku_with_commas_are_no_proof_of_a_dropped_filter() {
        let key = Key { sku: "a,b", product_id: "p" };
        assert_eq!(choose(key, &[row(1, "A", None), row(2, "b", None)]), Chosen::Nothing);
        assert!(matches!(choose(key, &[row(1, "a", None), row(2, "c", None)]), Chosen::Unfiltered(_)));
    }
}
