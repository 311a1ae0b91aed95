//! Indexes of collections.

use mongodb::{IndexModel, bson::Document, options::IndexOptions};

use crate::{ANSWER_TIMEOUT, Error, Store, run};

/// An index of this name.
pub(crate) fn index(name: &str, keys: Document) -> IndexModel {
    index_with(name, keys, IndexOptions::default())
}

/// An index of this name with `options`.
pub(crate) fn index_with(name: &str, keys: Document, mut options: IndexOptions) -> IndexModel {
    options.name = Some(name.to_owned());
    IndexModel::builder().keys(keys).options(options).build()
}

impl Store {
    /// Creates those that are not there yet.
    pub(crate) async fn create_indexes<const N: usize>(
        &self,
        collection: &str,
        indexes: [IndexModel; N],
    ) -> Result<(), Error> {
        let what = format!("create the indexes of {collection}");
        let collection = self.collection(collection);
        run(what, ANSWER_TIMEOUT, async move { collection.create_indexes(indexes).await }).await.map(|_| ())
    }
}
