//! Pictures: the shop fetches each once, while our call waits, and knows it by its id from then on.
//!
//! A `src` becomes a new file each time it is sent (W36), and a call that fails may leave its files behind (W37). So each is sent alone, is
//! noted before, and carries a tag in its name by which it is known again when the answer was lost.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
        listing::{Brought, Desk},
        patch::Picture,
    },
    client::{Client, LONG_TIMEOUT, not_as_documented},
    read::{has_tag, id, list, tag, text},
    refusals::refused,
    rest::{Refusal, SHOP, transient},
    texts::{decoded, escaped, plain},
};
use crate::error::{Hold, ProviderError};

/// In [`super::super::Listing::own`]: until then, in Unix milliseconds, the shop may still be at what it gave no answer to.
const UNSURE: &str = "unsure_until_ms";
/// Of a picture's name.
const MOST_NAME: usize = 60;

impl Client<'_> {
    /// Makes these the pictures of a product, in this order; returns the product.
    pub(super) async fn pictures(
        &self,
        mut raw: Value,
        wanted: &[Picture],
        desk: &mut Desk<'_>,
    ) -> Result<Value, PublishError> {
        let path = format!("/products/{}", id(&raw));
        reconcile(&raw, wanted, desk);
        let missing: Vec<usize> =
            (0..wanted.len()).filter(|at| desk.listing.picture(&wanted[*at].key).is_none()).collect();
        let unfetchable = missing.iter().filter(|at| wanted[**at].url.is_none());
        let faults: Vec<Fault> = unfetchable.map(|at| Fault::new(format!("images.{at}"), no_address())).collect();
        if !faults.is_empty() {
            return Err(PublishError::Refused(faults));
        }
        if !missing.is_empty() {
            sure(desk)?;
        }
        for (n_done, at) in missing.iter().enumerate() {
            let picture = &wanted[*at];
            let is_last = n_done + 1 == missing.len();
            let new = json!({ "src": picture.url, "name": name(picture), "alt": escaped(&plain(&picture.alt)) });
            // With the last one the list is as it shall be; until then it only grows.
            let images: Vec<Value> = match is_last {
                true => wanted.iter().map(|other| known(&raw, other, desk).unwrap_or_else(|| new.clone())).collect(),
                false => list(&raw, "images").iter().map(|image| json!({ "id": image["id"] })).chain([new]).collect(),
            };
            raw = self.send_picture(&path, picture, *at, images, desk).await?;
        }
        let now: Vec<(String, String)> =
            list(&raw, "images").iter().map(|image| (id(image), decoded(text(image, "alt")))).collect();
        let shall: Vec<(String, String)> = wanted
            .iter()
            .map(|picture| (desk.listing.picture(&picture.key).unwrap_or_default().to_owned(), plain(&picture.alt)))
            .collect();
        if now == shall {
            return Ok(raw);
        }
        let images: Vec<Value> = wanted.iter().filter_map(|picture| known(&raw, picture, desk)).collect();
        match self.put(&path, &json!({ "images": images })).await? {
            Ok(raw) => Ok(raw),
            Err(refusal) => Err(stale(&refusal, &raw, desk).await?),
        }
    }

    async fn send_picture(
        &self,
        path: &str,
        picture: &Picture,
        at: usize,
        images: Vec<Value>,
        desk: &mut Desk<'_>,
    ) -> Result<Value, PublishError> {
        desk.listing.pictures.retain(|other| other.key != picture.key);
        desk.listing.pictures.push(Brought { key: picture.key.clone(), external_id: None });
        unsure(desk, LONG_TIMEOUT);
        desk.save().await?;
        let raw = match self.put_pictures(path, &json!({ "images": images })).await {
            Ok(Ok(raw)) => raw,
            Ok(Err(refusal)) => {
                desk.listing.pictures.retain(|other| other.key != picture.key);
                settled(desk);
                desk.save().await?;
                return Err(match refusal.code.as_str() {
                    "woocommerce_product_image_upload_error" => unfetched(&refusal, at),
                    _ => stale(&refusal, &Value::Null, desk).await?,
                });
            }
            // It was told to come later, or nothing was sent.
            Err(error @ ProviderError::UnknownOutcome { .. }) => return Err(error.into()),
            Err(error) => {
                settled(desk);
                desk.save().await?;
                return Err(error.into());
            }
        };
        let brought = list(&raw, "images").iter().find(|image| has_tag(image, &picture.key)).map(id);
        let Some(external_id) = brought else { return Err(not_as_documented(path, &raw["images"]).into()) };
        if let Some(entry) = desk.listing.pictures.iter_mut().find(|other| other.key == picture.key) {
            entry.external_id = Some(external_id);
        }
        settled(desk);
        desk.save().await?;
        Ok(raw)
    }
}

/// Pictures that are there although nobody noted it: an answer was lost, or what was remembered.
fn reconcile(raw: &Value, wanted: &[Picture], desk: &mut Desk<'_>) {
    for picture in wanted.iter().filter(|picture| desk.listing.picture(&picture.key).is_none()).collect::<Vec<_>>() {
        if let Some(image) = list(raw, "images").iter().find(|image| has_tag(image, &picture.key)) {
            desk.listing.pictures.retain(|other| other.key != picture.key);
            desk.listing.pictures.push(Brought { key: picture.key.clone(), external_id: Some(id(image)) });
        }
    }
}

/// A picture that the shop has, as the list takes it.
fn known(raw: &Value, picture: &Picture, desk: &Desk<'_>) -> Option<Value> {
    let external_id = desk.listing.picture(&picture.key)?;
    let number: u64 = external_id.parse().ok()?;
    let shown = list(raw, "images").iter().find(|image| image["id"] == number);
    let has_alt = shown.is_none_or(|image| !text(image, "alt").is_empty());
    let alt = match plain(&picture.alt) {
        // An empty one is not looked at; a blank is, and is cut off.
        alt if alt.is_empty() && has_alt => " ".to_owned(),
        alt => escaped(&alt),
    };
    Some(json!({ "id": number, "alt": alt }))
}

/// What the picture is called in the shop: as its file, with its tag.
fn name(picture: &Picture) -> String {
    let stem = picture.file_name.rsplit_once('.').map_or(picture.file_name.as_str(), |(stem, _)| stem);
    let stem: String = plain(stem).replace(['<', '>', '&'], "").chars().take(MOST_NAME).collect();
    format!("{stem}-{}", tag(&picture.key))
}

fn no_address() -> Wrong {
    let message = "WooCommerce fetches pictures itself, and this one has no public address (PUBLIC_URL is not set)";
    Wrong::Said { message: message.to_owned() }
}

/// What will never be fetched is refused, all else may be in a while.
fn unfetched(refusal: &Refusal, at: usize) -> PublishError {
    let is_final =
        ["not allowed to upload", "valid URL", "Invalid image"].iter().any(|words| refusal.message.contains(words));
    if is_final {
        let message = super::rest::short(&decoded(&refusal.message));
        return Fault::new(format!("images.{at}"), Wrong::Said { message }).into();
    }
    transient(
        format!("images.{at}: the shop could not fetch the picture: {}", super::rest::short(&refusal.message)),
        None,
    )
    .into()
}

/// Pictures that a merchant deleted in the shop are sent again by the next run.
async fn stale(refusal: &Refusal, raw: &Value, desk: &mut Desk<'_>) -> Result<PublishError, PublishError> {
    if refusal.code != "woocommerce_product_invalid_image_id" {
        return Ok(refused(refusal, ""));
    }
    let shown: Vec<String> = list(raw, "images").iter().map(id).collect();
    desk.listing.pictures.retain(|picture| picture.external_id.as_ref().is_some_and(|id| shown.contains(id)));
    desk.save().await?;
    Ok(transient("a picture was deleted in the shop: all are sent again", None).into())
}

/// Notes that the shop may be at something for twice as long as it is waited for.
pub(super) fn unsure(desk: &mut Desk<'_>, timeout: Duration) {
    let until_ms = desk.now_ms + 2 * u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 4);
    if !desk.listing.own.is_object() {
        desk.listing.own = json!({});
    }
    desk.listing.own[UNSURE] = json!(until_ms);
}

/// It gave its answer.
pub(super) fn settled(desk: &mut Desk<'_>) {
    if let Some(own) = desk.listing.own.as_object_mut() {
        own.remove(UNSURE);
    }
}

/// Whether what is not there cannot come any more.
pub(super) fn sure(desk: &Desk<'_>) -> Result<(), ProviderError> {
    let until_ms = desk.listing.own[UNSURE].as_u64().unwrap_or_default();
    if until_ms <= desk.now_ms {
        return Ok(());
    }
    Err(ProviderError::Held {
        service: SHOP,
        hold: Hold::Turn,
        message: "the shop gave no answer to what was sent last, and may still be at it".to_owned(),
        retry_in: Duration::from_millis(until_ms - desk.now_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::Original;

    #[test]
    fn a_picture_is_known_by_its_name() {
        let picture = Picture {
            key: "sha".to_owned(),
            url: None,
            bytes: Original::Nowhere,
            file_name: "red & mug.jpg".to_owned(),
            alt: String::new(),
        };
        let image = json!({ "id": 3, "name": name(&picture) });
        assert!(has_tag(&image, "sha") && !has_tag(&image, "other"), "{image}");
        assert_eq!(name(&picture), format!("red  mug-{}", tag("sha")));
    }

    #[test]
    fn a_picture_that_can_never_be_fetched_is_refused_and_another_tried_again() {
        let told = |message: &str| {
            let refusal = Refusal { message: message.to_owned(), ..Refusal::default() };
            unfetched(&refusal, 1)
        };
        assert!(matches!(told("Sorry, you are not allowed to upload this file type."), PublishError::Refused(_)));
        assert!(matches!(
            told("Error getting remote image x. Error: 500"),
            PublishError::Provider(ProviderError::Transient { .. })
        ));
    }
}
