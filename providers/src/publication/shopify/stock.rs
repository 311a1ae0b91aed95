//! How many can be sold, at the one location where stock is counted.

use serde_json::{Value, json};

use super::{
    super::{error::PublishError, listing::Desk},
    answer::{self, SERVICE},
    client::Client,
    names, queries, read,
    settings::Settings,
    variants::Wanted,
};
use crate::error::ProviderError;

const MOST_AT_ONCE: usize = 200;
/// So many keys are tried, each after the shop said that the call with the one before has failed.
const MOST_TRIES: usize = 3;

/// Sets what differs. When something was sold in between, nothing is set, and whoever looks again sees it.
pub(super) async fn write(
    client: &Client<'_>,
    wanted: &[Wanted],
    settings: &Settings,
    desk: &Desk<'_>,
) -> Result<(), PublishError> {
    let job = desk.listing.by.get("stock").or_else(|| desk.listing.by.get("variants")).cloned().unwrap_or_default();
    let mut quantities = Vec::new();
    let mut seen_at = String::new();
    for Wanted { seen, says } in wanted {
        let (Some(seen), Some(quantity)) = (seen, says.stock.set()) else { continue };
        let item = &seen["inventoryItem"];
        match read::quantity(item) {
            Some(has) if has == *quantity => {}
            Some(has) => {
                seen_at.push_str(item["inventoryLevel"]["updatedAt"].as_str().unwrap_or_default());
                quantities.push(json!({ "inventoryItemId": item["id"], "locationId": settings.location,
                    "quantity": quantity, "changeFromQuantity": has }));
            }
            None => {
                let variables = json!({ "item": item["id"], "location": settings.location, "available": quantity });
                keyed(client, &queries::ACTIVATE, &format!("{job}{}", seen["id"]), variables).await?;
            }
        }
    }
    for quantities in quantities.chunks(MOST_AT_ONCE) {
        let input = json!({ "name": "available", "reason": "correction", "quantities": quantities });
        // What was seen is part of the key: an equal order of another day is another one.
        keyed(client, &queries::QUANTITIES, &format!("{job}{seen_at}"), json!({ "input": input })).await?;
    }
    Ok(())
}

/// Carries out what the shop carries out once for a key. An equal order of the same job has the same key.
async fn keyed(
    client: &Client<'_>,
    query: &queries::Query,
    of: &str,
    mut variables: Value,
) -> Result<(), PublishError> {
    let order = format!("{of}\n{variables}");
    for attempt in 0..MOST_TRIES {
        variables["key"] = json!(uuid(&format!("{order}\n{attempt}")));
        let payload = client.carry_out(query, variables.clone()).await?;
        let errors = answer::user_errors(&payload);
        let has = |code: &str| errors.iter().any(|error| error.is(code));
        if has("CHANGE_FROM_QUANTITY_STALE") {
            return Ok(());
        }
        if !has("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED") {
            return answer::refused(&errors);
        }
    }
    let message = "stock could not be set: each attempt failed in the shop".to_owned();
    Err(ProviderError::Transient { service: SERVICE, message, retry_after: None }.into())
}

/// A hash in the form of a UUID, as the shop wants its keys.
fn uuid(text: &str) -> String {
    let hash = names::hash(text, 16);
    format!("{}-{}-8{}-a{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_uuid_and_the_same_for_the_same_order_only() {
        let key = uuid("one");
        assert_eq!(key.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(key == uuid("one") && key != uuid("two"));
    }
}
