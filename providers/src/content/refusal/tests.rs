//! Refusals of many vendors, and what follows from them.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;

use super::{Said, sort};
use crate::{
    ProviderError,
    content::end_point::{EndPoint, Failure},
};

const VENDOR: EndPoint =
    EndPoint { service: "vendor", key: "KEY", base_url: "URL", model: "MODEL", is_its_vendor: false };

fn sorted(status: u16, body: &str) -> (&'static str, String) {
    match sort(VENDOR, status, &HeaderMap::new(), &Said::of(body.as_bytes())) {
        Failure::ModelGone(message) => ("model_gone", message),
        Failure::Unfit { error, .. } => ("unfit", error.to_string()),
        Failure::Other(error) => (error.code(), error.to_string()),
    }
}

fn code(status: u16, kind: &str, code: &str) -> &'static str {
    let body = json!({ "error": { "message": "m", "type": kind, "param": null, "code": code } }).to_string();
    sorted(status, &body).0
}

#[test]
fn every_status_has_its_consequence() {
    for status in [400, 422, 501] {
        assert_eq!(code(status, "invalid_request_error", "x"), "unfit", "{status}");
    }
    for status in [403, 405, 413] {
        assert_eq!(code(status, "invalid_request_error", "x"), "provider_unable", "{status}");
    }
    for status in [302, 401, 402, 404] {
        assert_eq!(code(status, "invalid_request_error", "x"), "provider_misconfigured", "{status}");
    }
    for status in [408, 409, 425, 500, 502, 503, 504] {
        assert_eq!(code(status, "server_error", "x"), "provider_unavailable", "{status}");
    }
    for status in [400, 404] {
        assert_eq!(code(status, "invalid_request_error", "model_not_found"), "model_gone");
    }
    assert_eq!(code(429, "requests", "rate_limit_exceeded"), "rate_limited");
    assert_eq!(code(429, "rate_limit_error", "slow_down"), "rate_limited");
}

#[test]
fn no_money_is_told_from_no_time_in_every_vendors_words() {
    let money = [
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (402, r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#),
        (402, "<html><body><h1>Payment Required</h1></body></html>"),
        (402, ""),
        (
            400,
            r#"{"error":{"message":"Your credit balance is too low to access the API.","type":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Budget has been exceeded! Current cost: 14.2, Max budget: 10","type":"budget_exceeded","param":null,"code":"400"}}"#,
        ),
        (400, r#"{"error":{"message":"x","type":"invalid_request_error","code":"billing_hard_limit_reached"}}"#),
        (403, r#"{"code":"The caller does not have permission","error":"Your team has used all available credits"}"#),
        (403, r#"{"error":{"message":"access denied: account is in arrears","code":"AccountOverdueError"}}"#),
        (429, r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#),
        (429, r#"{"error":{"message":"m","type":"x","code":"credit_balance_exhausted"}}"#),
        (429, r#"{"error":{"message":"m","type":"x","code":"spend_limit_reached"}}"#),
        (
            429,
            r#"{"error":{"message":"LiteLLM User: a, exceeded budget for model=b","type":"budget_exceeded","param":null,"code":"429"}}"#,
        ),
        (429, r#"{"error":{"message":"Your account is not active, please check your billing details","type":"x"}}"#),
        (200, r#"{"error":{"message":"Insufficient credits","code":402}}"#),
        (200, r#"{"error":"insufficient balance"}"#),
    ];
    for (status, body) in money {
        let (code, message) = sorted(status, body);
        assert_eq!(code, "provider_misconfigured", "{status} {body}: {message}");
        assert!(message.ends_with("the account is out of quota or money"), "{message}");
    }
    let time = [
        r#"{"error":{"message":"Rate limit reached for model a. Need more tokens? Upgrade at https://vendor.example/settings/billing","type":"tokens","code":"rate_limit_exceeded"}}"#,
        r#"[{"error":{"code":429,"message":"You exceeded your current quota, check your plan and billing details. Please retry in 22.3s.","status":"RESOURCE_EXHAUSTED"}}]"#,
        r#"{"message":"Requests rate limit exceeded"}"#,
        r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
    ];
    for body in time {
        assert_eq!(sorted(429, body).0, "rate_limited", "{body}");
    }
}

#[test]
fn one_text_that_is_not_wanted_is_not_the_account() {
    let moderated = [
        (
            403,
            r#"{"error":{"code":403,"message":"a/b requires moderation on this router. Your input was flagged for \"violence\". No credits were charged.","metadata":{"reasons":["violence"],"flagged_input":"knife"}}}"#,
        ),
        (
            400,
            r#"{"error":{"code":"content_filter","message":"The response was filtered due to the prompt triggering the content management policy.","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Your prompt was flagged as violating our usage policies.","type":"invalid_request_error","code":"invalid_prompt"}}"#,
        ),
        (200, r#"{"error":{"message":"Your input was flagged","code":403}}"#),
    ];
    for (status, body) in moderated {
        assert_eq!(sorted(status, body).0, "provider_rejected", "{body}");
    }
    let nobody_can_tell =
        ["", "<html><title>Blocked</title><body>Request blocked</body></html>", r#"{"error":"forbidden"}"#];
    for body in nobody_can_tell {
        assert_eq!(sorted(403, body).0, "provider_unable", "{body}");
    }
    let account = [
        r#"{"error":{"message":"Country, region, or territory not supported","code":"unsupported_country_region_territory"}}"#,
        r#"{"error":{"message":"Your access was terminated due to violation of our policies","type":"access_terminated"}}"#,
        r#"{"error":{"message":"You have insufficient permissions for this operation.","type":"x"}}"#,
        r#"{"message":"Your account has been flagged and is suspended"}"#,
    ];
    for body in account {
        assert_eq!(sorted(403, body).0, "provider_misconfigured", "{body}");
    }
}

#[test]
fn every_word_that_is_known_for_money_account_and_moderation_is_understood() {
    let all = |words: &[&str], status: u16, wanted: &str| {
        for word in words {
            let told = sorted(status, &json!({ "error": { "message": format!("Sorry: {word}.") } }).to_string());
            assert_eq!(told.0, wanted, "{word}: {}", told.1);
        }
    };
    let all_codes = |codes: &[&str], status: u16, wanted: &str| {
        for name in codes {
            assert_eq!(code(status, "error", &format!("x_{name}_x")), wanted, "{name}");
        }
    };
    let money = [
        "insufficient fund",
        "insufficient quota",
        "insufficient account balance",
        "not enough balance",
        "not enough credit",
        "no balance",
        "out of credit",
        "available credits",
        "any credits",
        "more credits",
        "credit limit",
        "budget has been exceeded",
        "exceeded budget",
        "over budget",
        "ExceededBudget",
        "crossed budget",
        "current quota",
        "payment required",
        "payment method",
        "billing details",
        "billing hard limit",
        "billing is not",
        "arrear",
        "overdue",
        "spending limit",
        "spend limit",
        "monthly limit",
        "usage limit",
        "余额不足",
        "欠费",
    ];
    all(&money, 400, "provider_misconfigured");
    let codes = ["quota", "credit", "spend", "billing", "budget", "balance", "payment", "arrear", "usage_limit"];
    all_codes(&codes, 400, "provider_misconfigured");
    let moderation = [
        "requires moderation",
        "content management policy",
        "content exists risk",
        "content policy",
        "inappropriate content",
        "unsafe content",
        "sensitive content",
        "flagged",
        "safety system",
        "usage policies",
        "violates our",
        "moderation",
    ];
    all(&moderation, 400, "provider_rejected");
    let codes = ["content_filter", "content_policy", "moderation", "responsibleai", "invalid_prompt"];
    all_codes(&codes, 403, "provider_rejected");
    all_codes(&["data_inspection", "content_safety", "sensitive"], 403, "provider_rejected");
    let flags = r#"{"error":{"message":"no","metadata":{"flagged_input":"knife"}}}"#;
    assert_eq!(sorted(403, flags).0, "provider_rejected");
    let account = [
        "api key",
        "api-key",
        "apikey",
        "country",
        "region",
        "your account",
        "your organization",
        "your team",
        "your project",
        "permission",
        "not authorized",
        "unauthorized",
        "ip address",
        "suspended",
        "deactivated",
        "terminated",
        "access token",
        "authenticate",
    ];
    all(&account, 403, "provider_misconfigured");
    let codes = ["api_key", "authentication", "permission", "unauthorized", "access_terminated", "account"];
    all_codes(&codes, 403, "provider_misconfigured");
    all_codes(&["organization", "unsupported_country", "ip_not", "invalid_token"], 403, "provider_misconfigured");
}

#[test]
fn a_refusal_that_comes_as_an_answer_means_what_it_says() {
    for (body, wanted) in [
        (r#"{"error":{"message":"no","code":401}}"#, "provider_misconfigured"),
        (r#"{"error":{"message":"no","code":"503"}}"#, "provider_unavailable"),
        (r#"{"error":"Your input was flagged"}"#, "provider_rejected"),
        (r#"{"error":"no balance"}"#, "provider_misconfigured"),
        (r#"{"error":"the model does not exist"}"#, "model_gone"),
        (r#"{"error":"rate limit reached"}"#, "rate_limited"),
        (r#"{"error":"json_schema is not supported"}"#, "unfit"),
        (r#"{"error":"boom"}"#, "provider_unavailable"),
    ] {
        assert_eq!(sorted(200, body).0, wanted, "{body}");
    }
}

#[test]
fn a_model_that_is_not_there_is_known_in_every_vendors_words() {
    let gone = [
        (
            404,
            r#"{"object":"error","message":"The model `a` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
        ),
        (
            404,
            r#"{"error":{"message":"model \"a\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (400, r#"{"object":"error","message":"Invalid model: a","type":"invalid_model","param":null,"code":"1500"}"#),
        (
            400,
            r#"{"error":{"message":"Invalid model name passed in model=a","type":"None","param":"None","code":"400"}}"#,
        ),
        (
            403,
            r#"{"error":{"message":"Project p does not have access to model a","type":"invalid_request_error","code":"model_not_found"}}"#,
        ),
    ];
    for (status, body) in gone {
        assert_eq!(sorted(status, body).0, "model_gone", "{body}");
    }
}

#[test]
fn what_an_end_point_cannot_do_is_never_final() {
    let unfit = [
        (
            400,
            r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are not permitted","input":4000}]}"#,
        ),
        (404, r#"{"error":{"message":"No endpoints found that can handle the requested parameters.","code":404}}"#),
        (
            500,
            r#"{"error":{"code":500,"message":"Failed to initialize samplers: failed to parse grammar","type":"server_error"}}"#,
        ),
        (400, "Bad Request"),
        (200, r#"{"error":{"message":"json_schema is not supported","code":400}}"#),
    ];
    for (status, body) in unfit {
        assert_eq!(sorted(status, body).0, "unfit", "{body}");
    }
}

#[test]
fn the_protocols_own_vendor_is_believed_what_it_says_of_an_input() {
    let of = |body: &str| {
        let vendor = EndPoint { is_its_vendor: true, ..VENDOR };
        match sort(vendor, 400, &HeaderMap::new(), &Said::of(body.as_bytes())) {
            Failure::Other(error) => error.code(),
            Failure::Unfit { .. } => "unfit",
            Failure::ModelGone(_) => "model_gone",
        }
    };
    assert_eq!(
        of(r#"{"error":{"message":"Invalid type for 'input'","type":"invalid_request_error"}}"#),
        "provider_rejected"
    );
    for capability in ["Unsupported parameter: 'reasoning.effort'", "the model's maximum context length is 9 tokens"] {
        assert_eq!(of(&json!({ "error": { "message": capability } }).to_string()), "unfit", "{capability}");
    }
}

#[test]
fn the_vendors_words_survive_in_every_form() {
    let message = |status, body: &str| sorted(status, body).1;
    assert_eq!(message(503, r#"{"error":"overloaded, come back"}"#), "vendor: 503 overloaded, come back");
    assert_eq!(
        message(429, r#"{"message":"Requests rate limit exceeded"}"#),
        "vendor: 429 Requests rate limit exceeded"
    );
    assert_eq!(message(500, r#"{"detail":"boom"}"#), "vendor: 500 boom");
    let in_a_list = r#"[{"error":{"message":"overloaded","status":"UNAVAILABLE"}}]"#;
    assert_eq!(message(503, in_a_list), "vendor: 503 UNAVAILABLE overloaded");
    assert_eq!(message(500, r#"{"errors":[{"code":7003,"message":"no route"}]}"#), "vendor: 500 7003 no route");
    assert_eq!(message(400, r#"{"error":{"message":"no","code":400}}"#), "vendor: 400 no");
    assert_eq!(
        message(
            422,
            r#"{"object":"error","message":{"detail":[{"loc":["body","x"],"msg":"Extra inputs"}]},"type":"t"}"#
        ),
        "vendor: 422 body.x: Extra inputs"
    );
    assert_eq!(
        message(502, r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"{\"x\":1}"}}}"#),
        "vendor: 502 Provider returned error: {\"x\":1}"
    );
    let page = "<html><head><title>502</title><script>track()</script><style>p{}</style></head>\
        <body><h1>502 Bad&nbsp;Gateway</h1><p>upstream &amp; friends</p></body></html>";
    assert_eq!(message(502, page), "vendor: 502 502 Bad Gateway upstream & friends");
    assert_eq!(message(500, "upstream connect error"), "vendor: 500 upstream connect error");
    let long = message(500, &json!({ "error": "é".repeat(400) }).to_string());
    assert_eq!(long.chars().filter(|c| *c == 'é').count(), 300);
    assert_eq!(
        message(200, r#"{"error":{"message":"mind lost","code":"server_error"}}"#),
        "vendor: 200 server_error mind lost"
    );
}

#[test]
fn no_part_of_a_key_is_shown() {
    let quoted = [
        "Incorrect API key provided: sk-te***************1234. You can find your key in the dashboard.",
        "Authentication Fails, Your api key: ****1234 is invalid",
        "Invalid proxy server token passed. Received API Key = sk-...1234, Key Hash (Token) =88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b.",
    ];
    for text in quoted {
        let (code, message) = sorted(401, &json!({ "error": { "message": text } }).to_string());
        assert_eq!(code, "provider_misconfigured");
        assert!(message.contains("[secret]") && message.contains("KEY is refused"), "{message}");
        assert!(!message.contains("1234") && !message.contains("88dc"), "{message}");
    }
}

#[test]
fn the_wait_that_is_asked_for_is_kept() {
    let headers: HeaderMap = [(reqwest::header::RETRY_AFTER, HeaderValue::from_static("17"))].into_iter().collect();
    let failure = sort(VENDOR, 503, &headers, &Said::default());
    let Failure::Other(ProviderError::Transient { retry_after, .. }) = failure else { panic!("{failure:?}") };
    assert_eq!(retry_after, Some(std::time::Duration::from_secs(17)));
}
