//! What came of a call, as it is written.

/// The units that an account has at its vendor, as an answer told of them. They take the place of those a minute that a
/// [`Call`](crate::Call) names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// So many are left.
    pub available: u64,
    /// It never has more.
    pub at_most: u64,
    /// So many come back in a second.
    pub per_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Answered,
    Failed,
    Limited,
    Parked,
    Unused,
}

impl CallEnd {
    /// As scripts name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Limited => "limited",
            Self::Parked => "parked",
            Self::Unused => "unused",
        }
    }
}

/// What came of a call, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) account: String,
    pub(crate) service: String,
    pub(crate) end: CallEnd,
    /// Set when it is put into the outbox.
    pub(crate) at_ms: u64,
    pub(crate) admitted_ms: u64,
    pub(crate) probe: Option<String>,
    /// Its name among the calls that are under way.
    pub(crate) under_way: Option<String>,
    /// What the vendor told of the account's units.
    pub(crate) level: Option<Level>,
    pub(crate) requests_back: u32,
    /// Below zero when more were used than estimated.
    pub(crate) units_back: i64,
    pub(crate) pause_ms: u64,
    pub(crate) reason: String,
}
