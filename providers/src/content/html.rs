//! HTML that needs no cleaning: its tags are our own and have no attributes, and its texts are escaped as the cleaner of `validate.rs`
//! writes them. What the rules count is counted on the way.

/// HTML as it is written.
#[derive(Debug, Default)]
pub(super) struct Html {
    html: String,
    n_chars: usize,
    n_words: usize,
    in_word: bool,
}

impl Html {
    /// Room for so many bytes.
    pub(super) fn with_capacity(n_bytes: usize) -> Self {
        Self { html: String::with_capacity(n_bytes), ..Self::default() }
    }

    /// A tag that formats text, such as `<p>` or `</p>`. It ends a word.
    pub(super) fn tag(&mut self, tag: &'static str) {
        self.html.push_str(tag);
        self.in_word = false;
    }

    /// Any text.
    pub(super) fn text(&mut self, text: &str) {
        let mut written = 0;
        for (at, byte) in text.bytes().enumerate() {
            let (is_blank, entity) = match byte {
                b' ' | b'\t'..=b'\r' => (true, ""),
                b'&' => (false, "&amp;"),
                b'<' => (false, "&lt;"),
                b'>' => (false, "&gt;"),
                ..0x80 => (false, ""),
                // The first byte of a character stands for all of it.
                0x80..0xc0 => continue,
                _ => match text[at..].chars().next() {
                    Some('\u{a0}') => (true, "&nbsp;"),
                    c => (c.is_some_and(char::is_whitespace), ""),
                },
            };
            self.n_chars += 1;
            self.n_words += usize::from(!is_blank && !self.in_word);
            self.in_word = !is_blank;
            if !entity.is_empty() {
                self.html.push_str(&text[written..at]);
                self.html.push_str(entity);
                written = at + if byte < 0x80 { 1 } else { '\u{a0}'.len_utf8() };
            }
        }
        self.html.push_str(&text[written..]);
    }

    /// What was written elsewhere.
    pub(super) fn append(&mut self, other: &Self) {
        self.html.push_str(&other.html);
        self.n_chars += other.n_chars;
        self.n_words += other.n_words;
        self.in_word = false;
    }

    /// How many characters a reader sees.
    pub(super) fn n_chars(&self) -> usize {
        self.n_chars
    }

    /// How many words a reader sees; a tag stands between two.
    pub(super) fn n_words(&self) -> usize {
        self.n_words
    }

    pub(super) fn is_empty(&self) -> bool {
        self.html.is_empty()
    }

    pub(super) fn into_string(self) -> String {
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::validate::{clean_html, visible_text},
        *,
    };

    #[test]
    fn the_cleaner_leaves_it_as_it_is_and_what_is_seen_is_counted() {
        let texts = [
            "",
            "a",
            "5 < 6 > 4 & 3",
            "&lt;b&gt;",
            "\"it's\"",
            "<script>",
            "a\u{a0}: b",
            "é漢😀",
            "\u{fdd0}\u{feff}x",
            "a\u{2003}b\u{3000}c\tlast",
            "]]>",
        ];
        for text in texts {
            let mut html = Html::default();
            html.tag("<h2>");
            html.text(text);
            html.tag("</h2>");
            html.tag("<p>");
            html.text(text);
            html.tag("<strong>");
            html.text(text);
            html.text(text);
            html.tag("</strong>");
            html.tag("</p>");
            let n_words = 2 * text.split_whitespace().count() + [text, text].concat().split_whitespace().count();
            assert_eq!((html.n_chars(), html.n_words()), (4 * text.chars().count(), n_words), "{text:?}");
            let html = html.into_string();
            assert_eq!(clean_html(&html), html, "{text:?}");
            assert_eq!(visible_text(&html), text.repeat(4).trim(), "{text:?}");
        }
    }
}
