//! Measures the queue beside bare Redis and other job systems, in turn on the same server, and reports medians of several rounds.
//!
//! Reading order: `figures.rs` (what), `system.rs` (of whom), `run.rs` (how), one file a system, `report.rs` and `chart.rs`. `api.rs` measures
//! the HTTP API, with the client of `http.rs`, `webhook.rs` deliveries of Stripe; `before.rs` is another release's. `extract.rs` reads prices from pages, beside `extruct.rs`.
//!
//! Order, lowest first: `payload`, `samples`, `progress`, `server`, `http`, `proxy`, `mongod`, `arguments`, `figures`, `report`, `chart`,
//! `floors`, `whole_way`, `big_pages`, `extract`, `system`, `recovery`, `bare`, `before`, `python`, `extruct`, `bullmq`, `apalis_redis`,
//! `rusty_sidekiq`, `ours`, `soak`, `peers`, `api`, `webhook`, `run`.

mod apalis_redis;
mod api;
mod arguments;
mod bare;
mod before;
mod big_pages;
mod bullmq;
mod chart;
mod extract;
mod extruct;
mod figures;
mod floors;
mod http;
mod mongod;
mod ours;
mod payload;
mod peers;
mod progress;
mod proxy;
mod python;
mod recovery;
mod report;
mod run;
#[cfg(feature = "rusty-sidekiq")]
mod rusty_sidekiq;
mod samples;
mod server;
mod soak;
mod system;
mod webhook;
mod whole_way;

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures::future::try_join_all;

use crate::{
    apalis_redis::ApalisRedis,
    arguments::{Arguments, Part},
    figures::{FIGURES, Measure, Values},
    run::{Scale, Way},
    server::Server,
    system::System,
};

/// In the quick form no further round begins after so long, so that a slow machine ends within 8 minutes, too.
const QUICK_ROUNDS_END: Duration = Duration::from_secs(210);

/// As in the worker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Part::Api) = &arguments.part {
        return api::serve().await;
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    if let Some(Part::Hang { system, url }) = &arguments.part {
        hang(system, url).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        done = bench(&arguments) => done.map(|()| ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn hang(system: &str, url: &str) -> anyhow::Result<()> {
    match system {
        "ours" => ours::hang(url).await,
        "apalis-redis" => apalis_redis::hang(ApalisRedis { tuned: true }, url).await,
        "apalis-redis-default" => apalis_redis::hang(ApalisRedis { tuned: false }, url).await,
        other => bail!("{other:?} has no worker here"),
    }
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let measures = measures(arguments)?;
    let systems = systems(arguments)?;
    let valkey = arguments.bin.join("valkey-server");
    let redis7 = arguments.bin.join("redis7-server");
    ensure!(valkey.exists(), "there is no {}: `./dev setup` gets it, --bin names another folder", valkey.display());

    let (server, values) = on_server(arguments, &valkey, &measures, &systems, began).await?;
    report(&values, &server, arguments);
    let mut rows = report::rows(&values, None);
    if let Some(svg) = &arguments.svg {
        let caption = format!("{server}, {} cores, medians of {} rounds", cores(), values.n_rounds());
        std::fs::write(svg, chart::svg(&values, &caption)).with_context(|| svg.display().to_string())?;
    }
    let (measures, systems) = on_redis7(arguments, measures, systems);
    if measures.is_empty() {
        // Nothing that was measured needs a server.
    } else if redis7.exists() {
        let (server, values) = on_server(arguments, &redis7, &measures, &systems, began).await?;
        report(&values, &server, arguments);
        rows.extend(report::rows(&values, Some(&server)));
    } else {
        eprintln!("NOT RUN: redis 7.0, because there is no {}", redis7.display());
    }
    if let Some(json) = &arguments.json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(json, text + "\n").with_context(|| json.display().to_string())?;
    }
    Ok(())
}

/// What the second server is for: that the oldest one that is supported holds up, too.
fn on_redis7(
    arguments: &Arguments,
    mut measures: Vec<Measure>,
    mut systems: Vec<Box<dyn System>>,
) -> (Vec<Measure>, Vec<Box<dyn System>>) {
    if arguments.only.is_empty() {
        measures = vec![Measure::PushBulk, Measure::DrainKept, Measure::DrainDropped, Measure::Bytes];
    }
    measures.retain(|measure| measure.needs_server());
    if arguments.systems.is_empty() {
        systems.retain(|system| matches!(system.name(), "ours" | "bare-redis"));
    }
    (measures, systems)
}

fn measures(arguments: &Arguments) -> anyhow::Result<Vec<Measure>> {
    if arguments.only.is_empty() {
        let long = |measure: &Measure| measure.is_long();
        return Ok(Measure::ALL.into_iter().filter(|measure| !(arguments.quick && long(measure))).collect());
    }
    let mut chosen = Vec::new();
    for figure in &arguments.only {
        let measure = Measure::of(figure).with_context(|| {
            let names: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
            format!("there is no figure {figure:?}; there are {}", names.join(", "))
        })?;
        if !chosen.contains(&measure) {
            chosen.push(measure);
        }
    }
    Ok(chosen)
}

fn systems(arguments: &Arguments) -> anyhow::Result<Vec<Box<dyn System>>> {
    let all = peers::with_ours(arguments);
    let names: Vec<&str> = all.iter().map(|system| system.name()).collect();
    for wanted in &arguments.systems {
        ensure!(names.contains(&wanted.as_str()), "there is no system {wanted:?} here; there are {}", names.join(", "));
    }
    let wanted = |name: &str| arguments.systems.is_empty() || arguments.systems.iter().any(|wanted| wanted == name);
    Ok(all.into_iter().filter(|system| wanted(system.name())).collect())
}

/// Measures everything on one server: round after round, and within a round each system in turn.
async fn on_server(
    arguments: &Arguments,
    binary: &Path,
    measures: &[Measure],
    systems: &[Box<dyn System>],
    began: Instant,
) -> anyhow::Result<(String, Values)> {
    let mut scale = if arguments.quick { Scale::QUICK } else { Scale::FULL };
    scale.whole_way_jobs = arguments.whole_way_jobs.unwrap_or(scale.whole_way_jobs);
    let worker = match &arguments.worker {
        Some(worker) => worker.clone(),
        None => std::env::current_exe()?.with_file_name("worker"),
    };
    let mut server = Server::start(binary, arguments.aof).await?;
    let way = Way::new(&server, &worker, arguments)?;
    let mut values = Values::default();
    let (long, short): (Vec<Measure>, Vec<Measure>) = measures.iter().partition(|measure| is_long(**measure));
    for round in 0..arguments.rounds {
        if arguments.quick && round > 0 && began.elapsed() > QUICK_ROUNDS_END {
            eprintln!("{} no time for round {}", run::clock(began), round + 1);
            break;
        }
        for measure in &short {
            for turn in 0..systems.len() {
                let system = &*systems[(turn + round) % systems.len()];
                if skipped(arguments, *measure, system) {
                    continue;
                }
                let took = run::measure(*measure, system, &mut server, &way, &scale).await;
                let got = took.with_context(|| format!("{} of {}", measure.figures()[0], system.name()))?;
                note(&mut values, *measure, system, &got, began);
                if arguments.profile {
                    eprint!("{}", server.profile().await?);
                }
            }
        }
    }
    let waiting = long.iter().flat_map(|measure| systems.iter().map(|system| (*measure, &**system)));
    let waiting = waiting.filter(|(measure, system)| !skipped(arguments, *measure, *system));
    let together = waiting.map(async |(measure, system)| {
        // Nearly all of their time is waiting, so they wait together, each on a server of its own.
        let mut server = Server::start(binary, arguments.aof).await?;
        let way = Way::new(&server, &worker, arguments)?;
        let got = run::measure(measure, system, &mut server, &way, &scale).await;
        anyhow::Ok((measure, system, got.with_context(|| format!("{} of {}", measure.figures()[0], system.name()))?))
    });
    for (measure, system, got) in try_join_all(together).await? {
        note(&mut values, measure, system, &got, began);
    }
    Ok((server.version.clone(), values))
}

fn is_long(measure: Measure) -> bool {
    matches!(measure, Measure::Idle | Measure::Recovery | Measure::Soak)
}

/// By default, apalis-redis starts and recovers jobs after up to 30 s and 5 minutes: nothing for a quick look.
fn skipped(arguments: &Arguments, measure: Measure, system: &dyn System) -> bool {
    let slow = matches!(measure, Measure::Start | Measure::Recovery) && system.name() == "apalis-redis-default";
    slow && arguments.quick && arguments.only.is_empty()
}

fn note(values: &mut Values, measure: Measure, system: &dyn System, got: &[f64], began: Instant) {
    for (figure, value) in measure.figures().iter().zip(got) {
        values.add(system.name(), figure, *value);
        let (value, unit) = (report::number(*value), figures::unit(figure));
        eprintln!("{} {:<20} {:<20} {value:>12} {unit}", run::clock(began), system.name(), figure);
    }
}

fn report(values: &Values, server: &str, arguments: &Arguments) {
    let aof = if arguments.aof { "append-only file synced every second" } else { "no persistence" };
    let delay =
        if arguments.delay_ms > 0 { format!(", {} ms more a round trip", arguments.delay_ms) } else { String::new() };
    println!(
        "\n{server}, {aof}{delay}; {} cores; medians of {} rounds ± half their range\n",
        cores(),
        values.n_rounds()
    );
    println!("{}\n", report::table(values));
    for line in floors::lines(values, server) {
        println!("{line}");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
