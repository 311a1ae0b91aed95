//! Which currency a sign, a word or a code names.

use std::{collections::HashMap, sync::LazyLock};

use iso_currency::Currency as Iso;

/// The code of a currency, or `None` for a sign that several countries have.
pub(super) type Currency = Option<&'static str>;

/// Signs and words in lower case, parted by bars, behind their code. An empty code means that several currencies have them.
const SIGNS: &[(&str, &str)] = &[
    ("AED", "د.إ|درهم إماراتي"),
    ("ALL", "lekë|lek"),
    ("AMD", "֏|драм"),
    ("ARS", "ar$|ars$"),
    ("AUD", "au $|au$|aud$|aus$|a$"),
    ("AZN", "₼|manat"),
    ("BBD", "bds$"),
    ("BDT", "৳|tk"),
    ("BGN", "leva|лева|лв"),
    ("BHD", "د.ب|bd"),
    ("BND", "b$"),
    ("BRL", "r $|r$|reais"),
    ("BYN", "byn|бел. руб"),
    ("BZD", "bz$"),
    ("CAD", "ca $|ca$|cad$|cdn$|can$|c$|$ca"),
    ("CHF", "sfr|frs|fr|franken"),
    ("CLP", "clp$"),
    ("CNY", "cn¥|人民币|人民幣|rmb|yuan|元"),
    ("COP", "col$|cop$"),
    ("CRC", "₡"),
    ("CZK", "kčs|kč|kc"),
    ("DKK", "dkr"),
    ("DOP", "rd$"),
    ("DZD", "د.ج"),
    ("EGP", "e£|£e|l.e.|ج.م|جنيه"),
    ("EUR", "€uro|€|euros|euro|eiro|ευρώ|евро|¤|欧元|歐元"),
    ("FJD", "fj$"),
    ("GBP", "gb£|uk£|£|pounds|pound"),
    ("GEL", "₾|ლარი"),
    ("GHS", "gh₵|gh¢|ghc|₵"),
    ("HKD", "hk $|hk$|hkd$|港元|港幣"),
    ("HRK", "kuna|kn"),
    ("HUF", "forint"),
    ("IDR", "rp"),
    ("ILS", "₪|ש\"ח|ש״ח|nis"),
    ("INR", "₹|रुपये"),
    ("IQD", "د.ع"),
    ("ISK", "krónur|isk"),
    ("JMD", "j$|ja$"),
    ("JOD", "د.أ|د.ا|jd"),
    ("JPY", "jp¥|円|yen|日元|日圓"),
    ("KES", "kshs|ksh"),
    ("KGS", "сом"),
    ("KHR", "៛"),
    ("KRW", "₩|원"),
    ("KWD", "د.ك|دينار كويتي|kd"),
    ("KZT", "тенге|тнг|тг|₸"),
    ("LAK", "₭|ກີບ"),
    ("LBP", "ل.ل"),
    ("LKR", "රු"),
    ("LYD", "د.ل"),
    ("MAD", "د.م"),
    ("MKD", "денари|ден"),
    ("MNT", "₮"),
    ("MOP", "mop$"),
    ("MXN", "mx$|mex$|mxn$"),
    ("MYR", "rm"),
    ("NAD", "n$"),
    ("NGN", "₦"),
    ("NOK", "nkr"),
    ("NZD", "nz $|nz$|nzd$"),
    ("OMR", "ر.ع"),
    ("PAB", "b/."),
    ("PEN", "s/.|s/"),
    ("PHP", "₱|php"),
    ("PLN", "złotych|złoty|zł|zl"),
    ("PYG", "₲|gs"),
    ("QAR", "ر.ق"),
    ("RON", "lei"),
    ("RSD", "dinara|динара|дин|din|rsd"),
    ("RUB", "рублей|рубля|рубль|руб|₽|rub"),
    ("SAR", "ر.س|ريال سعودي|sr"),
    ("SEK", "kronor|skr"),
    ("SGD", "sg $|sg$|sgd$|s$"),
    ("SYP", "ل.س"),
    ("THB", "฿|บาท|baht"),
    ("TND", "د.ت|dt"),
    ("TRY", "₺|tl|türk lirası"),
    ("TTD", "tt$"),
    ("TWD", "nt $|nt$|ntd$|ntd|twd$|新台幣|台幣"),
    ("TZS", "tshs|tsh"),
    ("UAH", "гривень|гривні|гривен|грн|₴"),
    ("UGX", "ushs|ush"),
    ("USD", "u.s. $|us $|us$|usd$|u$s|u$d|$us|us-dollar|us dollar|us dollars|美元|美金"),
    ("UYU", "$u"),
    ("UZS", "сум|so'm"),
    ("VND", "₫|đồng|vnđ|đ"),
    ("XPF", "cfp|f cfp"),
    ("XCD", "ec$"),
    ("YER", "ر.ي"),
    // Several countries have these.
    ("", "dollars|dollar|$|₤|f cfa|fcfa|cfa|kroner|kr|korun|¥|圓|रु|₨|rupees|rs|تومان|تومن|ریال"),
    ("", "ريال|﷼|درهم|دينار|dhs|dhm|dh|dirhams|dirham|bs.f|bs.s|bs|pesos|peso"),
];

/// Signs that mean something else in another case: feet, roads, quick-response codes. With where they may stand.
const EXACT: &[(&str, &str, Side)] = &[
    ("Ft", "HUF", Side::Any),
    ("FT", "HUF", Side::After),
    ("KM", "BAM", Side::Any),
    ("QR", "QAR", Side::Any),
    ("DA", "DZD", Side::Any),
    ("LE", "EGP", Side::Any),
    ("R", "ZAR", Side::Before),
    ("K", "", Side::Before),
    ("N", "NGN", Side::Before),
    ("P", "", Side::Before),
    ("Q", "GTQ", Side::Before),
    ("L", "", Side::Before),
    ("Р", "RUB", Side::Any),
    ("р", "RUB", Side::After),
    ("p", "RUB", Side::AfterDotted),
];

/// Where a sign stands, seen from the number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Any,
    Before,
    After,
    /// Behind the number and with a full stop, as Russians write with the Latin letter.
    AfterDotted,
}

/// Codes that are words, too: in a text they count only where they stand alone with a number, in capitals.
const WORDS: [&str; 14] =
    ["ALL", "ANG", "BAM", "BOB", "COU", "CUP", "GEL", "LAK", "MAD", "PEN", "SOS", "TOP", "TRY", "XXX"];

/// Codes that are not in the standard, or no longer, and what they mean.
const ALIASES: &[(&str, &str)] = &[
    ("BYR", "BYN"),
    ("CNH", "CNY"),
    ("IRT", ""),
    ("NIS", "ILS"),
    ("NTD", "TWD"),
    ("RMB", "CNY"),
    ("RUR", "RUB"),
    ("STG", "GBP"),
    ("UKP", "GBP"),
    ("YTL", "TRY"),
];

/// A code of ISO 4217 in any case.
pub(super) fn code(text: &str) -> Option<Currency> {
    if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == upper) {
        return Some(known(meant));
    }
    Iso::from_code(&upper).filter(|iso| !iso.is_special()).map(|iso| Some(iso.code()))
}

/// Whether a code may be meant by a word of a running text.
pub(super) fn is_plain_code(text: &str) -> bool {
    !WORDS.contains(&text.to_ascii_uppercase().as_str())
}

/// What stands at a place of a text.
pub(super) struct Sign {
    pub(super) currency: Currency,
    /// How many characters it takes.
    pub(super) length: usize,
}

/// The sign that `text` has at `at`. `number_before`, `number_after`: whether a number stands right there, a space aside.
pub(super) fn sign_at(text: &[char], at: usize, number_before: bool) -> Option<Sign> {
    let begins = |sign: &&(&str, &str, Side)| sign.0.starts_with(text[at]);
    let exact = EXACT.iter().filter(begins).filter_map(|(sign, code, side)| {
        let length = matches(text, at, sign, false)?;
        let rest = &text[(at + length).min(text.len())..];
        let dotted = rest.first() == Some(&'.');
        let number_after = rest.iter().find(|c| !matches!(c, ' ' | '.')).is_some_and(char::is_ascii_digit);
        let fits = match side {
            Side::Any => true,
            Side::Before => number_after && !number_before,
            Side::After => number_before,
            Side::AfterDotted => number_before && dotted,
        };
        fits.then_some((length, *code))
    });
    let signs = by_first(text[at]).iter().filter_map(|(sign, code)| Some((matches(text, at, sign, true)?, *code)));
    let (length, code) = signs.chain(exact).max_by_key(|(length, _)| *length)?;
    let dot = text[at + length - 1].is_alphabetic() && text.get(at + length) == Some(&'.');
    Some(Sign { currency: known(code), length: length + usize::from(dot) })
}

/// The signs that begin with a letter, in any case.
fn by_first(c: char) -> &'static [(&'static str, &'static str)] {
    type Signs = HashMap<char, Vec<(&'static str, &'static str)>>;
    static INDEX: LazyLock<Signs> = LazyLock::new(|| {
        let mut index = Signs::new();
        for (code, signs) in SIGNS {
            for sign in signs.split('|') {
                let first = sign.chars().next().unwrap_or_default();
                index.entry(first).or_default().push((sign, code));
            }
        }
        index
    });
    let lower = c.to_lowercase().next().unwrap_or(c);
    INDEX.get(&lower).map_or(&[], Vec::as_slice)
}

fn known(code: &'static str) -> Currency {
    (!code.is_empty()).then_some(code)
}

/// The length of `sign` when it stands at `at` and is no piece of a longer word.
fn matches(text: &[char], at: usize, sign: &str, any_case: bool) -> Option<usize> {
    let mut length = 0;
    for expected in sign.chars() {
        let c = *text.get(at + length)?;
        let same = c == expected || (any_case && c.to_lowercase().eq([expected]));
        if !same {
            return None;
        }
        length += 1;
    }
    let (first, last) = (text[at], text[at + length - 1]);
    let ends_inside = joins(last) && text.get(at + length).is_some_and(|c| joins(*c));
    let begins_inside = joins(first) && at > 0 && joins(text[at - 1]);
    (!ends_inside && !begins_inside).then_some(length)
}

/// Whether a letter belongs to a script that parts its words by spaces.
pub(super) fn joins(c: char) -> bool {
    let unspaced = matches!(c, '\u{e00}'..='\u{eff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}');
    c.is_alphabetic() && !unspaced
}
