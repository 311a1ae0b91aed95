//! Finds the texts in what a model wrote. What is usable was paid for, and is not asked for twice because it stands between fences,
//! behind thoughts, in a wrapper, or in another place than usual.

use serde::de::DeserializeOwned;
use serde_json::{Deserializer, Value};

use super::end_point::quote;
use super::validate::Draft;

/// Why an answer of a model cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadAnswer {
    Refused(String),
    Broken(String),
}

impl BadAnswer {
    /// The answer ended before its end, and says so with this word.
    pub(super) fn cut_off(reason: Option<&str>) -> Self {
        match reason.map(str::to_lowercase).as_deref() {
            Some("content_filter") => Self::Refused("the content filter stopped the answer".to_owned()),
            Some("max_output_tokens" | "max_tokens" | "length" | "model_length") => {
                Self::Broken("the answer was cut off because it was too long; be shorter".to_owned())
            }
            reason => {
                Self::Broken(format!("the answer is incomplete ({})", quote(reason.unwrap_or("no reason given"))))
            }
        }
    }
}

/// After so many pieces that are no JSON, nobody looks further.
const MOST_PIECES: usize = 200;
/// Behind the last of these stands the answer; before it, thoughts.
const THOUGHTS_END: [&str; 4] = ["</think>", "</thinking>", "</reasoning>", "[/THINK]"];

/// What an end point handed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The places where the answer may be, the usual one first.
    pub(super) texts: Vec<String>,
    /// Why it ended, if not because it was finished.
    pub(super) ended: Option<String>,
}

impl Written {
    /// The draft in it.
    pub(super) fn draft(&self) -> Result<Draft, BadAnswer> {
        self.form("title")
    }

    /// What was asked for in a form that has this field.
    pub(super) fn form<T: DeserializeOwned>(&self, field: &str) -> Result<T, BadAnswer> {
        let mut first = None;
        for text in &self.texts {
            match form_in(text, field) {
                Ok(form) => return Ok(form),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        // What was cut off breaks rules only because of that.
        if let Some(ended) = &self.ended {
            return Err(BadAnswer::cut_off(Some(ended)));
        }
        let fault = first.map(|error| format!("the answer breaks the JSON schema: {}", quote(&error)));
        Err(BadAnswer::Broken(fault.unwrap_or_else(|| "the answer holds no text".to_owned())))
    }
}

fn form_in<T: DeserializeOwned>(text: &str, field: &str) -> Result<T, String> {
    let behind = THOUGHTS_END.iter().filter_map(|end| Some(text.rfind(end)? + end.len())).max().unwrap_or(0);
    form_of_objects(&text[behind..], field)
        .or_else(|error| if behind == 0 { Err(error) } else { form_of_objects(text, field) })
}

/// The last object that has the form; before it may stand examples.
fn form_of_objects<T: DeserializeOwned>(text: &str, field: &str) -> Result<T, String> {
    let (objects, broken) = objects(text);
    let mut fault = None;
    for object in objects.into_iter().rev() {
        match serde_json::from_value(unwrapped(object, field)) {
            Ok(form) => return Ok(form),
            Err(error) => {
                fault.get_or_insert(error.to_string());
            }
        }
    }
    Err(fault.or(broken).unwrap_or_else(|| "there is no JSON object in it".to_owned()))
}

/// The JSON objects in a text, and what is wrong with the first that is none.
fn objects(text: &str) -> (Vec<Value>, Option<String>) {
    // Some put the object into a string.
    if let Ok(inner) = serde_json::from_str::<String>(text.trim()) {
        return objects(&inner);
    }
    let (mut objects, mut broken, mut n_broken) = (Vec::new(), None, 0);
    let mut rest = text;
    while let Some(start) = rest.find('{').filter(|_| n_broken < MOST_PIECES) {
        let mut values = Deserializer::from_str(&rest[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(object)) => {
                objects.push(object);
                rest = &rest[start + values.byte_offset()..];
            }
            Some(Err(error)) => {
                n_broken += 1;
                broken.get_or_insert(error.to_string());
                rest = &rest[start + 1..];
            }
            None => break,
        }
    }
    (objects, broken)
}

/// The object itself, or the one in it that has the field.
fn unwrapped(object: Value, field: &str) -> Value {
    let has_field = |value: &Value| value.get(field).is_some();
    if has_field(&object) {
        return object;
    }
    let inner = object.as_object().and_then(|fields| fields.values().find(|value| has_field(value)).cloned());
    inner.unwrap_or(object)
}

/// The text of a value that is a text, or a list of parts of which some are; thoughts are none. Empty when there is none.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(part) => {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
            match (kind, part.get("text")) {
                ("text" | "output_text", Some(text)) => text_of(text),
                _ if part.contains_key("title") => content.to_string(),
                _ => String::new(),
            }
        }
        _ => String::new(),
    }
}

/// A number of tokens, where it is told.
pub(super) fn count(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a number of tokens, and not below 0"
    )]
    let from_float = |number: f64| (number >= 0.0).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(from_float))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({ "title": "Lampe {1}", "short_description": "a", "long_description": "b", "bullets": ["c"], "seo_title": "d",
            "meta_description": "e", "keywords": ["f"], "faq": [{ "question": "g", "answer": "h" }], "language": "fr" })
    }

    fn title(text: &str) -> Result<String, BadAnswer> {
        Written { texts: vec![text.to_owned()], ended: None }.draft().map(|draft| draft.title)
    }

    #[test]
    fn the_texts_are_found_wherever_they_stand() {
        let json = good().to_string();
        let mut extra = good();
        extra["subtitle"] = json!("x");
        extra["faq"][0]["source"] = json!("y");
        for text in [
            json.clone(),
            format!("```json\n{json}\n```"),
            format!("Here are the texts:\n\n{json}\n\nI hope that they help {{really}}."),
            format!("<think>The title may be {{\"title\": \"no\"}} or {json}? Yes.</think>\n{json}"),
            format!("I think…</think>{json}"),
            format!("<think>{json}</think>"),
            format!("<think>{}</think>{json}", "Some {words} ".repeat(2 * MOST_PIECES)),
            format!("Example: {{\"title\": \"text\"}}. Answer: {json}"),
            json!({ "product_texts": good() }).to_string(),
            json!({ "name": "product_texts", "arguments": good() }).to_string(),
            Value::String(json.clone()).to_string(),
            format!("\u{feff}{json}"),
            extra.to_string(),
        ] {
            assert_eq!(title(&text), Ok("Lampe {1}".to_owned()), "{text}");
        }
    }

    #[test]
    fn the_texts_may_stand_in_another_place_than_the_usual_one() {
        let texts = vec!["I have thought of it.".to_owned(), good().to_string()];
        assert!(Written { texts, ended: None }.draft().is_ok());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let broken = |text: &str| match title(text) {
            Err(BadAnswer::Broken(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(broken("").contains("no JSON object"));
        assert!(broken("I cannot.").contains("no JSON object"));
        assert!(broken(&good().to_string()[..40]).contains("EOF"));
        let mut missing = good();
        missing.as_object_mut().unwrap().remove("keywords");
        assert!(broken(&missing.to_string()).contains("missing field `keywords`"));
        assert!(broken(&"{".repeat(100_000)).contains("JSON"));
        assert_eq!(Written::default().draft().unwrap_err(), BadAnswer::Broken("the answer holds no text".to_owned()));
    }

    #[test]
    fn a_whole_answer_is_used_however_it_ended_and_a_part_is_not() {
        let written = |text: &str, ended: &str| Written { texts: vec![text.to_owned()], ended: Some(ended.to_owned()) };
        let json = good().to_string();
        for ended in ["length", "tool_calls", "model_length", "insufficient_system_resource", "abort"] {
            assert!(written(&json, ended).draft().is_ok(), "{ended}");
            assert_eq!(written(&json[..40], ended).draft().unwrap_err(), BadAnswer::cut_off(Some(ended)));
        }
    }

    #[test]
    fn thoughts_are_no_text() {
        let parts = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] }, { "type": "text", "text": "a" }, "b"]);
        assert_eq!(text_of(&parts), "ab");
        assert_eq!(text_of(&json!(null)), "");
        assert_eq!(text_of(&json!({ "title": "x" })), r#"{"title":"x"}"#);
        assert_eq!((count(&json!(3)), count(&json!(3.0)), count(&json!(null))), (Some(3), Some(3), None));
    }
}
