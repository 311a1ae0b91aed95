//! The connection.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed;
use mongodb::{
    Client, Collection, Database,
    bson::{Document, doc},
    gridfs::GridFsBucket,
    options::{Acknowledgment, ClientOptions, GridFsBucketOptions, WriteConcern},
};

use crate::{
    call::{ANSWER_TIMEOUT, MAJORITY_TIMEOUT, run},
    error::Error,
    writer::Writer,
};

/// The driver's own 30 s would hold a worker's slot for half a minute at each attempt.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// The driver's own 10 is less than one worker's jobs.
const MAX_POOL_SIZE: u32 = 50;
const APP_NAME: &str = "ecomsimply";

/// Of files, in GridFS.
pub(crate) const BUCKET: &str = "files";

/// A database. Cheap to clone; connects at the first call and again whenever the connection is lost.
#[derive(Clone)]
pub struct Store {
    pub(crate) database: Database,
    pub(crate) writer: Arc<Writer>,
    /// Of files. It looks for its indexes at the first use only.
    pub(crate) bucket: GridFsBucket,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("database", &self.database.name()).finish_non_exhaustive()
    }
}

impl Store {
    /// Reads the URL (`mongodb://`, `mongodb+srv://`) and chooses the database `name`. The server need not be up. Pool size
    /// and timeouts in the URL win over ours; writes always wait for the majority.
    ///
    /// # Errors
    /// [`Error::Url`] when the URL cannot be understood, [`Error::Unavailable`] when the names behind `mongodb+srv://` cannot be
    /// looked up.
    #[boxed]
    pub async fn open(url: &str, name: &str) -> Result<Self, Error> {
        let url = url.to_owned();
        let parse = async move { ClientOptions::parse(url).await };
        let mut options = run("read MONGO_URL", ANSWER_TIMEOUT, parse).await.map_err(Error::at_open)?;
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.max_pool_size.get_or_insert(MAX_POOL_SIZE);
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        options.write_concern =
            Some(WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(MAJORITY_TIMEOUT).build());
        check_database_name(name)?;
        let client = Client::with_options(options).map_err(|error| Error::Url(error.kind.to_string()))?;
        let database = client.database(name);
        let bucket = GridFsBucketOptions::builder().bucket_name(BUCKET.to_owned()).build();
        let bucket = database.gridfs_bucket(bucket);
        Ok(Self { writer: Arc::new(Writer::new(database.clone())), bucket, database })
    }

    /// How long MongoDB takes to answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] after at most 4 s.
    #[boxed]
    pub async fn ping(&self) -> Result<Duration, Error> {
        let database = self.database.clone();
        let started = Instant::now();
        run("ping MongoDB", PING_TIMEOUT, async move { database.run_command(doc! { "ping": 1 }).await }).await?;
        Ok(started.elapsed())
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }
}

/// The server would refuse such a name only at the first write, when jobs are already under way.
fn check_database_name(name: &str) -> Result<(), Error> {
    let bad = |character: char| character.is_whitespace() || "/\\.\"$*<>:|?\0".contains(character);
    if name.is_empty() || name.len() > 63 || name.contains(bad) {
        return Err(Error::Url(format!("DB_NAME={name:?} is no name of a database")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_cannot_be_read_is_told_at_open() {
        let error = Store::open("http://localhost", "shop").await.unwrap_err();
        assert!(matches!(error, Error::Url(_)), "{error:?}");
        assert!(error.to_string().starts_with("MONGO_URL or DB_NAME cannot be used: "), "{error}");
        for name in ["", "a b", "a.b", "a/b", "$a"] {
            let error = Store::open("mongodb://localhost", name).await.unwrap_err();
            assert!(matches!(error, Error::Url(_)), "{name:?}: {error:?}");
        }
    }

    #[tokio::test]
    async fn the_password_does_not_show() {
        let store = Store::open("mongodb://anna:hush@localhost/?authSource=admin", "shop").await.unwrap();
        assert_eq!(format!("{store:?}"), r#"Store { database: "shop", .. }"#);
    }
}
