//! Product pictures.

use api::FieldError;
use providers::image::ImageRequest;
use queue::Job;
use serde::{Deserialize, Serialize};
use services::Name;
use utoipa::ToSchema;

use crate::handler::{Context, Done, Handler, JobError};

const SIDE: u32 = 1024;

/// Makes one picture of one product.
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
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageResult {
    /// The shop's own id of the product.
    pub product_id: String,
    /// `image/svg+xml`.
    pub media_type: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The picture itself: SVG text.
    pub data: String,
    /// Of `data`, in hexadecimal.
    pub sha256: String,
    /// Whether it is a placeholder that does not show the product.
    pub mock: bool,
}

fn side() -> u32 {
    SIDE
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

    fn check(&self) -> Vec<FieldError> {
        if self.name.trim().is_empty() { vec![FieldError::new("/name", "must not be blank")] } else { Vec::new() }
    }

    async fn run(self, context: &Context) -> Result<Done<ImageResult>, JobError> {
        let Self { product_id, name, prompt, style, width, height } = self;
        let request = ImageRequest { name, prompt, style, width, height };
        context.progress.set(10, "drawing");
        let answer = context.providers.image.call(context.policy(), &request).await?;
        context.progress.set(90, format!("drawn by {}", answer.provider));
        let done = Done::from(answer);
        let picture = done.result;
        let result = ImageResult {
            product_id,
            media_type: picture.media_type,
            width: picture.width,
            height: picture.height,
            data: picture.data,
            sha256: picture.sha256,
            mock: picture.mock,
        };
        Ok(Done { result, provider: done.provider, degraded_reason: done.degraded_reason })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{complaints, context, mocks, refused, stored};

    #[tokio::test]
    async fn a_placeholder_is_drawn_and_marked() {
        let job: Image = stored(json!({ "product_id": "L-1", "name": "Lampe <Étoile>", "width": 640 }));
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Image>(mocks())).await.unwrap();
        assert_eq!(done.provider, Some("mock"));
        let picture = done.result;
        assert_eq!((picture.product_id.as_str(), picture.width, picture.height), ("L-1", 640, 1024));
        assert!(picture.mock && picture.data.contains("Lampe &lt;Étoile&gt;"), "{}", picture.data);
        assert_eq!((picture.media_type, picture.sha256.len()), ("image/svg+xml", 64));
    }

    #[test]
    fn a_blank_name_is_refused() {
        assert_eq!(complaints::<Image>(json!({ "product_id": "L-1", "name": " " })), ["/name"]);
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let bad = json!({ "name": "", "width": 63, "height": 4097, "size": "big" });
        assert_eq!(refused::<Image>(&bad), ["/height", "/name", "/product_id", "/size", "/width"]);
    }
}
