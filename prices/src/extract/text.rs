//! A page as its readers see it, for whoever reads it otherwise than we do.

use super::markup::{is_block, is_passed_over};
use crate::dom;

/// What stands at the page's heading and behind it, a line a block, at most so many bytes; without what is hidden or struck out.
///
/// # Errors
/// Why a page is not parsed that is made to take all memory.
pub fn text(html: &str, most: usize) -> Result<String, &'static str> {
    let dom = dom::parse(html)?;
    let mut at = dom.all("h1").next().unwrap_or(0);
    let mut text = String::new();
    while at < dom.len() && text.len() < most {
        if dom.is_text(at) {
            for word in dom.text(at).split_whitespace() {
                let glued = text.is_empty() || text.ends_with(['\n', ' ']);
                text.push_str(if glued { "" } else { " " });
                text.push_str(word);
            }
        } else if dom.name(at) == "head" || is_passed_over(&dom, at, false) {
            at = dom.end(at);
            continue;
        } else if is_block(dom.name(at)) && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        at += 1;
    }
    text.truncate(text.floor_char_boundary(most));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_its_readers_see() {
        let html = "<title>T</title><nav>Home</nav><h1>Blue&nbsp;cup</h1><script>var price = 1</script><p>now <b>12,90 €</b> \
                    <s>15 €</s></p><template>7 €</template><div hidden>8 €</div><div>in stock</div>";
        assert_eq!(text(html, 1_000).unwrap(), "Blue cup\nnow 12,90 €\nin stock");
        assert_eq!(text(html, 12).unwrap(), "Blue cup\nnow");
        assert_eq!(text("<p>no heading", 1_000).unwrap(), "no heading");
    }
}
