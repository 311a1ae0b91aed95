//! Large product pages, made up like those of large shops: a menu of hundreds of links, styles, scripts with the shop's settings and
//! texts, reviews, other products with their prices. They are the same on every machine.

/// A page, and the price on it.
#[derive(Debug)]
pub(crate) struct BigPage {
    pub(crate) html: String,
    pub(crate) price: String,
}

/// Bytes of a page: a common one, and a heavy one.
const SIZES: [usize; 2] = [150_000, 600_000];

/// Where the price of a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    JsonLd,
    /// With the elements for previews.
    Microdata,
    /// In one element.
    Visible,
    /// In pieces, beside the struck one, as large retailers have it.
    VisibleInPieces,
}

/// Each size with each place: half of them have their price only in the visible text.
pub(crate) fn pages() -> Vec<BigPage> {
    let places = [Place::JsonLd, Place::Visible, Place::Microdata, Place::VisibleInPieces];
    let kinds = SIZES.into_iter().flat_map(|size| places.map(|place| (size, place)));
    kinds.enumerate().map(|(number, (size, place))| page(number, size, place)).collect()
}

fn page(number: usize, size: usize, place: Place) -> BigPage {
    let mut words = Words(number as u64 + 1);
    let (euros, cents) = (129 + 10 * number, 95 - number);
    let price = format!("{euros}.{cents}");
    let name = format!("{} {} {}", words.capital(), words.capital(), 100 + number);
    let mut html = head(&name, &price, place, size / 10, &mut words);
    html += &format!("<body class=\"page page--product\">\n{}", menu(size / 10, &mut words));
    html += &product(&name, euros, cents, place, &mut words);
    html += &others(24, &mut words);
    html += &reviews(size * 3 / 10, &mut words);
    html += "</div></main>\n<footer class=\"footer\"><ul>";
    for _ in 0..40 {
        html += &format!("<li><a href=\"/{0}\">{0} {1}</a></li>", words.word(), words.word());
    }
    html += "</ul><p>All prices with VAT. Free shipping from 49,00 €.</p></footer>\n";
    let left = size.saturating_sub(html.len());
    html += &state(left, &mut words);
    html += "</body></html>\n";
    BigPage { html, price }
}

fn head(name: &str, price: &str, place: Place, css: usize, words: &mut Words) -> String {
    let mut head = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name} | Big Shop</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><meta property=\"og:title\" content=\"{name}\">\n<style>"
    );
    let end = head.len() + css;
    while head.len() < end {
        let (block, part) = (words.word(), words.word());
        head += &format!(
            ".{block}__{part}{{display:flex;margin:0 {}px;color:#{:06x}}}\n",
            words.up_to(32),
            words.up_to(0xff_ffff)
        );
    }
    head += "</style>\n";
    if place == Place::JsonLd {
        head += &format!(
            r#"<script type="application/ld+json">{{"@context":"https://schema.org","@type":"Product","name":"{name}","sku":"BP-1","offers":{{"@type":"Offer","price":"{price}","priceCurrency":"EUR","availability":"https://schema.org/InStock"}}}}</script>"#
        );
    }
    if place == Place::Microdata {
        head += &format!(
            "<meta property=\"product:price:amount\" content=\"{price}\">\
             <meta property=\"product:price:currency\" content=\"EUR\">"
        );
    }
    head + "</head>\n"
}

fn menu(bytes: usize, words: &mut Words) -> String {
    let mut menu = "<header class=\"header\"><a class=\"logo\" href=\"/\"><svg viewBox=\"0 0 24 24\"><path d=\"M12 2l9 20H3z\"/></svg></a>\
        <a class=\"cart\" href=\"/cart\">Cart <span class=\"cart__total\">0,00 €</span></a><nav class=\"menu\"><ul>"
        .to_owned();
    while menu.len() < bytes {
        menu += &format!("<li class=\"menu__item\"><a href=\"/c/{0}\">{0}</a><ul class=\"menu__sub\">", words.word());
        for _ in 0..12 {
            let (a, b) = (words.word(), words.word());
            menu += &format!("<li><a class=\"menu__link\" href=\"/c/{a}/{b}\"><span>{a} &amp; {b}</span></a></li>");
        }
        menu += "</ul></li>\n";
    }
    menu + "</ul></nav></header>\n"
}

fn product(name: &str, euros: usize, cents: usize, place: Place, words: &mut Words) -> String {
    let list = euros + 40;
    let price = match place {
        Place::JsonLd => format!("<p class=\"price\"><span>{euros},{cents} €</span></p>"),
        Place::Microdata => format!(
            "<p class=\"price\" itemprop=\"offers\" itemscope itemtype=\"https://schema.org/Offer\">\
             <span itemprop=\"price\" content=\"{euros}.{cents}\">{euros},{cents}</span> €<meta itemprop=\"priceCurrency\" content=\"EUR\">\
             <link itemprop=\"availability\" href=\"https://schema.org/InStock\"></p>"
        ),
        Place::Visible => format!("<p class=\"price\">{euros},{cents} €</p><p class=\"note\">VAT included</p>"),
        Place::VisibleInPieces => format!(
            "<div class=\"price\"><del class=\"price__old\">{list},00 €</del> <span class=\"price__now\"><span>{euros}</span>\
             <sup>,{cents}</sup> <span>€</span></span></div>"
        ),
    };
    let scope = if place == Place::Microdata { " itemscope itemtype=\"https://schema.org/Product\"" } else { "" };
    let property = if place == Place::Microdata { " itemprop=\"name\"" } else { "" };
    let mut product = format!(
        "<main><div class=\"layout\"><div class=\"product\"{scope}><div class=\"gallery\"><img src=\"/i/1.jpg\" alt=\"{name}\"></div>\
         <div class=\"buy\"><h1{property}>{name}</h1>{price}<p class=\"stock\">In stock</p>\
         <button class=\"buy__button\">Add to cart</button></div></div><table class=\"facts\">\n"
    );
    for _ in 0..30 {
        product += &format!("<tr><th>{}</th><td>{} {}</td></tr>\n", words.capital(), words.up_to(900), words.word());
    }
    product + "</table>\n"
}

fn others(n: usize, words: &mut Words) -> String {
    let mut others = "<section class=\"related\"><h2>You may also like</h2><ul class=\"related__list\">\n".to_owned();
    for number in 0..n {
        let (a, b, c) = (words.capital(), words.word(), words.up_to(300));
        others += &format!(
            "<li class=\"card\"><a href=\"/p/{number}\"><img loading=\"lazy\" src=\"/i/r{number}.jpg\" alt=\"\"><span class=\"card__name\">{a} {b}\
             </span></a><span class=\"card__price price\">{c},99 €</span></li>\n"
        );
    }
    others + "</ul></section>\n"
}

fn reviews(bytes: usize, words: &mut Words) -> String {
    let mut reviews = "<section class=\"reviews\"><h2>Reviews</h2>\n".to_owned();
    while reviews.len() < bytes {
        let (author, text) = (words.capital(), words.sentence(60));
        reviews += &format!(
            "<article class=\"review\"><header class=\"review__head\"><span class=\"review__author\">{author}</span> \
             <time>{:02}.{:02}.2026</time></header><div class=\"review__body\"><p>{text}</p></div></article>\n",
            1 + words.up_to(27),
            1 + words.up_to(11)
        );
    }
    reviews + "</section>\n"
}

/// What the shop's scripts are told: texts and settings, and nothing of the price.
fn state(bytes: usize, words: &mut Words) -> String {
    let mut state = "<script id=\"settings\" type=\"application/json\">{\"texts\":{".to_owned();
    let mut number = 0;
    while state.len() + 200 < bytes {
        let text = words.sentence(10);
        state += &format!("\"{}.{}.{number}\":\"{text}\",\n", words.word(), words.word());
        number += 1;
    }
    state + "\"end\":\"\"}}</script>\n"
}

/// Words by chance, which is the same each time.
struct Words(u64);

const WORDS: [&str; 24] = [
    "amber", "basket", "copper", "drawer", "ember", "fabric", "garden", "hollow", "ivory", "jacket", "kettle",
    "lantern", "marble", "needle", "orchard", "pepper", "quilt", "ribbon", "saddle", "timber", "umber", "velvet",
    "walnut", "yarrow",
];

impl Words {
    /// A number below `limit`.
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.up_to(WORDS.len() as u64) as usize]
    }

    fn capital(&mut self) -> String {
        let word = self.word();
        word[..1].to_uppercase() + &word[1..]
    }

    fn sentence(&mut self, n: usize) -> String {
        let words: Vec<&str> = (0..n).map(|_| self.word()).collect();
        words.join(" ") + "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_large_as_told_and_the_same_each_time() {
        let pages = pages();
        let sizes: Vec<usize> = pages.iter().map(|page| page.html.len()).collect();
        for (size, wanted) in sizes.iter().zip(SIZES.into_iter().flat_map(|size| [size; 4])) {
            assert!(size.abs_diff(wanted) < wanted / 50, "{sizes:?}");
        }
        assert_eq!(pages[3].html, super::pages()[3].html);
    }

    #[test]
    fn half_of_the_pages_have_their_price_in_the_visible_text_alone() {
        let structured = |page: &&BigPage| page.html.contains("ld+json") || page.html.contains("itemprop");
        assert_eq!(pages().iter().filter(structured).count(), 4);
    }
}
