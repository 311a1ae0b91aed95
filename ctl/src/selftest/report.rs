//! What a selftest tells at its end: a table for people, JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::judge::{Reason, Verdict};
use crate::table::{Align, Table, printable};

/// Findings beyond so many are only counted.
const FINDINGS_SHOWN: usize = 20;

/// How often each kind of fault happened.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Faults {
    pub(crate) kills: usize,
    pub(crate) stops: usize,
    pub(crate) cuts: usize,
    pub(crate) restarts: usize,
}

/// A whole selftest.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) server: String,
    pub(crate) fsync: String,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) workers: usize,
    pub(crate) faults: Faults,
    /// Jobs that were pushed, whatever the answer.
    pub(crate) n_pushed: usize,
    /// Pushes that were answered with an error, and how many of them were run.
    pub(crate) n_unknown: usize,
    pub(crate) n_unknown_run: usize,
    pub(crate) n_poison: usize,
    /// Late acknowledgements that the queue refused, and claims that workers lost.
    pub(crate) n_refused: u64,
    pub(crate) n_leases_lost: u64,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// Nothing lost, nothing run without a reason, no innocent quarantined.
    pub(crate) ok: bool,
}

impl Report {
    pub(crate) fn text(&self, width: usize) -> String {
        let (verdict, faults) = (&self.verdict, &self.faults);
        let mut table = Table::new(&[("", Align::Left), ("jobs", Align::Right), ("", Align::Left)]);
        let mut row = |what: &str, n: usize, note: &str| table.row([what.to_owned(), grouped(n), note.to_owned()]);
        row("accepted", verdict.n_accepted, &format!("of {} pushed", grouped(self.n_pushed)));
        let unknown = format!("answered with an error; {} of them were run", grouped(self.n_unknown_run));
        row("unknown", self.n_unknown, &unknown);
        row("run", verdict.n_run, "accepted and brought to their end");
        row("LOST", verdict.n_lost, "accepted and not brought to their end");
        row("run again", verdict.n_run_again, "started more than once");
        row(
            "done again",
            verdict.n_done_again,
            "the worker was hit between the end of the work and its acknowledgement",
        );
        row("innocents quarantined", verdict.n_innocents_quarantined, "dead letters that did nothing to their workers");
        row("poison quarantined", verdict.n_poison_quarantined, &format!("of {}", self.n_poison));
        let mut runs = Table::new(&[("", Align::Left), ("runs", Align::Right), ("", Align::Left)]);
        for (reason, n) in &verdict.reasons {
            runs.row(["run again".to_owned(), grouped(*n), why(*reason).to_owned()]);
        }
        runs.row(["run again".to_owned(), grouped(verdict.n_without_reason), "WITHOUT A REASON".to_owned()]);
        let refused = format!("late, because another worker had the job; {} leases lost", self.n_leases_lost);
        runs.row(["refused".to_owned(), grouped(self.n_refused as usize), refused]);
        let mut text = format!(
            "{}, append-only file synced {}; {} workers, seed {}, {:.0} s\n",
            self.server, self.fsync, self.workers, self.seed, self.seconds
        );
        let Faults { kills, stops, cuts, restarts } = faults;
        let _ = writeln!(
            text,
            "{kills} workers killed, {stops} stopped past their lease, connections cut {cuts} times, server restarted \
             {restarts} times\n"
        );
        let _ = writeln!(text, "{}\n{}", table.render(width), runs.render(width));
        for finding in verdict.findings.iter().take(FINDINGS_SHOWN) {
            let _ = writeln!(text, "FOUND: {}", printable(finding));
        }
        if let Some(more @ 1..) = verdict.findings.len().checked_sub(FINDINGS_SHOWN) {
            let _ = writeln!(text, "FOUND: {more} more");
        }
        let _ = match self.ok {
            true => writeln!(text, "ok: nothing lost, nothing run without a reason, no innocent quarantined"),
            false => writeln!(text, "FAILED: {} findings", verdict.findings.len()),
        };
        text
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::PlannedRetry => "because the attempt failed as planned",
        Reason::WorkerKilled => "because the worker was killed",
        Reason::WorkerStopped => "because the worker was stopped past its lease",
        Reason::Poison => "because a poison job took the worker down",
        Reason::LeaseLost => "because the lease ended otherwise (connection cut, server away)",
        Reason::Other => "because of another end that the queue wrote down",
    }
}

/// `50,000`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 50_000, 1_234_567].map(grouped), ["0", "999", "1,000", "50,000", "1,234,567"]);
    }

    #[test]
    fn findings_are_shown_and_the_end_says_failed() {
        let verdict =
            Verdict { findings: (0..22).map(|n| format!("job {n}\u{1b}: lost")).collect(), ..Verdict::default() };
        let report = Report {
            server: "Valkey 9.1.2".to_owned(),
            fsync: "everysec".to_owned(),
            seed: 7,
            seconds: 3.2,
            workers: 4,
            faults: Faults::default(),
            n_pushed: 50_000,
            n_unknown: 0,
            n_unknown_run: 0,
            n_poison: 0,
            n_refused: 0,
            n_leases_lost: 0,
            ok: verdict.holds(),
            verdict,
        };
        let text = report.text(120);
        assert!(text.contains("FOUND: job 19: lost\nFOUND: 2 more\nFAILED: 22 findings\n"), "{text}");
        assert!(text.contains("of 50,000 pushed") && text.contains("seed 7"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["ok"], &json["n_lost"]), (&serde_json::json!(false), &serde_json::json!(0)));
    }
}
