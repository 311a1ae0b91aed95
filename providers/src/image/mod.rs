//! Product pictures. There is no real provider yet: the mock draws a placeholder.

mod mock;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{Ask, Config, Provider, ProviderError, Service};

/// Makes pictures of products.
pub trait ImageProvider: Provider + Debug {
    /// Makes one picture.
    ///
    /// # Errors
    /// [`ProviderError`], sorted by what follows.
    fn draw<'a>(&'a self, request: &'a ImageRequest) -> BoxFuture<'a, Result<Picture, ProviderError>>;
}

/// What the picture shall show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The product's name.
    pub name: String,
    /// What to show besides, in words.
    pub prompt: Option<String>,
    /// How it shall look, in a word or two.
    pub style: Option<String>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `image/svg+xml`.
    pub media_type: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The SVG text.
    pub data: String,
    /// Of `data`, in hexadecimal.
    pub sha256: String,
    /// Whether it is a placeholder that shows no product.
    pub mock: bool,
}

impl<'p> Ask<dyn ImageProvider + 'p> for ImageRequest {
    type Value = Picture;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<Picture, ProviderError>> {
        provider.draw(self)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every service is built by a function of this form")]
pub(crate) fn service(config: &Config) -> Result<Service<dyn ImageProvider>, ProviderError> {
    Ok(Service::new(
        "images",
        config.is_real("images"),
        Vec::new(),
        Arc::new(mock::Placeholder),
        Duration::from_secs(280),
    ))
}
