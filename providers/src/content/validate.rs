//! The one gate for all texts: cleans what models write, then checks every promise of [`ContentText`]. What templates write is clean as
//! it is written, and checked only.

use std::{collections::HashSet, sync::LazyLock};

use serde::Deserialize;

use super::{ContentRequest, ContentText, Cost, Language, Question, Tokens};

/// Tags that format text; none keeps an attribute.
const TAGS: [&str; 10] = ["p", "br", "ul", "ol", "li", "strong", "em", "h2", "h3", "h4"];
/// Longest texts, in characters: title, short and long description (visible), bullet, search title, search description,
/// keyword, question, answer.
const TITLE: usize = 250;
const SHORT: usize = 1_000;
const LONG: usize = 20_000;
pub(super) const BULLET: usize = 300;
pub(super) const SEO_TITLE: usize = 60;
pub(super) const META_DESCRIPTION: usize = 160;
pub(super) const KEYWORD: usize = 60;
pub(super) const QUESTION: usize = 300;
pub(super) const ANSWER: usize = 1_000;
/// Most entries of the lists.
pub(super) const BULLETS: usize = 12;
const KEYWORDS: usize = 20;
const QUESTIONS: usize = 10;

/// What an author writes, before it is cleaned and checked. What it writes besides is passed over.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Draft {
    pub(super) title: String,
    pub(super) short_description: String,
    pub(super) long_description: String,
    pub(super) bullets: Vec<String>,
    pub(super) seo_title: String,
    pub(super) meta_description: String,
    pub(super) keywords: Vec<String>,
    pub(super) faq: Vec<Question>,
    pub(super) language: Language,
}

/// Who wrote it and what it took.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) model: String,
    pub(super) tokens: Tokens,
    pub(super) cost: Option<Cost>,
}

/// Cleans `draft` and checks it against the rules and `request`. The error is the rule that it breaks.
pub(super) fn finish(draft: Draft, request: &ContentRequest, origin: Origin) -> Result<ContentText, String> {
    check_characters(&draft)?;
    let lines = |lines: Vec<String>| lines.iter().map(|line| plain_text(line)).collect::<Vec<_>>();
    let text = ContentText {
        title: plain_text(&draft.title),
        short_description: clean_html(&draft.short_description),
        long_description: clean_html(&draft.long_description),
        bullets: lines(draft.bullets),
        seo_title: plain_text(&draft.seo_title),
        meta_description: plain_text(&draft.meta_description),
        keywords: distinct(lines(draft.keywords)),
        faq: draft.faq.iter().map(clean_question).collect(),
        language: draft.language,
        model: origin.model,
        tokens: origin.tokens,
        cost: origin.cost,
        cached: false,
    };
    let n_visible = |html: &str| visible_text(html).chars().count();
    let n_visible = (n_visible(&text.short_description), n_visible(&text.long_description));
    check(&text, n_visible, request)?;
    Ok(text)
}

/// Keeps the tags that format text, without attributes, and the text of other tags; scripts and styles leave whole.
pub(super) fn clean_html(html: &str) -> String {
    static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut cleaner = ammonia::Builder::empty();
        cleaner.tags(HashSet::from(TAGS)).clean_content_tags(HashSet::from(["script", "style"]));
        cleaner
    });
    CLEANER.clean(html).to_string().trim().to_owned()
}

/// One line of plain text: no tags, no control characters, no runs of blanks. A `<` that opens no tag stays.
pub(super) fn plain_text(text: &str) -> String {
    plain(text.to_owned())
}

/// The same of a text that is not needed otherwise; nearly always it is such a line already.
pub(super) fn plain(text: String) -> String {
    if is_plain(&text) {
        return text;
    }
    let mut text: String = text.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
    // Removing a tag can join the halves of another one.
    while let Some(stripped) = without_tags(&text) {
        text = stripped;
    }
    let words = text.trim().split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What stands between words. French sets no-break spaces before some marks; they are text.
fn is_blank(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{202f}')
}

/// Whether [`plain_text`] would change nothing.
pub(super) fn is_plain(text: &str) -> bool {
    let mut after_blank = true;
    for c in text.chars() {
        let is_blank = is_blank(c);
        if c == '<' || is_forbidden(c) || is_blank && (c != ' ' || after_blank) {
            return false;
        }
        after_blank = is_blank;
    }
    // At the ends, no blank of any kind is left.
    !text.is_empty() && !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace)
}

/// `text` without what a browser would read as tags; `None` when there are none.
fn without_tags(text: &str) -> Option<String> {
    let opens_tag = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    let mut kept = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some((before, after)) = rest.split_once('<') {
        kept.push_str(before);
        if !opens_tag(after) {
            kept.push('<');
            rest = after;
            continue;
        }
        found = true;
        rest = after.split_once('>').map_or(after, |(_, behind)| behind);
    }
    kept.push_str(rest);
    found.then_some(kept)
}

/// Control characters, and those that turn the direction of the text around them.
pub(super) fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn clean_question(question: &Question) -> Question {
    Question { question: plain_text(&question.question), answer: plain_text(&question.answer) }
}

/// The first of each, whatever its case.
pub(super) fn distinct(words: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    words.into_iter().filter(|word| seen.insert(word.to_lowercase())).collect()
}

fn check_characters(draft: &Draft) -> Result<(), String> {
    let html = [("short_description", &draft.short_description), ("long_description", &draft.long_description)];
    for (part, text) in html {
        if text.contains(|c| is_forbidden(c) && c != '\n') {
            return Err(format!("{part} contains a control character"));
        }
    }
    let faq = draft.faq.iter().flat_map(|entry| [("faq", &entry.question), ("faq", &entry.answer)]);
    let lines =
        [("title", &draft.title), ("seo_title", &draft.seo_title), ("meta_description", &draft.meta_description)];
    let bullets = draft.bullets.iter().map(|bullet| ("bullets", bullet));
    let keywords = draft.keywords.iter().map(|keyword| ("keywords", keyword));
    match lines.into_iter().chain(bullets).chain(keywords).chain(faq).find(|(_, text)| text.contains(is_forbidden)) {
        Some((part, _)) => Err(format!("{part} contains a control character")),
        None => Ok(()),
    }
}

/// Checks clean texts. `n_visible`: how many characters of the short and of the long description are seen.
pub(super) fn check(
    text: &ContentText,
    (n_short, n_long): (usize, usize),
    request: &ContentRequest,
) -> Result<(), String> {
    check_length("title", &text.title, TITLE)?;
    check_n_chars("short_description", n_short, SHORT)?;
    check_n_chars("long_description", n_long, LONG)?;
    check_length("seo_title", &text.seo_title, SEO_TITLE)?;
    check_length("meta_description", &text.meta_description, META_DESCRIPTION)?;
    check_number("bullets", text.bullets.len(), BULLETS)?;
    check_number("keywords", text.keywords.len(), KEYWORDS)?;
    check_number("faq", text.faq.len(), QUESTIONS)?;
    for bullet in &text.bullets {
        check_length("an entry of bullets", bullet, BULLET)?;
    }
    for keyword in &text.keywords {
        check_length("an entry of keywords", keyword, KEYWORD)?;
    }
    for entry in &text.faq {
        check_length("a question of faq", &entry.question, QUESTION)?;
        check_length("an answer of faq", &entry.answer, ANSWER)?;
    }
    if text.language != request.language {
        return Err(format!("language is {:?}, but {:?} was asked for", text.language, request.language));
    }
    Ok(())
}

fn check_length(part: &str, text: &str, most: usize) -> Result<(), String> {
    check_n_chars(part, text.chars().count(), most)
}

fn check_n_chars(part: &str, n_chars: usize, most: usize) -> Result<(), String> {
    match n_chars {
        0 => Err(format!("{part} is empty")),
        n_chars if n_chars > most => Err(format!("{part} has {n_chars} characters, at most {most} are allowed")),
        _ => Ok(()),
    }
}

fn check_number(part: &str, n_entries: usize, most: usize) -> Result<(), String> {
    match n_entries {
        0 => Err(format!("{part} is empty")),
        n_entries if n_entries > most => Err(format!("{part} has {n_entries} entries, at most {most} are allowed")),
        _ => Ok(()),
    }
}

/// What a reader sees of cleaned HTML: its tags have no attributes, and a `<` that opens none is an entity.
pub(super) fn visible_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    // The cleaner writes no other entities; the ampersand comes last, so that nothing is decoded twice.
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Tone;

    fn request() -> ContentRequest {
        ContentRequest {
            product_id: "P-1".to_owned(),
            name: "Lamp".to_owned(),
            category: "Lighting".to_owned(),
            features: Vec::new(),
            description: None,
            language: Language::En,
            tone: Tone::Professional,
            ..crate::content::request::tests::request()
        }
    }

    fn draft() -> Draft {
        Draft {
            title: "Lamp".to_owned(),
            short_description: "<p>A lamp.</p>".to_owned(),
            long_description: "<h2>Lamp</h2><p>It gives light.</p>".to_owned(),
            bullets: vec!["Gives light".to_owned()],
            seo_title: "Lamp".to_owned(),
            meta_description: "A lamp that gives light.".to_owned(),
            keywords: vec!["lamp".to_owned()],
            faq: vec![Question { question: "Is it a lamp?".to_owned(), answer: "Yes.".to_owned() }],
            language: Language::En,
        }
    }

    fn finished(change: impl FnOnce(&mut Draft)) -> Result<ContentText, String> {
        let mut draft = draft();
        change(&mut draft);
        finish(draft, &request(), Origin { model: "m".to_owned(), tokens: Tokens::default(), cost: None })
    }

    #[test]
    fn harmful_html_does_not_pass() {
        let cases = [
            ("<p>a</p><script>alert(1)</script>", "<p>a</p>"),
            ("<p>a<img src=x onerror=alert(1)></p>", "<p>a</p>"),
            ("<p onclick=\"alert(1)\" style=\"x\">a</p>", "<p>a</p>"),
            ("<a href=\"javascript:alert(1)\">a</a>", "a"),
            ("<a href=\"JaVa&#x09;script:alert(1)\">a</a>", "a"),
            ("<svg/onload=alert(1)><p>a</p></svg>", "<p>a</p>"),
            ("<svg><script>alert(1)</script></svg><p>a</p>", "<p>a</p>"),
            ("<svg><style><img src=x onerror=alert(1)></style></svg>a", "a"),
            ("<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", ""),
            ("<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>a", "a"),
            ("<scr<script>ipt>alert(1)</script>a", "a"),
            ("<style>p{}</style><!-- x --><p>a</p>", "<p>a</p>"),
            (
                "<ul><li><strong>a</strong> &amp; <em>b</em></li></ul>",
                "<ul><li><strong>a</strong> &amp; <em>b</em></li></ul>",
            ),
        ];
        for (html, expected) in cases {
            let clean = clean_html(html);
            assert_eq!(clean, clean_html(&clean), "cleaning {html} again changes it");
            for harm in ["<script", "onerror=a", "<svg", "<img", "<a", "<iframe", "<style"] {
                assert!(!clean.contains(harm), "{html} became {clean}");
            }
            if !html.starts_with("<scr<") {
                assert_eq!(clean, expected, "{html}");
            }
        }
    }

    #[test]
    fn plain_text_has_no_tags_but_keeps_other_angle_brackets() {
        assert_eq!(plain_text("5 < 6 > 4, a <b>bold</b> claim"), "5 < 6 > 4, a bold claim");
        assert_eq!(plain_text("<<b>script>alert(1)<</b>/script>"), "alert(1)");
        assert_eq!(plain_text("<img src=x onerror=alert(1)"), "img src=x onerror=alert(1)");
        assert_eq!(plain_text(" two \t\n lines\u{202e}\u{0}\u{a0} "), "two lines");
        assert_eq!(plain_text("Prix\u{a0}: 3"), "Prix\u{a0}: 3");
        assert_eq!(plain_text("Prix \u{a0} :\u{a0}"), "Prix \u{a0} :");
        assert_eq!(plain_text("\u{202f}3"), "3");
    }

    #[test]
    fn a_good_draft_passes_and_keywords_are_distinct() {
        let text = finished(|draft| draft.keywords = vec!["Lamp".to_owned(), "lamp".to_owned(), "desk".to_owned()]);
        assert_eq!(text.unwrap().keywords, ["Lamp", "desk"]);
    }

    #[test]
    fn every_broken_rule_is_named() {
        type Change = fn(&mut Draft);
        let cases: [(&str, Change); 13] = [
            ("title is empty", |draft| draft.title = " <b></b> ".to_owned()),
            ("short_description is empty", |draft| draft.short_description = "<p><script>x</script></p>".to_owned()),
            ("long_description is empty", |draft| draft.long_description = "<ul><li></li></ul>".to_owned()),
            ("seo_title has 61 characters, at most 60 are allowed", |draft| draft.seo_title = "é".repeat(61)),
            ("meta_description has 161 characters, at most 160 are allowed", |draft| {
                draft.meta_description = "é".repeat(161)
            }),
            ("bullets is empty", |draft| draft.bullets.clear()),
            ("an entry of bullets is empty", |draft| draft.bullets.push(String::new())),
            ("keywords is empty", |draft| draft.keywords.clear()),
            ("faq is empty", |draft| draft.faq.clear()),
            ("an answer of faq is empty", |draft| draft.faq[0].answer.clear()),
            ("title contains a control character", |draft| draft.title.push('\u{7}')),
            ("long_description contains a control character", |draft| draft.long_description.push('\u{0}')),
            ("language is Fr, but En was asked for", |draft| draft.language = Language::Fr),
        ];
        for (reason, change) in cases {
            assert_eq!(finished(change).unwrap_err(), reason);
        }
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        let text = finished(|draft| {
            draft.seo_title = "é".repeat(SEO_TITLE);
            draft.meta_description = "漢".repeat(META_DESCRIPTION);
            draft.short_description = format!("<p>{}</p>", "&amp;".repeat(SHORT));
        });
        assert!(text.is_ok(), "{text:?}");
        assert!(finished(|draft| draft.short_description = "&amp;".repeat(SHORT + 1)).is_err());
    }
}
