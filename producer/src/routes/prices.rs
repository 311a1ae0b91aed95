//! Prices of a product over time: as points, and as a picture.

use std::collections::BTreeMap;

use api::{PriceSeries, SeriesPoint, Timestamp};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use jobs::market::MOST_OFFERS;
use pictures::{Chart, Line, Piece};
use serde::Deserialize;
use store::{Moment, OfferLine, PricePoint, Span};
use url::{Position, Url};

use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    request::{self, Parameters, PathPart},
    state::App,
};

/// Points of an answer.
const MOST_POINTS: usize = 500;
/// A chart without a price and without a time shows so much.
const NOTHING: TimeDelta = TimeDelta::days(30);
/// What stands along the level axis is so far apart, in minutes: the first of these of which fewer than [`MOST_TICKS`] fit.
const TICKS_MIN: [i64; 16] = [
    15,
    60,
    180,
    360,
    720,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
    730 * DAY,
];
const DAY: i64 = 24 * 60;
/// Further apart than that their months are told, and years.
const MONTHS: i64 = 60 * DAY;
const MOST_TICKS: i64 = 8;
/// A picture is drawn aside from the threads that answer requests, as if a body were so long.
const LONG: usize = 1 << 20;
/// What a point of an answer weighs in JSON.
const POINT_BYTES: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesQuery {
    from: Option<String>,
    to: Option<String>,
    tenant: Option<String>,
}

/// Prices of a product over time: a point a change, as JSON, or drawn as SVG or PNG, by `Accept`.
///
/// A price holds until the page's next point. The price that held at `from` is told too, with the earlier time of its change. The 100 pages count
/// that were visited last. Where there are more than 500 points some are left out, but never the first, last, lowest and highest of the first 125
/// lines of a page and a currency. A picture shows the currency that most pages have.
#[utoipa::path(
    get, path = "/api/products/{id}/prices", tag = "products", operation_id = "products_prices",
    params(
        ("id" = String, Path, description = "The shop's own id of the product"),
        ("from" = Option<DateTime<Utc>>, Query, description = "From when on; from the first change if absent"),
        ("to" = Option<DateTime<Utc>>, Query, description = "Until when; now if absent"),
        ("tenant" = Option<String>, Query, description = "Of this tenant; others than the token's own need `admin`"),
    ),
    responses((status = 200, description = "The points, or a picture of them", content(
        (PriceSeries = "application/json"),
        (String = "image/svg+xml"),
        (Vec<u8> = "image/png"),
    )))
)]
pub(crate) async fn series(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    Parameters(query): Parameters<SeriesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsRead)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let from = query.from.map(|from| request::time("from", &from)).transpose()?;
    let to = query.to.map(|to| request::time("to", &to)).transpose()?;
    let to = to.unwrap_or_else(|| Timestamp::from_ms(app.client.now_ms()).time());
    if from.is_some_and(|from| from > to) {
        return Err(request::bad_parameter("from", "must not be after to"));
    }
    let moment = |at: DateTime<Utc>| Moment::from_ms(u64::try_from(at.timestamp_millis()).unwrap_or(0));
    let span = Span { from: from.map(moment), to: moment(to) };
    let offers = app.open_store()?.lines_of(&tenant, &id, span, MOST_OFFERS).await.map_err(Problem::store_away)?;
    let wanted = wanted(&headers);
    let n_points: usize = offers.iter().map(|line| line.points.len()).sum();
    let answer = request::aside(if wanted == Wanted::Json { n_points * POINT_BYTES } else { LONG }, move || {
        let lines = thinned(lines(&offers, from, to));
        Ok(match wanted {
            Wanted::Json => Json(PriceSeries { points: points(&lines) }).into_response(),
            Wanted::Svg => picture("image/svg+xml", chart(&id, &offers, &lines, from, to).svg().into_bytes()),
            Wanted::Png => picture("image/png", chart(&id, &offers, &lines, from, to).png()),
        })
    });
    let mut answer = answer.await?;
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(answer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Json,
    Svg,
    Png,
}

/// What is asked for before all else; of several the first.
fn wanted(headers: &HeaderMap) -> Wanted {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0.0, Wanted::Json);
    for part in accept.flat_map(|accept| accept.split(',')) {
        let mut parts = part.split(';').map(str::trim);
        let kind = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "image/svg+xml" => Wanted::Svg,
            "image/png" | "image/*" => Wanted::Png,
            "application/json" | "application/*" | "*/*" => Wanted::Json,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if quality > best.0 {
            best = (quality, kind);
        }
    }
    best.1
}

/// Scripts of others have no place in a picture of ours, and a program that shows it must run none.
fn picture(media_type: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'")),
    ];
    (headers, bytes).into_response()
}

/// The prices of a page in one currency.
struct PageLine<'a> {
    url: &'a str,
    selector: Option<&'a str>,
    currency: Option<&'a str>,
    points: Vec<Held<'a>>,
}

/// A point, and what its line looks like around it.
#[derive(Clone, Copy)]
struct Held<'a> {
    point: &'a PricePoint,
    /// Counts up where the page had another currency in between.
    piece: usize,
    /// When the piece ends.
    until: DateTime<Utc>,
}

/// Points between two times and those that held at the first, a line a page and currency, the page that was visited last first.
fn lines(offers: &[OfferLine], from: Option<DateTime<Utc>>, to: DateTime<Utc>) -> Vec<PageLine<'_>> {
    let mut lines = Vec::new();
    for OfferLine { offer, points } in offers {
        let begin = points.iter().rposition(|point| from.is_some_and(|from| time(point) <= from)).unwrap_or(0);
        let end = points.iter().rposition(|point| time(point) <= to).map_or(0, |last| last + 1);
        let mut by_currency: BTreeMap<Option<&str>, PageLine<'_>> = BTreeMap::new();
        let (mut piece, mut before) = (0, None);
        for at in begin..end {
            let point = &points[at];
            let until = points.get(at + 1).map_or(Timestamp::from_ms(offer.seen_at.ms()).time(), time).min(to);
            // Nobody has seen that it still held.
            if from.is_some_and(|from| until < from) {
                continue;
            }
            let currency = point.currency.as_deref();
            let line = by_currency.entry(currency).or_insert(PageLine {
                url: &offer.url,
                selector: offer.selector.as_deref(),
                currency,
                points: Vec::new(),
            });
            piece += usize::from(before.replace(currency).is_some_and(|before| before != currency));
            line.points.push(Held { point, piece, until });
        }
        lines.extend(by_currency.into_values());
    }
    for line in &mut lines {
        let mut ends = None;
        for held in line.points.iter_mut().rev() {
            held.until = ends.filter(|(piece, _)| *piece == held.piece).map_or(held.until, |(_, until)| until);
            ends = Some((held.piece, held.until));
        }
    }
    lines
}

fn time(point: &PricePoint) -> DateTime<Utc> {
    Timestamp::from_ms(point.at.ms()).time()
}

fn thinned(mut lines: Vec<PageLine<'_>>) -> Vec<PageLine<'_>> {
    let amounts =
        lines.iter().map(|line| line.points.iter().map(|held| held.point.amount.parse().unwrap_or_default()).collect());
    let amounts: Vec<_> = amounts.collect();
    for (line, kept) in lines.iter_mut().zip(prices::thin(&amounts, MOST_POINTS)) {
        line.points = kept.into_iter().map(|at| line.points[at]).collect();
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

fn points(lines: &[PageLine<'_>]) -> Vec<SeriesPoint> {
    let mut points: Vec<SeriesPoint> = lines
        .iter()
        .flat_map(|line| line.points.iter().map(move |held| (line, held.point)))
        .map(|(line, point)| SeriesPoint {
            at: Timestamp::from_ms(point.at.ms()),
            url: line.url.to_owned(),
            selector: line.selector.map(str::to_owned),
            amount: point.amount.clone(),
            currency: point.currency.clone(),
            availability: point.availability.clone(),
        })
        .collect();
    points.sort_by(|one, other| (one.at, &one.url, &one.selector).cmp(&(other.at, &other.url, &other.selector)));
    points
}

fn chart(
    product_id: &str,
    offers: &[OfferLine],
    lines: &[PageLine<'_>],
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
) -> Chart {
    // Of each currency the pages and the points.
    let mut currencies: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in lines {
        let of = currencies.entry(line.currency.unwrap_or("?")).or_default();
        *of = (of.0 + 1, of.1 + line.points.len());
    }
    let main = currencies.iter().max_by_key(|(currency, of)| (**currency != "?", **of)).map(|(currency, _)| *currency);
    let others = currencies.iter().filter(|(currency, _)| Some(**currency) != main).map(|(currency, (n_pages, _))| {
        let currency = if *currency == "?" { "one that the page does not tell" } else { currency };
        format!("{currency} ({n_pages} {})", if *n_pages == 1 { "page" } else { "pages" })
    });
    let others: Vec<String> = others.collect();
    let drawn: Vec<&PageLine<'_>> = lines.iter().filter(|line| Some(line.currency.unwrap_or("?")) == main).collect();
    let first = drawn.iter().flat_map(|line| &line.points).map(|held| time(held.point)).min();
    let from = from.or(first).unwrap_or(to - NOTHING).min(to - TimeDelta::hours(1));
    let names = names(&drawn);
    let name = offers.iter().find_map(|line| line.offer.name.as_deref());
    Chart {
        title: name.map_or_else(|| product_id.to_owned(), |name| format!("{name} ({product_id})")),
        unit: main.unwrap_or_default().to_owned(),
        times: (from.timestamp_millis(), to.timestamp_millis()),
        ticks: ticks(from, to),
        lines: drawn.into_iter().zip(names).map(|(line, name)| Line { name, pieces: pieces(line) }).collect(),
        empty: "No price is known of this time".to_owned(),
        note: (!others.is_empty()).then(|| format!("Not drawn, in another currency: {}", others.join(", "))),
    }
}

fn pieces(line: &PageLine<'_>) -> Vec<Piece> {
    let pieces = line.points.chunk_by(|one, other| one.piece == other.piece).map(|held| Piece {
        points: held
            .iter()
            .map(|Held { point, .. }| (time(point).timestamp_millis(), point.amount.parse().unwrap_or(0.0)))
            .collect(),
        until: held[0].until.timestamp_millis(),
    });
    pieces.collect()
}

/// The hosts of pages; where several have the same, with what is behind it, and where that is the same too with the selector.
fn names(lines: &[&PageLine<'_>]) -> Vec<String> {
    let read = |line: &&PageLine<'_>| {
        let url = Url::parse(line.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or(line.url);
        let host = host.strip_prefix("www.").unwrap_or(host).to_owned();
        let behind = url.map(|url| url[Position::BeforePath..].to_owned()).unwrap_or_default();
        let page = format!("{host}{behind}");
        let element = line.selector.map_or_else(|| page.clone(), |selector| format!("{page} {selector}"));
        [host, page, element]
    };
    let longer: Vec<[String; 3]> = lines.iter().map(read).collect();
    let is_alone = |name: &str, length: usize| longer.iter().filter(|names| names[length] == name).count() == 1;
    let short = |names: &[String; 3]| (0..2).find(|length| is_alone(&names[*length], *length)).unwrap_or(2);
    longer.iter().map(|names| names[short(names)].clone()).collect()
}

/// Round times, and what is said of them.
fn ticks(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(i64, String)> {
    let span = (to - from).num_minutes().max(1);
    let step = TICKS_MIN.into_iter().find(|step| span / step < MOST_TICKS).unwrap_or(span / MOST_TICKS + 1);
    let midnight = from - TimeDelta::seconds(i64::from(from.num_seconds_from_midnight()));
    let mut ticks = Vec::new();
    for n in 0_i32.. {
        let Some(at) = TimeDelta::try_minutes(step * i64::from(n)).and_then(|ahead| midnight.checked_add_signed(ahead))
        else {
            break;
        };
        if at > to {
            break;
        }
        if at >= from {
            let is_midnight = at.num_seconds_from_midnight() == 0;
            let words = match step {
                // One of them has to tell the day.
                ..DAY if !is_midnight && ticks.is_empty() => at.format("%-d %b, %H:%M"),
                ..DAY if !is_midnight => at.format("%H:%M"),
                ..=MONTHS => at.format("%-d %b"),
                _ => at.format("%b %Y"),
            };
            ticks.push((at.timestamp_millis(), words.to_string()));
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use store::Offer;

    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;
    const NOV_1: u64 = 1_793_491_200_000;

    fn at(day: u64) -> DateTime<Utc> {
        Timestamp::from_ms(NOV_1 + day * DAY_MS).time()
    }

    /// Prices by day, last seen on day 20.
    fn line(url: &str, prices: &[(u64, &str, &str)]) -> OfferLine {
        let moment = |day: u64| Moment::from_ms(NOV_1 + day * DAY_MS);
        let points = prices.iter().map(|(day, amount, currency)| PricePoint {
            at: moment(*day),
            amount: (*amount).to_owned(),
            currency: Some((*currency).to_owned()),
            availability: None,
        });
        let offer = Offer {
            id: url.to_owned(),
            tenant: "acme".to_owned(),
            product_id: "L-1".to_owned(),
            url: url.to_owned(),
            selector: None,
            revision: 1,
            name: None,
            condition: None,
            seller: None,
            amount: prices.last().unwrap().1.to_owned(),
            currency: None,
            availability: None,
            since: moment(0),
            seen_at: moment(20),
            visited_at: moment(20),
            gone: None,
            references: Vec::new(),
            alerts: Vec::new(),
        };
        OfferLine { offer, points: points.collect() }
    }

    fn amounts(offers: &[OfferLine], from: Option<u64>, to: u64) -> Vec<String> {
        points(&thinned(lines(offers, from.map(at), at(to)))).into_iter().map(|point| point.amount).collect()
    }

    #[test]
    fn a_series_has_what_changed_in_its_time_and_what_held_at_its_begin() {
        let offers = [
            line("https://a.example/", &[(1, "1", "EUR"), (5, "2", "EUR"), (9, "3", "EUR")]),
            line("https://b.example/", &[(3, "7", "EUR"), (9, "8", "USD")]),
        ];
        assert_eq!(amounts(&offers, None, 30), ["1", "7", "2", "3", "8"], "the earliest first, whatever the page");
        assert_eq!(amounts(&offers, Some(6), 8), ["7", "2"], "nothing changed");
        assert_eq!(amounts(&offers, Some(5), 9), ["7", "2", "3", "8"]);
        assert_eq!(amounts(&offers, None, 2), ["1"]);
        assert_eq!(amounts(&offers, None, 0), [] as [String; 0]);
        assert_eq!(amounts(&offers, Some(20), 30), ["3", "8"], "seen on day 20 for the last time");
        assert_eq!(amounts(&offers, Some(21), 30), [] as [String; 0], "nobody knows what they asked then");
    }

    #[test]
    fn no_line_is_drawn_through_times_of_another_currency() {
        let changes =
            [(1, "10", "EUR"), (2, "11", "EUR"), (3, "12", "USD"), (5, "10", "EUR"), (7, "9", "USD"), (9, "8", "EUR")];
        let offers = [line("https://a.example/", &changes)];
        let lines = thinned(lines(&offers, None, at(30)));
        let chart = chart("L-1", &offers, &lines, None, at(30));
        let ms = |day: u64| at(day).timestamp_millis();
        let pieces: Vec<_> = chart.lines[0].pieces.iter().map(|piece| (piece.points.len(), piece.until)).collect();
        assert_eq!((chart.unit.as_str(), pieces), ("EUR", vec![(2, ms(3)), (1, ms(7)), (1, ms(20))]));
    }

    #[test]
    fn a_series_is_thinned_to_500_points() {
        let cents: Vec<(u64, String)> = (0..900).map(|n| (n, format!("{}", 1000 + n * 7 % 101))).collect();
        let prices: Vec<(u64, &str, &str)> = cents.iter().map(|(day, amount)| (*day, amount.as_str(), "EUR")).collect();
        let offers = [line("https://a.example/", &prices), line("https://b.example/", &[(3, "7", "EUR")])];
        let kept = amounts(&offers, None, 2_000);
        assert!(kept.len() > 300 && kept.len() <= 500, "{}", kept.len());
        assert!(["1000", "1100", "7"].iter().all(|amount| kept.iter().any(|kept| kept == amount)), "{kept:?}");
    }

    #[test]
    fn a_chart_shows_the_currency_of_most_pages_and_tells_of_the_others() {
        let offers = [
            line("https://www.a.example/x", &[(1, "10", "EUR"), (5, "12", "EUR")]),
            line("https://b.example/y", &[(1, "11", "EUR"), (2, "12", "USD")]),
            line("https://b.example/z", &[(1, "11", "EUR")]),
            line("https://c.example/", &[(1, "900", "USD")]),
        ];
        let lines = thinned(lines(&offers, None, at(30)));
        let chart = chart("L-1", &offers, &lines, None, at(30));
        let names: Vec<&str> = chart.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["a.example", "b.example/y", "b.example/z"]);
        assert_eq!((chart.unit.as_str(), chart.title.as_str()), ("EUR", "L-1"));
        assert_eq!(chart.note.as_deref(), Some("Not drawn, in another currency: USD (2 pages)"));
        assert_eq!(chart.lines[0].pieces[0].until, at(20).timestamp_millis(), "it was last seen then");
        assert_eq!(chart.lines[1].pieces[0].until, at(2).timestamp_millis(), "it went on in dollars");
        assert_eq!(chart.times, (at(1).timestamp_millis(), at(30).timestamp_millis()));
        let empty = self::chart("L-1", &[], &[], None, at(30));
        assert_eq!((empty.lines.len(), empty.note, empty.times.0), (0, None, at(0).timestamp_millis()));
    }

    #[test]
    fn lines_that_have_the_same_host_are_named_apart() {
        let element = |url: &str, selector: &str| {
            let mut line = line(url, &[(1, "10", "EUR")]);
            line.offer.selector = Some(selector.to_owned());
            line
        };
        let offers = [
            line("https://www.a.example/x", &[(1, "10", "EUR")]),
            line("https://b.example/y?variant=1", &[(1, "10", "EUR")]),
            line("https://b.example/y?variant=2", &[(1, "10", "EUR")]),
            line("https://c.example/#blue", &[(1, "10", "EUR")]),
            element("https://c.example/#blue", ".price"),
        ];
        let lines = lines(&offers, None, at(30));
        let names = names(&lines.iter().collect::<Vec<_>>());
        let expected = [
            "a.example",
            "b.example/y?variant=1",
            "b.example/y?variant=2",
            "c.example/#blue",
            "c.example/#blue .price",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn round_times_stand_along_the_axis() {
        let words = |from: DateTime<Utc>, to| ticks(from, to).into_iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert_eq!(words(at(0), at(7))[..3], ["1 Nov", "2 Nov", "3 Nov"]);
        assert_eq!(words(at(0), at(1))[..3], ["1 Nov", "06:00", "12:00"]);
        let evening = at(0) + TimeDelta::minutes(19 * 60 + 50);
        assert_eq!(words(evening, evening + TimeDelta::hours(1)), ["1 Nov, 20:00", "20:15", "20:30", "20:45"]);
        assert_eq!(words(at(0), at(800))[0], "Nov 2026");
        for days in [1, 2, 5, 9, 40, 100, 365, 1000, 10_000] {
            assert!((2..=9).contains(&ticks(at(0), at(days)).len()), "{days}: {:?}", ticks(at(0), at(days)));
        }
    }

    #[test]
    fn what_is_wanted_is_what_accept_says_first() {
        for (accept, expected) in [
            ("", Wanted::Json),
            ("*/*", Wanted::Json),
            ("image/png", Wanted::Png),
            ("IMAGE/SVG+XML; charset=utf-8", Wanted::Svg),
            ("image/svg+xml, image/png", Wanted::Svg),
            ("image/svg+xml;q=0.5, image/png", Wanted::Png),
            ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Wanted::Png),
            ("text/html", Wanted::Json),
            ("image/png;q=0, application/json;q=0.1", Wanted::Json),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]);
            assert_eq!(wanted(&headers), expected, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), Wanted::Json);
    }
}
