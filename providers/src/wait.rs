//! How long a stranger may have us wait. What a service asks for is read here, and kept within a second and an hour, so that no
//! number of theirs parks an account or a job for good.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

const SHORTEST: Duration = Duration::from_secs(1);
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The wait, within a second and an hour.
pub(crate) fn bounded(wait: Duration) -> Duration {
    wait.clamp(SHORTEST, LONGEST)
}

/// The wait that the headers of an answer ask for: milliseconds, seconds, or a date. A date that has passed means now.
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let ms = header(headers, "retry-after-ms").and_then(|ms| seconds(ms, 1_000.0));
    let wait = ms.or_else(|| {
        let value = header(headers, "retry-after")?;
        seconds(value, 1.0).or_else(|| until(value, now))
    });
    wait.map(bounded)
}

/// More than a duration can hold is as long as it can be.
fn seconds(text: &str, parts_of_a_second: f64) -> Option<Duration> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
    Some(Duration::try_from_secs_f64(number / parts_of_a_second).unwrap_or(Duration::MAX))
}

fn until(date: &str, now: DateTime<Utc>) -> Option<Duration> {
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_wait_is_read_in_all_its_forms_and_kept_within_a_second_and_an_hour() {
        let now = DateTime::parse_from_rfc2822("Sun, 22 Nov 2026 10:00:00 GMT").unwrap().to_utc();
        let wait = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value)));
            let headers: HeaderMap = pairs.map(|(name, value)| (name, value.unwrap())).collect();
            retry_after(&headers, now).map(|wait| wait.as_millis())
        };
        let after = |value: &str| wait(&[("retry-after", value)]);
        for (value, ms) in [("7", 7_000), (" 120 ", 120_000), ("0.5", 1_000), ("0", 1_000), ("86400", 3_600_000)] {
            assert_eq!(after(value), Some(ms), "{value}");
        }
        for endless in ["999999999", "18446744073709551615", "1e300", "inf", "99999999999999999999999999"] {
            assert_eq!(after(endless), Some(3_600_000), "{endless}");
            assert_eq!(wait(&[("retry-after-ms", endless)]), Some(3_600_000), "{endless} ms");
        }
        assert_eq!(after("Sun, 22 Nov 2026 10:00:20 GMT"), Some(20_000));
        assert_eq!(after("Sun, 22 Nov 2026 09:00:00 GMT"), Some(1_000), "it has passed");
        assert_eq!(after("Fri, 31 Dec 2060 23:59:59 GMT"), Some(3_600_000));
        assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "2500")]), Some(2_500));
        assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "soon")]), Some(7_000));
        assert_eq!(wait(&[("retry-after-ms", "250")]), Some(1_000));
        for odd in ["-1", "soon", "nan", ""] {
            assert_eq!(after(odd), None, "{odd}");
        }
        assert_eq!(wait(&[]), None);
    }
}
