//! JSON as the body of an answer.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

/// JSON as the body of an answer, as [`axum::Json`] has it, but written into a vector: a page of jobs, which is made of thousands of small
/// pieces, takes much less time so.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json(serde_json::to_vec(&self.0))
    }
}

/// A page of jobs as the body of an answer. Clones share its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Page(Bytes);

impl Page {
    /// Writes it.
    ///
    /// # Errors
    /// As [`serde_json::to_vec`].
    pub(crate) fn new(page: &api::JobPage<queue::Json>) -> Result<Self, serde_json::Error> {
        Ok(Self(page.to_json()?.into()))
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        json(Ok(self.0))
    }
}

/// JSON that is written already, as the body of an answer.
pub(crate) fn json(json: Result<impl Into<Body>, serde_json::Error>) -> Response {
    match json {
        Ok(body) => {
            let mut response = Response::new(body.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_the_answer_that_axum_gives() {
        let value = serde_json::json!({ "a": [1, "\"é\""], "b": null });
        let (ours, theirs) = (Json(&value).into_response(), axum::Json(&value).into_response());
        assert_eq!((ours.status(), ours.headers()), (theirs.status(), theirs.headers()));
        let [ours, theirs] = [ours, theirs].map(|response| axum::body::to_bytes(response.into_body(), 100));
        assert_eq!(ours.await.unwrap(), theirs.await.unwrap());
    }
}
