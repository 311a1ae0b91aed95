//! What is kept with a job that succeeded. The queue keeps it unread; whoever shows a job reads it.

use std::io;

use queue::Success;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A larger result stays where it was stored, and Redis keeps the reference; in bytes of JSON.
const MOST_RESULT: usize = 4 * 1024;

/// A result, and who made it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The result, or null when it is too large for Redis.
    pub result: Value,
    /// Collection that holds the result when it is too large for Redis.
    pub stored_in: Option<String>,
    /// Which provider made it.
    pub provider: Option<String>,
    /// Whether a stand-in made it because the real provider could not answer.
    pub degraded: bool,
    /// Why it is degraded.
    pub degraded_reason: Option<String>,
}

impl Kept {
    /// What an earlier run or another process has kept; `None` when that means nothing here.
    #[must_use]
    pub fn read(success: &Success) -> Option<Self> {
        serde_json::from_slice(success.as_bytes()).ok()
    }

    /// As Redis keeps it: a large result is left out, and `collection` named in its place.
    #[must_use]
    pub fn shortened(mut self, collection: &str) -> Self {
        if serde_json::to_writer(Room(MOST_RESULT), &self.result).is_err() {
            self.result = Value::Null;
            self.stored_in = Some(collection.to_owned());
        }
        self
    }
}

/// Takes so many bytes and keeps none.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<&Kept> for Success {
    fn from(kept: &Kept) -> Self {
        if *kept == Kept::default() {
            return Self::default();
        }
        // A value is JSON whatever is in it.
        Self::new(serde_json::to_vec(kept).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_written_as_older_releases_wrote_it() {
        let kept = Kept { result: json!({ "title": "Käse" }), provider: Some("mock".to_owned()), ..Kept::default() };
        let written =
            r#"{"result":{"title":"Käse"},"stored_in":null,"provider":"mock","degraded":false,"degraded_reason":null}"#;
        assert_eq!(Success::from(&kept).as_bytes(), written.as_bytes());
        assert_eq!(Kept::read(&Success::new(written.into())), Some(kept));
        assert_eq!(Success::from(&Kept::default()), Success::default());
    }

    #[test]
    fn a_large_result_is_named_and_not_kept() {
        let large = Kept { result: json!("x".repeat(MOST_RESULT)), ..Kept::default() };
        let shortened = large.shortened("texts");
        assert_eq!((shortened.result, shortened.stored_in.as_deref()), (Value::Null, Some("texts")));
        let small = Kept { result: json!(1), ..Kept::default() };
        assert_eq!(small.clone().shortened("texts"), small);
    }
}
