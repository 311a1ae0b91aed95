//! Texts without a model: the mock, and what stands in for a model that cannot answer. The same request always gives the
//! same texts; products differ by a hash of their id.

use std::borrow::Cow;

use futures::future::{self, BoxFuture, FutureExt};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::phrases::Phrases;
use super::validate::{self, Draft, Origin, plain_text};
use super::{
    Choice, ContentProvider, ContentRequest, ContentText, Cost, Language, Plan, Price, Question, Tell, Tokens,
};
use crate::{Provider, ProviderError};

/// Stands where the name of a model would.
const MODEL: &str = "template";
/// Longest list of features within a sentence, in characters.
const FEATURES_IN_SENTENCE: usize = 300;
/// A further general paragraph is worth it when this many words are missing.
const PARAGRAPH_WORDS: usize = 20;

/// Fills sentences with the product's data.
#[derive(Debug)]
pub(super) struct Template;

impl Provider for Template {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl ContentProvider for Template {
    fn write_telling<'a>(
        &'a self,
        request: &'a ContentRequest,
        _: Tell<'a>,
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        future::ready(write(request)).boxed()
    }

    fn plan(&self, _: &ContentRequest) -> Result<Plan, ProviderError> {
        let choice = Choice { model: MODEL.to_owned(), rate: None };
        Ok(Plan { route: MODEL.to_owned(), choices: vec![choice] })
    }

    fn estimate_tokens(&self, _: &ContentRequest) -> u64 {
        0
    }

    fn estimate_usd(&self, _: &ContentRequest) -> Option<Decimal> {
        Some(Decimal::ZERO)
    }
}

fn write(request: &ContentRequest) -> Result<ContentText, ProviderError> {
    let origin = Origin { model: MODEL.to_owned(), tokens: Tokens::default(), cost: Some(Cost::nothing()) };
    validate::finish(Author::new(request).draft(), request, origin).map_err(|reason| ProviderError::Rejected {
        service: "mock",
        message: format!("the template of product {:?} breaks a rule: {reason}", request.product_id),
    })
}

/// The product's data as plain text, and the sentences of its language.
struct Author<'a> {
    request: &'a ContentRequest,
    phrases: &'static Phrases,
    /// Chooses between sentences.
    hash: [u8; 32],
    name: String,
    category: String,
    reference: String,
    features: Vec<String>,
    price: Option<String>,
}

/// Whether values are put into HTML or into plain text.
#[derive(Clone, Copy)]
enum Target {
    Html,
    Plain,
}

impl<'a> Author<'a> {
    fn new(request: &'a ContentRequest) -> Self {
        let features = request.features.iter().map(|feature| plain_text(feature)).filter(|feature| !feature.is_empty());
        Self {
            request,
            phrases: Phrases::of(request.language),
            hash: Sha256::digest(request.product_id.as_bytes()).into(),
            name: plain_text(&request.name),
            category: plain_text(&request.category),
            reference: plain_text(&request.product_id),
            features: features.collect(),
            price: request.price.as_ref().map(|price| format_price(price, request.language)),
        }
    }

    fn draft(&self) -> Draft {
        let phrases = self.phrases;
        let meta = if self.features.is_empty() { &phrases.meta } else { &phrases.meta_features };
        Draft {
            title: self.name.clone(),
            short_description: self.short_description(),
            long_description: self.long_description(),
            bullets: self.bullets(),
            seo_title: self.seo_title(),
            meta_description: shorten(&self.fill(self.pick(0, meta), Target::Plain), validate::META_DESCRIPTION),
            keywords: self.keywords(),
            faq: self.faq(),
            language: self.request.language,
        }
    }

    fn short_description(&self) -> String {
        let lead = self.fill(self.pick(1, &self.phrases.voice(self.request.tone).lead), Target::Html);
        if self.features.is_empty() {
            return format!("<p>{lead}</p>");
        }
        format!("<p>{lead} {}</p>", self.fill(self.phrases.faq_features.1, Target::Html))
    }

    fn long_description(&self) -> String {
        let voice = self.phrases.voice(self.request.tone);
        let opening = paragraph(&self.fill(self.pick(2, &voice.opening), Target::Html));
        let closing = paragraph(&self.fill(self.pick(3, &voice.closing), Target::Html));
        let features = self.feature_section();
        let price = match self.price {
            Some(_) => paragraph(&self.fill(self.pick(4, &self.phrases.price), Target::Html)),
            None => String::new(),
        };
        let fixed: usize = [&opening, &closing, &features, &price].into_iter().map(|part| n_words(part)).sum();
        let left = usize::from(self.request.target_length).saturating_sub(fixed);
        let description = description(self.request.description.as_deref().unwrap_or_default(), left);
        let advice = self.advice(left.saturating_sub(n_words(&description)));
        [opening, description, features, price, advice, closing].concat()
    }

    fn feature_section(&self) -> String {
        if self.features.is_empty() {
            return String::new();
        }
        let heading = self.fill(self.pick(5, &self.phrases.features_heading), Target::Html);
        let items: String = self.features.iter().map(|feature| format!("<li>{}</li>", escape(feature))).collect();
        format!("<h2>{heading}</h2><ul>{items}</ul>")
    }

    /// General paragraphs until `n_missing` words are there or none is left.
    fn advice(&self, mut n_missing: usize) -> String {
        let mut section = String::new();
        let first = usize::from(self.hash[6]);
        for index in 0..self.phrases.advice.len() {
            if n_missing < PARAGRAPH_WORDS {
                break;
            }
            let phrase = self.phrases.advice[(first + index) % self.phrases.advice.len()];
            let text = paragraph(&self.fill(phrase, Target::Html));
            n_missing = n_missing.saturating_sub(n_words(&text));
            section.push_str(&text);
        }
        if section.is_empty() {
            return section;
        }
        format!("<h2>{}</h2>{section}", self.fill(self.pick(7, &self.phrases.advice_heading), Target::Html))
    }

    /// The features; products with fewer than three also get category, price and reference.
    fn bullets(&self) -> Vec<String> {
        let mut bullets: Vec<String> = self.features.iter().take(validate::BULLETS).cloned().collect();
        let price_line = self.price.is_some().then_some(self.phrases.price_line);
        let lines = [Some(self.phrases.category_line), price_line, Some(self.phrases.reference_line)];
        for line in lines.into_iter().flatten() {
            if bullets.len() < 3 {
                bullets.push(self.fill(line, Target::Plain));
            }
        }
        bullets
    }

    fn seo_title(&self) -> String {
        let with_category = format!("{} | {}", self.name, self.category);
        if with_category.chars().count() <= validate::SEO_TITLE {
            return with_category;
        }
        shorten(&self.name, validate::SEO_TITLE)
    }

    fn keywords(&self) -> Vec<String> {
        let short = self.features.iter().filter(|feature| feature.chars().count() <= 30).take(6);
        let words = [&self.category, &self.name].into_iter().chain(short);
        words.map(|word| cut(word, validate::KEYWORD).to_owned()).collect()
    }

    fn faq(&self) -> Vec<Question> {
        let with_features = (!self.features.is_empty()).then_some(self.phrases.faq_features);
        let with_price = self.price.is_some().then_some(self.phrases.faq_price);
        let entries = with_features.into_iter().chain(with_price).chain(self.phrases.faq);
        let question = |(question, answer)| Question {
            question: cut(&self.fill(question, Target::Plain), validate::QUESTION).to_owned(),
            answer: cut(&self.fill(answer, Target::Plain), validate::ANSWER).to_owned(),
        };
        entries.map(question).collect()
    }

    /// The choice between `options`; every use has its own `salt`, so that the choices are independent.
    fn pick<const N: usize>(&self, salt: usize, options: &[&'static str; N]) -> &'static str {
        options[usize::from(self.hash[salt]) % N]
    }

    /// `phrase` with its blanks filled, in one pass, so that braces in the product's data stay what they are.
    fn fill(&self, phrase: &str, target: Target) -> String {
        let phrase = typeset(phrase, self.request.language);
        let mut text = String::with_capacity(2 * phrase.len());
        let mut rest = &*phrase;
        while let Some((before, (blank, behind))) =
            rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            text.push_str(before);
            let value = self.value(blank);
            match target {
                Target::Html => text.push_str(&escape(&value)),
                Target::Plain => text.push_str(&value),
            }
            rest = behind;
        }
        text.push_str(rest);
        text
    }

    fn value(&self, blank: &str) -> Cow<'_, str> {
        match blank {
            "name" => Cow::from(&self.name),
            "category" => Cow::from(&self.category),
            "reference" => Cow::from(&self.reference),
            "price" => Cow::from(self.price.as_deref().unwrap_or_default()),
            "features" => Cow::from(self.first_features()),
            _ => Cow::from(""),
        }
    }

    /// Up to three features as part of a sentence.
    fn first_features(&self) -> String {
        let mut n_chars = 0;
        let fits = |feature: &&str| {
            n_chars += feature.chars().count();
            n_chars <= FEATURES_IN_SENTENCE
        };
        let features = self.features.iter().take(3).map(|feature| feature.trim_end_matches('.'));
        match features.take_while(fits).collect::<Vec<_>>().as_slice() {
            [] => String::new(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{}{}{last}", first.join(", "), self.phrases.last_comma),
        }
    }
}

/// French sets a no-break space before `: ; ! ?` and inside quotes.
fn typeset(phrase: &str, language: Language) -> Cow<'_, str> {
    if language != Language::Fr {
        return Cow::from(phrase);
    }
    let mut text = String::with_capacity(phrase.len() + 16);
    let mut rest = phrase;
    while let Some((before, behind)) = rest.split_once(' ') {
        text.push_str(before);
        text.push(if behind.starts_with([':', ';', '!', '?']) { '\u{a0}' } else { ' ' });
        rest = behind;
    }
    text.push_str(rest);
    Cow::from(text)
}

/// Whole sentences of the merchant's own description while there is room for words, and always the first.
fn description(text: &str, n_words: usize) -> String {
    let mut n_left = n_words;
    let mut html = String::new();
    for line in text.lines().map(plain_text) {
        let mut kept = Vec::new();
        for sentence in sentences(&line) {
            let is_first = html.is_empty() && kept.is_empty();
            if !is_first && sentence.len() > n_left {
                n_left = 0;
                break;
            }
            n_left = n_left.saturating_sub(sentence.len());
            kept.extend(sentence);
        }
        if !kept.is_empty() {
            html.push_str(&paragraph(&escape(&kept.join(" "))));
        }
    }
    html
}

/// The words of each sentence.
fn sentences(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.split_inclusive(|word| word.ends_with(['.', '!', '?', '…'])).map(<[&str]>::to_vec).collect()
}

fn paragraph(html: &str) -> String {
    format!("<p>{html}</p>")
}

fn n_words(html: &str) -> usize {
    let words = html.split_whitespace().map(|part| {
        let mut words = part.split('<');
        let before_tag = words.next().is_some_and(|word| !word.is_empty());
        usize::from(before_tag) + words.filter(|tag| !tag.ends_with('>')).count()
    });
    words.sum()
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::from(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::from(escaped)
}

/// At most `most` characters of `text`, ending with an ellipsis when something is missing.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    format!("{}…", cut(text, most - 1))
}

/// At most `most` characters of `text`, up to the end of a word where there is one.
fn cut(text: &str, most: usize) -> &str {
    let Some((end, next)) = text.char_indices().nth(most) else { return text };
    let head = &text[..end];
    let words = match head.rfind(char::is_whitespace) {
        Some(blank) if !next.is_whitespace() => &head[..blank],
        _ => head,
    };
    // A joiner at the end would draw in what follows.
    let tidy = words.trim_end_matches(|c: char| c.is_whitespace() || ",;:-–—|(«\u{200d}".contains(c));
    if tidy.is_empty() { head } else { tidy }
}

/// `1 299,90 €` or `€1,299.90`; nothing is rounded.
fn format_price(price: &Price, language: Language) -> String {
    let Ok(amount) = price.amount.parse::<Decimal>() else { return format!("{} {}", price.amount, price.currency) };
    let n_digits = amount.normalize().scale().max(minor_digits(&price.currency)) as usize;
    let number = format!("{amount:.n_digits$}");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let (group, point) = match language {
        Language::Fr => ("\u{a0}", ","),
        Language::En => (",", "."),
    };
    let mut number = grouped(whole, group);
    if !fraction.is_empty() {
        number = format!("{number}{point}{fraction}");
    }
    let symbol = match price.currency.as_str() {
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "$",
        code => code,
    };
    match language {
        Language::Fr => format!("{number}\u{a0}{symbol}"),
        Language::En if symbol == price.currency => format!("{symbol}\u{a0}{number}"),
        Language::En => format!("{symbol}{number}"),
    }
}

/// Digits in groups of three.
fn grouped(digits: &str, group: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push_str(group);
        }
        text.push(digit);
    }
    text
}

/// How many digits of a currency follow the point.
fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Tone;

    fn request(name: &str, language: Language) -> ContentRequest {
        ContentRequest {
            product_id: "P-1".to_owned(),
            name: name.to_owned(),
            category: "Divers".to_owned(),
            features: vec!["Léger".to_owned(), "Bleu".to_owned()],
            description: None,
            language,
            tone: Tone::Professional,
            target_length: 300,
            price: Some(Price { amount: "1299.9".to_owned(), currency: "EUR".to_owned() }),
            ..crate::content::request::tests::request()
        }
    }

    /// Texts that break careless templates; each within the limits of a name or category.
    fn nasty() -> Vec<String> {
        let mut texts = [
            "😀",
            "👨‍👩‍👧‍👦👨‍👩‍👧‍👦",
            "مصباح مكتبي",
            "\"\"\"",
            "'",
            "<",
            "<>",
            "&&&",
            "&lt;script&gt;",
            "5 < 6",
            "{name}{category}",
            "}{",
            "{",
            "%s %d \\n",
            "; drop table",
            "a|b",
            "漢字",
            "-",
            ",,,",
            "\u{200b}x",
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>x",
        ]
        .map(str::to_owned)
        .to_vec();
        for piece in ["x", "é", "😀", "漢", "\"", "&", ",", "👨‍👩‍👧", "a b ", "<"] {
            let n_pieces = 100 / piece.chars().count();
            texts.push(piece.repeat(n_pieces));
        }
        texts
    }

    #[test]
    fn every_valid_request_gets_texts_that_pass() {
        for text in nasty() {
            for language in [Language::Fr, Language::En] {
                for (tone, target_length) in [
                    (Tone::Professional, 50),
                    (Tone::Friendly, 300),
                    (Tone::Luxury, 300),
                    (Tone::Playful, 1500),
                    (Tone::Technical, 800),
                ] {
                    let request = ContentRequest {
                        product_id: text.clone(),
                        name: if text.chars().count() <= 100 { text.repeat(2) } else { text.clone() },
                        category: text.clone(),
                        features: vec![text.clone(); 20],
                        description: Some(format!("{text}\n").repeat(40)),
                        tone,
                        target_length,
                        ..request("", language)
                    };
                    assert_eq!(request.problems(), []);
                    let answer = write(&request).unwrap();
                    let json = serde_json::to_string(&answer).unwrap();
                    assert!(!json.contains("<script") && !json.contains("<img"), "{json}");
                    let bare = ContentRequest { features: Vec::new(), description: None, price: None, ..request };
                    write(&bare).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_longest_request_passes() {
        for piece in ["x", "&", "<", "é ", "😀"] {
            let text = |n_chars| piece.chars().cycle().take(n_chars).collect::<String>();
            let request = ContentRequest {
                product_id: text(100),
                name: text(200),
                category: text(100),
                features: vec![text(200); 20],
                description: Some(text(5000)),
                target_length: 1500,
                ..request("", Language::Fr)
            };
            write(&request).unwrap();
        }
    }

    #[test]
    fn the_same_request_gives_the_same_texts_and_another_id_gives_others() {
        let request = request("Lampe", Language::Fr);
        assert_eq!(write(&request), write(&request));
        let leads: std::collections::HashSet<String> = (0..20)
            .map(|n| {
                write(&ContentRequest { product_id: format!("P-{n}"), ..request.clone() }).unwrap().short_description
            })
            .collect();
        assert_eq!(leads.len(), 3);
    }

    #[test]
    fn product_text_is_escaped_once() {
        let answer = write(&request("Tom & Jerry's \"<best>\" 5 < 6", Language::En)).unwrap();
        assert_eq!(answer.title, "Tom & Jerry's \"\" 5 < 6");
        assert!(answer.short_description.contains("Tom &amp; Jerry's \"\" 5 &lt; 6"), "{}", answer.short_description);
    }

    #[test]
    fn the_long_description_follows_the_target() {
        let words = |target_length| {
            let request = ContentRequest { target_length, ..request("Lampe", Language::En) };
            n_words(&write(&request).unwrap().long_description)
        };
        assert!((30..=70).contains(&words(50)), "{}", words(50));
        assert!((250..=350).contains(&words(300)), "{}", words(300));
        assert!(words(1500) >= words(300));
    }

    #[test]
    fn cuts_end_at_words() {
        assert_eq!(shorten("one two three", 13), "one two three");
        assert_eq!(shorten("one two three", 12), "one two…");
        assert_eq!(shorten("one two, three", 9), "one two…");
        assert_eq!(cut("one two three", 7), "one two");
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(shorten(",,,,", 3), ",,…");
    }

    #[test]
    fn prices_are_written_as_the_language_does() {
        let price = |amount: &str, currency: &str, language| {
            let price = Price { amount: amount.to_owned(), currency: currency.to_owned() };
            format_price(&price, language).replace('\u{a0}', "_")
        };
        assert_eq!(price("1299.9", "EUR", Language::Fr), "1_299,90_€");
        assert_eq!(price("1299.9", "EUR", Language::En), "€1,299.90");
        assert_eq!(price("1234567", "JPY", Language::En), "JPY_1,234,567");
        assert_eq!(price("0.0001", "CHF", Language::Fr), "0,0001_CHF");
        assert_eq!(price("5.0000", "KWD", Language::En), "KWD_5.000");
    }
}
