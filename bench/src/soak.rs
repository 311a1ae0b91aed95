//! Whether memory stays flat: 1,000 jobs/s through one worker, results kept for seconds.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::{ours, server::Server};

const PER_SECOND: u32 = 1_000;
const RETENTION: Duration = Duration::from_secs(5);
/// Memory is compared between the second and the last of so many parts of the time.
const PARTS: usize = 10;

/// By how many percent the memory of Redis and of this process, which runs the worker, grew.
pub(crate) async fn measure(server: &mut Server, url: &str, time: Duration) -> anyhow::Result<(f64, f64)> {
    let soaking = tokio::spawn({
        let url = url.to_owned();
        async move { ours::soak(&url, RETENTION, PER_SECOND, time).await }
    });
    let began = Instant::now();
    let (mut redis, mut worker) = (Vec::new(), Vec::new());
    while began.elapsed() < time {
        tokio::time::sleep(time / (PARTS as u32 * 20)).await;
        redis.push(server.used_memory().await? as f64);
        worker.push(resident_bytes()?);
    }
    soaking.await??;
    let growth = |samples: &[f64]| growth_percent(samples).context("too few samples");
    Ok((growth(&redis)?, growth(&worker)?))
}

/// Memory of this process, from the kernel.
fn resident_bytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kb * 1024.0)
}

fn growth_percent(samples: &[f64]) -> Option<f64> {
    let part = samples.len() / PARTS;
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len() as f64;
    let (early, late) = (samples.get(part..2 * part)?, samples.get(samples.len() - part..)?);
    if early.is_empty() { None } else { Some((mean(late) / mean(early) - 1.0) * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_out_the_first_part() {
        let mut samples = vec![1.0; 10];
        samples.extend(vec![100.0; 80]);
        samples.extend(vec![110.0; 10]);
        assert_eq!(growth_percent(&samples).map(f64::round), Some(10.0));
        assert_eq!(growth_percent(&[1.0]), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes().unwrap() > 100_000.0);
    }
}
