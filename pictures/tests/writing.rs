//! What is made of a picture, read again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use pictures::{Encoded, Picture, SCRIPTS, Size, placeholder, read};

fn gradient(width: u32, height: u32) -> Picture {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [(x % 256) as u8, (y % 256) as u8, 128]));
    Picture::from_rgb(width, height, pixels.collect()).unwrap()
}

fn sides(encoded: &Encoded) -> (u32, u32) {
    for bytes in [&encoded.jpg, &encoded.webp] {
        let picture = read(bytes).unwrap();
        assert_eq!((picture.width(), picture.height()), (encoded.width, encoded.height));
    }
    (encoded.width, encoded.height)
}

#[test]
fn each_size_is_there_in_both_formats_and_none_is_enlarged() {
    let made = gradient(1600, 1000).variants().unwrap();
    let all: Vec<_> = made.iter().map(|(size, encoded)| (size.as_str(), sides(encoded))).collect();
    assert_eq!(all, [("master", (1600, 1000)), ("1200", (1200, 750)), ("600", (600, 375)), ("150", (150, 94))]);
    let small = gradient(300, 700).variants().unwrap();
    assert_eq!(small.get(Size::Master), small.get(Size::Large));
    assert_eq!((sides(small.get(Size::Medium)), sides(small.get(Size::Small))), ((257, 600), (64, 150)));
    // A line stays a line.
    let line = gradient(2000, 1).variants().unwrap();
    assert_eq!(sides(line.get(Size::Small)), (150, 1));
    let dot = gradient(1, 1).variants().unwrap();
    assert_eq!(dot.get(Size::Master), dot.get(Size::Small));
}

#[test]
fn sizes_have_names() {
    for size in Size::ALL {
        assert_eq!(Size::named(size.as_str()), Some(size));
    }
    assert_eq!(Size::named("1024"), None);
}

#[test]
fn what_can_be_seen_through_is_white_as_jpeg_and_stays_so_as_webp() {
    let pixels = RgbaImage::from_fn(700, 64, |x, _| Rgba([200, 20, 20, if x < 350 { 0 } else { 255 }]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, ImageFormat::Png).unwrap();
    let made = read(bytes.get_ref()).unwrap().variants().unwrap();
    for size in Size::ALL {
        let (jpg, webp) = (read(&made.get(size).jpg).unwrap(), read(&made.get(size).webp).unwrap());
        assert!(!jpg.has_alpha() && webp.has_alpha());
        assert!(jpg.bytes()[..3].iter().all(|colour| *colour > 245), "{size}: {:?}", &jpg.bytes()[..3]);
        let last = &jpg.bytes()[jpg.bytes().len() - 3..];
        assert!(last[0] > 180 && last[1] < 45, "{size}: {last:?}");
        assert_eq!((webp.bytes()[3], webp.bytes().last()), (0, Some(&255)));
    }
}

#[test]
fn nothing_of_the_metadata_is_left() {
    let made = gradient(64, 64).variants().unwrap();
    let master = made.get(Size::Master);
    for marker in [&b"Exif"[..], b"ICC_PROFILE", b"http://ns.adobe.com"] {
        assert!(!master.jpg.windows(marker.len()).any(|bytes| bytes == marker));
    }
    for chunk in [&b"EXIF"[..], b"ICCP", b"XMP "] {
        assert!(!master.webp.windows(chunk.len()).any(|bytes| bytes == chunk));
    }
}

/// How many pixels are not those of ground and frame: those of letters are dark.
fn ink(picture: &Picture) -> usize {
    picture.bytes().chunks(3).filter(|pixel| pixel.iter().all(|colour| *colour < 0xa0)).count()
}

/// From the first to the last column with ink.
fn written(picture: &Picture) -> (u32, u32) {
    let width = picture.width() as usize;
    let columns = picture.bytes().chunks(3).enumerate();
    let columns: Vec<usize> =
        columns.filter(|(_, pixel)| pixel.iter().all(|colour| *colour < 0xa0)).map(|(at, _)| at % width).collect();
    let (first, last) = (columns.iter().min().unwrap(), columns.iter().max().unwrap());
    (*first as u32, *last as u32)
}

#[test]
fn the_same_name_gives_the_same_bytes() {
    let draw = |name: &str, look: &str| placeholder(name, look, 400, 300).variants().unwrap();
    assert_eq!(draw("Teetasse „Grün“", ""), draw("Teetasse „Grün“", ""));
    let looks: Vec<_> = ["", "studio", "wood", "garden"].map(|look| placeholder("Mug", look, 64, 64)).into();
    assert!(looks.iter().any(|look| *look != looks[0]));
}

#[test]
fn names_of_all_scripts_that_the_font_has_are_written_inside_the_frame() {
    assert_eq!(SCRIPTS.split(", ").count(), 5);
    let long = "A very long product name ".repeat(20);
    for name in [
        "Lampe de bureau « Étoile »",
        "Żółta gęś — lampa biurkowa",
        "Θερμός 1 λίτρο",
        "Чайник «Север» 1,7 л",
        "مصباح مكتب قابل للتعديل",
        "מנורת שולחן מתכווננת",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        &long,
    ] {
        for (width, height) in [(1024, 1024), (300, 900), (900, 200)] {
            let picture = placeholder(name, "", width, height);
            assert!(ink(&picture) > 200, "{name} {width}");
            let (first, last) = written(&picture);
            assert!(first > width / 20 && last < width - width / 20, "{name} {width}: {first} to {last}");
        }
    }
}

#[test]
fn what_the_font_lacks_is_left_out() {
    let draw = |name: &str| ink(&placeholder(name, "", 512, 512));
    assert_eq!(draw("台灯护眼"), 0);
    assert_eq!(draw("😀👨‍👩‍👧🇫🇷"), 0);
    assert_eq!(draw(""), 0);
    // The colours follow the name, and with them how many pixels of an edge count as dark.
    let alike = |left: usize, right: usize| left.abs_diff(right) < right / 20;
    assert!(alike(draw("台灯 Mug 😀"), draw("Mug")));
    assert!(alike(draw("Mu\u{202e}g"), draw("Mug")));
}

#[test]
fn letters_are_clean_at_every_place_and_size() {
    // A letter that is smeared has a multiple of its ink.
    for name in ["hhhhhhhh", "gesellschaft", "مصباح"] {
        let inks: Vec<usize> = (0..60).map(|more| ink(&placeholder(name, "", 400 + more, 400))).collect();
        let (least, most) = (inks.iter().min().unwrap(), inks.iter().max().unwrap());
        assert!(*most < least * 12 / 10, "{name}: {least} to {most}");
    }
}

#[test]
fn the_smallest_pictures_are_drawn() {
    for (width, height) in [(1, 1), (64, 64), (64, 4096), (7, 300)] {
        let picture = placeholder("Mug with a name", "", width, height);
        assert_eq!((picture.width(), picture.height()), (width, height));
    }
}
