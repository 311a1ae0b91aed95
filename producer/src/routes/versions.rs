//! What the routes of things that tenants name and change have in common: pages of them, and versions on which a change depends.

use axum::http::HeaderMap;
use serde::Deserialize;
use store::{Documents, StoredSchedule, StoredStore};
use utoipa::IntoParams;

use crate::{answer::Problem, request};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this tenant; others than the token's own need `admin`, who sees all if absent
    pub(crate) tenant: Option<String>,
    /// `next_cursor` of the page before
    pub(crate) cursor: Option<String>,
    /// Entries of a page; 50 if absent
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantQuery {
    /// Whose it is; another tenant than the token's own needs `admin`
    pub(crate) tenant: Option<String>,
}

/// On what a change depends.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct Condition {
    /// Only if this is its `ETag`; otherwise 412
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// A thing that grows its version with each change.
pub(crate) trait Versioned {
    fn id(&self) -> &str;

    fn version(&self) -> i64;
}

impl Versioned for StoredStore {
    fn id(&self) -> &str {
        &self.id
    }

    fn version(&self) -> i64 {
        self.version
    }
}

impl Versioned for StoredSchedule {
    fn id(&self) -> &str {
        &self.id
    }

    fn version(&self) -> i64 {
        self.revision
    }
}

/// The header `ETag`.
pub(crate) fn etag(one: &impl Versioned) -> String {
    format!("\"{}\"", one.version())
}

/// Refuses a change of `what` (a word) if `If-Match` or `If-None-Match` names another one than was found.
pub(crate) fn check_conditions(headers: &HeaderMap, found: Option<&impl Versioned>, what: &str) -> Result<(), Problem> {
    request::check_conditions(headers, found.map(etag).as_deref(), what)
}

/// A page, in the order of ids.
pub(crate) struct Page<T> {
    pub(crate) read: Vec<T>,
    /// The ids of those that cannot be read.
    pub(crate) unreadable: Vec<String>,
    pub(crate) next_cursor: Option<String>,
}

/// The page of `limit` among what was found, which has one more if there is a next page.
pub(crate) fn page<T: Versioned>(found: Documents<T>, limit: usize) -> Page<T> {
    let Documents { mut read, unreadable } = found;
    let mut unreadable: Vec<String> = unreadable.into_iter().map(|unreadable| unreadable.id).collect();
    let mut ids: Vec<String> = read.iter().map(T::id).map(str::to_owned).chain(unreadable.iter().cloned()).collect();
    ids.sort_unstable();
    let next_cursor = (ids.len() > limit).then(|| ids.swap_remove(limit - 1));
    if let Some(last) = &next_cursor {
        read.retain(|one| one.id() <= last.as_str());
        unreadable.retain(|id| id <= last);
    }
    Page { read, unreadable, next_cursor }
}

#[cfg(test)]
mod tests {
    use store::Unreadable;

    use super::*;

    struct Id(&'static str);

    impl Versioned for Id {
        fn id(&self) -> &str {
            self.0
        }

        fn version(&self) -> i64 {
            7
        }
    }

    #[test]
    fn a_page_ends_where_the_next_begins_whatever_can_be_read() {
        let found = |unreadable: &[&str]| Documents {
            read: vec![Id("a"), Id("c")],
            unreadable: unreadable
                .iter()
                .map(|id| Unreadable { id: (*id).to_owned(), reason: String::new() })
                .collect(),
        };
        let told = |page: Page<Id>| {
            (
                page.read.iter().map(|one| one.0).collect::<Vec<_>>().join(" "),
                page.unreadable.join(" "),
                page.next_cursor,
            )
        };
        let next = |id: &str| Some(id.to_owned());
        assert_eq!(told(page(found(&[]), 2)), ("a c".to_owned(), String::new(), None));
        assert_eq!(told(page(found(&["b"]), 2)), ("a".to_owned(), "b".to_owned(), next("b")));
        assert_eq!(told(page(found(&["d"]), 2)), ("a c".to_owned(), String::new(), next("c")));
        assert_eq!(told(page(found(&[]), 1)), ("a".to_owned(), String::new(), next("a")));
        assert_eq!(etag(&Id("a")), "\"7\"");
    }
}
