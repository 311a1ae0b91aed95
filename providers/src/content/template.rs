//! Texts without a model: the mock, and what stands in for a model that cannot answer. The same request always gives the
//! same texts; products differ by a hash of their id.

use futures::future::{self, BoxFuture, FutureExt};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::html::Html;
use super::phrases::Phrases;
use super::validate::{self, plain, plain_text};
use super::{
    Choice, ContentProvider, ContentRequest, ContentText, Cost, Language, Plan, Price, Question, Tell, Tokens,
};
use crate::{Provider, ProviderError};

/// Stands where the name of a model would.
const MODEL: &str = "template";
/// Bytes of the long description, tags included, for which there is room before it is written.
const LONG_ROOM: usize = 4096;
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

/// All rules of [`validate`] hold: lines are plain, the descriptions are clean as they are written, and the lengths are checked.
fn write(request: &ContentRequest) -> Result<ContentText, ProviderError> {
    let author = Author::new(request);
    let (short, long) = (author.short_description(), author.long_description());
    let n_visible = (short.n_chars(), long.n_chars());
    let text = ContentText {
        title: author.name.clone(),
        short_description: short.into_string(),
        long_description: long.into_string(),
        bullets: author.bullets(),
        seo_title: author.seo_title(),
        meta_description: author.meta_description(),
        keywords: validate::distinct(author.keywords()),
        faq: author.faq(),
        language: request.language,
        model: MODEL.to_owned(),
        tokens: Tokens::default(),
        cost: Some(Cost::nothing()),
        cached: false,
    };
    validate::check(&text, n_visible, request).map_err(|reason| ProviderError::Rejected {
        service: "mock",
        message: format!("the template of product {:?} breaks a rule: {reason}", request.product_id),
    })?;
    Ok(text)
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
    /// The first of them, as part of a sentence.
    first_features: String,
    price: Option<String>,
}

impl<'a> Author<'a> {
    fn new(request: &'a ContentRequest) -> Self {
        let phrases = Phrases::of(request.language);
        let features = request.features.iter().map(|feature| plain_text(feature)).filter(|feature| !feature.is_empty());
        let features: Vec<String> = features.collect();
        Self {
            request,
            phrases,
            hash: Sha256::digest(request.product_id.as_bytes()).into(),
            name: plain_text(&request.name),
            category: plain_text(&request.category),
            reference: plain_text(&request.product_id),
            first_features: in_sentence(&features, phrases.last_comma),
            features,
            price: request.price.as_ref().map(|price| plain(format_price(price, request.language))),
        }
    }

    fn short_description(&self) -> Html {
        let mut html = Html::with_capacity(LONG_ROOM / 4);
        html.tag("<p>");
        self.fill(self.pick(1, &self.phrases.voice(self.request.tone).lead), &mut html);
        if !self.features.is_empty() {
            html.text(" ");
            self.fill(self.phrases.faq_features.1, &mut html);
        }
        html.tag("</p>");
        html
    }

    fn long_description(&self) -> Html {
        let voice = self.phrases.voice(self.request.tone);
        let mut html = Html::with_capacity(LONG_ROOM);
        self.paragraph(self.pick(2, &voice.opening), &mut html);
        let mut data = Html::default();
        self.feature_section(&mut data);
        if self.price.is_some() {
            self.paragraph(self.pick(4, &self.phrases.price), &mut data);
        }
        let mut closing = Html::default();
        self.paragraph(self.pick(3, &voice.closing), &mut closing);
        let fixed = html.n_words() + data.n_words() + closing.n_words();
        let left = usize::from(self.request.target_length).saturating_sub(fixed);
        let description = description(self.request.description.as_deref().unwrap_or_default(), left);
        html.append(&description);
        html.append(&data);
        self.advice(left.saturating_sub(description.n_words()), &mut html);
        html.append(&closing);
        html
    }

    fn feature_section(&self, html: &mut Html) {
        if self.features.is_empty() {
            return;
        }
        html.tag("<h2>");
        self.fill(self.pick(5, &self.phrases.features_heading), html);
        html.tag("</h2>");
        html.tag("<ul>");
        for feature in &self.features {
            html.tag("<li>");
            html.text(feature);
            html.tag("</li>");
        }
        html.tag("</ul>");
    }

    /// General paragraphs until `n_missing` words are there or none is left.
    fn advice(&self, n_missing: usize, html: &mut Html) {
        if n_missing < PARAGRAPH_WORDS {
            return;
        }
        html.tag("<h2>");
        self.fill(self.pick(7, &self.phrases.advice_heading), html);
        html.tag("</h2>");
        let wanted = html.n_words() + n_missing;
        let first = usize::from(self.hash[6]);
        for index in 0..self.phrases.advice.len() {
            if wanted.saturating_sub(html.n_words()) < PARAGRAPH_WORDS {
                break;
            }
            self.paragraph(self.phrases.advice[(first + index) % self.phrases.advice.len()], html);
        }
    }

    fn paragraph(&self, phrase: &'static str, html: &mut Html) {
        html.tag("<p>");
        self.fill(phrase, html);
        html.tag("</p>");
    }

    /// The features; products with fewer than three also get category, price and reference.
    fn bullets(&self) -> Vec<String> {
        let mut bullets: Vec<String> = self.features.iter().take(validate::BULLETS).cloned().collect();
        let price_line = self.price.is_some().then_some(self.phrases.price_line);
        let lines = [Some(self.phrases.category_line), price_line, Some(self.phrases.reference_line)];
        for line in lines.into_iter().flatten() {
            if bullets.len() < 3 {
                bullets.push(plain(self.line(line)));
            }
        }
        bullets
    }

    fn seo_title(&self) -> String {
        let with_category = format!("{} | {}", self.name, self.category);
        if with_category.chars().count() <= validate::SEO_TITLE {
            return plain(with_category);
        }
        plain(shorten(&self.name, validate::SEO_TITLE))
    }

    fn meta_description(&self) -> String {
        let meta = if self.features.is_empty() { &self.phrases.meta } else { &self.phrases.meta_features };
        plain(shorten(&self.line(self.pick(0, meta)), validate::META_DESCRIPTION))
    }

    fn keywords(&self) -> Vec<String> {
        let short = self.features.iter().filter(|feature| feature.chars().count() <= 30).take(6);
        let words = [&self.category, &self.name].into_iter().chain(short);
        words.map(|word| plain_text(cut(word, validate::KEYWORD))).collect()
    }

    fn faq(&self) -> Vec<Question> {
        let with_features = (!self.features.is_empty()).then_some(self.phrases.faq_features);
        let with_price = self.price.is_some().then_some(self.phrases.faq_price);
        let entries = with_features.into_iter().chain(with_price).chain(self.phrases.faq);
        let question = |(question, answer)| Question {
            question: plain_text(cut(&self.line(question), validate::QUESTION)),
            answer: plain_text(cut(&self.line(answer), validate::ANSWER)),
        };
        entries.map(question).collect()
    }

    /// The choice between `options`; every use has its own `salt`, so that the choices are independent.
    fn pick<const N: usize>(&self, salt: usize, options: &[&'static str; N]) -> &'static str {
        options[usize::from(self.hash[salt]) % N]
    }

    /// `phrase` with its blanks filled, in one pass, so that braces and tags in the product's data stay what they are.
    fn fill(&self, phrase: &'static str, html: &mut Html) {
        for piece in pieces(phrase, self.request.language) {
            match piece {
                Piece::Text(text) => html.text(text),
                Piece::Tag(tag) => html.tag(tag),
                Piece::Blank(name) => html.text(self.value(name)),
            }
        }
    }

    /// The same as text.
    fn line(&self, phrase: &'static str) -> String {
        let mut line = String::with_capacity(2 * phrase.len());
        for piece in pieces(phrase, self.request.language) {
            line.push_str(match piece {
                Piece::Text(text) | Piece::Tag(text) => text,
                Piece::Blank(name) => self.value(name),
            });
        }
        line
    }

    fn value(&self, blank: &str) -> &str {
        match blank {
            "name" => &self.name,
            "category" => &self.category,
            "reference" => &self.reference,
            "price" => self.price.as_deref().unwrap_or_default(),
            "features" => &self.first_features,
            _ => "",
        }
    }
}

/// Up to three features as part of a sentence.
fn in_sentence(features: &[String], last_comma: &str) -> String {
    let mut n_chars = 0;
    let fits = |feature: &&str| {
        n_chars += feature.chars().count();
        n_chars <= FEATURES_IN_SENTENCE
    };
    let features = features.iter().take(3).map(|feature| feature.trim_end_matches('.'));
    match features.take_while(fits).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{}{last_comma}{last}", first.join(", ")),
    }
}

/// What a phrase is made of.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(&'static str),
    Tag(&'static str),
    /// What is filled in, by its name.
    Blank(&'static str),
}

/// The pieces of `phrase`. French sets a no-break space before `: ; ! ?` and inside quotes.
fn pieces(phrase: &'static str, language: Language) -> impl Iterator<Item = Piece> {
    let mut rest = phrase;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let before_mark = |at: usize| matches!(bytes.get(at + 1), Some(b':' | b';' | b'!' | b'?'));
        let is_special = |at: &usize| match bytes[*at] {
            b'{' | b'<' => true,
            b' ' => language == Language::Fr && before_mark(*at),
            _ => false,
        };
        let (piece, behind) = match (0..bytes.len()).find(is_special) {
            None if rest.is_empty() => return None,
            None => (Piece::Text(rest), ""),
            Some(0) => match bytes[0] {
                b' ' => (Piece::Text("\u{a0}"), &rest[1..]),
                b'<' => {
                    let (tag, behind) = rest.split_at(rest.find('>')? + 1);
                    (Piece::Tag(tag), behind)
                }
                _ => {
                    let (blank, behind) = rest[1..].split_once('}')?;
                    (Piece::Blank(blank), behind)
                }
            },
            Some(at) => (Piece::Text(&rest[..at]), &rest[at..]),
        };
        rest = behind;
        Some(piece)
    })
}

/// Whole sentences of the merchant's own description while there is room for words, and always the first.
fn description(text: &str, n_words: usize) -> Html {
    let mut n_left = n_words;
    let mut html = Html::default();
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
            html.tag("<p>");
            html.text(&kept.join(" "));
            html.tag("</p>");
        }
    }
    html
}

/// The words of each sentence.
fn sentences(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.split_inclusive(|word| word.ends_with(['.', '!', '?', '…'])).map(<[&str]>::to_vec).collect()
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

    /// What would become of these texts had a model written them.
    fn as_of_a_model(text: &ContentText, request: &ContentRequest) -> Result<ContentText, String> {
        let text = text.clone();
        let origin = validate::Origin { model: text.model, tokens: text.tokens, cost: text.cost };
        let draft = validate::Draft {
            title: text.title,
            short_description: text.short_description,
            long_description: text.long_description,
            bullets: text.bullets,
            seo_title: text.seo_title,
            meta_description: text.meta_description,
            keywords: text.keywords,
            faq: text.faq,
            language: text.language,
        };
        validate::finish(draft, request, origin)
    }

    /// Requests that are made to break something, each as the API takes it.
    fn hostile(n: usize) -> impl Iterator<Item = ContentRequest> {
        let pieces = [
            "<script>",
            "</",
            "<!--",
            "-->",
            "<?",
            "<",
            ">",
            "&",
            "&amp;",
            "&#60;b&#62;",
            "&nbsp;",
            "\"",
            "'",
            "{name}",
            "{",
            "}",
            " ",
            "\u{a0}",
            "\u{202f}",
            "\u{3000}",
            "\u{2028}",
            "\u{feff}",
            "\u{fdd0}",
            "\u{fffd}",
            "\u{200d}",
            "a",
            "Vélo",
            "漢",
            "😀",
            "é",
            ".",
            ",",
            ";",
            ":",
            "!",
            "?",
            "…",
            "|",
            "]]>",
            "<svg/onload=x>",
            "<p>",
            "<strong",
            "b c",
            "1",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = move |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % n as u64).unwrap()
        };
        let mut text = move |most: usize| -> String {
            let text: String = (0..1 + below(12)).map(|_| pieces[below(pieces.len())]).collect();
            text.chars().take(most).collect()
        };
        let requests = (0..n).map(move |n| ContentRequest {
            product_id: text(100),
            name: text(200),
            category: text(100),
            features: (0..n % 7).map(|_| text(200)).collect(),
            description: (n % 3 > 0).then(|| (0..n % 40).map(|_| text(100) + ["\n", " ", ". "][n % 3]).collect()),
            tone: [Tone::Professional, Tone::Friendly, Tone::Luxury, Tone::Playful, Tone::Technical][n % 5],
            target_length: [50, 300, 1500][n / 5 % 3],
            price: [None, Some("1299.9"), Some("0.0001"), Some("7")][n % 4]
                .map(|amount| Price { amount: amount.to_owned(), currency: ["EUR", "JPY", "CHF"][n % 3].to_owned() }),
            ..request("", [Language::Fr, Language::En][n % 2])
        });
        requests.filter(|request| request.problems().is_empty())
    }

    #[test]
    fn the_rules_for_what_models_write_would_change_nothing() {
        let requests: Vec<_> = hostile(2_000).collect();
        assert!(requests.len() > 1_000, "{}", requests.len());
        for request in requests {
            let text = write(&request).unwrap();
            assert_eq!(as_of_a_model(&text, &request).as_ref(), Ok(&text), "{request:?}");
        }
    }

    #[test]
    fn phrases_are_clean_as_they_stand() {
        for language in [Language::Fr, Language::En] {
            let Phrases {
                professional,
                friendly,
                luxury,
                playful,
                technical,
                features_heading,
                advice_heading,
                advice,
                price,
                category_line,
                reference_line,
                price_line,
                meta,
                meta_features,
                faq,
                faq_features,
                faq_price,
                last_comma,
            } = Phrases::of(language);
            let voices = [professional, friendly, luxury, playful, technical];
            let leads = voices.iter().flat_map(|voice| voice.lead);
            for phrase in leads.clone() {
                let text: String = pieces(phrase, language)
                    .map(|piece| match piece {
                        Piece::Tag(tag) => {
                            assert!(["<strong>", "</strong>"].contains(&tag), "{phrase}");
                            ""
                        }
                        Piece::Text(text) => text,
                        Piece::Blank(_) => "x",
                    })
                    .collect();
                assert_eq!(plain_text(&text), text, "{phrase}");
            }
            let others = voices.iter().flat_map(|voice| voice.opening.into_iter().chain(voice.closing));
            let lists = [features_heading.as_slice(), advice_heading, advice, price, meta, meta_features].concat();
            let questions =
                faq.iter().chain([faq_features, faq_price]).flat_map(|(question, answer)| [*question, *answer]);
            let lines = [*category_line, *reference_line, *price_line, last_comma.trim()];
            for phrase in others.chain(lists).chain(questions).chain(lines) {
                assert!(pieces(phrase, language).all(|piece| !matches!(piece, Piece::Tag(_))), "{phrase}");
                assert_eq!(plain_text(phrase), phrase);
            }
            let blanks = |phrase| {
                pieces(phrase, language).filter_map(|piece| match piece {
                    Piece::Blank(name) => Some(name),
                    _ => None,
                })
            };
            assert!(leads.flat_map(blanks).all(|name| ["name", "category"].contains(&name)));
        }
    }

    #[test]
    fn a_phrase_is_taken_apart_and_typeset() {
        let of = |phrase, language| pieces(phrase, language).collect::<Vec<_>>();
        let (text, tag, blank) = (Piece::Text, Piece::Tag, Piece::Blank);
        assert_eq!(
            of("Et <strong>{name}</strong> ?", Language::Fr),
            [text("Et "), tag("<strong>"), blank("name"), tag("</strong>"), text("\u{a0}"), text("?")]
        );
        assert_eq!(of("So: {name} ? ", Language::En), [text("So: "), blank("name"), text(" ? ")]);
        assert_eq!(of("", Language::Fr), []);
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
            let html = write(&request).unwrap().long_description.replace('<', " <");
            validate::visible_text(&html).split_whitespace().count()
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
