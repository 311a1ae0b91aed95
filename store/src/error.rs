//! What can go wrong at MongoDB, sorted by what follows from it.

use mongodb::error::{
    Error as DriverError, ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR, SYSTEM_OVERLOADED_ERROR,
    TRANSIENT_TRANSACTION_ERROR, WriteFailure,
};

pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// An index on these fields has other options, or another name.
const INDEX_OPTIONS_CONFLICT: i32 = 85;
const INDEX_KEY_SPECS_CONFLICT: i32 = 86;

/// Why MongoDB could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `MONGO_URL` or `DB_NAME` cannot be understood.
    #[error("MONGO_URL or DB_NAME cannot be used: {0}")]
    Url(String),
    /// It may work later: nobody answers, no primary, too slow. A write may have happened.
    #[error("cannot {what}: MongoDB is not available: {reason}")]
    Unavailable {
        /// What was tried, for which input.
        what: String,
        /// What the driver says.
        reason: String,
    },
    /// Credentials, rights, TLS, version: nothing works until someone mends the set-up.
    #[error("cannot {what}: MongoDB refuses us: {reason}")]
    Misconfigured {
        /// What was tried, for which input.
        what: String,
        /// What the driver says.
        reason: String,
    },
    /// This document can never be stored, or this answer never read.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was tried, for which input.
        what: String,
        /// What the driver says.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed later, without a change to it or to the set-up.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether a document could be fetched and not be read: a newer release has written it, or someone has damaged it.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(crate) fn from_driver(what: String, error: &DriverError) -> Self {
        let reason = error.kind.to_string();
        match class(error) {
            Class::Unavailable => Self::Unavailable { what, reason },
            Class::Misconfigured => Self::Misconfigured { what, reason },
            Class::Refused => Self::Refused { what, reason },
        }
    }

    /// One write of a batch, by the code that the server gave.
    pub(crate) fn from_code(what: String, code: i32, reason: String) -> Self {
        match class_of_code(Some(code)) {
            Class::Unavailable => Self::Unavailable { what, reason },
            Class::Misconfigured => Self::Misconfigured { what, reason },
            Class::Refused => Self::Refused { what, reason },
        }
    }

    /// The same error of a call that was a part of that one.
    pub(crate) fn of(mut self, part: &str) -> Self {
        if let Self::Unavailable { what, .. } | Self::Misconfigured { what, .. } | Self::Refused { what, .. } =
            &mut self
        {
            part.clone_into(what);
        }
        self
    }

    /// While the URL is read, everything but a look-up of names that failed is the URL's fault.
    pub(crate) fn at_open(self) -> Self {
        match self {
            Self::Misconfigured { reason, .. } | Self::Refused { reason, .. } => Self::Url(reason),
            Self::Url(_) | Self::Unavailable { .. } => self,
        }
    }
}

/// Whether another writer won the race for the same key, so that the same upsert is an update the next time.
pub(crate) fn is_duplicate_key(error: &DriverError) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// Whether the same call may succeed if it is made once more: a new primary or connection may be there.
pub(crate) fn may_work_at_once(error: &DriverError) -> bool {
    class(error) == Class::Unavailable && !matches!(*error.kind, ErrorKind::ServerSelection { .. })
}

/// Whether there is an index on the same fields that is made otherwise.
pub(crate) fn is_other_index(error: &DriverError) -> bool {
    matches!(code(error), Some(INDEX_OPTIONS_CONFLICT | INDEX_KEY_SPECS_CONFLICT))
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Unavailable,
    Misconfigured,
    Refused,
}

/// The one place that sorts the driver's errors.
fn class(error: &DriverError) -> Class {
    const TRANSIENT: [&str; 4] =
        [RETRYABLE_WRITE_ERROR, RETRYABLE_ERROR, SYSTEM_OVERLOADED_ERROR, TRANSIENT_TRANSACTION_ERROR];
    if TRANSIENT.iter().any(|label| error.contains_label(label)) {
        return Class::Unavailable;
    }
    match &*error.kind {
        ErrorKind::Command(_) | ErrorKind::Write(WriteFailure::WriteError(_)) => class_of_code(code(error)),
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::InvalidResponse { .. }
        | ErrorKind::Internal { .. }
        | ErrorKind::Shutdown
        // The write is there, but too few members have confirmed it in time.
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => Class::Unavailable,
        ErrorKind::Authentication { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::SessionsNotSupported => Class::Misconfigured,
        _ => Class::Refused,
    }
}

fn code(error: &DriverError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        _ => None,
    }
}

fn class_of_code(code: Option<i32>) -> Class {
    match code {
        Some(
            // Network and hosts, as the server itself sees them.
            6 | 7 | 89 | 202 | 9001
            // Shutting down, stepping down, recovering, not primary.
            | 91 | 133 | 134 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436
            // Too slow: maximum time, exceeded time limit, lock timeout; write conflict; disk full until someone makes room.
            | 24 | 50 | 112 | 262 | 14031,
        ) => Class::Unavailable,
        // Unauthorized, authentication failed, an index of the same name or keys with other options.
        Some(13 | 18 | 85 | 86) => Class::Misconfigured,
        _ => Class::Refused,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn command_error(code: i32) -> DriverError {
        let document = doc! { "code": code, "codeName": "Name", "errmsg": "it failed" };
        ErrorKind::Command(mongodb::bson::deserialize_from_document(document).unwrap()).into()
    }

    #[test]
    fn codes_are_sorted_by_what_follows() {
        for code in [50, 91, 112, 189, 262, 10107, 11600, 11602, 13435, 13436] {
            assert_eq!(class(&command_error(code)), Class::Unavailable, "{code}");
        }
        for code in [13, 18, 85, 86] {
            assert_eq!(class(&command_error(code)), Class::Misconfigured, "{code}");
        }
        for code in [2, 121, 10334, 17419] {
            assert_eq!(class(&command_error(code)), Class::Refused, "{code}");
        }
    }

    #[test]
    fn a_broken_connection_is_unavailable_and_says_what_was_tried() {
        let broken = DriverError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let error = Error::from_driver("store the result of job 1".to_owned(), &broken);
        assert!(error.is_unavailable());
        let text = error.to_string();
        assert!(text.starts_with("cannot store the result of job 1: MongoDB is not available: I/O error"), "{text}");
    }

    #[test]
    fn only_a_duplicate_key_is_one() {
        assert!(is_duplicate_key(&command_error(11000)));
        assert!(!is_duplicate_key(&command_error(112)));
    }
}
