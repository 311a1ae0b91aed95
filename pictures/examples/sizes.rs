//! Makes all sizes of a picture, again and again, and says how long one took and how much memory the process had at most: our side of
//! `bench/pictures.py`. `sizes make FILE` writes the picture that is measured with, `sizes together FILE N` makes those of N pictures at
//! once, as in a worker with as many jobs.

use std::{env, error::Error, fs, time::Instant};

use futures::future::try_join_all;
use pictures::{Gate, Picture, Size, Source, read};

const WIDTH: u32 = 4000;
const HEIGHT: u32 = 3000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", file] => Ok(fs::write(file, scene()?)?),
        ["together", file, n] => together(file, n.parse()?),
        [file, rounds] => Ok(measure(file, rounds.parse()?, None)?),
        [file, rounds, folder] => Ok(measure(file, rounds.parse()?, Some(folder))?),
        _ => Err("sizes make FILE | sizes FILE ROUNDS [FOLDER]".into()),
    }
}

/// The best time, the most memory, and how large the files are.
fn measure(file: &str, rounds: u32, folder: Option<&str>) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(file)?;
    let mut best = f64::INFINITY;
    let mut sizes = String::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let variants = read(&bytes)?.variants()?;
        best = best.min(began.elapsed().as_secs_f64());
        sizes = variants.iter().map(|(_, made)| format!(" {} {}", made.jpg.len(), made.webp.len())).collect();
        if let Some(folder) = folder {
            for (size, made) in variants.iter() {
                fs::write(format!("{folder}/{size}.jpg"), &made.jpg)?;
                fs::write(format!("{folder}/{size}.webp"), &made.webp)?;
            }
        }
    }
    println!("{best:.4} {}{sizes}", peak_kb());
    Ok(())
}

#[tokio::main]
async fn together(file: &str, n: usize) -> Result<(), Box<dyn Error>> {
    let gate = Gate::default();
    let began = Instant::now();
    let jobs = (0..n).map(|_| {
        let (gate, file) = (gate.clone(), file.to_owned());
        tokio::spawn(async move {
            let length = fs::metadata(&file).map_err(|error| error.to_string())?.len();
            let held = gate.hold(usize::try_from(length).unwrap_or(usize::MAX)).await;
            let bytes = fs::read(&file).map_err(|error| error.to_string())?;
            let pass = gate.work(Source::look(&bytes).map_err(|error| error.to_string())?.memory()).await;
            let made = tokio::task::spawn_blocking(move || {
                let _pass = pass;
                read(&bytes).and_then(Picture::variants).map_err(|error| error.to_string())
            });
            let made = made.await.map_err(|error| error.to_string())?;
            drop(held);
            made.map(drop)
        })
    });
    for done in try_join_all(jobs).await? {
        done?;
    }
    println!("{:.4} {}", began.elapsed().as_secs_f64(), peak_kb());
    Ok(())
}

/// Most memory that this process ever had, in kB.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Twelve megapixels with what photographs have: smooth light, edges, texture and the noise of a sensor; the same at each call.
fn scene() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (u, v) = (x as f32 / WIDTH as f32, y as f32 / WIDTH as f32);
            let ground = 0.55 + 0.35 * value(u * 3.0, v * 3.0, 1) - 0.2 * v;
            let octave = |n: f32, seed| value(u * n, v * n, seed) - 0.5;
            let texture = 0.12 * octave(40.0, 2) + 0.1 * octave(220.0, 3) + 0.14 * octave(900.0, 5);
            let (dx, dy) = (u - 0.5, v - 0.4);
            let thing = dx * dx + dy * dy * 1.6 < 0.055 + 0.01 * value(u * 9.0, v * 9.0, 4);
            let stripes = if thing && ((u * 60.0 + v * 25.0) as i32) % 3 == 0 { 0.25 } else { 0.0 };
            let tint = if thing { [0.85, 0.35, 0.25] } else { [0.75, 0.8, 0.9] };
            for (channel, tint) in (0..).zip(tint) {
                let noise = 0.07 * (lattice(x as i32, y as i32, 10 + channel) - 0.5);
                let light = (ground + texture - stripes) * tint + noise;
                pixels.push((light.clamp(0.0, 1.0) * 255.0) as u8);
            }
        }
    }
    let picture = Picture::from_rgb(WIDTH, HEIGHT, pixels).ok_or("too few pixels")?;
    Ok(picture.variants()?.get(Size::Master).jpg.to_vec())
}

/// Smooth random values between the points of a lattice.
fn value(x: f32, y: f32, seed: i32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - left), smooth(y - top));
    let at = |dx: i32, dy: i32| lattice(left as i32 + dx, top as i32 + dy, seed);
    let (above, below) = (at(0, 0) + u * (at(1, 0) - at(0, 0)), at(0, 1) + u * (at(1, 1) - at(0, 1)));
    above + v * (below - above)
}

/// From 0 to 1, by a hash of the place.
fn lattice(x: i32, y: i32, seed: i32) -> f32 {
    let mut hash = (x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263) ^ seed.wrapping_mul(974_634_777)) as u32;
    hash = (hash ^ (hash >> 13)).wrapping_mul(1_274_126_177);
    (hash ^ (hash >> 16)) as f32 / u32::MAX as f32
}
