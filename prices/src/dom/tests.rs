use super::*;
use crate::testing::processor_seconds;

/// The tree on one line: `div(p(a) b)`.
fn show(html: &str) -> String {
    fn inner(dom: &Dom<'_>, at: At, shown: &mut String) {
        let mut child = at + 1;
        while child < dom.end(at) {
            if dom.is_text(child) {
                shown.push_str(dom.text(child).trim());
            } else {
                shown.push_str(dom.name(child));
                shown.push('(');
                inner(dom, child, shown);
                shown.push(')');
            }
            child = dom.end(child);
        }
    }
    let dom = parse(html).unwrap();
    let mut shown = String::new();
    inner(&dom, 0, &mut shown);
    shown
}

#[test]
fn elements_end_as_in_browsers() {
    for (html, tree) in [
        ("<div><p>a<p>b</div>c", "div(p(a)p(b))c"),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "ul(li(a)li(bul(li(c)))li(d))"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "dl(dt(a)dd(b)dt(c))"),
        ("<table><tr><td>a<td>b<tr><td>c</table>d", "table(tr(td(a)td(b))tr(td(c)))d"),
        ("<table><tr><td><table><tr><td>a</table>b</table>", "table(tr(td(table(tr(td(a)))b)))"),
        ("<select><option>a<option>b</select>", "select(option(a)option(b))"),
        ("<p>a<div>b</div>c", "p(a)div(b)c"),
        ("<div><span>a</div>b", "div(span(a))b"),
        ("<div><b>a<div>b</b>c</div>d</div>e", "div(b(adiv(bc)d))e"),
        ("<div>a</span>b</div>", "div(ab)"),
        ("<td>a</div>b", "td(ab)"),
        ("<a>b<a>c", "a(b)a(c)"),
        ("<h1>a</h2>b", "h1(a)b"),
        ("<br>a<img src=x>b<input/>c", "br()aimg()binput()c"),
        ("<svg><path d=x /><title>t</title></svg>a", "svg(path()title(t))a"),
        ("<DIV>a</Div>b", "div(a)b"),
        ("<html><head><title>a</title></head><body>b</body></html>c", "html(head(title(a))body(bc))"),
        ("<head><meta x><body>a<body>b", "head(meta())body(ab)"),
    ] {
        assert_eq!(show(html), tree, "{html}");
    }
}

#[test]
fn what_is_no_tag_is_text_or_nothing() {
    for (html, tree) in [
        ("a < b <3 c", "a < b <3 c"),
        ("a<!-- <p> -->b<!-->c<!--->d<!doctype x><?php ?></ x>e", "abcde"),
        ("<script>'<p>' < 1 </scripting> </script>a", "script('<p>' < 1 </scripting>)a"),
        ("<title>a <b>&amp;</title>", "title(a <b>&)"),
        ("<script>a", "script(a)"),
        ("a<p x='", "ap()"),
        ("a<!--", "a"),
        ("a<", "a<"),
    ] {
        assert_eq!(show(html), tree, "{html}");
    }
}

#[test]
fn attributes_are_read_in_every_spelling() {
    let dom = parse(r#"<a A=1 b='2 "x"' c = "3&amp;4" d e=5/ a=9 =f>"#).unwrap();
    let value = |name: &str| dom.attr(1, name).map(Cow::into_owned);
    assert_eq!((value("a").as_deref(), value("b").as_deref()), (Some("1"), Some("2 \"x\"")));
    assert_eq!((value("c").as_deref(), value("d").as_deref()), (Some("3&4"), Some("")));
    assert_eq!((value("e").as_deref(), value("f")), (Some("5/"), None));
}

#[test]
fn pages_that_are_made_to_take_all_time_do_not() {
    assert!(parse(&"<div>".repeat(300_000)).is_err());
    let many: String = (0..50_000).map(|n| format!(" a{n}")).collect();
    assert!(parse(&format!("<p{many}>")).is_err());
    let began = processor_seconds();
    for page in [
        "<div>".repeat(1_900) + &"</span>".repeat(250_000),
        "<i>".repeat(1_900) + &"</b>".repeat(400_000),
        "<i>".repeat(1_900) + &"<p>x".repeat(400_000),
        "<script><".repeat(200_000),
        "<!-- --".repeat(300_000),
        "<a x=\"".repeat(300_000),
        "&".repeat(2_000_000),
        "&amp".repeat(500_000),
    ] {
        let dom = parse(&page);
        if let Ok(dom) = dom {
            assert!((0..dom.len()).map(|at| dom.text(at).len()).sum::<usize>() <= page.len());
        }
    }
    // What grows with the square would take hours.
    let took = processor_seconds() - began;
    assert!(took < 60.0, "{took}");
}
