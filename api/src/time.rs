//! Moments.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// A moment, written as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// From Unix milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::UNIX_EPOCH))
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }

    pub(crate) fn put_into(self, written: &mut Vec<u8>) {
        match text(&self.0) {
            Some(text) => written.extend_from_slice(&text),
            None => written.extend_from_slice(self.0.to_rfc3339_opts(SecondsFormat::Millis, true).as_bytes()),
        }
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match text(&self.0) {
            Some(text) => f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?),
            None => f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match text(&self.0).as_ref().map(|text| std::str::from_utf8(text)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            _ => serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

/// As [`DateTime::to_rfc3339_opts`] writes it, without memory of its own: a page of jobs has hundreds. None beyond the year 9999.
fn text(time: &DateTime<Utc>) -> Option<[u8; 24]> {
    // Asked part by part, the other type would reckon with its zone each time.
    let time = time.naive_utc();
    let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9_999)?;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let millis = time.nanosecond() / 1_000_000;
    // A leap second has more than a thousand.
    if millis > 999 {
        return None;
    }
    let parts = [
        (0, 4, year),
        (5, 2, time.month()),
        (8, 2, time.day()),
        (11, 2, time.hour()),
        (14, 2, time.minute()),
        (17, 2, time.second()),
        (20, 3, millis),
    ];
    for (start, length, mut number) in parts {
        for digit in text[start..start + length].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_chrono_writes_it() {
        let leap = DateTime::parse_from_rfc3339("2016-12-31T23:59:60.123Z").unwrap().to_utc();
        let times = [0, 1, 951_782_400_000, 1_760_000_000_007, 253_402_300_799_999, 253_402_300_800_000, u64::MAX];
        for time in times.map(|ms| Timestamp::from_ms(ms).time()).into_iter().chain([leap, DateTime::<Utc>::MIN_UTC]) {
            let expected = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            assert_eq!(serde_json::to_value(Timestamp::from(time)).unwrap(), expected);
            assert_eq!(Timestamp::from(time).to_string(), expected);
        }
    }

    #[test]
    fn it_reads_back() {
        let at = Timestamp::from_ms(1_760_000_000_007);
        assert_eq!(serde_json::from_value::<Timestamp>(serde_json::to_value(at).unwrap()).unwrap(), at);
    }
}
