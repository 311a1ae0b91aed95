//! What a job is given along on the command line.

use std::io::{read_to_string, stdin};

use api::{JobOptions, JobRequest, OnConflict, Priority};
use chrono::{DateTime, Utc};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use queue::Json;

/// The options of a job; what is not given has the kind's default.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct Options {
    /// How urgent the jobs are
    #[arg(long, value_parser = priority())]
    pub(crate) priority: Option<Priority>,
    /// Run after so many seconds
    #[arg(long = "delay", value_name = "SECONDS", conflicts_with = "run_at")]
    delay_s: Option<u64>,
    /// Run at this time, like 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    run_at: Option<DateTime<Utc>>,
    /// Not run at all when it has not begun by this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_at: Option<DateTime<Utc>>,
    /// At most one unfinished job has this key
    #[arg(long, value_name = "KEY", conflicts_with = "from")]
    unique_key: Option<String>,
    /// Hold the unique key for so many seconds, finished or not
    #[arg(long = "unique-for", value_name = "SECONDS", requires = "unique_key")]
    unique_for_s: Option<u64>,
    /// What becomes of a job whose unique key another one has
    #[arg(long, requires = "unique_key", value_parser = on_conflict())]
    on_conflict: Option<OnConflict>,
    /// Attempts before a job is dead
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Seconds that an attempt may take
    #[arg(long = "timeout", value_name = "SECONDS")]
    timeout_s: Option<u64>,
    /// Whether a stand-in may answer for a service that cannot
    #[arg(long, value_name = "true|false")]
    allow_fallback: Option<bool>,
    /// For this tenant instead of the token's; needs the scope admin
    #[arg(long)]
    tenant: Option<String>,
    /// Kept with the jobs and shown with them
    #[arg(long, value_name = "JSON|@FILE|@-", value_parser = read_json)]
    metadata: Option<Json>,
}

impl Options {
    /// The request for a job with these options.
    pub(crate) fn request(&self, kind: &str, payload: Json) -> JobRequest<Json> {
        let options = (*self != Self::default()).then(|| self.for_api());
        JobRequest { kind: kind.to_owned(), payload, options }
    }

    fn for_api(&self) -> JobOptions<Json> {
        let options = self.clone();
        JobOptions {
            priority: options.priority,
            delay_s: options.delay_s.map(|delay_s| delay_s as f64),
            run_at: options.run_at,
            expires_at: options.expires_at,
            max_attempts: options.max_attempts,
            timeout_s: options.timeout_s,
            tenant: options.tenant,
            metadata: options.metadata,
            allow_fallback: options.allow_fallback,
            unique_key: options.unique_key,
            unique_for_s: options.unique_for_s,
            on_conflict: options.on_conflict,
            durability: None,
        }
    }
}

fn priority() -> impl TypedValueParser<Value = Priority> {
    one_of(&Priority::ALL, Priority::name)
}

fn on_conflict() -> impl TypedValueParser<Value = OnConflict> {
    one_of(&OnConflict::ALL, OnConflict::name)
}

/// Reads the name of one of `all`.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let named = move |given: String| all.iter().copied().find(|one| name(*one) == given).ok_or("");
    PossibleValuesParser::new(all.iter().map(|one| name(*one))).try_map(named)
}

/// A time of RFC 3339.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.to_utc()),
        Err(_) => Err("this is no time of RFC 3339, such as 2026-01-31T12:00:00Z".to_owned()),
    }
}

/// `JSON`, `@FILE`, or `@-` for the standard input; numbers go out as they stand there.
pub(crate) fn read_json(text: &str) -> Result<Json, String> {
    let (source, json) = match text.strip_prefix('@') {
        Some("-") => ("the standard input", read_to_string(stdin())),
        Some(path) => (path, std::fs::read_to_string(path)),
        None => ("this", Ok(text.to_owned())),
    };
    let json = json.map_err(|error| format!("{source} cannot be read: {error}"))?;
    // Some editors write a byte-order mark before everything else.
    let json = json.trim_start_matches('\u{feff}');
    Json::read(json.as_bytes()).map_err(|error| format!("{source} is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_is_json_or_a_file_of_it() {
        assert_eq!(read_json("\u{feff}{\"a\":1}"), Ok(json!({ "a": 1 }).into()));
        let exact = r#"{"huge":12345678901234567890123,"price":1.10}"#;
        let job = serde_json::to_string(&Options::default().request("email", read_json(exact).unwrap())).unwrap();
        assert!(job.contains(exact), "{job}");
        assert!(read_json("{").unwrap_err().starts_with("this is no JSON: "));
        assert!(read_json("@/nowhere").unwrap_err().starts_with("/nowhere cannot be read: "));
    }
}
