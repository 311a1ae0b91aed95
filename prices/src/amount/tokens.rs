//! A text about money, cut into numbers, currencies, words and marks.

use super::{
    currency::{self, Currency},
    digits::{Glue, Group, Numeral},
};

/// A piece of the text.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Nothing stands between it and the piece before it.
    pub(super) glued: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Number(Numeral),
    /// Digits that are no number: the whole text is in doubt.
    Odd,
    /// Digits that are something else for sure: a date, a count of things.
    Aside,
    Currency(Currency),
    /// Cents, pence.
    Cents,
    Percent,
    Times,
    Dash,
    Plus,
    Slash,
    /// In lower case.
    Word(String),
    Mark,
}

/// Cuts `text` into pieces. Digits of other scripts, wide forms and kinds of spaces, dashes and apostrophes are brought to one
/// form first.
pub(super) fn cut(text: &str) -> Vec<Token> {
    let text = plain(text);
    let mut cutter = Cutter { text: &text, at: 0, tokens: Vec::new() };
    while cutter.at < text.len() {
        let glued = cutter.at > 0 && text[cutter.at - 1] != ' ';
        cutter.next(glued);
    }
    cutter.tokens
}

/// The text in one form of digits, spaces, dashes and apostrophes, without marks that cannot be seen.
fn plain(text: &str) -> Vec<char> {
    let mut plain: Vec<char> = Vec::with_capacity(text.len());
    let mut raised = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // Most of most texts.
        if c.is_ascii_alphanumeric() {
            raised = false;
            plain.push(c);
            continue;
        }
        if let Some(digit) = raised_digit(c) {
            // One alone behind a number or sign leads to a footnote.
            let alone = !raised && chars.peek().is_none_or(|next| raised_digit(*next).is_none());
            if alone && plain.last().is_some_and(|c| !c.is_alphabetic()) {
                continue;
            }
            // Raised digits behind a number are its cents.
            if !raised && plain.last().is_some_and(char::is_ascii_digit) {
                plain.push('.');
            }
            raised = plain.last().is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '€' | '$' | '£'));
            plain.push(if raised { digit } else { c });
            continue;
        }
        raised = false;
        match c {
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fe0e}'
            | '\u{fe0f}' => {}
            '\u{ff01}'..='\u{ff5e}' => plain.push(char::from_u32(c as u32 - 0xfee0).unwrap_or(c)),
            '￥' => plain.push('¥'),
            '￡' => plain.push('£'),
            '￦' => plain.push('₩'),
            '’' | '‘' | '`' | '´' | '′' | 'ʼ' | '‛' => plain.push('\''),
            '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '﹣' | '⁃' | '➖' => plain.push('-'),
            '٪' | '﹪' => plain.push('%'),
            '،' => plain.push(','),
            '×' | '✕' | '✖' | '⨯' => plain.push('×'),
            '⁄' | '∕' => plain.push('/'),
            _ if c.is_whitespace() || c.is_control() => plain.push(' '),
            _ => plain.push(decimal_digit(c).unwrap_or(c)),
        }
    }
    plain
}

fn raised_digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().zip('0'..='9').find(|(raised, _)| *raised == c).map(|(_, digit)| digit)
}

/// The digit 0 to 9 that a digit of another script stands for.
fn decimal_digit(c: char) -> Option<char> {
    const ZEROS: [u32; 17] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20,
        0x1040, 0x17e0,
    ];
    if c.is_ascii() {
        return None;
    }
    let zero = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&(c as u32)))?;
    char::from_digit(c as u32 - zero, 10)
}

struct Cutter<'a> {
    text: &'a [char],
    at: usize,
    tokens: Vec<Token>,
}

impl Cutter<'_> {
    fn next(&mut self, glued: bool) {
        let c = self.text[self.at];
        if c == ' ' || self.leads_to_footnote() {
            self.at += 1;
            return;
        }
        if c.is_ascii_digit() || self.leads_cents() {
            self.number(glued);
            return;
        }
        let number_before = matches!(self.tokens.last(), Some(Token { kind: Kind::Number(_), .. }));
        if let Some(found) = currency::sign_at(self.text, self.at, number_before) {
            self.at += found.length;
            self.push(Kind::Currency(found.currency), glued);
        } else if c.is_alphabetic() {
            self.word(glued);
        } else {
            self.at += 1;
            let kind = match c {
                '%' => Kind::Percent,
                '×' => Kind::Times,
                '*' if number_before => Kind::Times,
                '-' => Kind::Dash,
                '~' | '〜' if !self.tokens.is_empty() => Kind::Dash,
                '=' => Kind::Word("=".to_owned()),
                '#' | '№' => Kind::Word("no".to_owned()),
                '+' => Kind::Plus,
                '/' => Kind::Slash,
                '¢' => Kind::Cents,
                _ => Kind::Mark,
            };
            self.push(kind, glued);
        }
    }

    fn push(&mut self, kind: Kind, glued: bool) {
        self.tokens.push(Token { kind, glued });
    }

    fn word(&mut self, glued: bool) {
        let start = self.at;
        if let Some(length) = self.abbreviation() {
            self.at += length;
        }
        while self.peek(0).is_some_and(|c| c.is_alphabetic() || is_mark_of_a_word(c)) && !self.sign_inside(start) {
            self.at += 1;
        }
        let word: String = self.text[start..self.at].iter().filter(|c| **c != '.').collect();
        let number_before = matches!(self.tokens.last(), Some(Token { kind: Kind::Number(_), .. }));
        let kind = match (currency::code(&word), word.to_lowercase()) {
            (Some(currency), _) if self.is_code(&word) => Kind::Currency(currency),
            (_, lower) if number_before && is_cents(&lower) => Kind::Cents,
            (_, lower) if lower == "x" && number_before => Kind::Times,
            (_, lower) if matches!(lower.as_str(), "percent" | "prozent" | "pct") => Kind::Percent,
            (_, lower) => Kind::Word(lower),
        };
        self.push(kind, glued);
    }

    /// Whether a sign begins here, within letters of a script without spaces: `税込1,299円`.
    fn sign_inside(&self, start: usize) -> bool {
        // Within letters of other scripts no sign begins.
        let is_inside = || currency::joins(self.text[self.at]) && currency::joins(self.text[self.at - 1]);
        self.at > start && !is_inside() && currency::sign_at(self.text, self.at, false).is_some()
    }

    /// Codes that are words count where nothing but a number stands beside them.
    fn is_code(&self, word: &str) -> bool {
        let alone = || !self.text.iter().any(|c| c.is_alphabetic() && !word.contains(*c));
        currency::is_plain_code(word) || (word.chars().all(|c| c.is_ascii_uppercase()) && alone())
    }

    /// `12,99 €* / 1 l`, but not `2*12,99`.
    fn leads_to_footnote(&self) -> bool {
        let next = self.text[self.at + 1..].iter().find(|c| **c != ' ');
        matches!(self.text[self.at], '*' | '†' | '‡') && !next.is_some_and(char::is_ascii_digit)
    }

    /// The length of `M.R.P.`, an abbreviation of several words.
    fn abbreviation(&self) -> Option<usize> {
        let is_letter = |ahead: usize| self.peek(ahead).is_some_and(char::is_alphabetic);
        let mut length = 0;
        while is_letter(length) && self.peek(length + 1) == Some('.') {
            length += 2;
        }
        if length > 0 && is_letter(length) {
            length += 1;
        }
        (length >= 3 && !is_letter(length)).then_some(length)
    }

    /// Two separators in a row, of which this number begins with the second: `12..99`, `Price...12`.
    fn follows_separators(&self, start: usize) -> bool {
        let before = |back: usize| start.checked_sub(back).map(|at| self.text[at]);
        matches!(before(1), Some('.' | ',')) && before(2).is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
    }

    /// A point or comma that a number begins with: `.45`, but not that of `Rs.45`.
    fn leads_cents(&self) -> bool {
        let after_word = self.at > 0 && (self.text[self.at - 1].is_alphanumeric() || self.text[self.at - 1] == '/');
        matches!(self.text[self.at], '.' | ',') && !after_word && self.peek(1).is_some_and(|c| c.is_ascii_digit())
    }

    /// `12€`, without spaces.
    fn follows_glued_sign(&self) -> bool {
        matches!(
            self.tokens.as_slice(),
            [.., Token { kind: Kind::Number(_), .. }, Token { kind: Kind::Currency(_), glued: true }]
        )
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn digits(&mut self) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    /// All digits from here on with nothing but spaces and separators between them, as one number or several.
    fn number(&mut self, glued: bool) {
        let start = self.at;
        let mut groups = vec![Group { glue: Glue::Start, digits: self.digits() }];
        // "12€99 149€99": what comes after cents is another number.
        let are_cents = groups[0].digits.len() == 2 && glued && self.follows_glued_sign();
        while let Some((glue, length)) = self.glue().filter(|(glue, _)| !are_cents || *glue != Glue::Space) {
            self.at += length;
            let digits = self.digits();
            groups.push(Group { glue, digits });
        }
        let masked = self.peek(0).is_some_and(|c| matches!(c, '.' | ','))
            && self.peek(1).is_some_and(|c| matches!(c, 'x' | 'X' | '*' | '?'));
        self.skip_dashes();
        let kinds = if masked || self.follows_separators(start) { vec![Kind::Odd] } else { numbers(&groups) };
        for (index, kind) in kinds.into_iter().enumerate() {
            self.push(kind, glued && index == 0);
        }
    }

    /// `12,-` and `12.–` and `12:-` and `12,00.-`: no cents.
    fn skip_dashes(&mut self) {
        let dashes =
            |from: usize| (from..from + 3).take_while(|ahead| matches!(self.peek(*ahead), Some('-' | '='))).count();
        if !matches!(self.peek(0), Some('.' | ',' | ':')) {
            return;
        }
        let n = dashes(1);
        if n > 0 && !self.peek(1 + n).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1 + n;
        }
    }

    /// What stands before the next group of digits, and its length.
    fn glue(&self) -> Option<(Glue, usize)> {
        let spaces = |from: usize| (from..from + 4).take_while(|ahead| self.peek(*ahead) == Some(' ')).count();
        let digits =
            |from: usize| (from..from + 4).take_while(|at| self.peek(*at).is_some_and(|c| c.is_ascii_digit())).count();
        let before = spaces(0);
        let c = self.peek(before)?;
        if c.is_ascii_digit() {
            return (before > 0).then_some((Glue::Space, before));
        }
        let glue = match c {
            '.' => Glue::Point,
            ',' => Glue::Comma,
            '\'' => Glue::Apostrophe,
            ':' => Glue::Colon,
            '·' | '•' => Glue::MiddleDot,
            '٫' => Glue::ArabicPoint,
            '٬' => Glue::ArabicGroup,
            _ => return None,
        };
        let after = spaces(before + 1);
        let n = digits(before + 1 + after);
        let loose = before + after > 0;
        // With a space at it a separator may be the end of a sentence, so only what cents and thousands look like goes on.
        let fits = if loose { matches!(glue, Glue::Point | Glue::Comma) && matches!(n, 2 | 3) } else { n > 0 };
        fits.then_some((glue, before + 1 + after))
    }
}

/// Several numbers can stand in a row, each as long as it makes sense: `1 299,00 159,00` are two.
fn numbers(groups: &[Group]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut from = 0;
    while from < groups.len() {
        // "$.75,333": the point belongs to the sign.
        if groups[from].digits.is_empty()
            && groups.len() - from > 2
            && Numeral::read(&segment(&groups[from..])).is_none()
        {
            from += 1;
        }
        let ends =
            (from + 1..=groups.len()).rev().filter(|end| *end == groups.len() || groups[*end].glue == Glue::Space);
        let longest = ends.clone().find_map(|end| Some((end, Numeral::read(&segment(&groups[from..end]))?)));
        let (end, kind) = match longest {
            Some((end, numeral)) => (end, Kind::Number(numeral)),
            None => {
                let end = ends.min().unwrap_or(groups.len());
                (end, if is_date(&groups[from..end]) { Kind::Aside } else { Kind::Odd })
            }
        };
        kinds.push(kind);
        from = end;
    }
    if let [Kind::Number(whole), Kind::Number(cents)] = kinds.as_slice()
        && let Some(numeral) = whole.with_spaced_cents(cents)
    {
        return vec![Kind::Number(numeral)];
    }
    // One piece that cannot be understood puts its neighbours in doubt: a telephone number.
    if kinds.contains(&Kind::Odd) { vec![Kind::Odd] } else { kinds }
}

fn segment(groups: &[Group]) -> Vec<Group> {
    let mut groups = groups.to_vec();
    groups[0].glue = Glue::Start;
    groups
}

/// 15.04.2023, 2023.04.15
fn is_date(groups: &[Group]) -> bool {
    let [first, second, third] = groups else { return false };
    let lengths = (first.digits.len(), second.digits.len(), third.digits.len());
    second.glue == Glue::Point
        && third.glue == Glue::Point
        && matches!(lengths, (1 | 2, 1 | 2, 2 | 4) | (4, 1 | 2, 1 | 2))
}

/// Vowel signs and the like, which are no letters of their own.
fn is_mark_of_a_word(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{e4e}' | '\u{64b}'..='\u{65f}')
}

fn is_cents(word: &str) -> bool {
    matches!(
        word,
        "ct" | "cts"
            | "cent"
            | "cents"
            | "centimes"
            | "céntimos"
            | "centesimi"
            | "c"
            | "p"
            | "коп"
            | "öre"
            | "øre"
            | "ст"
    )
}
