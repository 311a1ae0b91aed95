//! Pictures: from bytes that anybody may have sent to what a shop shows.
//!
//! [`Source::look`] says what the bytes are, and refuses what is no picture or too large before anything is decoded;
//! [`Source::decode`] makes an upright picture in sRGB of them, without metadata; [`Picture::variants`] makes the sizes that shops
//! need, as JPEG and WebP. [`placeholder()`] draws a picture that has only a name. [`Gate`] keeps all that within a memory and within the
//! machine's cores. [`Chart`] draws lines over time.
//!
//! Order, lowest first: `format`, `error`, `jpeg`, `colour`, `picture`, `source`, `variants`, `canvas`, `placeholder`,
//! `chart`, `gate`.

mod canvas;
mod chart;
mod colour;
mod error;
mod format;
mod gate;
mod jpeg;
mod picture;
mod placeholder;
mod source;
mod variants;

pub use canvas::SCRIPTS;
pub use chart::{Chart, Line};
pub use error::Error;
pub use format::{Format, MAX_BYTES, MAX_PIXELS, MAX_SIDE};
pub use gate::{Gate, Pass};
pub use picture::Picture;
pub use placeholder::placeholder;
pub use source::{Source, memory_of, read};
pub use variants::{Encoded, Size, Variants};
