//! Pictures: each `src` that is sent is fetched and becomes a new file of the media library (W36).

use serde_json::{Value, json};
use url::{Host, Url};

use super::{forms, refusal::Refusal, stock::Stock};

/// What the media library takes, by extension (W31 to W34).
const TAKEN: &[&str] = &["jpg", "jpeg", "png", "gif", "webp"];

impl Stock {
    /// The pictures of a product, those that are new fetched. `is_new`: of a product that is being made.
    pub(super) fn fetch(&mut self, images: &Value, is_new: bool, url: &str) -> Result<Value, Refusal> {
        let n_before = self.media.len();
        let fetched: Result<Vec<Value>, Refusal> = images
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|image| self.fetch_one(image, url).transpose())
            .collect();
        if fetched.is_err() && is_new && self.settings.rolls_back {
            // 10.5.0 takes back what it fetched for a product that is not made after all (W37).
            self.media.truncate(n_before);
        }
        fetched.map(Value::Array)
    }

    pub(super) fn fetch_one(&mut self, image: &Value, shop: &str) -> Result<Option<Value>, Refusal> {
        let id = image["id"].as_u64().unwrap_or_default();
        let Some(src) = image["src"].as_str().filter(|_| id == 0) else {
            if id == 0 {
                return Ok(None);
            }
            let Some(media) = self.media.iter_mut().find(|media| media["id"] == id) else {
                let message = format!("#{id} is an invalid image ID.");
                return Err(Refusal::bad("woocommerce_product_invalid_image_id", message));
            };
            if let Some(alt) = image["alt"].as_str().filter(|alt| !alt.is_empty()) {
                media["alt"] = json!(forms::ampersands(&forms::one_line(alt)));
            }
            if let Some(name) = image["name"].as_str().filter(|name| !name.is_empty()) {
                media["name"] = json!(forms::name(name));
            }
            return Ok(Some(media.clone()));
        };
        let refused = |message: String| Err(Refusal::bad("woocommerce_product_image_upload_error", message));
        let url =
            Url::parse(src).ok().filter(|url| is_public(url) || src.starts_with(shop) || self.settings.allow_loopback);
        let Some(url) = url else {
            return refused(format!("Error getting remote image {src}. Error: A valid URL was not provided."));
        };
        if url.host_str() == Some("broken.example") {
            return refused(format!("Error getting remote image {src}. Error: Not Found"));
        }
        let file = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default().to_owned();
        let extension = file.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
        if extension.is_none_or(|extension| !TAKEN.contains(&extension.as_str())) {
            return refused("Sorry, you are not allowed to upload this file type.".to_owned());
        }
        let id = self.next_id();
        let text = |name: &str| image[name].as_str().unwrap_or_default();
        let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
        let name = if text("name").is_empty() { stem } else { text("name") };
        let media = json!({
            "id": id, "src": format!("{shop}/wp-content/uploads/{id}/{file}"), "name": forms::name(name),
            "alt": forms::ampersands(&forms::one_line(text("alt"))),
        });
        self.media.push(media.clone());
        Ok(Some(media))
    }
}

fn is_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name != "localhost" && name.contains('.'),
        Some(Host::Ipv4(address)) => !address.is_loopback() && !address.is_private(),
        Some(Host::Ipv6(address)) => !address.is_loopback(),
        None => false,
    }
}
