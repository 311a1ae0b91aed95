//! Every Redis key of what replicas share, one function each. `docs/internals/keys.md` tells who writes them and why they are so.
//!
//! All keys of an account share a hash tag, so that its scripts may touch them in a cluster; scripts are given the base and append
//! `state`, `window:<bucket>`, `calls:<minute>` and `batch:<sender>`.

/// What the keys of an account begin with.
pub(crate) fn account(prefix: &str, account: &str) -> String {
    format!("{prefix}:{{account.{account}}}")
}

/// Sorted set account → last use ms.
pub(crate) fn accounts(prefix: &str, service: &str) -> String {
    format!("{prefix}:{{service.{service}}}:accounts")
}

/// What the keys of a place begin with where one goes after the other; scripts append `tickets`, `begun` and `busy`. The place is the caller's
/// word, so it has no braces here.
pub(crate) fn turns(prefix: &str, place: &str) -> String {
    format!("{prefix}:{{turns.{}}}", place.replace(['{', '}'], "_"))
}

/// String: a text that replicas share for a while. The name is the caller's word.
pub(crate) fn kept(prefix: &str, name: &str) -> String {
    format!("{prefix}:{{kept.{}}}", name.replace(['{', '}'], "_"))
}

/// String: micro-USD that a tenant spent or reserved on a day (since 1970).
pub(crate) fn spending(prefix: &str, tenant: &str, day: u64) -> String {
    format!("{prefix}:{{spending.{tenant}}}:{day}")
}

/// Hash service, or `*` for all → the last switch (JSON).
pub(crate) fn modes(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:modes")
}

/// List of switches (JSON), newest first.
pub(crate) fn mode_changes(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:mode-changes")
}

/// Channel: what happened (JSON).
pub(crate) fn news(prefix: &str) -> String {
    format!("{prefix}:{{fleet}}:news")
}
