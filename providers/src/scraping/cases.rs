//! The cases in `tests/cases`: pages as servers send them, and what is right. Each one goes through a real server and a real fetch.

use std::{collections::HashMap, fs, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rust_decimal::Decimal;
use serde_json::Value;
use url::Url;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::{Page, PagePrice, Scraper, access::Access, direct::Direct};

use crate::ProviderError;

/// Pages by path and query.
struct Shop(HashMap<String, ResponseTemplate>);

impl Respond for Shop {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", request.url.path());
        self.0.get(&path).cloned().unwrap_or_else(|| ResponseTemplate::new(404))
    }
}

async fn serve(pages: HashMap<String, ResponseTemplate>) -> (MockServer, Direct) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(Shop(pages)).mount(&server).await;
    let direct = Direct::new(&Arc::new(Access::new(&["127.0.0.1".to_owned()], None).unwrap())).unwrap();
    (server, direct)
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What is wrong with an answer, if anything is.
fn complaint(expect: &Value, answer: &Result<PagePrice, ProviderError>) -> Option<String> {
    if expect == "error" {
        return answer.as_ref().ok().map(|page| format!("was read: {page:?}"));
    }
    let page = match answer {
        Ok(page) => page,
        Err(error) => return Some(error.to_string()),
    };
    let found = page.price.as_ref();
    let amount = match &expect["amount"] {
        Value::String(amount) => Some(Decimal::from_str(amount).unwrap()),
        _ => None,
    };
    let is_any = |name: &str| expect[name] == "any";
    let text = |name: &str| expect[name].as_str();
    let wrong = [
        ("amount", !is_any("amount") && found.map(|price| price.amount) != amount),
        ("currency", !is_any("currency") && found.and_then(|price| price.currency.as_deref()) != text("currency")),
        (
            "availability",
            !is_any("availability")
                && text("availability").is_some()
                && found.and_then(|price| price.availability.as_deref()) != text("availability"),
        ),
        ("title", text("title").is_some() && page.title.as_deref() != text("title")),
    ];
    let wrong: Vec<&str> = wrong.into_iter().filter_map(|(name, wrong)| wrong.then_some(name)).collect();
    (!wrong.is_empty()).then(|| format!("{}: {expect}, but {page:?}", wrong.join(", ")))
}

#[tokio::test]
async fn every_page_of_the_cases_is_read_right() {
    let cases: Vec<Value> = serde_json::from_str(&read("pages.json")).unwrap();
    let pages = cases.iter().map(|case| {
        let body = match case["html"].as_str() {
            Some(html) => html.as_bytes().to_vec(),
            None => BASE64_STANDARD.decode(case["html_base64"].as_str().unwrap()).unwrap(),
        };
        let path = case["path"].as_str().unwrap().split('#').next().unwrap().to_owned();
        let mut answer = ResponseTemplate::new(200).set_body_bytes(body);
        for (name, value) in case["headers"].as_object().unwrap() {
            answer = answer.insert_header(name.as_str(), value.as_str().unwrap());
        }
        (path, answer)
    });
    let (server, direct) = serve(pages.collect()).await;
    let mut wrong = Vec::new();
    for case in &cases {
        let url = Url::parse(&format!("{}{}", server.uri(), case["path"].as_str().unwrap())).unwrap();
        let answer = direct.fetch_price(&Page::from(url)).await;
        wrong.extend(complaint(&case["expect"], &answer).map(|why| format!("{}: {why}", case["name"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 30);
}

#[tokio::test]
async fn every_price_of_the_cases_is_read_right_in_json_ld_and_in_microdata() {
    let cases: Vec<Value> = read("prices.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut pages = HashMap::new();
    for (index, case) in cases.iter().enumerate() {
        let bodies = match (case["text"].as_str(), case["html"].as_str()) {
            (Some(text), _) => {
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
                vec![
                    (
                        "json_ld",
                        format!(
                            "<script type='application/ld+json'>{{\"@type\":\"Product\",\"offers\":{{\"price\":{}}}}}</script>",
                            Value::from(text)
                        ),
                    ),
                    (
                        "microdata",
                        format!(
                            "<div itemscope itemtype='https://schema.org/Product'><div itemprop=offers itemscope>\
                         <span itemprop=price>{escaped}</span></div></div>"
                        ),
                    ),
                ]
            }
            (None, html) => vec![("page", html.unwrap().to_owned())],
        };
        for (form, body) in bodies {
            let answer = ResponseTemplate::new(200).set_body_raw(body, "text/html; charset=utf-8");
            pages.insert(format!("/{index}/{form}"), answer);
        }
    }
    let paths: Vec<String> = pages.keys().cloned().collect();
    let (server, direct) = serve(pages).await;
    let mut wrong = Vec::new();
    for path in paths {
        let index: usize = path.split('/').nth(1).unwrap().parse().unwrap();
        let url = Url::parse(&format!("{}{path}", server.uri())).unwrap();
        let answer = direct.fetch_price(&Page::from(url)).await;
        wrong
            .extend(complaint(&cases[index]["expected"], &answer).map(|why| format!("{path} {}: {why}", cases[index])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 20);
}
