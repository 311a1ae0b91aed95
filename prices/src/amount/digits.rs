//! Groups of digits and what stands between them, read as one number or as none.

use std::str::FromStr;

use rust_decimal::Decimal;

/// Longer numbers without separators are article numbers.
const LONGEST_PLAIN: usize = 12;

/// What stands before a group of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glue {
    /// Nothing: it is the first.
    Start,
    Space,
    Point,
    Comma,
    Apostrophe,
    Colon,
    MiddleDot,
    ArabicPoint,
    ArabicGroup,
}

/// Digits of the set 0 to 9, and what stands before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) glue: Glue,
    pub(super) digits: String,
}

/// A number whose shape is understood. What it is worth can still hang on the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numeral {
    whole: String,
    places: String,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Only one reading.
    Plain,
    /// Thousands stand apart.
    Grouped,
    /// A single separator before three digits: thousands, or places where the currency has three of them.
    Three,
    /// A colon before two digits: an amount beside a sign of the northern crowns, otherwise a time.
    Colon,
    /// `05`: cents that follow something, and nothing by itself.
    Padded,
    /// Two digits after a space, as raised cents become when the page's marks are gone, or thousands in a word.
    NeedsSign,
}

impl Numeral {
    /// `None` when the groups make no sense together.
    pub(super) fn read(groups: &[Group]) -> Option<Self> {
        let (first, rest) = groups.split_first()?;
        let Some((last, middle)) = rest.split_last() else {
            let digits = &first.digits;
            if digits.len() == 2 && digits.starts_with('0') {
                return Some(Self::new(digits, "", Shape::Padded));
            }
            let fine = digits == "0" || (!digits.starts_with('0') && digits.len() <= LONGEST_PLAIN);
            return (fine && !digits.is_empty()).then(|| Self::new(digits, "", Shape::Plain));
        };
        match middle.first().map(|group| group.glue) {
            None => single(first, last),
            Some(glue) if middle.iter().any(|group| group.glue != glue) => None,
            Some(glue) if glue == last.glue => repeated(first, middle, last),
            Some(glue) => mixed(glue, first, middle, last),
        }
    }

    /// Whole units and then cents that only a space parts from them.
    pub(super) fn with_spaced_cents(&self, cents: &Self) -> Option<Self> {
        let whole_only = self.places.is_empty() && matches!(self.shape, Shape::Plain | Shape::Grouped);
        let two = matches!(cents.shape, Shape::Plain | Shape::Padded) && cents.digits().len() == 2;
        (whole_only && two).then(|| Self::new(&self.whole, &cents.whole, Shape::NeedsSign))
    }

    /// Whole units and then cents, parted by a sign or named by a word: `12€99`, `12 euros 9 cents`.
    pub(super) fn with_cents(&self, cents: &Self) -> Option<Self> {
        let cents = cents.digits();
        let whole_only = self.places.is_empty() && matches!(self.shape, Shape::Plain | Shape::Grouped);
        let fine = whole_only && matches!(cents.len(), 1 | 2);
        fine.then(|| Self::new(&self.whole, &format!("{cents:0>2}"), Shape::Plain))
    }

    /// A hundredth of it: `99 ct`.
    pub(super) fn as_cents(&self) -> Option<Self> {
        let fine = self.places.is_empty() && self.shape == Shape::Plain && self.whole.len() <= 3;
        fine.then(|| {
            let digits = format!("{:0>3}", self.whole);
            let (whole, places) = digits.split_at(digits.len() - 2);
            Self::new(whole, places, Shape::Plain)
        })
    }

    /// With so many zeros, as a word behind it says: `1.5 million`, `1.5万`.
    pub(super) fn with_zeros(&self, zeros: usize) -> Option<Self> {
        let fine = self.shape == Shape::Plain && self.places.len() <= zeros && self.whole.len() <= 4;
        fine.then(|| {
            let digits = format!("{}{:0<zeros$}", self.whole, self.places);
            Self::new(digits.trim_start_matches('0'), "", Shape::NeedsSign)
        })
    }

    /// Its value. `three_places`: of the currency. `None` when it only looks like a number.
    pub(super) fn value(&self, three_places: bool) -> Option<Decimal> {
        if self.shape == Shape::Padded {
            return None;
        }
        let point = if self.shape == Shape::Three && !three_places { "" } else { "." };
        let text =
            if self.places.is_empty() { self.whole.clone() } else { format!("{}{point}{}", self.whole, self.places) };
        Decimal::from_str(&text).ok().map(without_noise)
    }

    /// Whether it has the looks of money without any sign beside it.
    pub(super) fn looks_like_money(&self) -> bool {
        matches!(self.shape, Shape::Grouped | Shape::Three) || (self.shape == Shape::Plain && self.places.len() == 2)
    }

    pub(super) fn is_long(&self) -> bool {
        self.shape == Shape::Plain && self.digits().len() > 9
    }

    pub(super) fn needs_crowns(&self) -> bool {
        self.shape == Shape::Colon
    }

    pub(super) fn needs_sign(&self) -> bool {
        self.shape == Shape::NeedsSign
    }

    /// The digits of a whole number; empty when it has places.
    pub(super) fn digits(&self) -> &str {
        if self.places.is_empty() { &self.whole } else { "" }
    }

    fn new(whole: &str, places: &str, shape: Shape) -> Self {
        let whole = if whole.is_empty() { "0" } else { whole };
        Self { whole: whole.to_owned(), places: places.to_owned(), shape }
    }
}

/// A number as JSON or a program writes it, with or without exponent. `None` when it is negative or too large.
pub(crate) fn from_number(literal: &str) -> Option<Decimal> {
    let plausible = literal.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plausible || literal.len() > 60 {
        return None;
    }
    let exponent = literal.contains(['e', 'E']);
    let amount = if exponent { Decimal::from_scientific(literal) } else { Decimal::from_str(literal) }.ok()?;
    (!amount.is_sign_negative() || amount.is_zero()).then(|| without_noise(amount))
}

/// `19.989999999999998` is what a program makes of 19.99.
fn without_noise(amount: Decimal) -> Decimal {
    let rounded = amount.round_dp(4);
    let noise = amount.scale() > 8 && (amount - rounded).abs() < Decimal::new(1, 7);
    if noise { rounded.normalize() } else { amount }
}

fn single(first: &Group, last: &Group) -> Option<Numeral> {
    let places = last.digits.len();
    match last.glue {
        Glue::Point | Glue::Comma if places == 3 && starts_thousands(first) => {
            Some(Numeral::new(&first.digits, &last.digits, Shape::Three))
        }
        // Three digits after nothing are neither thousands nor cents.
        Glue::Point | Glue::Comma if places == 3 && first.digits.is_empty() => None,
        Glue::Point | Glue::Comma | Glue::ArabicPoint => point(&first.digits, last, Shape::Plain),
        Glue::Space | Glue::ArabicGroup | Glue::Apostrophe if thousands(first, &[], last) => {
            Some(Numeral::new(&joined(first, &[], Some(last)), "", Shape::Grouped))
        }
        Glue::Apostrophe | Glue::MiddleDot if places == 2 => point(&first.digits, last, Shape::Plain),
        Glue::Colon if places == 2 => point(&first.digits, last, Shape::Colon),
        _ => None,
    }
}

/// All separators are the same.
fn repeated(first: &Group, middle: &[Group], last: &Group) -> Option<Numeral> {
    let separates = matches!(
        last.glue,
        Glue::Space | Glue::Point | Glue::Comma | Glue::Apostrophe | Glue::MiddleDot | Glue::ArabicGroup
    );
    if separates && (thousands(first, middle, last) || (last.glue == Glue::Comma && lakhs(first, middle, last))) {
        return Some(Numeral::new(&joined(first, middle, Some(last)), "", Shape::Grouped));
    }
    let (end, start) = middle.split_last()?;
    let cents = matches!(last.glue, Glue::Point | Glue::Comma) && last.digits.len() == 2;
    (cents && thousands(first, start, end)).then(|| point(&joined(first, middle, None), last, Shape::Plain))?
}

/// The last separator is another than those before it.
fn mixed(glue: Glue, first: &Group, middle: &[Group], last: &Group) -> Option<Numeral> {
    let (end, start) = middle.split_last()?;
    let separates = matches!(glue, Glue::Space | Glue::Point | Glue::Comma | Glue::Apostrophe | Glue::ArabicGroup);
    let grouped = thousands(first, start, end) || (glue == Glue::Comma && lakhs(first, start, end));
    if !separates || !grouped {
        return None;
    }
    let whole = joined(first, middle, None);
    match last.glue {
        Glue::Point | Glue::Comma | Glue::ArabicPoint => point(&whole, last, Shape::Plain),
        Glue::MiddleDot if last.digits.len() == 2 => point(&whole, last, Shape::Plain),
        Glue::Colon if last.digits.len() == 2 => point(&whole, last, Shape::Colon),
        _ => None,
    }
}

fn point(whole: &str, last: &Group, shape: Shape) -> Option<Numeral> {
    let padded = whole.len() > 1 && whole.starts_with('0');
    let fine = !padded && whole.len() <= LONGEST_PLAIN + 3 && last.digits.len() <= 20;
    fine.then(|| Numeral::new(whole, &last.digits, shape))
}

fn starts_thousands(first: &Group) -> bool {
    matches!(first.digits.len(), 1..=3) && !first.digits.starts_with('0')
}

/// 1 299 000
fn thousands(first: &Group, middle: &[Group], last: &Group) -> bool {
    starts_thousands(first) && middle.iter().chain([last]).all(|group| group.digits.len() == 3)
}

/// 12,99,000
fn lakhs(first: &Group, middle: &[Group], last: &Group) -> bool {
    let short = matches!(first.digits.len(), 1 | 2) && !first.digits.starts_with('0');
    short && middle.iter().all(|group| group.digits.len() == 2) && last.digits.len() == 3
}

fn joined(first: &Group, middle: &[Group], last: Option<&Group>) -> String {
    [first].into_iter().chain(middle).chain(last).map(|group| group.digits.as_str()).collect()
}
