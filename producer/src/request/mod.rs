//! What is asked: headers, the query, and the body, with a problem for each way to be wrong.
//!
//! Order, lowest first: `headers`, `conditions`, `query`, `body`, `read`.

mod body;
mod conditions;
mod headers;
mod query;
mod read;

pub(crate) use body::{Budget, Memory, guard, problem_of};
pub(crate) use conditions::check_conditions;
pub(crate) use headers::{
    BATCH_LIMIT, Format, JOB_LIMIT, Twice, announces_more_than, format, idempotency_key, only, require_json, too_large,
    traceparent, unsupported,
};
pub(crate) use read::{
    Parameters, PathPart, aside, bad_parameter, json, malformed, page_size, parse, read, time, without_bom,
};
