//! `ecomctl`, the operator's command line: one file a noun, on top of the HTTP API (`client/`).
//!
//! Order, lowest first: `table`, `client`, `tell`, `options`, `global`, `token`, `job`, `enqueue`, `email`, `queue`, `mode`, `status`,
//! `check_env`, `schedule`, `usage`, `keys`, `payments`, `demo`, `selftest`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

mod check_env;
mod client;
mod demo;
mod email;
mod enqueue;
mod global;
mod job;
mod keys;
mod mode;
mod options;
mod payments;
mod queue;
mod schedule;
mod selftest;
mod status;
mod table;
mod tell;
mod token;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::global::Global;

/// Enqueues jobs, follows them and looks after the queues.
#[derive(Debug, Parser)]
#[command(name = "ecomctl", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Make a token for the API with `JWT_SECRET`
    Token(token::Token),
    /// Jobs: list, get, watch, cancel, retry, run now
    #[command(subcommand)]
    Job(job::Verb),
    /// Enqueue jobs
    Enqueue(enqueue::Enqueue),
    /// E-mails: list, get, preview
    #[command(subcommand)]
    Email(email::Verb),
    /// Queues and their dead letters
    #[command(subcommand)]
    Queue(queue::Verb),
    /// Which services are mock and which are real: get, set
    #[command(subcommand)]
    Mode(mode::Verb),
    Status(status::Status),
    CheckEnv(check_env::CheckEnv),
    /// Recurring jobs, and the times of cron expressions
    #[command(subcommand)]
    Schedule(schedule::Verb),
    /// What was used of language models: calls, tokens, cost, by day, tenant and model
    Usage(usage::Usage),
    /// The keys of `ENCRYPTION_KEY`, under which the credentials of stores are kept: list, rotate
    #[command(subcommand)]
    Keys(keys::Verb),
    /// What is kept of subscriptions, and what Stripe has: reconcile
    #[command(subcommand)]
    Payments(payments::Verb),
    /// Run the main job on a catalogue and show what came of it
    Demo(demo::Demo),
    Selftest(selftest::Selftest),
    #[command(hide = true)]
    SelftestWorker(selftest::Worker),
    #[command(hide = true)]
    SelftestMortal(selftest::Mortal),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Output into a pipe that nobody reads any more, as after `| head`, ends the program quietly. The selftest writes to processes
    // that it kills, and must live on.
    if !matches!(cli.noun, Noun::Selftest(_) | Noun::SelftestWorker(_) | Noun::SelftestMortal(_)) {
        sigpipe::reset();
    }
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", table::printable(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let global = cli.global;
    match cli.noun {
        Noun::Token(token) => token::print(&token),
        Noun::Job(verb) => job::run(&global.api()?, &verb, global.json).await,
        Noun::Enqueue(enqueue) => enqueue::run(&global.api()?, &enqueue, global.json).await,
        Noun::Email(verb) => email::run(&global.api()?, &verb, global.json).await,
        Noun::Queue(verb) => queue::run(&global.api()?, &verb, global.json).await,
        Noun::Mode(verb) => mode::run(&global.api()?, &verb, global.json).await,
        Noun::Status(status) => status::run(&global.api()?, &status, global.json).await,
        Noun::CheckEnv(check) => check_env::run(&check, global.json).await,
        Noun::Schedule(verb) => schedule::run(&global, &verb).await,
        Noun::Usage(usage) => usage::run(&global.api()?, &usage, global.json).await,
        Noun::Keys(verb) => keys::run(&global.api()?, &verb, global.json).await,
        Noun::Payments(verb) => payments::run(&global.api()?, &verb, global.json).await,
        Noun::Demo(demo) => demo::run(global.api()?, &demo, global.json).await,
        Noun::Selftest(selftest) => selftest::run(&selftest, global.json).await,
        Noun::SelftestWorker(worker) => selftest::run_worker(&worker).await,
        Noun::SelftestMortal(mortal) => selftest::become_mortal(&mortal),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "",
            "jobs",
            "job get",
            "enqueue content",
            "enqueue scrape --payload {",
            "token --scope admin --days 0",
            "mode set live",
            "check-env --mode staging",
            "selftest --workers 1",
            "keys",
            "schedule next",
            "schedule next --cron @never",
            "schedule next --cron @daily --zone Europe/Atlantis",
            "schedule next prices --cron @daily",
            "schedule put nightly",
            "enqueue content --payload {} --delay 5 --run-at 2026-01-01T00:00:00Z",
            "enqueue content --payload {} --run-at tomorrow",
            "enqueue content --from c.csv --unique-key k",
            "enqueue content --payload {} --unique-for 5",
            "queue delete-dead content",
            "queue delete-dead content 0199a1b2-0000-7000-8000-000000000001 --all",
        ] {
            let error = Cli::try_parse_from(["ecomctl"].into_iter().chain(line.split_whitespace())).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
    }

    #[test]
    fn usual_lines_are_understood() {
        for line in [
            "token --scope jobs:write --days 30",
            "job get 0199a1b2-0000-7000-8000-000000000001 --wait 30 --json",
            "job watch 0199a1b2-0000-7000-8000-000000000001",
            "enqueue content --from catalogue.csv --priority low --wait",
            "enqueue scrape --payload {\"product_id\":\"A\"}",
            "job list --state dead --kind content -q timeout --limit 20",
            "job run-now 0199a1b2-0000-7000-8000-000000000001",
            "email list --to zoe@customer.example --limit 20",
            "email preview --payload {\"to\":\"z@c.example\"} --html mail.html",
            "enqueue content --payload {} --delay 60 --unique-key k --unique-for 60 --on-conflict return_existing",
            "enqueue content --payload {} --run-at 2026-01-01T00:00:00+01:00 --expires-at 2026-01-02T00:00:00Z --tenant acme",
            "enqueue content --payload {} --idempotency-key k --metadata {} --max-attempts 2 --timeout 9 --allow-fallback false",
            "enqueue content --from - --idempotency-key k",
            "schedule get nightly",
            "schedule put nightly --definition {} --if-match \"3\"",
            "schedule delete nightly",
            "queue delete-dead content 0199a1b2-0000-7000-8000-000000000001",
            "queue delete-dead content --all",
            "queue replay content",
            "schedule next --cron @daily --zone Europe/Paris --from 2026-03-28T00:00:00+01:00 -n 3",
            "schedule next prices -n 3",
            "schedule run prices --json",
            "keys list",
            "keys rotate --wait --json",
            "payments reconcile --dry-run --json",
            "usage --from 2026-11-01 --to 2026-11-30 --tenant acme",
            "queue replay content 0199a1b2-0000-7000-8000-000000000001",
            "demo --catalogue c.csv --shops http://127.0.0.1:4000 --url http://127.0.0.1:8080",
            "selftest --quick --seed 7 --server .dev/bin/valkey-server --fsync always --json",
            "mode get --json",
            "status --json",
            "status email",
            "check-env --mode production --strict --probe --json",
            "mode set real --service email --reason because --force",
            "selftest-mortal --parent 1 /bin/true --port 1",
        ] {
            Cli::try_parse_from(["ecomctl"].into_iter().chain(line.split_whitespace())).unwrap();
        }
    }
}
