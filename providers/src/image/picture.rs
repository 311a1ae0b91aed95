//! What is drawn, and who draws.

use std::fmt::Debug;

use futures::future::BoxFuture;

use crate::{
    chain::{Ask, Provider},
    error::ProviderError,
};

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
