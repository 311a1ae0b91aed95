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
use roles::{Amount, Role};
use tokens::{Kind, Token};

/// Longer texts are no prices.
const LONGEST: usize = 300;

/// An amount, and the currency that stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) amount: Decimal,
    pub(crate) currency: Option<String>,
}

/// The price that a text names: `1 299,00 €`, `CHF 1'299.-`, `ab 12,99 € statt 15 €`, `2 for $10`.
///
/// `currency`: what the page says of it elsewhere. A single separator before exactly three digits groups thousands (`1.299` is over
/// a thousand), but in currencies with three decimal places. `None` when there is no price or more than one reading of it.
pub(crate) fn from_text(text: &str, currency: Option<&str>) -> Option<Money> {
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
    let tokens = with_cents(tokens::cut(text));
    let reading = roles::read(&tokens, currency);
    let chosen = choose(&reading, currency)?;
    let currency = chosen.sign.flatten().map(str::to_owned);
    Some(Money { amount: chosen.value, currency })
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
    let signed = || with(Role::Price).filter(|amount| amount.sign.is_some());
    // Of two currencies the one that the page uses, otherwise the first.
    let same = signed().find(|amount| amount.sign.flatten().is_some() && amount.sign.flatten() == known);
    if let Some(amount) = same.or_else(|| signed().next()) {
        return Some(amount);
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
        [first, ..] => return bare.iter().all(|amount| amount.looks_like_money).then_some(*first),
    }
    // What is no price of its own is one where the text has nothing else.
    let mut lesser = with(Role::Regular).chain(with(Role::Cents)).chain(with(Role::Part));
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
                if let (Some(Kind::Number(number)), Some(zeros)) =
                    (joined.last().map(|token| &token.kind), words::zeros(word))
                {
                    let follows = matches!(tokens.peek(), Some(Token { kind: Kind::Number(_), glued: true }));
                    let kind = number.with_zeros(zeros).filter(|_| !follows).map_or(Kind::Odd, Kind::Number);
                    joined[last - 1].kind = kind;
                    continue;
                }
            }
            Kind::Number(cents) if last >= 2 && matches!(joined[last - 1].kind, Kind::Currency(_)) => {
                if let Kind::Number(whole) = &joined[last - 2].kind {
                    let named = match tokens.peek().map(|token| &token.kind) {
                        Some(Kind::Cents) => true,
                        Some(Kind::Word(word)) => words::is_hundredth(word),
                        _ => false,
                    };
                    let ends = !matches!(tokens.peek(), Some(Token { kind: Kind::Currency(_) | Kind::Number(_), .. }));
                    let close = joined[last - 1].glued && token.glued;
                    let alone = tokens.peek().is_none() && last == 2;
                    let two = cents.digits().len() == 2;
                    if (named || (two && ends && (close || alone)))
                        && let Some(numeral) = whole.with_cents(cents)
                    {
                        joined[last - 2].kind = Kind::Number(numeral);
                        if named {
                            tokens.next();
                        }
                        continue;
                    }
                    // "12€990": neither cents nor another price.
                    if close && ends && !whole.digits().is_empty() {
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
