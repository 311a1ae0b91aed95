//! A page of jobs as text.
//!
//! It is what `Serialize` makes of the page, byte for byte. But a page is made of thousands of small pieces, which take most of the time
//! that it takes to answer; here those that never change lie together, and no name is looked through for what has to be escaped.

use std::{fmt::Display, io::Write as _};

use serde::Serialize;

use crate::{
    job::{Job, JobPage, Snoozes},
    time::Timestamp,
};

/// A job without much in it has about so many bytes.
const BYTES_OF_A_JOB: usize = 1_024;

impl<G: Display> JobPage<G> {
    /// The page as JSON. What callers gave and get back (`G`) displays itself as JSON.
    ///
    /// # Errors
    /// As [`serde_json::to_vec`].
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self { items, next_cursor } = self;
        let mut text = Text(Vec::with_capacity(items.len() * BYTES_OF_A_JOB + 64));
        text.put("{\"items\":[");
        for (at, job) in items.iter().enumerate() {
            text.put(if at == 0 { "{\"id\":\"" } else { ",{\"id\":\"" });
            text.job(job)?;
        }
        text.put("],\"next_cursor\":");
        text.optional_string(next_cursor.as_deref())?;
        text.put("}");
        Ok(text.0)
    }
}

impl<G: Display> Job<G> {
    /// The job as JSON, as [`JobPage::to_json`].
    ///
    /// # Errors
    /// As [`serde_json::to_vec`].
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Text(Vec::with_capacity(BYTES_OF_A_JOB));
        text.put("{\"id\":\"");
        text.job(self)?;
        Ok(text.0)
    }
}

struct Text(Vec<u8>);

impl Text {
    /// From the id on.
    fn job<G: Display>(&mut self, job: &Job<G>) -> Result<(), serde_json::Error> {
        // All of it, so that none is forgotten that comes later.
        let Job {
            id,
            kind,
            queue,
            tenant,
            state,
            priority,
            payload,
            record_base64,
            metadata,
            unique_key,
            durability,
            created_at,
            run_at,
            started_at,
            finished_at,
            expires_at,
            attempt,
            max_attempts,
            crashes,
            timeout_s,
            progress,
            attempts,
            snoozes,
            provider,
            degraded,
            degraded_reason,
            result,
            estimated_start_at,
            links,
            stored_in: _,
        } = job;
        self.put(id.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
        self.put("\",\"kind\":");
        self.string(kind)?;
        self.put(",\"queue\":");
        self.string(queue)?;
        self.put(",\"tenant\":");
        self.string(tenant)?;
        self.put(",\"state\":\"");
        self.put(state.name());
        self.put("\",\"priority\":\"");
        self.put(priority.name());
        self.put("\",\"payload\":");
        self.display(payload)?;
        if let Some(base64) = record_base64 {
            self.put(",\"record_base64\":");
            self.string(base64)?;
        }
        self.put(",\"metadata\":");
        self.display(metadata)?;
        self.put(",\"unique_key\":");
        self.optional_string(unique_key.as_deref())?;
        self.put(",\"durability\":");
        self.string(durability)?;
        for (name, at) in [(",\"created_at\":", created_at), (",\"run_at\":", run_at)] {
            self.put(name);
            self.time(*at);
        }
        for (name, at) in
            [(",\"started_at\":", started_at), (",\"finished_at\":", finished_at), (",\"expires_at\":", expires_at)]
        {
            self.put(name);
            self.optional_time(*at);
        }
        for (name, number) in
            [(",\"attempt\":", attempt), (",\"max_attempts\":", max_attempts), (",\"crashes\":", crashes)]
        {
            self.put(name);
            self.value(number)?;
        }
        self.put(",\"timeout_s\":");
        self.value(timeout_s)?;
        self.put(",\"progress\":");
        self.value(progress)?;
        self.put(",\"attempts\":");
        self.value(attempts)?;
        if *snoozes == Snoozes::default() {
            self.put(",\"snoozes\":{\"count\":0,\"last_code\":null,\"last_at\":null}");
        } else {
            self.put(",\"snoozes\":");
            self.value(snoozes)?;
        }
        self.put(",\"provider\":");
        self.optional_string(provider.as_deref())?;
        self.put(if *degraded { ",\"degraded\":true" } else { ",\"degraded\":false" });
        self.put(",\"degraded_reason\":");
        self.optional_string(degraded_reason.as_deref())?;
        self.put(",\"result\":");
        self.value(result)?;
        self.put(",\"estimated_start_at\":");
        self.optional_time(*estimated_start_at);
        self.put(",\"links\":{\"self\":");
        self.string(&links.itself)?;
        self.put(",\"events\":");
        self.string(&links.events)?;
        self.put("}}");
        Ok(())
    }

    /// As it is. Inlined, a text that never changes is a few moves.
    #[inline(always)]
    fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let is_escaped = |found, byte: u8| found | (byte < b' ') | (byte == b'"') | (byte == b'\\');
        if text.bytes().fold(false, is_escaped) {
            return self.value(text);
        }
        self.put("\"");
        self.put(text);
        self.put("\"");
        Ok(())
    }

    fn optional_string(&mut self, text: Option<&str>) -> Result<(), serde_json::Error> {
        match text {
            Some(text) => self.string(text)?,
            None => self.put("null"),
        }
        Ok(())
    }

    fn time(&mut self, at: Timestamp) {
        self.put("\"");
        at.put_into(&mut self.0);
        self.put("\"");
    }

    fn optional_time(&mut self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.time(at),
            None => self.put("null"),
        }
    }

    fn display(&mut self, json: &impl Display) -> Result<(), serde_json::Error> {
        write!(self.0, "{json}").map_err(serde_json::Error::io)
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut self.0, value)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};

    use super::*;
    use crate::job::{Attempt, AttemptError, AttemptOutcome, JobId, Links, Priority, Progress, State};

    fn job() -> Job {
        let (id, at) = (JobId(uuid::Uuid::from_u128(0x0199_a1b2_c3d4_7000_8000_0000_0000_0001)), Timestamp::from_ms(7));
        Job {
            id,
            kind: "content".to_owned(),
            queue: "content".to_owned(),
            tenant: "default".to_owned(),
            state: State::Ready,
            priority: Priority::Normal,
            payload: json!({ "name": "K\u{e4}se" }),
            record_base64: None,
            metadata: json!({}),
            unique_key: None,
            durability: Cow::Borrowed("fast"),
            created_at: at,
            run_at: at,
            started_at: None,
            finished_at: None,
            expires_at: None,
            attempt: 1,
            max_attempts: 5,
            crashes: 0,
            timeout_s: 120,
            progress: None,
            attempts: Vec::new(),
            snoozes: Snoozes::default(),
            provider: None,
            degraded: false,
            degraded_reason: None,
            result: None,
            estimated_start_at: None,
            links: Links::of(id),
            stored_in: Some("contents".to_owned()),
        }
    }

    /// With something in every field, and with what has to be escaped.
    fn full_job(text: &str, state: State, priority: Priority) -> Job {
        let (at, text) = (Timestamp::from_ms(1_760_000_000_007), text.to_owned());
        Job {
            kind: text.clone(),
            queue: text.clone(),
            tenant: text.clone(),
            state,
            priority,
            payload: json!([text, 1.5, null]),
            record_base64: Some(text.clone()),
            metadata: json!({ (text.as_str()): [true] }),
            unique_key: Some(text.clone()),
            durability: Cow::Owned(text.clone()),
            started_at: Some(at),
            finished_at: Some(Timestamp::from_ms(u64::MAX)),
            expires_at: Some(Timestamp::from_ms(253_402_300_800_000)),
            attempt: u32::MAX,
            max_attempts: 0,
            crashes: 12,
            timeout_s: u64::MAX,
            progress: Some(Progress { percent: 100, message: text.clone() }),
            attempts: vec![Attempt {
                number: 2,
                worker: text.clone(),
                started_at: at,
                finished_at: Some(at),
                outcome: Some(AttemptOutcome::Retry),
                error: Some(AttemptError { code: text.clone(), message: text.clone(), fingerprint: text.clone() }),
            }],
            snoozes: Snoozes { count: 1, last_code: Some(text.clone()), last_at: Some(at) },
            provider: Some(text.clone()),
            degraded: true,
            degraded_reason: Some(text.clone()),
            result: Some(json!({ "text": text })),
            estimated_start_at: Some(at),
            ..job()
        }
    }

    #[test]
    fn a_page_is_written_as_serde_writes_it() {
        let control: String = (0..=0x80).filter_map(char::from_u32).collect();
        let states = [
            State::Scheduled,
            State::Ready,
            State::Running,
            State::Retrying,
            State::Waiting,
            State::Succeeded,
            State::Dead,
            State::Cancelled,
            State::Expired,
        ];
        let texts = ["", "plain", "K\u{e4}se \u{2028}\u{1f9c0}", "\"", "\\", "a\nb", control.as_str()];
        let full = states
            .iter()
            .enumerate()
            .flat_map(|(n, state)| texts.map(|text| full_job(text, *state, Priority::ALL[n % Priority::ALL.len()])));
        let items: Vec<Job> = std::iter::once(job()).chain(full).chain([job()]).collect();
        for page in [
            JobPage { items, next_cursor: Some("\"next\"".to_owned()) },
            JobPage { items: vec![job()], next_cursor: None },
            JobPage::<Value> { items: Vec::new(), next_cursor: None },
        ] {
            let text = String::from_utf8(page.to_json().unwrap()).unwrap();
            assert_eq!(text, serde_json::to_string(&page).unwrap());
        }
    }
}
