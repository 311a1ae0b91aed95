//! Carries out one measurement of one system.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use crate::{
    api,
    arguments::Arguments,
    extract::Pages,
    figures::Measure,
    mongod::Mongod,
    ours,
    proxy::Proxy,
    recovery, samples,
    server::{self, Server},
    soak,
    system::System,
    webhook,
    whole_way::{self, Place},
};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    push_time: Duration,
    bulk_jobs: usize,
    drain_jobs: usize,
    start_jobs: usize,
    busy_start_jobs: usize,
    bytes_jobs: usize,
    calls_jobs: usize,
    deep_jobs: usize,
    deep_scheduled_jobs: usize,
    idle_time: Duration,
    recovery_patience: Duration,
    soak_time: Duration,
    pub(crate) whole_way_jobs: usize,
    http_time: Duration,
    webhook_events: usize,
    extract_time: Duration,
}

impl Scale {
    pub(crate) const QUICK: Self = Self {
        push_time: Duration::from_secs(1),
        bulk_jobs: 300_000,
        drain_jobs: 300_000,
        start_jobs: 300,
        busy_start_jobs: 10_000,
        bytes_jobs: 100_000,
        calls_jobs: 100_000,
        deep_jobs: 1_000_000,
        deep_scheduled_jobs: 100_000,
        idle_time: Duration::from_secs(15),
        recovery_patience: Duration::from_secs(75),
        soak_time: Duration::from_secs(30),
        whole_way_jobs: 20_000,
        http_time: Duration::from_secs(1),
        webhook_events: 5_000,
        extract_time: Duration::from_secs(5),
    };

    pub(crate) const FULL: Self = Self {
        push_time: Duration::from_secs(3),
        bulk_jobs: 1_000_000,
        start_jobs: 1_000,
        busy_start_jobs: 50_000,
        deep_jobs: 10_000_000,
        deep_scheduled_jobs: 1_000_000,
        idle_time: Duration::from_secs(60),
        recovery_patience: Duration::from_secs(400),
        soak_time: Duration::from_secs(15 * 60),
        whole_way_jobs: 100_000,
        http_time: Duration::from_secs(3),
        webhook_events: 20_000,
        ..Self::QUICK
    };
}

/// Where clients connect: to the server, or through a proxy that adds `delay` to each round trip.
#[derive(Debug)]
pub(crate) struct Way {
    delay: Duration,
    slow: Option<Proxy>,
    mongod_binary: PathBuf,
    /// Started by the first measurement that needs it.
    mongod: OnceCell<Mongod>,
    worker: PathBuf,
    handlers: usize,
    pages: PathBuf,
}

impl Way {
    /// `worker` is our program.
    pub(crate) fn new(server: &Server, worker: &Path, arguments: &Arguments) -> anyhow::Result<Self> {
        let delay = Duration::from_millis(arguments.delay_ms);
        Ok(Self {
            delay,
            slow: if delay.is_zero() { None } else { Some(Proxy::start(server.port, delay)?) },
            mongod_binary: arguments.bin.join("mongod"),
            mongod: OnceCell::new(),
            worker: worker.to_owned(),
            handlers: arguments.handlers,
            pages: arguments.pages.clone(),
        })
    }

    fn url(&self, server: &Server) -> String {
        self.slow.as_ref().map_or_else(|| server.url(), |proxy| server::url(proxy.port))
    }

    fn counted(&self, server: &Server) -> anyhow::Result<Proxy> {
        Ok(Proxy::start(server.port, self.delay)?)
    }
}

/// The jobs waiting when [`Measure::DrainDeep`] drains a shallow queue.
const SHALLOW: usize = 100_000;

/// Measures on an empty server. The values come in the order of [`Measure::figures`]; none: the system has no such thing.
pub(crate) async fn measure(
    measure: Measure,
    system: &dyn System,
    server: &mut Server,
    way: &Way,
    scale: &Scale,
) -> anyhow::Result<Vec<f64>> {
    let url = way.url(server);
    let at_most = |jobs: usize| jobs.min(system.most_jobs());
    server.flush().await?;
    server.reset_statistics().await?;
    if let Some(api) = system.api().filter(|_| measure == Measure::Http) {
        let mongod = way.mongod.get_or_try_init(|| Mongod::start(&way.mongod_binary)).await?;
        return api::measure(
            &mut Place { server, mongod, worker: &way.worker, handlers: way.handlers },
            api,
            scale.http_time,
        )
        .await;
    }
    if let (Measure::Webhook, Some(None)) = (measure, system.api()) {
        let mongod = way.mongod.get_or_try_init(|| Mongod::start(&way.mongod_binary)).await?;
        let mut place = Place { server, mongod, worker: &way.worker, handlers: way.handlers };
        return webhook::measure(&mut place, scale.webhook_events).await;
    }
    if matches!(measure, Measure::Http | Measure::Webhook) || system.only().is_some_and(|only| only != measure) {
        return Ok(Vec::new());
    }
    if measure == Measure::Extract {
        let pages = Pages::write(&way.pages, scale.extract_time)?;
        return Ok(system.extract(&pages).await?.map_or_else(Vec::new, Vec::from));
    }
    match measure {
        Measure::PushOne => Ok(vec![system.push(&url, 1, scale.push_time).await?]),
        Measure::Push64 => Ok(vec![system.push(&url, 64, scale.push_time).await?]),
        Measure::PushBulk if !system.has_bulk() => Ok(Vec::new()),
        Measure::DrainKept if !system.keeps_results() => Ok(Vec::new()),
        Measure::PushBulk => Ok(vec![system.fill(&url, at_most(scale.bulk_jobs)).await?]),
        Measure::DrainKept | Measure::DrainDropped => {
            let jobs = at_most(scale.drain_jobs);
            system.fill(&server.url(), jobs).await?;
            server.reset_statistics().await?;
            Ok(vec![system.drain(&url, jobs, measure == Measure::DrainKept).await?])
        }
        Measure::Start => start(system, &url, 100, scale.start_jobs).await,
        Measure::StartBusy if scale.busy_start_jobs > system.most_jobs() => Ok(Vec::new()),
        Measure::StartBusy => start(system, &url, 5_000, scale.busy_start_jobs).await,
        Measure::Bytes => {
            let jobs = at_most(scale.bytes_jobs);
            let before = server.used_memory().await?;
            system.fill(&url, jobs).await?;
            Ok(vec![(server.used_memory().await?.saturating_sub(before)) as f64 / jobs as f64])
        }
        Measure::DrainDeep if system.most_jobs() < scale.deep_jobs => Ok(Vec::new()),
        Measure::DrainDeep => deep(system, server, &url, scale).await,
        Measure::Calls => {
            let jobs = at_most(scale.calls_jobs);
            let counted = way.counted(server)?;
            let url = server::url(counted.port);
            system.fill(&url, jobs).await?;
            system.drain(&url, jobs, system.keeps_results()).await?;
            Ok(vec![counted.n_commands() as f64 / jobs as f64])
        }
        Measure::Idle | Measure::Soak | Measure::WholeWayLone if system.name() != "ours" => Ok(Vec::new()),
        Measure::Idle => {
            let counted = way.counted(server)?;
            Ok(vec![ours::idle(&server::url(counted.port), scale.idle_time, || counted.n_commands()).await?])
        }
        Measure::Soak => {
            let (redis, worker) = soak::measure(server, &url, scale.soak_time).await?;
            Ok(vec![redis, worker])
        }
        Measure::WholeWayContent | Measure::WholeWayPublication | Measure::WholeWayEmail => {
            let mongod = way.mongod.get_or_try_init(|| Mongod::start(&way.mongod_binary)).await?;
            let mut place = Place { server, mongod, worker: &way.worker, handlers: way.handlers };
            let [content, publication, email] = &whole_way::WORKS;
            let work = match measure {
                Measure::WholeWayContent => content,
                Measure::WholeWayPublication => publication,
                _ => email,
            };
            let figures = system.whole_way(&mut place, work, at_most(scale.whole_way_jobs)).await?;
            Ok(figures.map_or_else(Vec::new, Vec::from))
        }
        Measure::WholeWayLone => {
            let mongod = way.mongod.get_or_try_init(|| Mongod::start(&way.mongod_binary)).await?;
            let mut place = Place { server, mongod, worker: &way.worker, handlers: way.handlers };
            let took = whole_way::lone(&mut place).await?;
            Ok([50.0, 99.0].iter().filter_map(|percent| samples::percentile(&took, *percent)).collect())
        }
        Measure::Http | Measure::Webhook | Measure::Extract => Ok(Vec::new()),
        Measure::Recovery => Ok(recovery::measure(system, &url, scale.recovery_patience).await?.into_iter().collect()),
    }
}

async fn start(system: &dyn System, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Vec<f64>> {
    let Some(waited) = system.start(url, per_second, jobs).await? else { return Ok(Vec::new()) };
    Ok([50.0, 95.0, 99.0, 100.0].iter().filter_map(|percent| samples::percentile(&waited, *percent)).collect())
}

/// The same number of jobs is run from a shallow and from a deep queue, each on a new server: only the depth differs.
async fn deep(system: &dyn System, server: &mut Server, url: &str, scale: &Scale) -> anyhow::Result<Vec<f64>> {
    let direct = server.url();
    let (mut ran, mut took) = (0, Duration::ZERO);
    while ran < scale.drain_jobs {
        server.restart().await?;
        system.fill(&direct, SHALLOW).await?;
        took += Duration::from_secs_f64(SHALLOW as f64 / system.drain(url, SHALLOW, true).await?);
        ran += SHALLOW;
    }
    let shallow = ran as f64 / took.as_secs_f64();
    server.restart().await?;
    system.fill(&direct, scale.deep_jobs).await?;
    if system.name() == "ours" {
        let client = ours::client(&direct, Duration::from_secs(1)).await?;
        let tomorrow_ms = queue::Clock::default().now_ms() + 24 * 3600 * 1000;
        ours::push_bulk(&client, scale.deep_scheduled_jobs, Some(tomorrow_ms)).await?;
    }
    Ok(vec![shallow, system.drain(url, scale.drain_jobs, true).await?])
}

/// Time that has passed, for progress lines.
pub(crate) fn clock(began: Instant) -> String {
    let s = began.elapsed().as_secs();
    format!("{:02}:{:02}", s / 60, s % 60)
}
