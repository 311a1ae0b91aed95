//! Pictures: each upload adds one, the shop keeps them in the order in which they came, and one of them is the face. A picture is noted
//! before it is sent, so that one whose answer was lost is found again; rows that a failed upload left behind are removed.

use std::collections::BTreeSet;

use super::super::{
    error::PublishError,
    fault::{Fault, Wrong},
    listing::{Brought, Desk},
    patch::{Original, Picture},
};
use super::{
    Presta,
    normal::too_large,
    pending::Pending,
    product::Product,
    webservice::{Outcome, unknown},
    xml::Node,
};

/// The shop fetches no addresses.
pub(super) fn no_bytes() -> Fault {
    let message = "PrestaShop fetches no pictures from addresses, and the picture itself could not be had".to_owned();
    Fault::new("images", Wrong::Said { message })
}

/// What a picture's bytes begin with, as the extensions of its kind.
fn kind(bytes: &[u8]) -> &'static [&'static str] {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => &["jpg", "jpeg"],
        [0x89, b'P', b'N', b'G', ..] => &["png"],
        [b'G', b'I', b'F', b'8', ..] => &["gif"],
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => &["webp"],
        _ => &[],
    }
}

/// The name under which it is sent: the shop goes by its extension, so that is the one that the bytes have.
fn file_name(picture: &Picture, bytes: &[u8]) -> Result<String, PublishError> {
    let (stem, extension) = picture.file_name.rsplit_once('.').unwrap_or((&picture.file_name, ""));
    match kind(bytes) {
        [] => {
            let message = format!("{} is no picture that it takes", picture.file_name);
            Err(Fault::new("images", Wrong::Said { message }).into())
        }
        extensions if extensions.contains(&extension.to_lowercase().as_str()) => Ok(picture.file_name.clone()),
        extensions => Ok(format!("{stem}.{}", extensions[0])),
    }
}

/// Which of the pictures that are there stay, in the order of those that are wanted: `None` is sent. New ones come last, so whatever is
/// wanted behind a new one is new as well; only the face may stand anywhere.
fn plan(there: &[(u64, String)], wanted: &[&str]) -> Vec<Option<u64>> {
    let face = wanted.first().and_then(|key| there.iter().find(|(_, known)| known == key)).map(|(id, _)| *id);
    let mut stays = vec![face];
    let mut from = 0;
    for key in wanted.iter().skip(1) {
        let found = there.iter().skip(from).position(|(id, known)| known == key && Some(*id) != face);
        stays.push(found.map(|at| there[from + at].0));
        from = found.map_or(there.len(), |at| from + at + 1);
    }
    stays.truncate(wanted.len());
    stays
}

impl Presta<'_> {
    /// The product has these pictures, in this order, and no others.
    pub(super) async fn write_pictures(
        &self,
        product: &mut Product,
        wanted: &[Picture],
        desk: &mut Desk<'_>,
    ) -> Result<(), PublishError> {
        let mut there = self.webservice.pictures(product.id).await?;
        if self.settle(product.id, &there, desk).await? {
            there = self.webservice.pictures(product.id).await?;
        }
        let keyed: Vec<(u64, String)> =
            there.iter().map(|id| (*id, desk.listing.key_of_picture(&id.to_string()))).collect();
        let keys: Vec<&str> = wanted.iter().map(|picture| picture.key.as_str()).collect();
        let mut stays = plan(&keyed, &keys);
        if wanted.iter().zip(&stays).any(|(picture, stays)| stays.is_none() && picture.bytes == Original::Nowhere) {
            return Err(no_bytes().into());
        }
        for (picture, stays) in wanted.iter().zip(&mut stays) {
            if stays.is_none() {
                *stays = Some(self.send_picture(product.id, picture, desk).await?);
            }
        }
        let wanted: Vec<u64> = stays.into_iter().flatten().collect();
        // Before the old one leaves: after that there is none at all.
        if let Some(face) = wanted.first().filter(|face| **face != product.cover || !there.contains(face)) {
            let row = Node::new("product").with(Node::value("id_default_image", face));
            self.webservice.change("products", product.id, &row, "images").await?;
        }
        let kept: BTreeSet<u64> = wanted.iter().copied().collect();
        let mut has_left = false;
        for id in there.iter().filter(|id| !kept.contains(id)) {
            self.webservice.remove(&format!("images/products/{}/{id}", product.id), "images").await?;
            has_left = true;
        }
        let n_noted = desk.listing.pictures.len();
        let is_kept = |picture: &Brought| {
            picture.external_id.as_deref().and_then(|id| id.parse().ok()).is_some_and(|id| kept.contains(&id))
        };
        desk.listing.pictures.retain(is_kept);
        if has_left || desk.listing.pictures.len() != n_noted {
            desk.save().await?;
        }
        product.cover = wanted.first().copied().unwrap_or(0);
        product.pictures = wanted;
        Ok(())
    }

    /// Sends one picture, and tells its id.
    async fn send_picture(&self, product: u64, picture: &Picture, desk: &mut Desk<'_>) -> Result<u64, PublishError> {
        // It goes with the call: the next one is had when this one is there.
        let bytes = desk.original(picture).await?.ok_or_else(no_bytes)?;
        let name = file_name(picture, &bytes)?;
        let most = self.webservice.settings().await?.most_picture_bytes();
        if let Some(fault) = too_large(picture, bytes.len(), most) {
            return Err(fault.into());
        }
        let before = self.webservice.pictures(product).await?;
        desk.listing.pictures.push(Brought { key: picture.key.clone(), external_id: None });
        Pending { pictures: Some(before), ..Pending::of(&desk.listing) }.note(desk).await?;
        match self.webservice.add_picture(product, &name, bytes).await {
            Ok(Outcome::Done(row)) if row.id() > 0 => {
                adopt(desk, row.id());
                Pending { pictures: None, ..Pending::of(&desk.listing) }.note(desk).await?;
                Ok(row.id())
            }
            // The shop answered, so it is at an end with it: what it left is seen now.
            Ok(_) => {
                let there = self.webservice.pictures(product).await?;
                self.settle(product, &there, desk).await?;
                let id = desk.listing.picture(&picture.key).and_then(|id| id.parse().ok());
                id.ok_or_else(|| unknown(format!("picture {name} did not arrive")).into())
            }
            Err(PublishError::Refused(faults)) => {
                // A refused one leaves a row without a file, which would be the face if it is the first.
                let there = self.webservice.pictures(product).await?;
                for id in fresh(&there, desk) {
                    self.webservice.remove(&format!("images/products/{product}/{id}"), "images").await?;
                }
                desk.listing.pictures.retain(|picture| picture.external_id.is_some());
                Pending { pictures: None, ..Pending::of(&desk.listing) }.note(desk).await?;
                Err(PublishError::Refused(faults))
            }
            Err(error) => Err(error),
        }
    }

    /// Finds out what became of a picture whose answer was lost: the first new one that has a file is it; rows without one leave. Tells
    /// whether there was any.
    async fn settle(&self, product: u64, there: &[u64], desk: &mut Desk<'_>) -> Result<bool, PublishError> {
        if Pending::of(&desk.listing).pictures.is_none() {
            return Ok(false);
        }
        let mut is_found = false;
        for id in fresh(there, desk) {
            if !self.webservice.has_file(product, id).await? {
                self.webservice.remove(&format!("images/products/{product}/{id}"), "images").await?;
            } else if !is_found {
                adopt(desk, id);
                is_found = true;
            }
        }
        desk.listing.pictures.retain(|picture| picture.external_id.is_some());
        Pending { pictures: None, ..Pending::of(&desk.listing) }.note(desk).await?;
        Ok(true)
    }
}

/// Those that were not there before one was sent.
fn fresh(there: &[u64], desk: &Desk<'_>) -> Vec<u64> {
    let before = Pending::of(&desk.listing).pictures.unwrap_or_default();
    let is_known = |id: &u64| {
        before.contains(id)
            || desk.listing.pictures.iter().any(|known| known.external_id.as_deref() == Some(&id.to_string()))
    };
    there.iter().copied().filter(|id| !is_known(id)).collect()
}

/// The picture that was being sent has this id.
fn adopt(desk: &mut Desk<'_>, id: u64) {
    if let Some(sent) = desk.listing.pictures.iter_mut().rev().find(|picture| picture.external_id.is_none()) {
        sent.external_id = Some(id.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stay_where_their_order_allows_it() {
        let there: Vec<(u64, String)> =
            ["a", "b", "c"].iter().zip(1..).map(|(key, id)| (id, (*key).to_owned())).collect();
        for (wanted, stays) in [
            (vec!["a", "b", "c"], vec![Some(1), Some(2), Some(3)]),
            (vec!["c", "a", "b"], vec![Some(3), Some(1), Some(2)]),
            (vec!["a", "c"], vec![Some(1), Some(3)]),
            (vec!["a", "c", "b"], vec![Some(1), Some(3), None]),
            (vec!["x", "a", "b"], vec![None, Some(1), Some(2)]),
            (vec!["a", "x", "b"], vec![Some(1), None, None]),
            (vec!["a", "a"], vec![Some(1), None]),
            (vec![], vec![]),
        ] {
            assert_eq!(plan(&there, &wanted), stays, "{wanted:?}");
        }
    }

    #[test]
    fn a_file_has_the_extension_of_its_bytes() {
        // P42.
        let picture = |name: &str| Picture {
            key: String::new(),
            url: None,
            bytes: Original::Nowhere,
            file_name: name.to_owned(),
            alt: String::new(),
        };
        let named = |name: &str, bytes: &[u8]| file_name(&picture(name), bytes).ok();
        assert_eq!(named("mug.JPG", b"\xff\xd8\xff\xe0").as_deref(), Some("mug.JPG"));
        assert_eq!(named("mug.jpg", b"\x89PNG\r\n").as_deref(), Some("mug.png"));
        assert_eq!(named("mug", b"GIF89a").as_deref(), Some("mug.gif"));
        assert_eq!(named("mug.jpg", b"text"), None);
    }
}
