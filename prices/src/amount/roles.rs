//! What each number of a text is: the price, another amount, or no amount at all.

use rust_decimal::Decimal;

use super::{
    currency::{self, Currency},
    tokens::{Kind, Token},
    words::{self, Meaning},
};

/// Currencies with three decimal places: there `1.299` is less than two. (The Iraqi dinar has none in practice.)
const THREE_PLACES: [&str; 6] = ["BHD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Where a colon can be the decimal point.
const CROWNS: [&str; 4] = ["DKK", "ISK", "NOK", "SEK"];

/// A number that may be money.
#[derive(Debug)]
pub(super) struct Amount {
    pub(super) value: Decimal,
    /// Of the sign beside it, if one stands there.
    pub(super) sign: Option<Currency>,
    pub(super) role: Role,
    pub(super) looks_like_money: bool,
    /// So many digits without any separator are an article's number or a telephone's.
    pub(super) is_long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The price, as far as the text tells.
    Price,
    /// Without the tax: the price where the text does not say it with the tax, too.
    Untaxed,
    /// What is asked when nothing is off, or what somebody recommends: the price where the text has no other.
    Regular,
    /// The upper end of a range.
    Upper,
    /// For a measure of it, or for a month.
    Part,
    /// Given in cents.
    Cents,
    /// What was asked earlier.
    Former,
    /// Saved, shipping, an instalment, negative.
    Other,
}

/// All amounts of a text, and whether it has digits that cannot be understood.
pub(super) struct Reading {
    pub(super) amounts: Vec<Amount>,
    pub(super) in_doubt: bool,
    /// All its words are ones that go along with a price.
    pub(super) harmless: bool,
    /// All its words are ones whose meaning is known.
    pub(super) wholly_known: bool,
    /// A dash right between two numbers: a range, or a telephone number.
    pub(super) tight: bool,
}

pub(super) fn read(tokens: &[Token], known: Option<&str>) -> Reading {
    let numbers_on = tokens.iter().position(|token| matches!(token.kind, Kind::Number(_))).unwrap_or(tokens.len());
    let tax_comes_first =
        tokens[..numbers_on].iter().any(|token| matches!(&token.kind, Kind::Word(word) if words::is_of_tax(word)));
    let mut reader =
        Reader { tax_comes_first, tokens, known, after_amount: 0, claimed: vec![false; tokens.len()], in_doubt: false };
    let linked = reader.linked();
    let mut amounts: Vec<Amount> = Vec::new();
    for at in 0..tokens.len() {
        if !linked[at] && matches!(tokens[at].kind, Kind::Number(_)) && !reader.counts(at) {
            let amount = reader.amount(at, &mut amounts);
            amounts.extend(amount);
            reader.after_amount = at + 1;
        }
    }
    let all_words =
        |fits: fn(&str) -> bool| tokens.iter().all(|token| !matches!(&token.kind, Kind::Word(word) if !fits(word)));
    let harmless = all_words(|word| words::is_harmless(word) || words::is_range(word));
    let wholly_known = all_words(words::is_known);
    let in_doubt = reader.in_doubt || tokens.iter().any(|token| token.kind == Kind::Odd);
    let tight =
        (1..tokens.len()).any(|at| tokens[at].kind == Kind::Dash && tokens[at].glued && reader.is_number(at + 1));
    Reading { amounts, in_doubt, harmless, wholly_known, tight }
}

struct Reader<'a> {
    tokens: &'a [Token],
    known: Option<&'a str>,
    /// Where the last amount ends.
    after_amount: usize,
    /// "Incl. tax 12 €, excl. tax 10 €": what is said of the tax stands before each amount, not behind it.
    tax_comes_first: bool,
    /// Signs that belong to a number already.
    claimed: Vec<bool>,
    in_doubt: bool,
}

impl Reader<'_> {
    fn kind(&self, at: Option<usize>) -> Option<&Kind> {
        self.tokens.get(at?).map(|token| &token.kind)
    }

    fn word(&self, at: Option<usize>) -> Option<&str> {
        match self.kind(at) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn glued(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.glued)
    }

    fn is_number(&self, at: usize) -> bool {
        matches!(self.kind(Some(at)), Some(Kind::Number(_)))
    }

    fn looks_like_money(&self, at: usize) -> bool {
        matches!(self.kind(Some(at)), Some(Kind::Number(numeral)) if numeral.looks_like_money())
    }

    /// Numbers with bars or dashes right between them: dates, telephone numbers, fractions. A dash between two is a range.
    fn linked(&self) -> Vec<bool> {
        let mut linked = vec![false; self.tokens.len()];
        let mut at = 0;
        while at < self.tokens.len() {
            let (start, mut end, mut bars) = (at, at, false);
            while self.is_numeric(end)
                && matches!(self.kind(Some(end + 1)), Some(Kind::Dash | Kind::Slash))
                && self.glued(end + 1)
                && self.glued(end + 2)
                && self.is_numeric(end + 2)
            {
                bars |= self.kind(Some(end + 1)) == Some(&Kind::Slash);
                end += 2;
            }
            if end - start > 2 || (end > start && bars) {
                linked[start..=end].fill(true);
            }
            at = end + 1;
        }
        linked
    }

    fn is_numeric(&self, at: usize) -> bool {
        matches!(self.kind(Some(at)), Some(Kind::Number(_) | Kind::Odd | Kind::Aside))
    }

    /// Whether the number counts, measures or names something.
    fn counts(&mut self, at: usize) -> bool {
        let (before, behind) = (at.checked_sub(1), Some(at + 1));
        if self.kind(behind) == Some(&Kind::Percent) || (self.kind(before) == Some(&Kind::Percent) && self.glued(at)) {
            return true;
        }
        // "iPhone12", "500g", "2in1": letters of a script with spaces, right at the digits.
        let letters_before = self.word(before).is_some_and(|word| self.glued(at) && word.ends_with(currency::joins));
        let letters_behind = self.word(behind).is_some_and(|word| {
            // "$12.99Save": the sign says that it is money, whatever comes.
            let is_money = matches!(self.kind(before), Some(Kind::Currency(_))) && self.looks_like_money(at);
            let fine =
                is_money || words::is_harmless(word) || words::is_piece(word) || !word.starts_with(currency::joins);
            self.glued(at + 1) && !fine
        });
        if letters_before || letters_behind || self.kind(behind) == Some(&Kind::Times) {
            return true;
        }
        let has_sign = matches!(self.kind(behind), Some(Kind::Currency(_)))
            || matches!(self.kind(before), Some(Kind::Currency(_)))
            || self.kind(behind) == Some(&Kind::Cents);
        let denominator = self.kind(before) == Some(&Kind::Slash)
            || self.word(before).is_some_and(|word| words::is_per(word) && !words::is_range(word));
        if has_sign {
            return false;
        }
        denominator
            || self.kind(before) == Some(&Kind::Times)
            || self.word(behind).is_some_and(|word| {
                words::is_counted(word) || words::is_month_name(word) || words::is_instalments(word)
            })
            || self.word(before).is_some_and(|word| words::counts_next(word) || words::is_month_name(word))
            || (self.word(before.and_then(|at| at.checked_sub(1))).is_some_and(words::counts_next)
                && self.kind(before) == Some(&Kind::Mark))
    }

    fn amount(&mut self, at: usize, earlier: &mut [Amount]) -> Option<Amount> {
        let Kind::Number(numeral) = &self.tokens[at].kind else { return None };
        let (sign, first) = self.sign(at);
        let in_cents = sign.is_none() && self.kind(Some(at + 1)) == Some(&Kind::Cents);
        let code = sign.flatten().or(self.known);
        let crowns = match (sign, self.known) {
            (Some(None), None) => true,
            (_, _) => code.is_some_and(|code| CROWNS.contains(&code)),
        };
        if numeral.needs_crowns() && !crowns {
            return None;
        }
        if numeral.needs_sign() && sign.is_none() {
            self.in_doubt = true;
            return None;
        }
        let numeral = if in_cents { &numeral.as_cents()? } else { numeral };
        let three_places = code.is_some_and(|code| THREE_PLACES.contains(&code));
        let Some(value) = numeral.value(three_places) else {
            self.in_doubt = true;
            return None;
        };
        let mut role = self.role(at, first, earlier);
        if in_cents && role == Role::Price {
            role = Role::Cents;
        }
        let sign = if in_cents { Some(None) } else { sign };
        if role == Role::Upper
            && let Some(lower) = earlier.last_mut()
        {
            lower.sign = lower.sign.or(sign);
        }
        Some(Amount { value, sign, role, looks_like_money: numeral.looks_like_money(), is_long: numeral.is_long() })
    }

    /// The currency of the signs beside a number, and where the first piece of the amount is.
    fn sign(&mut self, at: usize) -> (Option<Currency>, usize) {
        let is_sign = |reader: &Self, at: usize| matches!(reader.kind(Some(at)), Some(Kind::Currency(_)));
        let mut first = at;
        while first > 0 && is_sign(self, first - 1) && !self.claimed[first - 1] {
            first -= 1;
        }
        let mut last = at;
        while is_sign(self, last + 1) {
            last += 1;
        }
        // Signs between two numbers: "€ 12 € 15", "2 $10", and "12 € 15 €".
        if last > at && self.is_number(last + 1) {
            let follower_has_own = is_sign(self, last + 2);
            // "12,99 €1": the mark of a footnote.
            let is_footnote = self.looks_like_money(at) && !self.looks_like_money(last + 1);
            let leans_on_follower = self.glued(last + 1) && !self.glued(at + 1) && !is_footnote;
            if first < at || (leans_on_follower && !follower_has_own) {
                last = at;
            }
        }
        self.claimed[first..=last].fill(true);
        let currencies = self.tokens[first..=last].iter().filter_map(|token| match token.kind {
            Kind::Currency(currency) => Some(currency),
            _ => None,
        });
        let currencies: Vec<Currency> = currencies.collect();
        let known = currencies.iter().flatten().next().copied();
        ((!currencies.is_empty()).then_some(known), first)
    }

    /// `first`: where the amount's sign or number begins.
    fn role(&mut self, at: usize, first: usize, earlier: &mut [Amount]) -> Role {
        let before = first.checked_sub(1);
        match self.kind(before) {
            Some(Kind::Dash) => {
                let dash = first - 1;
                if self.follows_amount(dash) && !earlier.is_empty() {
                    return Role::Upper;
                }
                let opened = dash > 0 && self.kind(Some(dash - 1)) == Some(&Kind::Mark);
                if dash == 0 || (self.glued(first) && (opened || !self.glued(dash))) {
                    return Role::Other;
                }
            }
            // Shipping on top of a price, or a telephone number.
            Some(Kind::Plus) => {
                self.in_doubt |= earlier.is_empty();
                return Role::Other;
            }
            _ => {}
        }
        // "€ -5"
        if first < at && self.kind(at.checked_sub(1)) == Some(&Kind::Dash) {
            return Role::Other;
        }
        if self.word(before).is_some_and(words::is_range) && self.follows_amount(first - 1) && !earlier.is_empty() {
            return Role::Upper;
        }
        if self.is_instalment(at, first) {
            return Role::Other;
        }
        if let Some(meaning) = self.said_before(first, earlier) {
            return match meaning {
                Meaning::UnitPrice => Role::Part,
                Meaning::Regular => Role::Regular,
                Meaning::Untaxed => Role::Untaxed,
                Meaning::Former => Role::Former,
                _ => Role::Other,
            };
        }
        self.said_behind(at)
    }

    fn follows_amount(&self, at: usize) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is_number(before) || self.claimed[before])
    }

    /// `12 x 9,90`, `9,90 x 12`, `3 Raten zu 9,90`.
    fn is_instalment(&self, at: usize, first: usize) -> bool {
        let mut back = first;
        while back > 0 {
            back -= 1;
            match &self.tokens[back].kind {
                Kind::Times => return true,
                Kind::Word(word) if words::is_instalments(word) => return true,
                Kind::Word(_) | Kind::Mark => {}
                _ => break,
            }
        }
        let mut behind = at + 1;
        while matches!(self.kind(Some(behind)), Some(Kind::Currency(_))) {
            behind += 1;
        }
        let times = self.kind(Some(behind)) == Some(&Kind::Times) || self.word(Some(behind)) == Some("x");
        times && self.is_number(behind + 1)
    }

    /// What the words between the number before and this amount say of it.
    fn said_before(&self, first: usize, earlier: &mut [Amount]) -> Option<Meaning> {
        let start = self.after_amount.min(first);
        let mut said = &self.tokens[start..first];
        while let [Token { kind: Kind::Currency(_), .. }, rest @ ..] = said {
            said = rest;
        }
        let spoken: Vec<&str> = said
            .iter()
            .filter_map(|token| if let Kind::Word(word) = &token.kind { Some(word.as_str()) } else { None })
            .collect();
        // "De R$ 20 por R$ 15", "van 20 voor 15": the price is the second.
        if matches!(spoken.as_slice(), ["por" | "voor" | "na"])
            && let [only] = earlier
            && matches!(self.tokens.first().map(|token| &token.kind), Some(Kind::Word(word)) if matches!(word.as_str(), "de" | "van" | "z"))
        {
            only.role = Role::Other;
        }
        // The first amount's words may speak of another one ahead: "12 € (UVP 15 €)". The nearest counts.
        let (at, meaning) = said.iter().enumerate().rev().find_map(|(at, token)| {
            let Kind::Word(word) = &token.kind else { return None };
            // "10 €/month or 99 €", "10 € netto 12 €": said of the amount before.
            let is_of_last = start > 0
                && (words::is_period(word) || (words::is_untaxed(word) && !self.tax_comes_first))
                && said[..at].iter().all(|token| matches!(token.kind, Kind::Slash | Kind::Mark));
            let meaning = words::before(word).filter(|meaning| *meaning != Meaning::Harmless && !is_of_last);
            meaning.map(|meaning| (at, meaning))
        })?;
        let percent = said.iter().position(|token| token.kind == Kind::Percent);
        match (meaning, percent) {
            // "50% off $20" tells before what is off.
            (Meaning::Saving, Some(percent)) if percent < at => None,
            // "Save 20% $15", and perhaps "You save 20%: $5".
            (Meaning::Saving, Some(_)) => Some(Meaning::Regular),
            _ => Some(meaning),
        }
    }

    fn said_behind(&self, at: usize) -> Role {
        let mut next = at + 1;
        while matches!(self.kind(Some(next)), Some(Kind::Currency(_) | Kind::Cents)) {
            next += 1;
        }
        if let Some(word) = self.word(Some(next)) {
            let ends = !self.tokens[next..].iter().any(|token| matches!(token.kind, Kind::Number(_)));
            match words::behind(word) {
                Some(Meaning::Regular) if ends => return Role::Regular,
                Some(Meaning::Saving | Meaning::Shipping) => return Role::Other,
                _ if words::is_untaxed(word) && !self.tax_comes_first => return Role::Untaxed,
                _ => {}
            }
            if words::is_period(word) {
                return Role::Part;
            }
        }
        let per = self.kind(Some(next)) == Some(&Kind::Slash) || self.word(Some(next)).is_some_and(words::is_per);
        if !per {
            return Role::Price;
        }
        let counted = next + if self.is_numeric(next + 1) { 2 } else { 1 };
        match self.word(Some(counted)) {
            Some(word) if words::is_measure(word) || words::is_period(word) => Role::Part,
            _ => Role::Price,
        }
    }
}
