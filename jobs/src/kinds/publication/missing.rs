//! Products that are not at their shop yet, where a job does not say what they are made of: another job may be about to make them.

use std::time::Duration;

use providers::publication::{PublishError, Wrong};
use serde_json::{Value, json};

use crate::handler::JobError;

/// Of a job that waits for its product.
pub(super) const CODE: &str = "not_there_yet";
/// So long it waits after it first looked.
const MOST: Duration = Duration::from_secs(10 * 60);
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
/// What a job that waits hands on.
const SINCE: &str = "not_there_since_ms";

/// Whether nothing else is wrong than that the product is not there.
pub(super) fn is_it(error: &PublishError) -> bool {
    match error {
        PublishError::Refused(faults) => faults.iter().all(|fault| fault.what == Wrong::Needed),
        _ => false,
    }
}

/// How a job goes on that lacks its product, as these `words` say; `None` when it has waited long enough.
pub(super) fn wait(words: &str, so_far: Option<&Value>, now_ms: u64) -> Option<JobError> {
    let since_ms = so_far.and_then(|so_far| so_far[SINCE].as_u64()).unwrap_or(now_ms);
    let waited = Duration::from_millis(now_ms.saturating_sub(since_ms));
    let left = MOST.checked_sub(waited).filter(|left| !left.is_zero())?;
    let after = (waited / 4).clamp(FIRST, LONGEST).min(left);
    let message = format!("{words}; it waits for a job that makes the product");
    Some(JobError::Interrupted { code: CODE, message, after, so_far: json!({ SINCE: since_ms }) })
}

#[cfg(test)]
mod tests {
    use providers::publication::Fault;

    use super::*;

    #[test]
    fn it_is_looked_for_ever_more_rarely_for_ten_minutes_from_the_first_look_on() {
        let (mut now_ms, mut so_far, mut waits) = (1_000_000, None, Vec::new());
        while let Some(JobError::Interrupted { after, so_far: next, .. }) = wait("no", so_far.as_ref(), now_ms) {
            waits.push(after.as_secs());
            now_ms += u64::try_from(after.as_millis()).unwrap();
            so_far = Some(next);
        }
        assert_eq!((now_ms, &waits[..6]), (1_600_000, &[2, 2, 2, 2, 2, 2][..]));
        assert!(waits.len() < 40 && waits.iter().all(|wait| *wait <= 60), "{waits:?}");
    }

    #[test]
    fn what_is_wrong_besides_is_told_at_once() {
        let needed = || Fault::new("title", Wrong::Needed);
        assert!(is_it(&PublishError::Refused(vec![needed()])));
        assert!(!is_it(&PublishError::Refused(vec![needed(), Fault::new("tags", Wrong::NotThere)])));
        assert!(!is_it(&PublishError::Notes("away".to_owned())));
    }
}
