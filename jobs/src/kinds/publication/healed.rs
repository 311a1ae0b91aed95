//! Texts and pictures that a stand-in made: where a real one has taken their place since the job was written, it is published in their place.

use providers::publication::{Field, PublishError};
use store::StandIn;

use super::{made_of::text_for, notes, order::Publication};
use crate::{
    handler::{Context, Handler},
    kinds::{content::Content, image::Image},
};

/// What of a job was a stand-in's when it was looked at: in each case the collection, and the job that made it.
#[derive(Debug, Default)]
pub(super) struct StandIns(Vec<(&'static str, String)>);

impl Publication {
    /// The same with the texts that have taken the place of a stand-in's, and what of it is a stand-in's still.
    pub(super) async fn with_real_texts(&self, context: &Context) -> Result<(Self, StandIns), PublishError> {
        let mut job = self.clone();
        let mut left = StandIns::default();
        if let Some(content_id) = job.content_id.clone()
            && !job.texts_made().is_empty()
        {
            match look(context, Content::COLLECTION, &content_id).await? {
                None => {}
                Some(StandIn::Stays) => left.0.push((Content::COLLECTION, content_id)),
                Some(StandIn::Replaced(result)) => {
                    for (name, field) in job.texts_made() {
                        if let Some(text) = text_for(name, &result) {
                            *field = Field::Set(text.to_owned());
                        }
                    }
                }
            }
        }
        for made_by in job.picture_jobs() {
            if look(context, Image::COLLECTION, &made_by).await? == Some(StandIn::Stays) {
                left.0.push((Image::COLLECTION, made_by));
            }
        }
        Ok((job, left))
    }

    /// The image jobs whose pictures it names, each once.
    fn picture_jobs(&self) -> Vec<String> {
        let ids = self.images.set().into_iter().flatten().filter_map(|image| image.image_id.as_deref());
        let mut jobs: Vec<String> = ids.filter_map(|id| Some(id.rsplit_once('-')?.0.to_owned())).collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }
}

impl StandIns {
    /// Whether a real one has taken the place of any since. Asked after what was made of them was noted: whoever heals one later finds
    /// that note, and publishes the product again.
    pub(super) async fn is_any_replaced(&self, context: &Context) -> Result<bool, PublishError> {
        for (collection, made_by) in &self.0 {
            if matches!(look(context, collection, made_by).await?, Some(StandIn::Replaced(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn look(context: &Context, collection: &str, made_by: &str) -> Result<Option<StandIn>, PublishError> {
    let Some(store) = &context.store else { return Ok(None) };
    store.stand_in(collection, made_by, &context.tenant).await.map_err(notes::away)
}
