//! The kinds that outside services make, a file each, and `stores`, which products go to. To add one: its file here, and
//! two lines below.

pub mod content;
pub mod email;
pub mod image;
pub mod payment;
pub mod product;
pub mod publication;
pub mod scrape;
pub mod stores;

use crate::handler::Registry;

/// Their list.
pub(crate) fn of_services<R: Registry>(registry: R) -> R {
    registry
        .add::<content::Content>()
        .add::<image::Image>()
        .add::<scrape::Scrape>()
        .add::<email::Email>()
        .add::<publication::Publication>()
        .add::<publication::batch::PublicationBatch>()
        .add::<product::Product>()
        .add::<payment::Payment>()
}
