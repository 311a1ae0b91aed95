//! A product's pictures: which they are, and where a shop has them from. Bytes that a shop is sent are fetched one picture at a time, when
//! that one is sent: a product's pictures together may be more than is to be held, and those that the shop has already are not needed.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use pictures::{Size, Source};
use providers::publication::{Fault, Field, Original, Originals, Picture, PublishError, Shop, Store, Wrong};
use queue::JobId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::order::{ProductImage, Publication};
use crate::{
    handler::{Context, Handler},
    image::{GATE, Image, place_of},
};

/// What shops that are sent the bytes take at most, by default, in bytes.
const MOST_BYTES: usize = 2_000 * 1_024;

/// Which pictures a payload names, without where they are had: what tells them apart, and what they show.
pub(super) fn named(job: &Publication) -> Field<Vec<Picture>> {
    let named = |image: ProductImage| {
        let key = image.url.clone().or(image.image_id).unwrap_or_default();
        let alt = image.alt.unwrap_or_default();
        Picture { key, url: image.url, bytes: Original::Nowhere, file_name: String::new(), alt }
    };
    images(job).map(|images| images.into_iter().map(named).collect())
}

/// The same for a real store, and where the bytes are that it is sent.
pub(super) async fn of(
    job: &Publication,
    store: &Store,
    context: &Context,
) -> Result<(Field<Vec<Picture>>, InOrigin), PublishError> {
    let mut origin = InOrigin { context: context.clone(), places: BTreeMap::new() };
    let wanted = match images(job) {
        Field::Keep => return Ok((Field::Keep, origin)),
        Field::Clear => return Ok((Field::Clear, origin)),
        Field::Set(wanted) => wanted,
    };
    let mut found = Vec::with_capacity(wanted.len());
    for (at, image) in wanted.iter().enumerate() {
        let picture = match (&image.url, &image.image_id) {
            (Some(url), _) => Ok(at_address(url, image, store)),
            (None, Some(id)) => made_by_us(id, image, store, context).await,
            (None, None) => continue,
        };
        let field = format!("images.{at}");
        let (picture, place) = picture.map_err(|error| error.of_field(&field))?;
        if picture.bytes == Original::OnDemand {
            origin.places.insert(picture.key.clone(), (field, place));
        }
        found.push(picture);
    }
    Ok((Field::Set(found), origin))
}

/// Where the bytes of a job's pictures are.
pub(super) struct InOrigin {
    context: Context,
    /// By the picture's key: the field that names it, and the place.
    places: BTreeMap<String, (String, Place)>,
}

enum Place {
    Address(String),
    /// The files of a picture in MongoDB, by their hashes, the largest first.
    Files(Vec<String>),
}

impl Originals for InOrigin {
    fn bytes<'a>(&'a self, picture: &'a Picture) -> BoxFuture<'a, Result<Bytes, PublishError>> {
        async move {
            let found = match self.places.get(&picture.key) {
                Some((field, Place::Address(address))) => (field, fetched(address, &self.context).await),
                Some((field, Place::Files(files))) => (field, stored(files, &self.context).await),
                None => return Err(Fault::new("images", Wrong::NotThere).into()),
            };
            let (field, bytes) = found;
            bytes.map_err(|error| error.of_field(field))
        }
        .boxed()
    }
}

/// The pictures of a payload, whichever way it names them.
fn images(job: &Publication) -> Field<Vec<ProductImage>> {
    match (&job.images, &job.image_url) {
        (Field::Keep, Some(url)) => {
            Field::Set(vec![ProductImage { url: Some(url.clone()), ..ProductImage::default() }])
        }
        (images, _) => images.clone(),
    }
}

/// Why a picture is not had.
enum Failure {
    /// It never will be.
    Refused(String),
    Other(PublishError),
}

impl Failure {
    fn of_field(self, field: &str) -> PublishError {
        match self {
            Self::Refused(message) => Fault::new(field, Wrong::Said { message }).into(),
            Self::Other(error) => error,
        }
    }
}

/// Whether a shop is sent the bytes: one that fetches nothing itself, or where it is not known how the API is reached.
fn takes_bytes(shop: Shop) -> bool {
    shop == Shop::Prestashop
}

fn at_address(address: &str, image: &ProductImage, store: &Store) -> (Picture, Place) {
    let hash = hex::encode(&Sha256::digest(address)[..8]);
    let picture = Picture {
        key: address.to_owned(),
        url: Some(address.to_owned()),
        bytes: if takes_bytes(store.shop()) { Original::OnDemand } else { Original::Nowhere },
        file_name: format!("{hash}.jpg"),
        alt: image.alt.clone().unwrap_or_default(),
    };
    (picture, Place::Address(address.to_owned()))
}

/// The bytes behind an address, as a JPEG that shops take.
async fn fetched(address: &str, context: &Context) -> Result<Bytes, Failure> {
    let url = Url::parse(address).map_err(|error| Failure::Refused(format!("{address:?} is no address: {error}")))?;
    let _held = GATE.hold(pictures::MAX_BYTES).await;
    let bytes = context.providers.publication.picture(&url).await.map_err(|error| Failure::Other(error.into()))?;
    let refused = |error: pictures::Error| Failure::Refused(format!("{address}: {error}"));
    let memory = Source::look(&bytes).map_err(refused)?.memory();
    let pass = GATE.work(memory).await;
    let made = tokio::task::spawn_blocking(move || {
        let _pass = pass;
        Source::look(&bytes)?.decode()?.variants()
    });
    let made = made.await.map_err(|error| Failure::Refused(error.to_string()))?.map_err(refused)?;
    let fits = Size::ALL.into_iter().map(|size| &made.get(size).jpg).find(|jpg| jpg.len() <= MOST_BYTES);
    let jpg = fits.ok_or_else(|| Failure::Refused(format!("{address} cannot be made small enough")))?;
    Ok(Bytes::copy_from_slice(jpg))
}

/// A picture of an image job of the same tenant.
async fn made_by_us(
    id: &str,
    image: &ProductImage,
    store: &Store,
    context: &Context,
) -> Result<(Picture, Place), Failure> {
    let missing = || Failure::Refused(format!("there is no picture {id:?} of an image job of this tenant"));
    let (job, n) = id.rsplit_once('-').ok_or_else(missing)?;
    let (Ok(job), Ok(n)) = (job.parse::<JobId>(), n.parse::<usize>()) else { return Err(missing()) };
    let Some(db) = &context.store else { return Err(missing()) };
    let result = db
        .result_of_tenant(Image::COLLECTION, &job.to_string(), &context.tenant)
        .await
        .map_err(|error| away(&error))?;
    let made = result.and_then(|mut result| result["images"].get_mut(n).map(Value::take)).ok_or_else(missing)?;
    let hash = |file: &str| place_of(file).and_then(|(place, _)| made["files"][place].as_str()).map(str::to_owned);
    let key = hash("master.jpg").ok_or_else(missing)?;
    let alt = image.alt.clone().or_else(|| made["alt"].as_str().map(str::to_owned)).unwrap_or_default();
    let file_name = format!("{}.jpg", &key[..16.min(key.len())]);
    let links = &context.providers.links;
    let now_s = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
    let behind = links.behind_image(id, now_s);
    let url = (!links.before_images().is_empty())
        .then_some(behind)
        .flatten()
        .map(|behind| format!("{}/api/images/{id}/master.jpg{behind}", links.before_images()));
    let is_sent = takes_bytes(store.shop()) || url.is_none();
    let bytes = if is_sent { Original::OnDemand } else { Original::Nowhere };
    let files = Size::ALL.into_iter().filter_map(|size| hash(&format!("{size}.jpg"))).collect();
    Ok((Picture { key, url, bytes, file_name, alt }, Place::Files(files)))
}

/// The largest of a picture's files that shops take.
async fn stored(files: &[String], context: &Context) -> Result<Bytes, Failure> {
    let missing = || Failure::Refused("the picture is no longer kept".to_owned());
    let db = context.store.as_ref().ok_or_else(missing)?;
    for hash in files {
        let file = db.file(hash).await.map_err(|error| away(&error))?.ok_or_else(missing)?;
        if usize::try_from(file.length).is_ok_and(|length| length <= MOST_BYTES) {
            return read(db, &file).await.map_err(|error| away(&error));
        }
    }
    Err(missing())
}

fn away(error: &store::Error) -> Failure {
    Failure::Other(PublishError::Notes(error.to_string()))
}

async fn read(db: &store::Store, file: &store::StoredFile) -> Result<Bytes, store::Error> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < file.length {
        let piece = db.read_file(file, &(bytes.len() as u64..=file.length - 1)).await?;
        if piece.is_empty() {
            let what = "read a picture".to_owned();
            return Err(store::Error::Refused { what, reason: "it is gone".to_owned() });
        }
        bytes.extend(piece);
    }
    Ok(bytes.into())
}
