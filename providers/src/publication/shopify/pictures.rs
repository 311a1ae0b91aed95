//! Pictures. The shop takes a list of files whole and fetches or receives each a while later, so that what was sent is noted before, and
//! what it is called in the shop afterwards. A picture that was sent is not sent again: it goes by its id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
        listing::{Brought, Desk},
        patch::Picture,
        send::{Body, Request},
    },
    answer::SERVICE,
    client::{self, Client},
    names, queries, read,
};
use crate::error::{Hold, ProviderError};

/// From one look at pictures that are not ready to the next.
const LOOKS: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// After that the job goes on later where it was.
const LATER: Duration = Duration::from_secs(15);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// In the listing's own notes: pictures that were being sent.
const SENDING: &str = "sending";

/// What was being sent to a product.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Sending {
    /// The ids of its pictures before.
    before: Vec<String>,
    /// The new ones, in order.
    new: Vec<Sent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    key: String,
    alt: String,
    /// What is found in the name of its file.
    tag: String,
}

/// Gives a product these pictures, in order, and waits until the shop has them all. Returns the product's pictures as they are then.
pub(super) async fn write(
    client: &Client<'_>,
    product: &Value,
    wanted: &[Picture],
    desk: &mut Desk<'_>,
) -> Result<Value, PublishError> {
    settle(product, desk).await?;
    let mut media = json!({ "media": product["media"] });
    let files: Vec<(Option<String>, &Picture)> =
        wanted.iter().map(|picture| (there(&media, picture, desk), picture)).collect();
    let is_so = read::pictures(&media)
        .map(|media| (Some(read::id(media).to_owned()), alt(media)))
        .eq(files.iter().map(|(id, picture)| (id.clone(), picture.alt.as_str())));
    if !is_so {
        let mut input = Vec::new();
        for (id, picture) in &files {
            input.push(match id {
                Some(id) => json!({ "id": id, "alt": picture.alt }),
                None => json!({ "originalSource": source(client, picture, desk).await?, "alt": picture.alt, "contentType": "IMAGE",
                    "filename": file_name(picture) }),
            });
        }
        // Films and models are not ours to take away.
        let others = read::nodes(&media["media"]).filter(|media| media["mediaContentType"] != "IMAGE");
        input.extend(others.map(|media| json!({ "id": media["id"] })));
        let new = files.iter().filter(|(id, _)| id.is_none()).map(|(_, picture)| picture);
        let new = new.map(|picture| Sent { key: picture.key.clone(), alt: picture.alt.clone(), tag: tag(picture) });
        let before = read::pictures(&media).map(|media| read::id(media).to_owned());
        let sending = Sending { before: before.collect(), new: new.collect() };
        note(&sending, desk);
        desk.save().await?;
        let variables = json!({ "identifier": { "id": product["id"] }, "input": { "files": input } });
        if let Err(error) = client.change(&queries::SET, variables).await {
            if matches!(error, PublishError::Refused(_)) {
                forget(desk);
                desk.save().await?;
            }
            return Err(error);
        }
        media = client::media(client, read::id(product)).await?;
        settle(&media, desk).await?;
    }
    wait(client, media, read::id(product), desk).await
}

/// Finds out what became of pictures that were being sent: those that the product has since then.
async fn settle(product: &Value, desk: &mut Desk<'_>) -> Result<(), PublishError> {
    let Ok(sending) = Sending::deserialize(&desk.listing.own[SENDING]) else { return Ok(()) };
    let arrived = arrived(product, &sending, desk);
    forget(desk);
    for (key, id) in arrived {
        desk.listing.pictures.push(Brought { key, external_id: Some(id) });
    }
    desk.save().await
}

/// Of what was sent: its key and its id in the shop. What has a file is known by the file's name, what has none yet by its words and order.
fn arrived(product: &Value, sending: &Sending, desk: &Desk<'_>) -> Vec<(String, String)> {
    let is_known = |id: &str| {
        sending.before.iter().any(|before| before == id)
            || desk.listing.pictures.iter().any(|picture| picture.external_id.as_deref() == Some(id))
    };
    let mut new: Vec<&Value> = read::pictures(product).filter(|media| !is_known(read::id(media))).collect();
    let mut arrived = Vec::new();
    for sent in &sending.new {
        let is_it = |media: &&Value| match media["image"]["url"].as_str() {
            Some(url) => url.contains(&sent.tag),
            None => alt(media) == sent.alt,
        };
        if let Some(at) = new.iter().position(is_it) {
            arrived.push((sent.key.clone(), read::id(new.remove(at)).to_owned()));
        }
    }
    arrived
}

fn note(sending: &Sending, desk: &mut Desk<'_>) {
    if !desk.listing.own.is_object() {
        desk.listing.own = json!({});
    }
    desk.listing.own[SENDING] = json!(sending);
    for sent in &sending.new {
        desk.listing.pictures.retain(|picture| picture.key != sent.key);
        desk.listing.pictures.push(Brought { key: sent.key.clone(), external_id: None });
    }
}

/// Nothing is under way any more.
fn forget(desk: &mut Desk<'_>) {
    if let Some(own) = desk.listing.own.as_object_mut() {
        own.remove(SENDING);
    }
    desk.listing.pictures.retain(|picture| picture.external_id.is_some());
}

/// The id of a picture that the product has. One that the shop could not make anything of is sent anew.
fn there(product: &Value, picture: &Picture, desk: &Desk<'_>) -> Option<String> {
    let id = match picture.key.strip_prefix("shop:") {
        Some(id) => id,
        None => desk.listing.picture(&picture.key)?,
    };
    read::pictures(product)
        .find(|media| read::id(media) == id && media["status"] != "FAILED")
        .map(|media| read::id(media).to_owned())
}

/// Waits until all pictures are ready.
async fn wait(client: &Client<'_>, mut media: Value, id: &str, desk: &mut Desk<'_>) -> Result<Value, PublishError> {
    let mut looks = LOOKS.iter();
    loop {
        let with_status = |status: &str| {
            read::pictures(&media).filter(|media| media["status"] == status).cloned().collect::<Vec<_>>()
        };
        let failed = with_status("FAILED");
        if !failed.is_empty() {
            desk.listing
                .pictures
                .retain(|picture| !failed.iter().any(|media| picture.external_id.as_deref() == Some(read::id(media))));
            desk.save().await?;
            return Err(PublishError::Refused(failed.iter().map(fault).collect()));
        }
        if with_status("READY").len() == read::pictures(&media).count() {
            return Ok(media);
        }
        let Some(pause) = looks.next() else {
            let message = "the shop is still at the pictures".to_owned();
            return Err(ProviderError::Held { service: SERVICE, hold: Hold::Turn, message, retry_in: LATER }.into());
        };
        tokio::time::sleep(*pause).await;
        media = client::media(client, id).await?;
    }
}

fn fault(media: &Value) -> Fault {
    let words = read::list(&media["mediaErrors"]).map(|error| {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        format!("{} ({})", text("message"), text("code"))
    });
    let words: Vec<String> = words.collect();
    let which = alt(media);
    Fault::new(
        "images",
        Wrong::Said { message: format!("the picture {which:?} could not be used: {}", words.join("; ")) },
    )
}

fn alt(media: &Value) -> &str {
    media["alt"].as_str().unwrap_or_default()
}

/// Eight digits of what tells the picture from others, which are part of its file's name.
fn tag(picture: &Picture) -> String {
    names::hash(&picture.key, 4)
}

fn file_name(picture: &Picture) -> String {
    let (stem, extension) = picture.file_name.rsplit_once('.').unwrap_or((&picture.file_name, "jpg"));
    let stem = names::handle(stem).unwrap_or_else(|| "picture".to_owned());
    format!("{stem}-{}.{extension}", tag(picture))
}

/// Where the shop fetches a picture: its address, or the place to which its bytes were brought.
async fn source(client: &Client<'_>, picture: &Picture, desk: &Desk<'_>) -> Result<String, PublishError> {
    if let Some(url) = &picture.url {
        return Ok(url.clone());
    }
    let Some(bytes) = desk.original(picture).await? else {
        return Err(Fault::new("images", Wrong::NotThere).into());
    };
    let extension =
        picture.file_name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    let media_type = match extension.as_str() {
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        _ => "image/jpeg",
    };
    let input = json!([{ "resource": "IMAGE", "filename": file_name(picture), "mimeType": media_type, "httpMethod": "PUT",
        "fileSize": bytes.len().to_string() }]);
    let payload = client.change(&queries::STAGE, json!({ "input": input })).await?;
    let target = &payload["stagedTargets"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut headers: Vec<(String, String)> = read::list(&target["parameters"])
        .map(|parameter| (text(&parameter["name"]), text(&parameter["value"])))
        .collect();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), media_type.to_owned()));
    }
    let upload = Request {
        method: reqwest::Method::PUT,
        path: text(&target["url"]),
        query: Vec::new(),
        body: Body::Upload { headers, bytes },
        timeout: UPLOAD_TIMEOUT,
        // The place is this picture's alone, and nobody sees it.
        is_write: false,
    };
    client.calls.send(&upload).await?;
    Ok(text(&target["resourceUrl"]))
}

#[cfg(test)]
mod tests {
    use futures::future::{BoxFuture, FutureExt};

    use super::{
        super::super::{
            listing::{Listing, Notes},
            patch::Original,
        },
        *,
    };

    struct Nowhere;

    impl Notes for Nowhere {
        fn save<'a>(&'a self, _: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
            async { Ok(()) }.boxed()
        }
    }

    fn picture(key: &str, alt: &str) -> Picture {
        Picture {
            key: key.to_owned(),
            url: None,
            bytes: Original::Nowhere,
            file_name: "Red Mug.JPG".to_owned(),
            alt: alt.to_owned(),
        }
    }

    fn media(id: &str, alt: &str, url: Option<String>) -> Value {
        json!({ "id": id, "alt": alt, "status": "READY", "mediaContentType": "IMAGE", "image": url.map(|url| json!({ "url": url })) })
    }

    #[test]
    fn a_files_name_tells_which_picture_it_is() {
        let (one, other) = (picture("1", ""), picture("2", ""));
        assert!(
            file_name(&one).starts_with("red-mug-")
                && file_name(&one).ends_with(".JPG")
                && file_name(&one).contains(&tag(&one))
        );
        assert_ne!(file_name(&one), file_name(&other));
    }

    #[tokio::test]
    async fn what_was_being_sent_is_found_by_its_file_or_its_words_and_never_among_others() {
        let (one, two) = (picture("1", "front"), picture("2", "back"));
        let sent = |picture: &Picture| Sent { key: picture.key.clone(), alt: picture.alt.clone(), tag: tag(picture) };
        let sending = Sending { before: vec!["old".to_owned()], new: vec![sent(&one), sent(&two)] };
        let mut desk = Desk::new(Listing::default(), &Nowhere);
        note(&sending, &mut desk);
        let url = |picture: &Picture| Some(format!("https://cdn/{}", file_name(picture)));
        let nodes = [
            media("old", "front", None),
            media("merchants", "front", Some("https://cdn/x.jpg".to_owned())),
            media("b", "changed", url(&two)),
            media("a", "front", None),
        ];
        settle(&json!({ "media": { "nodes": nodes } }), &mut desk).await.unwrap();
        assert_eq!((desk.listing.picture("1"), desk.listing.picture("2")), (Some("a"), Some("b")));
        assert_eq!(desk.listing.own, json!({}));

        let mut desk = Desk::new(Listing::default(), &Nowhere);
        note(&sending, &mut desk);
        settle(&json!({ "media": { "nodes": [media("old", "front", None)] } }), &mut desk).await.unwrap();
        assert_eq!(desk.listing.pictures, [], "nothing arrived");
    }
}
