//! The events of a job, as the API streams them.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    calls::job_path,
    connection::Api,
    error::{CallError, PAUSE},
};

/// The API says something at least every 15 s; after this time the connection is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// The longest that one stream is followed before it is taken up anew.
const LONGEST_STREAM: Duration = Duration::from_secs(24 * 3600);

/// Something that happened to a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    /// A text in its data.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.data[field].as_str()
    }

    /// For machines: the data, with `id` and `event`.
    pub(crate) fn as_json(&self) -> Value {
        let mut object = json!({ "id": self.id, "event": self.name });
        if let (Some(object), Some(data)) = (object.as_object_mut(), self.data.as_object()) {
            object.extend(data.clone());
        }
        object
    }
}

/// The events of one job, over outages of the API too.
pub(crate) struct Events<'a> {
    api: &'a Api,
    path: String,
    last_id: Option<String>,
    stream: Option<Response>,
    /// What came and was not yet taken.
    unread: Vec<u8>,
}

impl Api {
    pub(crate) fn events(&self, id: &str) -> Events<'_> {
        Events { api: self, path: format!("{}/events", job_path(id)), last_id: None, stream: None, unread: Vec::new() }
    }
}

impl Events<'_> {
    /// The next event; `None` when the last there is was told before.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            while let Some(block) = take_block(&mut self.unread) {
                if let Some(event) = parse(&block) {
                    self.last_id = Some(event.id.clone());
                    return Ok(Some(event));
                }
            }
            let Some(stream) = &mut self.stream else {
                match self.open().await {
                    Ok(Some(stream)) => self.stream = Some(stream),
                    Ok(None) => return Ok(None),
                    Err(error) => tokio::time::sleep(error.retry_after().ok_or(error)?).await,
                }
                continue;
            };
            match tokio::time::timeout(LONGEST_SILENCE, stream.chunk()).await {
                Ok(Ok(Some(chunk))) => self.unread.extend_from_slice(&chunk),
                // Cut off or ended early, as by an API that stops: it goes on after the last event that came whole.
                _ => {
                    (self.stream, self.unread) = (None, Vec::new());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<Option<Response>, CallError> {
        let mut request = self.api.request(Method::GET, &self.path).timeout(LONGEST_STREAM);
        if let Some(id) = &self.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.map_err(|error| self.api.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NO_CONTENT => Ok(None),
            _ => Err(match self.api.read::<Value>(response).await {
                Err(error) => error,
                Ok(answer) => {
                    CallError::Unexpected { url: self.api.url(&self.path), status: 200, body: answer.to_string() }
                }
            }),
        }
    }
}

/// Takes all up to the first empty line.
fn take_block(unread: &mut Vec<u8>) -> Option<String> {
    let end = unread.windows(2).position(|two| two == b"\n\n")?;
    let block: Vec<u8> = unread.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// Reads the lines of one event; a comment is none.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = value.to_owned(),
            "event" => event.name = value.to_owned(),
            "data" => event.data = serde_json::from_str(value).ok()?,
            _ => {}
        }
    }
    (!event.name.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    const FIRST: &str = ": heartbeat\n\nid: 1\nevent: state\ndata: {\"state\":\"ready\"}\n\nid: 2\nevent: st";
    const SECOND: &str = "id: 2\nevent: state\ndata: {\"state\":\"running\"}\n\nid: 9\nevent: end\ndata: {}\n\n";

    #[tokio::test]
    async fn a_stream_that_was_cut_off_goes_on_after_the_last_whole_event() {
        let server = MockServer::start().await;
        for (status, body) in [(200, FIRST), (503, "{\"title\":\"away\"}"), (200, SECOND), (204, "")] {
            let answer = ResponseTemplate::new(status).insert_header("Retry-After", "0").set_body_string(body);
            Mock::given(any()).respond_with(answer).up_to_n_times(1).mount(&server).await;
        }
        let api = Api::new(&server.uri(), Some("t".into())).unwrap();
        let mut events = api.events("j");
        let mut told = Vec::new();
        while let Some(event) = events.next().await.unwrap() {
            told.push(event.as_json().to_string());
        }
        let expected = [
            r#"{"event":"state","id":"1","state":"ready"}"#,
            r#"{"event":"state","id":"2","state":"running"}"#,
            r#"{"event":"end","id":"9"}"#,
        ];
        assert_eq!(told, expected);
        let requests = server.received_requests().await.unwrap();
        let asked: Vec<Option<&str>> = requests
            .iter()
            .map(|request| request.headers.get("last-event-id").map(|id| id.to_str().unwrap()))
            .collect();
        assert_eq!(asked, [None, Some("1"), Some("1"), Some("9")]);
        assert_eq!(requests[0].url.path(), "/api/jobs/j/events");
    }
}
