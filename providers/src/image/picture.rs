//! What is drawn, and who draws.

use std::fmt::Debug;

use futures::future::BoxFuture;

use crate::{
    chain::{Ask, Provider},
    content::Cost,
    error::ProviderError,
};

/// Makes pictures of products.
pub trait ImageProvider: Provider + Debug {
    /// Makes as many pictures as are asked for.
    ///
    /// # Errors
    /// [`ProviderError`], sorted by what follows.
    fn draw<'a>(&'a self, request: &'a ImageRequest) -> BoxFuture<'a, Result<Pictures, ProviderError>>;
}

/// What the pictures shall show.
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
    /// How many.
    pub count: u32,
    /// The same one gives the same pictures; without it, the provider chooses.
    pub seed: Option<u32>,
    /// What may be shown, from 1, the strictest, to 6; without it, as the provider has it.
    pub safety_tolerance: Option<u8>,
}

/// Pictures, as their provider made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// The model that made them.
    pub model: String,
    /// What they cost; `None` when nothing was paid.
    pub cost: Option<Cost>,
    /// Whether they are placeholders that show no product.
    pub mock: bool,
    /// As many as were asked for.
    pub pictures: Vec<Original>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// What it was made with.
    pub seed: u32,
    /// Where its pixels come from.
    pub pixels: Pixels,
}

/// Where the pixels of a picture come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// They are still to be drawn: the product's name, in colours that follow this text.
    Placeholder(String),
}

impl<'p> Ask<dyn ImageProvider + 'p> for ImageRequest {
    type Value = Pictures;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<Pictures, ProviderError>> {
        provider.draw(self)
    }
}
