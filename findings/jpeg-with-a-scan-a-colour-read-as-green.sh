#!/usr/bin/env bash
# Crates of crates.io: image 0.25.10 (which reads JPEG by zune-jpeg 0.5.15), jpeg-encoder 0.7.1, jpeg-decoder 0.3.2.
#
# Expected: a JPEG that jpeg-encoder writes with optimised Huffman tables and half the colour samples (4:2:0) is read alike by both
# decoders. It is an ordinary sequential JPEG whose three colours come one after the other, in a scan each, which the standard allows.
# Seen: jpeg-decoder reads the picture as it was. `image` says Ok, too, but its colours are far off: most pixels are green. With the
# encoder's standard tables, which it writes as one scan of all colours, both read the same.
#
# Exits with 0 while it is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
image = { version = "=0.25.10", default-features = false, features = ["jpeg"] }
zune-jpeg = "=0.5.15"
jpeg-encoder = "=0.7.1"
jpeg-decoder = { version = "=0.3.2", default-features = false }

[workspace]
TOML
cat > "$folder/src/main.rs" <<'RUST'
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const SIDE: u16 = 256;

/// How far the mean of each colour is from what was drawn.
fn off(drawn: &[u8], read: &[u8]) -> u64 {
    let mean = |bytes: &[u8], c: usize| bytes.iter().skip(c).step_by(3).map(|b| u64::from(*b)).sum::<u64>() / (bytes.len() as u64 / 3);
    (0..3).map(|c| mean(drawn, c).abs_diff(mean(read, c))).max().unwrap()
}

fn main() {
    // Reds and blues that go over into each other.
    let drawn: Vec<u8> = (0..u32::from(SIDE) * u32::from(SIDE))
        .flat_map(|n| [200, (n % 256) as u8 / 4, (n / 256) as u8])
        .collect();
    let mut all = Vec::new();
    for optimised in [false, true] {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 90);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.set_optimized_huffman_tables(optimised);
        encoder.encode(&drawn, SIDE, SIDE, ColorType::Rgb).unwrap();
        let scans = jpeg.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
        let by_image = image::load_from_memory(&jpeg).unwrap().into_rgb8().into_raw();
        let by_other = jpeg_decoder::Decoder::new(&jpeg[..]).decode().unwrap();
        let (image, other) = (off(&drawn, &by_image), off(&drawn, &by_other));
        println!("optimised tables {optimised}: {scans} scans; off by {image} levels of 255 with image, by {other} with jpeg-decoder");
        all.push((scans, image, other));
    }
    let is_so = all[0].0 == 1 && all[0].1 < 5 && all[1].0 == 3 && all[1].1 > 20 && all[1].2 < 5;
    std::process::exit(i32::from(!is_so));
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
