//! On what a change depends: `If-Match` and `If-None-Match`.

use axum::http::{HeaderMap, HeaderName, header};

use crate::answer::{Problem, Type};

/// Refuses a change of `what` (a word) if the headers name another one than `current`, which is its `ETag`.
pub(crate) fn check_conditions(headers: &HeaderMap, current: Option<&str>, what: &str) -> Result<(), Problem> {
    let names = |header: HeaderName| {
        let lines = headers.get_all(header).iter().map(|line| line.to_str().unwrap_or_default());
        let mut tags = lines.flat_map(|line| line.split(',').map(str::trim)).peekable();
        tags.peek().is_some().then_some(tags)
    };
    let is_current = |tag: &str| current.is_some_and(|current| tag == "*" || tag == current);
    let failed = |detail: String| Err(Problem::new(Type::PreconditionFailed, detail));
    if names(header::IF_MATCH).is_some_and(|mut tags| !tags.any(is_current)) {
        return failed(format!("the {what} is not, or no longer, the one that If-Match names; read it again"));
    }
    if names(header::IF_NONE_MATCH).is_some_and(|mut tags| tags.any(is_current)) {
        return failed(format!("there is a {what} of this name already"));
    }
    Ok(())
}
