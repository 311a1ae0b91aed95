//! The rules of a request that its schema cannot express.

use rust_decimal::Decimal;

use super::{request::ContentRequest, validate};

/// What is wrong with a field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer of the field.
    pub pointer: String,
    /// What is allowed.
    pub message: String,
}

impl ContentRequest {
    /// The rules that the schema cannot express. Empty when the request is good.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut complain =
            |pointer: String, message: &str| problems.push(Problem { pointer, message: message.to_owned() });
        for (pointer, text) in [("/product_id", &self.product_id), ("/name", &self.name), ("/category", &self.category)]
        {
            if let Some(message) = line_problem(text) {
                complain(pointer.to_owned(), message);
            }
        }
        for (index, feature) in self.features.iter().enumerate() {
            if !(1..=200).contains(&feature.chars().count()) {
                complain(format!("/features/{index}"), "must have 1 to 200 characters");
            } else if let Some(message) = line_problem(feature) {
                complain(format!("/features/{index}"), message);
            }
        }
        let is_bad = |c: char| validate::is_forbidden(c) && !matches!(c, '\n' | '\r' | '\t');
        if self.description.as_ref().is_some_and(|description| description.contains(is_bad)) {
            complain("/description".to_owned(), "must not contain control characters but line breaks and tabs");
        }
        if let Some(price) = &self.price {
            if !price.amount.parse::<Decimal>().is_ok_and(|amount| amount > Decimal::ZERO) {
                complain("/price/amount".to_owned(), "must be a decimal number over 0, such as 49.90");
            }
            if !is_currency(&price.currency) {
                complain("/price/currency".to_owned(), "must be a currency code of ISO 4217, such as EUR");
            }
        }
        if self.max_cost.is_some() && self.most_cost().is_none_or(|most| most <= Decimal::ZERO) {
            complain("/max_cost".to_owned(), "must be a decimal number of US dollars over 0, such as 0.005");
        }
        problems
    }
}

/// Why `text` cannot be a name; `None` when it can.
fn line_problem(text: &str) -> Option<&'static str> {
    if text.contains(validate::is_forbidden) {
        return Some("must not contain control characters");
    }
    // Plain text is not empty.
    let is_empty = !validate::is_plain(text) && validate::plain_text(text).is_empty();
    is_empty.then_some("must contain text, not only blanks or HTML tags")
}

fn is_currency(code: &str) -> bool {
    // Between two codes is a blank, so that three letters can be found only where a code begins.
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) && CURRENCIES.contains(code)
}

/// ISO 4217, without metals, funds and test codes.
const CURRENCIES: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC \
    CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR \
    ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE \
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF \
    XPF YER ZAR ZMW ZWG";
