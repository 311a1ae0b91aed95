//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the queue beside bare Redis and other job systems.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    /// Less of everything: ends within 8 minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these figures, separated by commas; an unknown one lists them all.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Beside which other systems: bullmq, apalis-redis, rusty-sidekiq, celery, taskiq, extruct, or all.
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_value = "bullmq,apalis-redis")]
    pub(crate) peers: Vec<Peer>,
    /// Only these systems of those: ours, bare-redis, bullmq, apalis-redis, apalis-redis-default, …
    #[arg(long, value_delimiter = ',')]
    pub(crate) systems: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// The server keeps an append-only file, synced every second.
    #[arg(long)]
    pub(crate) aof: bool,
    /// Makes every round trip to the server so much longer.
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// Writes the values there: a list of {system, figure, value, unit}.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Draws the chart there.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// Shows after each measurement where the time went.
    #[arg(long)]
    pub(crate) profile: bool,
    /// The folder of valkey-server, redis7-server and mongod.
    #[arg(long, env = "BENCH_BIN", default_value = ".dev/bin")]
    pub(crate) bin: PathBuf,
    /// Our worker, for the whole way; the one beside this program if absent.
    #[arg(long, env = "BENCH_WORKER")]
    pub(crate) worker: Option<PathBuf>,
    /// Handlers of one of our workers at a time, in the whole way; 0: what each kind has by default.
    #[arg(long, default_value_t = 128)]
    pub(crate) handlers: usize,
    /// Jobs of the whole way.
    #[arg(long)]
    pub(crate) whole_way_jobs: Option<usize>,
    /// The producer of another release, whose API is measured beside ours.
    #[arg(long, value_name = "FILE")]
    pub(crate) producer: Option<PathBuf>,
    /// Node, for BullMQ.
    #[arg(long, env = "BENCH_NODE")]
    pub(crate) node: Option<PathBuf>,
    /// The folder in which npm installed BullMQ.
    #[arg(long, env = "BENCH_MODULES", default_value = ".dev/bench")]
    pub(crate) modules: PathBuf,
    /// Python, for Celery, taskiq and extruct.
    #[arg(long, env = "BENCH_PYTHON")]
    pub(crate) python: Option<PathBuf>,
    /// The folder in which pip installed Celery and taskiq.
    #[arg(long, env = "BENCH_PYTHON_MODULES", default_value = ".dev/bench-python")]
    pub(crate) python_modules: PathBuf,
    /// The folder in which pip installed extruct.
    #[arg(long, env = "BENCH_EXTRUCT_MODULES", default_value = ".dev/bench-extruct")]
    pub(crate) extruct_modules: PathBuf,
    /// The folder of the pages with known prices.
    #[arg(long, default_value = "examples/pages")]
    pub(crate) pages: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// A worker process that is killed; the bench starts it itself.
    #[command(hide = true)]
    Hang { system: String, url: String },
    /// Our API, with one route more; the bench starts it itself.
    #[command(hide = true)]
    Api,
}

/// A choice of `--peers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// BullMQ, on Node.
    #[value(name = "bullmq")]
    BullMq,
    /// The crate apalis-redis, tuned and as it comes.
    ApalisRedis,
    /// The crate rusty-sidekiq.
    RustySidekiq,
    /// Celery, on Python.
    Celery,
    /// taskiq with taskiq-redis, on Python.
    Taskiq,
    /// extruct with price-parser, on Python: prices of pages and nothing else.
    Extruct,
    /// All of them.
    All,
}
