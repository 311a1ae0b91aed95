//! `ecomctl selftest`, in a form small enough for every test run.

use std::{fs, process::Output};

use serde_json::{Value, json};
use servers::{Process, wait_until};
use tests::{PATIENCE, program, workspace};
use tokio::process::Command;

const SMALL: [&str; 6] = ["selftest", "--jobs", "500", "--workers", "3", "--json"];

/// Runs it where `.dev/bin` is; its output and report.
async fn selftest(arguments: &[&str]) -> (Output, Value) {
    let mut command = Command::new(program("ecomctl"));
    command.args(SMALL).args(arguments).current_dir(workspace()).kill_on_drop(true);
    let output = tokio::time::timeout(3 * PATIENCE, command.output()).await.expect("it ends").unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output, report)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selftest_loses_nothing_and_says_what_it_did() {
    let (output, report) = selftest(&["--seconds", "10", "--poison", "1", "--seed", "1"]).await;
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["ok"], &report["findings"], &report["seed"]), (&json!(true), &json!([]), &json!(1)));
    for fault in ["kills", "stops", "cuts", "restarts"] {
        assert!(report["faults"][fault].as_u64().unwrap() > 0, "{fault} in {report:#}");
    }
    let (accepted, unknown) = (number(&report, "n_accepted"), number(&report, "n_unknown"));
    assert_eq!((number(&report, "n_pushed"), accepted + unknown), (501, 501));
    assert!(accepted > 400, "{report:#}");
    assert_eq!((number(&report, "n_run"), number(&report, "n_lost")), (accepted, 0));
    assert_eq!((number(&report, "n_poison_quarantined"), number(&report, "n_innocents_quarantined")), (1, 0));
    assert_eq!(number(&report, "n_without_reason"), 0);
    assert!(report["reasons"]["poison"].as_u64().unwrap() > 0 && number(&report, "n_run_again") > 0, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_jobs_in_all_stages_at_once_quarantine_no_innocent() {
    let (output, report) = selftest(&["--seconds", "1", "--poison", "4", "--poison-overlap", "--seed", "2"]).await;
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((number(&report, "n_poison_quarantined"), number(&report, "n_innocents_quarantined")), (4, 0));
    assert_eq!(number(&report, "n_lost"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selftest_finds_a_job_that_was_deleted_behind_the_queues_back() {
    let (output, report) = selftest(&["--seconds", "10", "--poison", "0", "--plant-loss"]).await;
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!((&report["ok"], number(&report, "n_lost")), (&json!(false), 1));
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report:#}");
    let finding = findings[0].as_str().unwrap();
    assert!(finding.starts_with("job 500 (") && finding.ends_with("the queue does not know it"), "{finding}");
}

/// The processes that work in this folder, or are told of it.
fn processes_of(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok());
    let knows = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let place = fs::read_link(format!("/proc/{id}/cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder) || place.to_string_lossy().contains(folder)
    };
    ids.filter(knows).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_selftest_leaves_nothing_behind_and_a_killed_one_no_process() {
    for signal in ["INT", "TERM", "KILL"] {
        let mut command = std::process::Command::new(program("ecomctl"));
        command.args(SMALL).current_dir(workspace());
        let (log, process) = (servers::temp_dir(), Process::new());
        assert!(process.start(command, &log.path().join("log"), |pid| {
            // Three workers and a server.
            processes_of(&format!("ecomctl-selftest-{pid}")).len() == 4
        }));
        let folder = std::env::temp_dir().join(format!("ecomctl-selftest-{}", process.pid().unwrap()));
        assert!(folder.is_dir());
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        process.end_by(signal);
        wait_until("all processes have ended", PATIENCE, async || processes_of(&name).is_empty()).await;
        if signal == "KILL" {
            fs::remove_dir_all(&folder).unwrap();
        }
        assert!(!folder.exists(), "after {signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selftest_that_cannot_be_run_exits_with_2_and_says_why() {
    let output = Command::new(program("ecomctl")).args(SMALL).args(["--server", "no/server"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no/server (--server) is no file"), "{said}");
    let elsewhere = servers::temp_dir();
    let mut command = Command::new(program("ecomctl"));
    command.args(SMALL).current_dir(elsewhere.path()).env("PATH", "");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("./dev setup") && said.contains("--server"), "{said}");
}
