//! Categories: collections that are filled by hand, by their exact titles.

use serde_json::{Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
    },
    answer,
    client::Client,
    names, queries, read,
};

/// The ids of the collections that a product joins and leaves so that it is in those with these titles. What is missing is made.
pub(super) async fn changes(
    client: &Client<'_>,
    product: &Value,
    titles: &[&str],
) -> Result<(Vec<String>, Vec<String>), PublishError> {
    let is_in = |title: &str| read::collections(product).any(|collection| collection["title"] == title);
    let mut join = Vec::new();
    for title in titles.iter().filter(|title| !is_in(title)) {
        join.push(with_title(client, title).await?);
    }
    let is_wanted = |collection: &&Value| titles.iter().any(|title| collection["title"] == *title);
    let leave = read::collections(product)
        .filter(|collection| !is_wanted(collection))
        .map(|collection| read::id(collection).to_owned());
    Ok((join, leave.collect()))
}

/// The id of the collection with this title, which is made if there is none. One that we made and that customers do not see yet is shown:
/// an earlier run was cut off.
async fn with_title(client: &Client<'_>, title: &str) -> Result<String, PublishError> {
    let publication = client.settings().await?.publication;
    let mut place = look(client, title, &publication).await?;
    if let Place::Free(handle) = &place {
        let mark = json!([{ "namespace": names::NAMESPACE, "key": "made", "type": "boolean", "value": "true" }]);
        let collection = json!({ "title": title, "handle": handle, "metafields": mark });
        let payload = client.carry_out(&queries::COLLECT, json!({ "collection": collection })).await?;
        place = match answer::taken(&payload) {
            Ok(()) => Place::There { id: read::id(&payload["collection"]).to_owned(), is_hidden: true },
            // Another product's job has made it a moment ago.
            Err(refused) => match look(client, title, &publication).await? {
                Place::Free(_) => return Err(refused),
                there => there,
            },
        };
    }
    let (id, is_hidden) = match place {
        Place::There { id, is_hidden } => (id, is_hidden),
        Place::Free(by) | Place::Taken(by) => return Err(Fault::new("categories", Wrong::Taken { by }).into()),
    };
    if is_hidden {
        client.change(&queries::PUBLISH, json!({ "id": id, "input": [{ "publicationId": publication }] })).await?;
    }
    Ok(id)
}

/// Where a collection is or would be made.
enum Place {
    There {
        id: String,
        is_hidden: bool,
    },
    /// The handle that it would have.
    Free(String),
    /// Others have its handles.
    Taken(String),
}

async fn look(client: &Client<'_>, title: &str, publication: &str) -> Result<Place, PublishError> {
    let handles = names::handles_of_collection(title);
    let variables = json!({ "first": { "handle": handles[0] }, "second": { "handle": handles[1] },
        "title": format!("title:{}", names::quoted(title)), "publication": publication });
    let found = client.ask(&queries::COLLECTION, variables).await?;
    let is_it = |collection: &&Value| collection["title"] == title && read::is_manual(collection);
    // By handle first: what was made a moment ago is not in the index yet.
    let by_handle = [&found["first"], &found["second"]];
    if let Some(collection) = by_handle.into_iter().chain(read::nodes(&found["collections"])).find(is_it) {
        let is_hidden = collection["mark"]["value"] == "true" && collection["isPublished"] != true;
        return Ok(Place::There { id: read::id(collection).to_owned(), is_hidden });
    }
    let free = handles.into_iter().zip(by_handle).find(|(_, there)| there.is_null());
    Ok(match free {
        Some((handle, _)) => Place::Free(handle),
        None => Place::Taken(format!("{:?}", found["first"]["title"].as_str().unwrap_or_default())),
    })
}
