//! What a decoder of JPEG does not say: whether the file is whole. Half a JPEG decodes without an error, its other half grey.
//!
//! And the files that `image` misreads without an error: those with a scan a colour. Another decoder has them right.

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};

/// What its markers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Whether it goes on to its end marker. What may follow that (padding, further pictures) does not matter.
    pub(crate) is_whole: bool,
    /// Colours a pixel: 1 is grey, 3 are a screen's, 4 are a printer's.
    pub(crate) n_components: u8,
    /// Whether each colour has a scan of its own, and is whole after it: not progressive.
    pub(crate) has_scan_a_colour: bool,
}

/// Walks from marker to marker; thumbnails and profiles lie inside segments, and are passed over with them.
pub(crate) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers { is_whole: false, n_components: 0, has_scan_a_colour: false };
    let mut is_sequential = false;
    // After the start marker, which has told that it is a JPEG.
    let mut at = 2;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            END => {
                // A picture without any data is no whole picture.
                found.is_whole = found.n_components > 0;
                break;
            }
            // These two have no length.
            0x01 | RESTART_FIRST..=RESTART_LAST => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else { break };
                if is_frame(marker) {
                    found.n_components = bytes.get(at + 7).copied().unwrap_or(0);
                    is_sequential = marker <= LAST_SEQUENTIAL;
                }
                let n_of_scan = bytes.get(at + 2).copied();
                found.has_scan_a_colour |= marker == SCAN && is_sequential && n_of_scan != Some(found.n_components);
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    found
}

const RESTART_FIRST: u8 = 0xd0;
const RESTART_LAST: u8 = 0xd7;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const LAST_SEQUENTIAL: u8 = 0xc1;

/// Those with a scan a colour.
pub(crate) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut decoder = Decoder::new(bytes);
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("it has no frame")?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let picture = match info.pixel_format {
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        other => return Err(format!("its pixels are {other:?}")),
    };
    picture.ok_or_else(|| "it has too few pixels".to_owned())
}

/// Frames say how large the picture is; three numbers among theirs mean something else.
fn is_frame(marker: u8) -> bool {
    (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// The next marker from `at` on, which is moved behind it. Data of pixels is passed over: in it 0xff is followed by 0.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&byte| byte == 0xff)? + 1;
        match *bytes.get(*at)? {
            0x00 => *at += 1,
            // Markers may be padded with any number of these.
            0xff => {}
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [u8; 30] = [
        0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, 0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 3, 0xff, 0xda, 0, 3, 3, 0xff,
        0x00, 7, 0xff, 0xd9,
    ];

    #[test]
    fn an_end_marker_inside_a_thumbnail_is_none() {
        let whole = Markers { is_whole: true, n_components: 3, has_scan_a_colour: false };
        assert_eq!(markers(&WHOLE), whole);
        for end in 2..WHOLE.len() {
            assert!(!markers(&WHOLE[..end]).is_whole, "{end}");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        assert!(markers(&[&WHOLE[..], b"\0\0 appended"].concat()).is_whole);
        assert!(!markers(&[0xff, 0xd8, 0xff, 0xd9]).is_whole);
    }
}
