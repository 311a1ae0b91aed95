//! What a browser does with pages for people.

use reqwest::{Client, header, redirect::Policy};
use tests::System;
use url::form_urlencoded;

/// What a browser does, one step after the other.
pub(super) struct Browser {
    client: Client,
    base: String,
    /// As it tells what its user reads.
    language: &'static str,
}

/// What it is answered.
pub(super) struct Page {
    pub(super) status: u16,
    headers: header::HeaderMap,
    pub(super) html: String,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Where it leads to at once.
    #[track_caller]
    pub(super) fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.html);
        assert_eq!((self.header("cache-control"), self.header("referrer-policy")), ("no-store", "no-referrer"));
        self.header("location")
    }

    /// Fails unless it is a page of ours in this language, with these words, that lets nothing run and nobody keep it.
    #[track_caller]
    pub(super) fn says(&self, status: u16, language: &str, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.html);
        assert!(self.html.contains(&format!("<html lang=\"{language}\">")), "{}", self.html);
        for words in words {
            assert!(self.html.contains(words), "{words}: {}", self.html);
        }
        let policy = self.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("; form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !self.html.contains("<script"), "{}", self.html);
        assert_eq!((self.header("cache-control"), self.header("referrer-policy")), ("no-store", "no-referrer"));
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
    }
}

impl Browser {
    pub(super) fn new(system: &System, language: &'static str) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { client, base: system.url().to_owned(), language }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let answer = request.header(header::ACCEPT_LANGUAGE, self.language).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Page { status, headers, html: answer.text().await.unwrap() }
    }

    fn address(&self, address: &str) -> String {
        if address.starts_with('/') { format!("{}{address}", self.base) } else { address.to_owned() }
    }

    pub(super) async fn get(&self, address: &str) -> Page {
        self.send(self.client.get(self.address(address))).await
    }

    pub(super) async fn post(&self, address: &str, fields: &[(&str, &str)]) -> Page {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(self.address(address)).body(form);
        self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")).await
    }

    /// Clicks a button of a page of the mock's.
    pub(super) async fn click(&self, address: &str, button: &str) -> Page {
        self.post(address, &[("do", button)]).await
    }
}
