//! `ecomctl demo`: the main job on real input. Every row of a catalogue becomes a content job, and its first product goes on
//! through picture, competitors' prices, e-mail and publication, each started when the one before is done (`chain.rs`). Shows
//! where it stands, then what came of it (`report.rs`). Several demos can run at once: none looks at another's jobs.

mod chain;
mod report;
mod waits;

use std::{
    io::{IsTerminal, Write as _, stderr},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use tokio::{sync::Semaphore, task::JoinSet, time::interval};

use crate::{
    client::Api,
    enqueue::{BATCH, N_WAITING, content_jobs, push_batch, read_catalogue},
    options::Options,
    table::{cut, output_width},
};
use chain::Chain;
use report::{Board, End};

/// How often the line on a terminal changes, and how often a line is added to a log.
const FRAME: Duration = Duration::from_millis(150);
const LOG_LINE: Duration = Duration::from_secs(3);

/// Run the main job on a catalogue and show what came of it
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The catalogue (CSV); see `ecomctl enqueue --help`
    #[arg(long, value_name = "FILE", default_value = "examples/catalogue.csv")]
    catalogue: PathBuf,
    /// Where the competitors' pages are: jsonld.html, microdata.html and noprice.html below this address
    #[arg(long, value_name = "URL")]
    shops: String,
    /// Who gets the e-mail
    #[arg(long, value_name = "ADDRESS", default_value = "merchant@example.com")]
    to: String,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    limit_s: u64,
}

pub(crate) async fn run(api: Api, demo: &Demo, json: bool) -> Result<ExitCode> {
    let products = read_catalogue(&demo.catalogue)?;
    let started = Instant::now();
    let limit = Duration::from_secs(demo.limit_s);
    let mut taken = Vec::new();
    for batch in content_jobs(&products, &Options::default())?.chunks(BATCH) {
        taken.extend(push_batch(&api, batch, None).await?);
    }
    let board = Arc::new(Board::new(&products, taken));
    let chain = Chain {
        api: api.clone(),
        board: board.clone(),
        product: products[0].clone(),
        shops: demo.shops.clone(),
        to: demo.to.clone(),
    };

    let work = async {
        tokio::select! {
            () = all_done(&api, &board, chain) => {}
            () = waits::watch(&api, &board) => {}
        }
    };
    let mut progress = Progress::new(json, started);
    if tokio::time::timeout(limit, progress.show_during(&board, work)).await.is_err() {
        board.give_up(limit);
    }
    progress.end();

    if json {
        println!("{:#}", board.to_json(started.elapsed()));
    } else {
        print!("{}", board.report(started.elapsed(), output_width()));
    }
    Ok(if board.all_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Follows every job to its end. The first row belongs to the chain.
async fn all_done(api: &Api, board: &Arc<Board>, chain: Chain) {
    let slots = Arc::new(Semaphore::new(N_WAITING));
    let mut tasks = JoinSet::new();
    tasks.spawn(chain.run());
    for (row, id) in board.pending().into_iter().filter(|(row, _)| *row != 0) {
        let (api, board, slots) = (api.clone(), board.clone(), slots.clone());
        tasks.spawn(async move {
            let _slot = slots.acquire().await;
            board.end(row, End::of(api.finished_job(&id).await));
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Says on standard error how far the work is: on a terminal on one line that changes, else in a line every few seconds.
struct Progress {
    started: Instant,
    quiet: bool,
    on_terminal: bool,
}

impl Progress {
    fn new(quiet: bool, started: Instant) -> Self {
        Self { started, quiet, on_terminal: stderr().is_terminal() }
    }

    async fn show_during(&mut self, board: &Board, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        let mut ticks = interval(if self.on_terminal { FRAME } else { LOG_LINE });
        loop {
            tokio::select! {
                () = &mut work => break,
                _ = ticks.tick() => self.show(board),
            }
        }
        self.show(board);
    }

    fn show(&self, board: &Board) {
        let line = board.progress(self.started.elapsed());
        // A reader of the progress that went away must not stop the work.
        let _ = match (self.quiet, self.on_terminal) {
            (true, _) => Ok(()),
            (false, true) => {
                write!(stderr(), "\r\x1b[2K{}", cut(&line, output_width().saturating_sub(1)))
            }
            (false, false) => writeln!(stderr(), "{line}"),
        };
        let _ = stderr().flush();
    }

    fn end(&self) {
        if !self.quiet && self.on_terminal {
            let _ = writeln!(stderr());
        }
    }
}
