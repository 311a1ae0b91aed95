//! Draws a placeholder: the product's name on a coloured ground. The same request gives the same bytes.

use futures::future::{BoxFuture, FutureExt};
use sha2::{Digest, Sha256};

use super::{ImageProvider, ImageRequest, Picture};
use crate::{Provider, ProviderError};

/// A line holds so many characters at most, and the picture so many lines; what is left over ends in an ellipsis.
const LINE: usize = 24;
const LINES: usize = 3;

#[derive(Debug)]
pub(crate) struct Placeholder;

impl Provider for Placeholder {
    fn name(&self) -> &'static str {
        "mock"
    }
}

impl ImageProvider for Placeholder {
    fn draw<'a>(&'a self, request: &'a ImageRequest) -> BoxFuture<'a, Result<Picture, ProviderError>> {
        async move {
            let data = svg(request);
            let sha256 = hex(&Sha256::digest(&data));
            let (width, height) = (request.width, request.height);
            Ok(Picture { media_type: "image/svg+xml", width, height, data, sha256, mock: true })
        }
        .boxed()
    }
}

fn svg(request: &ImageRequest) -> String {
    let ImageRequest { name, prompt, style, width, height } = request;
    let look = format!("{name}\n{}\n{}", prompt.as_deref().unwrap_or_default(), style.as_deref().unwrap_or_default());
    let hash = Sha256::digest(look);
    let hue = u32::from(u16::from_be_bytes([hash[0], hash[1]])) % 360;
    let size = width.min(height) / 16;
    let middle = width / 2;
    let lines = wrap(name);
    let first = height / 2 - size * (lines.len() as u32 - 1) * 3 / 4;
    let mut text = String::new();
    for (number, line) in (0..).zip(&lines) {
        let y = first + number * size * 3 / 2;
        text.push_str(&format!("<text x=\"{middle}\" y=\"{y}\" font-size=\"{size}\">{}</text>", escape(line)));
    }
    let (foot, small) = (height - height / 12, size / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\
         <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"hsl({hue},45%,82%)\"/>\
         <g fill=\"hsl({hue},55%,22%)\" font-family=\"sans-serif\" text-anchor=\"middle\">{text}\
         <text x=\"{middle}\" y=\"{foot}\" font-size=\"{small}\">placeholder</text></g></svg>",
        escape(name)
    )
}

/// At least one line, none of them longer than [`LINE`] characters.
fn wrap(name: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in name.split_whitespace() {
        let last = lines.len() - 1;
        let used = lines[last].chars().count();
        if used == 0 {
            lines[last].push_str(word);
        } else if used + 1 + word.chars().count() <= LINE {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    let cut = lines.len() > LINES;
    lines.truncate(LINES);
    let last = lines.len() - 1;
    for (number, line) in lines.iter_mut().enumerate() {
        if line.chars().count() > LINE || (cut && number == last) {
            *line = line.chars().take(LINE - 1).chain(['…']).collect();
        }
    }
    lines
}

/// Text as XML allows it; control characters are not allowed even when escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> ImageRequest {
        ImageRequest { name: name.to_owned(), prompt: None, style: None, width: 1024, height: 1024 }
    }

    #[test]
    fn the_same_request_gives_the_same_picture_and_another_style_another_colour() {
        let cup = request("Teetasse „Grün“");
        assert_eq!(svg(&cup), svg(&cup.clone()));
        assert_ne!(svg(&cup), svg(&ImageRequest { style: Some("studio".to_owned()), ..cup.clone() }));
        assert!(svg(&cup).contains("viewBox=\"0 0 1024 1024\""));
    }

    #[test]
    fn a_name_cannot_break_out_of_the_text() {
        let drawn = svg(&request("</text><script>alert(\"1\")</script> & 'Co'\u{1}"));
        assert!(!drawn.contains("<script"), "{drawn}");
        assert!(!drawn.contains('\u{1}'));
        assert!(drawn.contains("&amp; &#39;Co&#39;"), "{drawn}");
        // Every text element that is opened is closed: the name added none.
        assert_eq!(drawn.matches("<text").count(), drawn.matches("</text>").count());
    }

    #[test]
    fn long_names_are_wrapped_and_cut() {
        assert_eq!(wrap("short name"), ["short name"]);
        assert_eq!(wrap(""), [""]);
        let lines = wrap(&"verylongword ".repeat(40));
        assert_eq!(lines.len(), LINES);
        assert!(lines[LINES - 1].ends_with('…'));
        assert_eq!(wrap(&"x".repeat(100))[0].chars().count(), LINE);
    }

    #[test]
    fn a_narrow_picture_with_three_lines_is_drawn() {
        let narrow = ImageRequest { width: 64, height: 64, ..request(&"word ".repeat(60)) };
        assert!(svg(&narrow).contains("height=\"64\""));
    }
}
