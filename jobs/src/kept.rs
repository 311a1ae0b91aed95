//! What is kept with a job that succeeded. The queue keeps it unread; whoever shows a job reads it.

use std::io;

use queue::Success;
use serde::{Deserialize, Serialize, de::IgnoredAny};
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
    pub fn shortened(mut self, collection: &str) -> Success {
        if self == Self::default() {
            return Success::default();
        }
        let result = std::mem::take(&mut self.result);
        // With null in the place of the result.
        let around = serde_json::to_vec(&self).map_or(0, |around| around.len() - "null".len());
        self.result = result;
        // As it grew, it would be copied again and again.
        let mut text = Vec::with_capacity(around + MOST_RESULT);
        let room = Room { text: &mut text, most: around + MOST_RESULT };
        if serde_json::to_writer(room, &self).is_err() {
            self.result = Value::Null;
            self.stored_in = Some(collection.to_owned());
            return (&self).into();
        }
        text.shrink_to_fit();
        Success::new(text)
    }
}

/// What was done of a job that was put off in the middle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoFar {
    /// As the handler left it.
    pub so_far: Value,
}

impl SoFar {
    /// What an earlier run has left; `None` when that means nothing here.
    #[must_use]
    pub fn read(success: &Success) -> Option<Self> {
        serde_json::from_slice(success.as_bytes()).ok()
    }
}

impl From<&SoFar> for Success {
    fn from(so_far: &SoFar) -> Self {
        // A value is JSON whatever is in it.
        Self::new(serde_json::to_vec(so_far).unwrap_or_default())
    }
}

/// Who made a result: what is read of [`Kept`] where the result is not needed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Maker {
    /// Passed over, as it may be large.
    #[serde(rename = "result")]
    _result: IgnoredAny,
    /// Which provider.
    pub provider: Option<String>,
    /// Whether it is a stand-in.
    pub degraded: bool,
    /// Why it is.
    pub degraded_reason: Option<String>,
}

impl Maker {
    /// Of what was kept; `None` when that means nothing here.
    #[must_use]
    pub fn read(success: &Success) -> Option<Self> {
        serde_json::from_slice(success.as_bytes()).ok()
    }
}

/// Takes so many bytes.
struct Room<'a> {
    text: &'a mut Vec<u8>,
    most: usize,
}

impl io::Write for Room<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
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
        let of = |n: usize| Kept { result: json!("x".repeat(n)), provider: Some("mock".to_owned()), ..Kept::default() };
        // Two quotes are in it.
        let largest = of(MOST_RESULT - 2);
        assert_eq!(largest.clone().shortened("texts"), (&largest).into());
        let shortened = Kept::read(&of(MOST_RESULT - 1).shortened("texts")).unwrap();
        assert_eq!((shortened.result, shortened.stored_in.as_deref()), (Value::Null, Some("texts")));
        assert_eq!(shortened.provider.as_deref(), Some("mock"));
        assert_eq!(Kept::default().shortened("texts"), Success::default());
    }

    #[test]
    fn who_made_it_is_read_without_the_result() {
        let reason = Some("openai: away".to_owned());
        let kept = Kept { result: json!([1]), degraded: true, degraded_reason: reason.clone(), ..Kept::default() };
        let maker = Maker::read(&(&kept).into()).unwrap();
        assert_eq!((maker.provider, maker.degraded, maker.degraded_reason), (None, true, reason));
        assert_eq!(Maker::read(&Success::new(b"{}".to_vec())), None);
    }
}
