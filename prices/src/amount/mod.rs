//! Amounts of money as shops write them. A text is wholly understood or refused, and no floating point number comes near it.

mod currency;
mod digits;
mod roles;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use rust_decimal::Decimal;

pub(crate) use digits::from_number;
use roles::Amount;
pub(crate) use roles::Role;
use tokens::{Kind, Token};

/// Longer texts are no prices.
const LONGEST: usize = 300;

/// An amount, and the currency that stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// At least 0.
    pub amount: Decimal,
    /// ISO 4217, when the text or the page tells.
    pub currency: Option<String>,
}

/// An amount of a text, and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) money: Money,
    pub(crate) role: Role,
    /// A sign or code of a currency stands beside it.
    pub(crate) has_sign: bool,
}

/// The price that a text names: `1 299,00 €`, `CHF 1'299.-`, `ab 12,99 € statt 15 €`, `2 for $10`.
///
/// `currency`: what the page says of it elsewhere. A single separator before exactly three digits groups thousands (`1.299` is over
/// a thousand), but in currencies with three decimal places. `None` when there is no price or more than one reading of it.
#[must_use]
pub fn from_text(text: &str, currency: Option<&str>) -> Option<Money> {
    let text = text.trim();
    if text.chars().nth(LONGEST).is_some() {
        return None;
    }
    if text.contains(['e', 'E'])
        && let Some(amount) = from_number(text)
    {
        return Some(Money { amount, currency: None });
    }
    if words::is_free(text) {
        return Some(Money { amount: Decimal::ZERO, currency: None });
    }
    let tokens = with_cents(tokens::cut(taxed(text)));
    let reading = roles::read(&tokens, currency);
    let chosen = choose(&reading, currency)?;
    let currency = chosen.sign.flatten().map(str::to_owned);
    Some(Money { amount: chosen.value, currency })
}

/// All amounts of a text beside which a currency stands, and what each of them is.
pub(crate) fn all(text: &str, currency: Option<&str>) -> Vec<Told> {
    let text = text.trim();
    if text.chars().nth(LONGEST).is_some() {
        return Vec::new();
    }
    let tokens = with_cents(tokens::cut(taxed(text)));
    let reading = roles::read(&tokens, currency);
    let dashed = has_dashes(text);
    let told = |amount: Amount| {
        let currency = amount.sign.flatten().map(str::to_owned);
        Told {
            money: Money { amount: amount.value, currency },
            role: amount.role,
            has_sign: amount.sign.is_some() || dashed,
        }
    };
    reading
        .amounts
        .into_iter()
        .filter(|amount| amount.sign.is_some() || amount.looks_like_money || dashed)
        .map(told)
        .collect()
}

/// What a Japanese text says of the price with its tax, where it tells both: `¥12,800(税込¥14,080)`.
fn taxed(text: &str) -> &str {
    let Some(at) = (!text.is_ascii()).then(|| text.find("税込")).flatten() else { return text };
    let (before, behind) = text.split_at(at);
    let has_digits = |text: &str| text.chars().any(char::is_numeric);
    if has_digits(before)
        && behind["税込".len()..]
            .trim_start()
            .starts_with(|c: char| c.is_numeric() || matches!(c, '¥' | '￥' | ':' | '：' | ' '))
    {
        behind
    } else {
        text
    }
}

/// Whether a dash stands for the cents: `12,-`, `899:-`.
fn has_dashes(text: &str) -> bool {
    let text = text.trim_end();
    if !text.contains(['-', '–', '—']) {
        return false;
    }
    [",-", ":-", ".-", ",–", ".–", ",—"].into_iter().any(|dash| {
        text.match_indices(dash).any(|(at, _)| {
            text[..at].ends_with(|c: char| c.is_ascii_digit())
                && !text[at + dash.len()..].trim_start_matches(['-', '–']).starts_with(|c: char| c.is_ascii_digit())
        })
    })
}

/// Whether a word for the least stands right before an amount: `ab 9,99 €`, `as low as $5`.
pub(crate) fn is_from(text: &str) -> bool {
    const WORDS: [&str; 19] = [
        "from",
        "ab",
        "dès",
        "à partir de",
        "desde",
        "a partir de",
        "a partire da",
        "vanaf",
        "od",
        "från",
        "fra",
        "as low as",
        "starting at",
        "starts at",
        "от",
        "від",
        "alkaen",
        "from only",
        "ab nur",
    ];
    let lower = text.to_lowercase();
    WORDS.into_iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let begins = !lower[..at].ends_with(char::is_alphanumeric);
            let rest = lower[at + word.len()..].trim_start_matches([' ', ':', '\u{a0}']);
            begins
                && rest.len() < lower.len() - at - word.len()
                && rest.starts_with(|c: char| c.is_numeric() || matches!(c, '€' | '$' | '£' | '¥'))
        })
    })
}

/// Whether a word is a measure: `kg`.
pub(crate) fn is_measure(word: &str) -> bool {
    words::is_measure(word)
}

/// Whether words speak of the amount before them: `/ kg`, `per month`, `mtl.`
pub(crate) fn is_of_last(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let first = text.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    text.starts_with(['/', '×'])
        || words::is_per(first)
        || words::is_period(first)
        || words::is_of_tax(first)
        || words::is_instalments(first)
        || first == "x"
}

/// The currency that a property names: a code of ISO 4217, or a sign that only one currency has.
pub(crate) fn currency(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(currency) = currency::code(text) {
        return currency.map(str::to_owned);
    }
    if text.chars().nth(LONGEST).is_some() {
        return None;
    }
    let named = tokens::cut(text).into_iter().find_map(|token| match token.kind {
        Kind::Currency(currency) => currency,
        _ => None,
    });
    named.map(str::to_owned)
}

fn choose<'a>(reading: &'a roles::Reading, known: Option<&str>) -> Option<&'a Amount> {
    let with = |role: Role| reading.amounts.iter().filter(move |amount| amount.role == role);
    // Words that nobody knows may say which of several prices counts.
    let is_only = |chosen: &Amount| {
        let same = |amount: &Amount| amount.value == chosen.value || amount.sign.flatten() != chosen.sign.flatten();
        reading.wholly_known
            || with(Role::Price).filter(|amount| amount.sign.is_some() == chosen.sign.is_some()).all(same)
    };
    let signed = || with(Role::Price).filter(|amount| amount.sign.is_some());
    // Of two currencies the one that the page uses, otherwise the first.
    let same = signed().find(|amount| amount.sign.flatten().is_some() && amount.sign.flatten() == known);
    if let Some(amount) = same.or_else(|| signed().next()) {
        return Some(amount).filter(|amount| is_only(amount));
    }
    if reading.in_doubt {
        return None;
    }
    let bare: Vec<&Amount> = with(Role::Price).filter(|amount| !amount.is_long).collect();
    match bare.as_slice() {
        [] => {}
        [only] => {
            let upper = with(Role::Upper).next();
            let is_range = upper.is_none_or(|upper| upper.value >= only.value && !reading.tight);
            return (only.looks_like_money || (reading.harmless && is_range)).then_some(*only);
        }
        [first, ..] => {
            let all_money = bare.iter().all(|amount| amount.looks_like_money);
            return (all_money && is_only(first)).then_some(*first);
        }
    }
    // What is no price of its own is one where the text has nothing else.
    let lesser = [Role::Untaxed, Role::Regular, Role::Cents, Role::Part]
        .into_iter()
        .find(|role| with(*role).next().is_some())?;
    let mut lesser = with(lesser);
    let first = lesser.next()?;
    (lesser.next().is_none() && (first.sign.is_some() || first.looks_like_money)).then_some(first)
}

/// Puts the cents of `12€99`, `12 euros 50 cents` and the thousands of `1.5万` to the number before them.
fn with_cents(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(mut token) = tokens.next() {
        let last = joined.len();
        match &token.kind {
            Kind::Word(word) if words::zeros(word).is_some() => {
                // "$1.5M" is a million and "$25 M" a size.
                let is_said = token.glued || word.chars().nth(1).is_some() || !word.is_ascii();
                if let (Some(Kind::Number(number)), Some(zeros)) =
                    (joined.last().map(|token| &token.kind), words::zeros(word).filter(|_| is_said))
                {
                    let follows = matches!(tokens.peek(), Some(Token { kind: Kind::Number(_), glued: true }));
                    let kind = number.with_zeros(zeros).filter(|_| !follows).map_or(Kind::Odd, Kind::Number);
                    joined[last - 1].kind = kind;
                    continue;
                }
            }
            // "12 euros and 99 cents"
            Kind::Word(word)
                if words::is_and(word) && matches!(joined.last(), Some(Token { kind: Kind::Currency(_), .. })) =>
            {
                if matches!(tokens.peek(), Some(Token { kind: Kind::Number(_), .. })) {
                    continue;
                }
            }
            Kind::Number(cents) if last >= 2 && matches!(joined[last - 1].kind, Kind::Currency(_)) => {
                if let Kind::Number(whole) = &joined[last - 2].kind {
                    let behind = tokens.peek();
                    let named = match behind.map(|token| &token.kind) {
                        Some(Kind::Cents) => true,
                        Some(Kind::Word(word)) => words::is_hundredth(word),
                        _ => false,
                    };
                    let has_own_sign = matches!(behind, Some(Token { kind: Kind::Currency(_), .. }));
                    // "12€50%", "12€50ml": two texts that lost the space between them.
                    let is_counted = match behind {
                        Some(Token { kind: Kind::Percent | Kind::Times, .. }) => true,
                        Some(Token { kind: Kind::Word(word), glued: true }) => words::is_measure(word),
                        _ => false,
                    };
                    let (sign_glued, glued) = (joined[last - 1].glued, token.glued);
                    let (close, alone) = (sign_glued && glued, behind.is_none() && last == 2);
                    let n_digits = cents.digits().len();
                    let fits = n_digits == 2 && !has_own_sign && !is_counted;
                    if (named || (fits && (close || (alone && !sign_glued && !glued))))
                        && let Some(numeral) = whole.with_cents(cents)
                    {
                        joined[last - 2].kind = Kind::Number(numeral);
                        if named {
                            tokens.next();
                        }
                        continue;
                    }
                    // "12€990", "12€ 99", "12 €1": neither cents nor another price for sure.
                    let torn = close || (alone && n_digits == 2 && sign_glued) || (glued && n_digits == 1);
                    if torn && !has_own_sign && !whole.digits().is_empty() {
                        joined[last - 2].kind = Kind::Odd;
                        token.kind = Kind::Odd;
                    }
                }
            }
            _ => {}
        }
        joined.push(token);
    }
    joined
}
