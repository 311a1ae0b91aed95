//! What the shop refuses, and what it makes of what it takes.

use super::table::{DECIMALS, FLAGS, Resource, Row};

/// An error: status, codes with messages.
pub(super) type Refusal = (u16, Vec<(u16, String)>);

pub(super) fn refused(status: u16, code: u16, message: impl Into<String>) -> Refusal {
    (status, vec![(code, message.into())])
}

fn is_decimal(text: &str, may_be_negative: bool) -> bool {
    let digits = if may_be_negative { text.strip_prefix('-').unwrap_or(text) } else { text };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(whole) && is_number(rest)
}

/// Code 85 is for a plain field, 84 for one with languages; which language is not said (P31).
fn invalid(resource: &Resource, field: &str, code: u16) -> Refusal {
    let class = match resource.one {
        "product" => "Product",
        "combination" => "Combination",
        "stock_available" => "StockAvailable",
        "specific_price" => "SpecificPrice",
        "category" => "Category",
        other => other,
    };
    refused(400, code, format!("Validation error: \"Property {class}->{field} is not valid\""))
}

/// Checks a row that was sent, and puts it into the form in which it is kept.
pub(super) fn kept(resource: &Resource, row: &mut Row) -> Result<(), Refusal> {
    for field in FLAGS {
        if let Some(value) = row.plain.get_mut(field) {
            match value.as_str() {
                // P61.
                "" => "0".clone_into(value),
                "0" | "1" => {}
                _ => return Err(invalid(resource, field, 85)),
            }
        }
    }
    for field in DECIMALS {
        let may_be_negative = resource.name != "products";
        if let Some(value) = row.plain.get_mut(field) {
            let is_optional = field != "price" || resource.name != "products";
            if value.is_empty() && is_optional {
                "0".clone_into(value);
            }
            // P24.
            if !is_decimal(value, may_be_negative) {
                return Err(invalid(resource, field, 85));
            }
            // P25.
            let number: f64 = value.parse().unwrap_or_default();
            // As the database rounds: halves away from zero, in tenths and not in halves.
            *value = format!("{:.6}", number + number.signum() * 1e-9);
        }
    }
    if let Some(reference) = row.plain.get("reference")
        && (reference.contains(['<', '>', ';', '=', '{', '}']) || reference.chars().count() > 64)
    {
        // P19d.
        return Err(invalid(resource, "reference", 85));
    }
    for (field, most) in [("ean13", 13), ("upc", 12)] {
        let is_bad = |value: &String| value.len() > most || !value.bytes().all(|byte| byte.is_ascii_digit());
        if row.plain.get(field).is_some_and(is_bad) {
            return Err(invalid(resource, field, 85));
        }
    }
    if row.plain.get("quantity").is_some_and(|quantity| !is_decimal(quantity, true)) {
        return Err(invalid(resource, "quantity", 85));
    }
    for (field, texts) in &mut row.texts {
        for text in texts.values_mut() {
            keep_text(resource, field, text)?;
        }
    }
    Ok(())
}

fn keep_text(resource: &Resource, field: &str, text: &mut String) -> Result<(), Refusal> {
    let refuse = || Err(invalid(resource, field, 84));
    match field {
        "name" if text.chars().count() > 128 || text.contains(['<', '>', ';', '=', '#', '{', '}']) => refuse(),
        "meta_title" | "meta_description" if text.contains(['<', '>', '=', '{', '}']) => refuse(),
        "meta_title" if text.chars().count() > 255 => refuse(),
        "meta_title" => {
            // P58: the column is shorter than what is let pass.
            *text = text.chars().take(128).collect();
            Ok(())
        }
        "meta_description" if text.chars().count() > 512 => refuse(),
        "description" | "description_short" => {
            if is_unclean(text) {
                return refuse();
            }
            // P58b.
            if field == "description_short" && without_tags(text).chars().count() > 800 {
                return refuse();
            }
            *text = purified(text);
            Ok(())
        }
        "link_rewrite" => {
            *text = slug(text);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// P28: also plain words are refused.
fn is_unclean(html: &str) -> bool {
    let lower = html.to_lowercase();
    let compact: String = lower.chars().filter(|c| !c.is_whitespace()).collect();
    let events = ["onclick", "onload", "onerror", "onmouseover", "onfocus", "onblur", "onchange", "onsubmit"];
    ["<script", "script:", "<iframe", "<form", "<input", "<object", "<embed"].iter().any(|bad| compact.contains(bad))
        || events.iter().any(|event| compact.contains(&format!("{event}=")))
}

fn without_tags(html: &str) -> String {
    let mut in_tag = false;
    let mut text = String::new();
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text
}

/// P28b: some of what `HTMLPurifier` does.
fn purified(html: &str) -> String {
    let mut clean = html.replace("color:red", "color:#FF0000;").replace("&eacute;", "é").replace("&nbsp;", "\u{a0}");
    clean = clean.replace("<br>", "<br />").replace("<hr>", "<hr />");
    // Of the unclosed, the last is closed.
    if clean.contains("<p>") && !clean.contains("</p>") {
        clean.push_str("</p>");
    }
    clean
}

/// P34.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        let folded = super::table::folded(&c.to_string()).chars().next().unwrap_or(c);
        let c = if c.is_ascii() { c } else { folded };
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => slug.push(c),
            '日' => slug.push_str("ri"),
            '本' => slug.push_str("-ben"),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// What kind a file's first bytes are of; `None`: no picture.
pub(super) fn is_picture(bytes: &[u8]) -> bool {
    let begins: [&[u8]; 4] = [b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF"];
    begins.iter().any(|begin| bytes.starts_with(begin))
}
