//! One zone.

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, TimeDelta, Utc};
use jiff::{
    Timestamp,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

/// A time zone of the IANA database, by the tables that counted when its name was read. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub(crate) TimeZone);

impl Zone {
    /// The zone `UTC`.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What the clock shows.
    #[must_use]
    pub fn local(&self, instant: DateTime<Utc>) -> DateTime<FixedOffset> {
        let offset = FixedOffset::east_opt(self.0.to_offset(timestamp(instant)).seconds());
        offset.map_or_else(|| instant.fixed_offset(), |offset| instant.with_timezone(&offset))
    }

    /// How far the clock is ahead of UTC.
    #[must_use]
    pub fn offset(&self, instant: DateTime<Utc>) -> TimeDelta {
        delta(self.0.to_offset(timestamp(instant)))
    }

    /// When the clock shows `wall`: once, twice (where it is set back), or never (where it jumps).
    #[must_use]
    pub fn instants(&self, wall: NaiveDateTime) -> MappedLocalTime<DateTime<Utc>> {
        let as_utc = wall.and_utc();
        let ambiguous = self.0.to_ambiguous_timestamp(Offset::UTC.to_datetime(timestamp(as_utc)));
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(as_utc - delta(offset)),
            AmbiguousOffset::Fold { before, after } => {
                MappedLocalTime::Ambiguous(as_utc - delta(before), as_utc - delta(after))
            }
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
        }
    }

    /// The first instant after `after`, and not after `until`, at which the clock is changed.
    #[must_use]
    pub fn next_change(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let old = self.offset(after);
        let changes = self.0.following(timestamp(after));
        let instants = changes.map_while(|change| DateTime::from_timestamp(change.timestamp().as_second(), 0));
        // Some change only the name of the time.
        instants.take_while(|at| *at <= until).find(|at| self.offset(*at) != old)
    }
}

/// As the crate `jiff` has it; what it cannot express lies thousands of years away.
fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    let nanoseconds = i32::try_from(instant.timestamp_subsec_nanos()).unwrap_or_default().min(999_999_999);
    let beyond = if instant.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(instant.timestamp(), nanoseconds).unwrap_or(beyond)
}

fn delta(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(offset.seconds().into())
}
