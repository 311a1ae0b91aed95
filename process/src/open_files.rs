//! The limit of open files: each connection is one, and the usual soft limit of 1,024 is soon reached.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below it a busy process may run out.
const ENOUGH: u64 = 4096;
/// What macOS allows where it tells no hard limit.
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit to the hard one, which a process may do for itself, and logs when that is still low.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum.or(limit.current.max(Some(OPEN_MAX))), ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let now = getrlimit(Resource::Nofile).current;
    if let Some(now) = now.filter(|now| *now < ENOUGH) {
        tracing::warn!(
            open_files.limit = now,
            "few open files are allowed (wanted: {ENOUGH}): connections may be refused; raise the hard limit (ulimit -Hn, \
             LimitNOFILE=, or --ulimit nofile= of Docker)"
        );
    }
}
