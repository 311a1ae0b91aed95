//! Product pictures.

mod run;

use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use api::FieldError;
use bytes::Bytes;
use futures::future::try_join_all;
use pictures::{Gate, Size, Source, Variants};
use providers::{
    Answer, ProviderError,
    content::Cost,
    image::{Begin, Begun, Fetch, Fetched, ImageRequest, Original, Pictures, Pixels},
};
use queue::Job;
use serde::{Deserialize, Serialize};
use services::Name;
use sha2::{Digest, Sha256};
use store::References;
use utoipa::ToSchema;

use run::Failure;

use crate::handler::{Context, Done, Handler, JobError};

/// Where the results are that refer to stored files, and where in them.
pub const FILES: References = References { collection: Image::COLLECTION, path: "result.images.files" };

const SIDE: u32 = 1024;
/// What the files of a picture take at most, until they are stored, of what making them took.
const HELD: usize = 8;
/// The part of an attempt's time in which pictures are fetched.
const TIME_TO_FETCH: f64 = 0.8;
/// MongoDB being away is no fault of the job.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// For all jobs of a process.
pub(crate) static GATE: LazyLock<Gate> = LazyLock::new(Gate::default);

/// Makes pictures of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The shop's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// The product's name.
    #[schema(min_length = 1, max_length = 200, example = "Lampe de bureau « Étoile »")]
    pub name: String,
    /// What to show besides the product, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2_000)]
    pub prompt: Option<String>,
    /// How it shall look, in a word or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100, example = "studio")]
    pub style: Option<String>,
    /// In pixels.
    #[serde(default = "side")]
    #[schema(minimum = 64, maximum = 4096, default = 1024)]
    pub width: u32,
    /// In pixels.
    #[serde(default = "side")]
    #[schema(minimum = 64, maximum = 4096, default = 1024)]
    pub height: u32,
    /// How many pictures.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(minimum = 1, maximum = 4, default = 1)]
    pub count: u32,
    /// The same one gives the same pictures, as far as the provider can; chosen if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    pub seed: Option<u32>,
    /// What may be shown, from `1`, the strictest, to `6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_tolerance: Option<SafetyTolerance>,
    /// What the picture shows, for those who do not see it; made of the name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub alt: Option<String>,
}

/// What a picture may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum SafetyTolerance {
    /// The strictest.
    #[serde(rename = "1")]
    One,
    /// As most providers have it.
    #[serde(rename = "2")]
    Two,
    /// Less strict.
    #[serde(rename = "3")]
    Three,
    /// Less strict.
    #[serde(rename = "4")]
    Four,
    /// Less strict.
    #[serde(rename = "5")]
    Five,
    /// Nearly everything.
    #[serde(rename = "6")]
    Six,
}

/// Pictures of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageResult {
    /// The shop's own id of the product.
    pub product_id: String,
    /// The model that made them; `placeholder` is none.
    pub model: String,
    /// What they cost.
    pub cost: Option<Cost>,
    /// Whether they are placeholders that do not show the product.
    pub mock: bool,
    /// The pictures.
    pub images: Vec<ImageOfProduct>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageOfProduct {
    /// Of the job and its place in it, so that it stays when a real picture takes the place of a placeholder.
    #[schema(example = "0199a1b2-0000-7000-8000-000000000000-0")]
    pub id: String,
    /// Of the largest size as JPEG: signed, good for at least 30 days, needs no token.
    pub url: String,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// Of the largest size, in pixels.
    pub width: u32,
    /// Of the largest size, in pixels.
    pub height: u32,
    /// What it was made with; of several pictures of one run, the run's.
    pub seed: u64,
    /// Of the bytes behind `url`, in hexadecimal.
    pub sha256: String,
    /// By the longest side; a picture that is smaller is never enlarged.
    pub sizes: ImageSizes,
    /// The SHA-256 of each file, in hexadecimal: the sizes from the largest on, each as JPEG and then as WebP.
    pub files: Vec<String>,
}

/// The sizes of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSizes {
    /// As it was made.
    pub master: ImageSize,
    /// 1,200 pixels.
    #[serde(rename = "1200")]
    pub large: ImageSize,
    /// 600 pixels.
    #[serde(rename = "600")]
    pub medium: ImageSize,
    /// 150 pixels.
    #[serde(rename = "150")]
    pub small: ImageSize,
}

/// One size of a picture: addresses as in `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSize {
    /// As JPEG.
    pub jpg: String,
    /// As WebP.
    pub webp: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

fn side() -> u32 {
    SIDE
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

impl Job for Image {
    const KIND: &'static str = "image";
    const MAX_ATTEMPTS: u32 = 5;
    const TIMEOUT_S: u64 = 300;
    const ALLOW_FALLBACK: bool = true;
    const CONCURRENCY: usize = 8;
}

impl Handler for Image {
    type Output = ImageResult;
    const COLLECTION: &'static str = "images";
    const SERVICE: Option<Name> = Some(Name::Images);
    const RUNS_ELSEWHERE: bool = true;

    fn product_id(&self) -> Option<&str> {
        Some(&self.product_id)
    }

    fn check(&self) -> Vec<FieldError> {
        let blank =
            |pointer: &str, text: &str| text.trim().is_empty().then(|| FieldError::new(pointer, "must not be blank"));
        blank("/name", &self.name).into_iter().chain(self.alt.as_deref().and_then(|alt| blank("/alt", alt))).collect()
    }

    async fn run(self, context: &Context) -> Result<Done<ImageResult>, JobError> {
        let request = ImageRequest {
            name: self.name.clone(),
            prompt: self.prompt.clone(),
            style: self.style.clone(),
            width: self.width,
            height: self.height,
            count: self.count,
            seed: self.seed,
            safety_tolerance: self.safety_tolerance.map(|tolerance| tolerance as u8 + 1),
        };
        let image = &context.providers.image;
        let begin = Begin { request: &request, webhook: None };
        let answer = if image.is_real() {
            match self.made(context, &request).await {
                Ok(done) => return Ok(done),
                Err(error) => image.fall_back(context.policy(), &begin, error?).await?,
            }
        } else {
            image.call(context.policy(), &begin).await?
        };
        let Answer { value: Begun::Made(pictures), provider, mut degraded_reason } = answer else {
            let message = "what stands in draws at once, and began a run".to_owned();
            return Err(JobError::Retry { code: "picture_failed", message, after: None });
        };
        // Real pictures are being made, and paid: they are had when the mode is real again.
        if let (None, Some(run)) = (&degraded_reason, run::is_under_way(context)) {
            degraded_reason = Some(format!("switched to mock while run {run} was under way"));
        }
        let images = self.drawn(context, &pictures).await.map_err(|error| match error {
            Failure::Job(error) => error,
            Failure::Provider(error) | Failure::Lost(error) => error.into(),
        })?;
        Ok(Done { result: self.result(pictures, images), provider: Some(provider), degraded_reason })
    }

    async fn stop_elsewhere(context: &Context) -> Result<bool, JobError> {
        run::stop(context).await
    }
}

impl Image {
    /// Of real pictures. The error that is `Ok` leaves it to a stand-in.
    async fn made(
        &self,
        context: &Context,
        request: &ImageRequest,
    ) -> Result<Done<ImageResult>, Result<ProviderError, JobError>> {
        let began = Instant::now();
        let provider = context.providers.image.first_real().map(|real| real.name());
        let (pictures, run) = run::pictures(context, request, &self.product_id).await.map_err(|error| match error {
            Failure::Job(error) => Err(error.keeping(context.so_far.as_ref())),
            Failure::Provider(error) | Failure::Lost(error) => Ok(error),
        })?;
        context.progress.set(50, "the pictures are made");
        for place in &pictures.flagged {
            context.progress.log(format!("picture {} was flagged as unfit to be shown, and is left out", place + 1));
        }
        // What is not fetched in this time, so that something is left for a stand-in, is fetched by the next attempt.
        let time = context.timeout.mul_f64(TIME_TO_FETCH).saturating_sub(began.elapsed());
        let drawn = tokio::time::timeout(time, self.drawn(context, &pictures)).await.unwrap_or_else(|_| {
            let message = "the pictures were not fetched and made ready in time".to_owned();
            Err(Failure::Provider(ProviderError::Transient { service: "images", message, retry_after: None }))
        });
        match drawn {
            Ok(images) => Ok(Done { result: self.result(pictures, images), provider, degraded_reason: None }),
            Err(Failure::Job(error)) => Err(Err(error.keeping(context.so_far.as_ref()))),
            Err(Failure::Provider(error)) => Err(Ok(error)),
            Err(Failure::Lost(error)) => match run.lost(context, error) {
                Failure::Job(error) => Err(Err(error)),
                Failure::Provider(error) | Failure::Lost(error) => Err(Ok(error)),
            },
        }
    }

    fn result(&self, pictures: Pictures, images: Vec<ImageOfProduct>) -> ImageResult {
        let Pictures { model, cost, mock, .. } = pictures;
        ImageResult { product_id: self.product_id.clone(), model, cost, mock, images }
    }

    /// All pictures in all sizes, stored; one after the other.
    async fn drawn(&self, context: &Context, pictures: &Pictures) -> Result<Vec<ImageOfProduct>, Failure> {
        let n = pictures.pictures.len();
        let mut images = Vec::with_capacity(n);
        for original in &pictures.pictures {
            images.push(self.finished(context, original).await?);
            let percent = 50 + 40 * images.len() / n;
            context.progress.set(u8::try_from(percent).unwrap_or(90), format!("picture {} of {n}", images.len()));
        }
        Ok(images)
    }

    /// All sizes of a picture, stored.
    async fn finished(&self, context: &Context, original: &Original) -> Result<ImageOfProduct, Failure> {
        let place = original.place;
        let asked = pictures::memory_of(self.width, self.height);
        // How large a file is that is fetched is not known before.
        let is_fetched = matches!(original.pixels, Pixels::At(_));
        let _held = GATE.hold((asked / HELD).max(if is_fetched { pictures::MAX_BYTES } else { 0 })).await;
        let variants = match &original.pixels {
            Pixels::Placeholder(look) => self.placeholder(asked, look.clone()).await?,
            Pixels::At(address) => {
                let policy = providers::Policy { allow_fallback: false, ..context.policy() };
                let fetched = context.providers.image.call(policy, &Fetch(address)).await.map_err(Failure::Provider)?;
                let lost = |why: String| {
                    let message = format!("picture {}: {why}", place + 1);
                    Failure::Lost(ProviderError::Transient { service: fetched.provider, message, retry_after: None })
                };
                match fetched.value {
                    Fetched::Nothing(why) => return Err(lost(why)),
                    Fetched::Bytes(bytes) => decoded(bytes).await.map_err(|error| match error {
                        Unusable::Picture(error) => lost(format!("{address}: {error}")),
                        Unusable::Job(error) => Failure::Job(error),
                    })?,
                }
            }
        };
        let files = hashes(&variants);
        store_files(context, &files, &variants).await?;
        let id = format!("{}-{place}", context.job_id);
        let size = |size: Size| {
            let made = variants.get(size);
            let address = |extension: &str| format!("/api/images/{id}/{size}.{extension}");
            ImageSize { jpg: address("jpg"), webp: address("webp"), width: made.width, height: made.height }
        };
        let sizes = ImageSizes {
            master: size(Size::Master),
            large: size(Size::Large),
            medium: size(Size::Medium),
            small: size(Size::Small),
        };
        Ok(ImageOfProduct {
            url: sizes.master.jpg.clone(),
            alt: self.alt(place),
            width: sizes.master.width,
            height: sizes.master.height,
            seed: original.seed,
            sha256: files[0].clone(),
            sizes,
            files,
            id,
        })
    }

    /// As it is asked for, or the name; of several, each says which it is.
    fn alt(&self, place: u32) -> String {
        match &self.alt {
            Some(alt) => alt.trim().to_owned(),
            None if place == 0 => self.name.trim().to_owned(),
            None => format!("{} – {}", self.name.trim(), place + 1),
        }
    }

    async fn placeholder(&self, memory: usize, look: String) -> Result<Variants, JobError> {
        let (name, width, height) = (self.name.clone(), self.width, self.height);
        let made = worked(memory, move || pictures::placeholder(&name, &look, width, height).variants()).await?;
        made.map_err(|error| failed("picture_failed", &error))
    }
}

/// Why bytes did not become a picture.
enum Unusable {
    Picture(pictures::Error),
    Job(JobError),
}

/// All sizes of a picture from outside.
async fn decoded(bytes: Bytes) -> Result<Variants, Unusable> {
    // Its headers are read here, so that it is known what the rest takes.
    let memory = Source::look(&bytes).map_err(Unusable::Picture)?.memory();
    let made = worked(memory, move || Source::look(&bytes)?.decode()?.variants()).await;
    made.map_err(Unusable::Job)?.map_err(Unusable::Picture)
}

/// Work on pixels: beside the tasks that wait, and no more at a time than there is memory for.
async fn worked<T: Send + 'static>(memory: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JobError> {
    let pass = GATE.work(memory).await;
    let done = tokio::task::spawn_blocking(move || {
        let _pass = pass;
        work()
    });
    done.await.map_err(|error| failed("picture_failed", &error))
}

/// As a result lists them, and as the API finds them again.
fn hashes(variants: &Variants) -> Vec<String> {
    let files = variants.iter().flat_map(|(_, made)| [&made.jpg, &made.webp]);
    files.map(|bytes| hex::encode(Sha256::digest(bytes))).collect()
}

/// Where in [`ImageOfProduct::files`] the hash of a file stands: `None` when no picture has such a file.
#[must_use]
pub fn place_of(file: &str) -> Option<(usize, &'static str)> {
    let (size, extension) = file.split_once('.')?;
    let size = Size::ALL.iter().position(|known| known.as_str() == size)?;
    match extension {
        "jpg" => Some((size * 2, "image/jpeg")),
        "webp" => Some((size * 2 + 1, "image/webp")),
        _ => None,
    }
}

async fn store_files(context: &Context, hashes: &[String], variants: &Variants) -> Result<(), JobError> {
    let Some(store) = &context.store else { return Ok(()) };
    let files = variants.iter().flat_map(|(_, made)| [&made.jpg, &made.webp]);
    // Where a size is as large as the one above it, so are its bytes.
    let files: BTreeMap<_, _> = hashes.iter().zip(files).collect();
    let mut stored = Vec::with_capacity(files.len());
    for (hash, bytes) in files {
        stored.push(store.put_file(hash, bytes.to_vec()));
    }
    try_join_all(stored).await.map(drop).map_err(|error| {
        if error.is_unavailable() || matches!(error, store::Error::Misconfigured { .. }) {
            let message = error.to_string();
            return JobError::Snooze { code: "store_unavailable", message, after: STORE_AGAIN_AFTER };
        }
        JobError::Fatal { code: "unstorable", message: error.to_string() }
    })
}

fn failed(code: &'static str, error: &dyn std::error::Error) -> JobError {
    JobError::Retry { code, message: error.to_string(), after: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{complaints, context, mocks, refused, stored};

    async fn run(payload: serde_json::Value) -> ImageResult {
        let job: Image = stored(payload);
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Image>(mocks())).await.unwrap();
        assert_eq!(done.provider, Some("mock"));
        done.result
    }

    #[tokio::test]
    async fn a_placeholder_is_drawn_in_all_sizes_and_marked() {
        let result = run(json!({ "product_id": "L-1", "name": "Lampe <Étoile>", "width": 640 })).await;
        assert_eq!((result.product_id.as_str(), result.model.as_str(), result.mock), ("L-1", "placeholder", true));
        assert_eq!((result.cost, result.images.len()), (None, 1));
        let image = &result.images[0];
        assert_eq!((image.width, image.height, image.alt.as_str()), (640, 1024, "Lampe <Étoile>"));
        assert_eq!(image.id, format!("{}-0", crate::testing::JOB_ID));
        assert_eq!(image.url, format!("/api/images/{}/master.jpg", image.id));
        let small = &image.sizes.small;
        assert_eq!(
            (small.width, small.height, small.webp.as_str()),
            (94, 150, image.url.replace("master.jpg", "150.webp").as_str())
        );
        assert_eq!((image.files.len(), image.sha256.len()), (8, 64));
        // It is not enlarged: the next size is the same file.
        assert_eq!((&image.files[0], &image.files[1]), (&image.files[2], &image.files[3]));
        assert_ne!(image.files[2], image.files[4]);
    }

    #[tokio::test]
    async fn each_of_several_pictures_has_an_id_a_seed_and_a_text() {
        let asked = json!({ "product_id": "L-1", "name": "Mug", "width": 64, "height": 64, "count": 4, "seed": 7, "safety_tolerance": "6" });
        let images = run(asked.clone()).await.images;
        assert_eq!(images.iter().map(|image| image.seed).collect::<Vec<_>>(), [7, 8, 9, 10]);
        assert_eq!(
            images.iter().map(|image| image.alt.as_str()).collect::<Vec<_>>(),
            ["Mug", "Mug – 2", "Mug – 3", "Mug – 4"]
        );
        assert!(images[3].id.ends_with("-3"));
        assert_eq!(images, run(asked).await.images, "the same request gives the same pictures");
        let image = &run(json!({ "product_id": "L-1", "name": "Mug", "alt": " A red mug. " })).await.images[0];
        assert_eq!(image.alt, "A red mug.");
    }

    #[test]
    fn files_are_found_by_their_names() {
        let names = Size::ALL.iter().flat_map(|size| [format!("{size}.jpg"), format!("{size}.webp")]);
        assert!(names.enumerate().all(|(at, name)| place_of(&name).is_some_and(|(place, _)| place == at)));
        for none in ["", "master", "master.png", "1024.jpg", "master.jpg.webp", "Master.jpg"] {
            assert_eq!(place_of(none), None, "{none}");
        }
    }

    #[test]
    fn blank_texts_are_refused() {
        let blank = json!({ "product_id": "L-1", "name": " ", "alt": "\t" });
        assert_eq!(complaints::<Image>(blank), ["/name", "/alt"]);
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let bad = json!({ "name": "", "width": 63, "height": 4097, "size": "big", "count": 5, "seed": -1, "safety_tolerance": "7", "alt": "" });
        let fields =
            ["/alt", "/count", "/height", "/name", "/product_id", "/safety_tolerance", "/seed", "/size", "/width"];
        assert_eq!(refused::<Image>(&bad), fields);
    }

    #[test]
    fn a_payload_of_an_older_release_is_read() {
        let old: Image = stored(json!({ "product_id": "L-1", "name": "Lamp", "width": 1024, "height": 1024 }));
        assert_eq!((old.count, old.seed, old.safety_tolerance, old.alt), (1, None, None, None));
    }
}
