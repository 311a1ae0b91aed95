//! Asks for placeholders: pictures that have only the product's name. The same request gives the same ones.

use futures::future::{BoxFuture, FutureExt};
use sha2::{Digest, Sha256};

use super::{Begun, ImageProvider, ImageRequest, Original, Pictures, Pixels};
use crate::{Provider, ProviderError};

#[derive(Debug)]
pub(crate) struct Placeholder;

impl Provider for Placeholder {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl ImageProvider for Placeholder {
    fn begin<'a>(
        &'a self,
        request: &'a ImageRequest,
        _webhook: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Begun, ProviderError>> {
        async move { Ok(Begun::Made(drawn(request))) }.boxed()
    }
}

fn drawn(request: &ImageRequest) -> Pictures {
    let first = request.seed.unwrap_or_else(|| seed(request));
    let pictures = (0..request.count).map(|place| {
        let seed = u64::from(first.wrapping_add(place));
        Original { place, seed, pixels: Pixels::Placeholder(look(request, place)) }
    });
    let pictures = pictures.collect();
    Pictures { model: "placeholder".to_owned(), cost: None, mock: true, pictures, flagged: Vec::new() }
}

/// Another style, seed or number has another look.
fn look(request: &ImageRequest, n: u32) -> String {
    let ImageRequest { prompt, style, seed, .. } = request;
    let seed = seed.map(|seed| seed.to_string());
    let [prompt, style, seed] = [prompt, style, &seed].map(|text| text.as_deref().unwrap_or_default());
    format!("{prompt}\n{style}\n{seed}\n{n}")
}

fn seed(request: &ImageRequest) -> u32 {
    let hash = Sha256::digest(format!("{}\n{}", request.name, look(request, 0)));
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(count: u32, seed: Option<u32>) -> ImageRequest {
        let name = "Teetasse „Grün“".to_owned();
        ImageRequest { name, prompt: None, style: None, width: 1024, height: 1024, count, seed, safety_tolerance: None }
    }

    #[test]
    fn the_same_request_gives_the_same_pictures_and_another_style_others() {
        let cup = request(3, None);
        assert_eq!(drawn(&cup), drawn(&cup.clone()));
        assert_ne!(drawn(&cup), drawn(&ImageRequest { style: Some("studio".to_owned()), ..cup.clone() }));
        assert_eq!(drawn(&cup).pictures.len(), 3);
    }

    #[test]
    fn each_picture_has_a_seed_and_a_look_of_its_own() {
        let Pictures { pictures, .. } = drawn(&request(2, Some(u32::MAX)));
        assert_eq!((pictures[0].seed, pictures[1].seed), (u64::from(u32::MAX), 0));
        assert_ne!(pictures[0].pixels, pictures[1].pixels);
    }
}
