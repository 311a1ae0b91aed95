//! Random sequences of everything that can happen to the queue, through the functions that workers and clients call, beside a
//! small model of the state machine. After each step the model is compared with what Redis holds.
//!
//! `MODEL_STEPS` says how many steps to take (100,000 unless it is set); a tenth of them on Redis 7.0. A sequence that fails is
//! made as short as it gets and printed; `PROPTEST_RNG_SEED` draws the same sequences again.
//!
//! Reading order: `steps.rs` (what can happen), `model.rs` (what it ought to do), `reader.rs` (what Redis holds), `agree.rs` (the
//! two compared), `worker.rs` and `run.rs` (a step in both), `wire.rs` (lost answers), `planted.rs` (the test of this test).

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

mod agree;
mod model;
mod planted;
mod reader;
mod run;
mod steps;
mod wire;
mod worker;

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRunner};
use servers::RedisKind;

use crate::{
    run::Run,
    steps::{Step, sequences},
    wire::Wire,
};

const STEPS: usize = 100_000;
/// The longest sequence.
const MOST_STEPS: usize = 150;
/// A little less than the mean, so that no step is missing in the end.
const MEAN_STEPS: usize = 70;

/// Takes a `part`-th of all steps on a server.
fn explore(kind: RedisKind, part: usize, cuts: bool) {
    let Some(url) = servers::redis(kind) else { return };
    let all = std::env::var("MODEL_STEPS").map_or(STEPS, |steps| steps.replace('_', "").parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wire = cuts.then(|| runtime.block_on(Wire::to(url)));
    let taken = Cell::new(0);
    let fault = |steps: &[Step]| {
        taken.set(taken.get() + steps.len());
        runtime.block_on(async {
            let mut run = Run::new(url, wire.clone()).await;
            let result = run.steps(steps).await;
            run.clean();
            result.err()
        })
    };
    let cases = (all / part).div_ceil(MEAN_STEPS);
    let config = Config {
        cases: cases as u32,
        failure_persistence: None,
        // Drawing the steps is not to take longer than doing them.
        rng_algorithm: RngAlgorithm::XorShift,
        max_shrink_iters: shrinks(),
        ..Config::default()
    };
    let sequence = sequences(MOST_STEPS, cuts);
    let check = |steps: Vec<Step>| fault(&steps).map_or(Ok(()), |fault| Err(TestCaseError::fail(fault)));
    match TestRunner::new(config).run(&sequence, check) {
        Ok(()) => println!("{} steps in {cases} sequences on {}", taken.get(), servers::version(kind)),
        Err(TestError::Fail(first, steps)) => {
            let (steps, fault) = shorten(steps, first.message().to_owned(), fault);
            panic!("in {} steps: {fault}", steps.len());
        }
        Err(TestError::Abort(reason)) => panic!("no sequences: {reason}"),
    }
}

/// Leaves out each step without which the sequence fails too: proptest tries that only before it makes the steps smaller.
fn shorten(
    mut steps: Vec<Step>,
    mut fault: String,
    mut fails: impl FnMut(&[Step]) -> Option<String>,
) -> (Vec<Step>, String) {
    let mut at = 0;
    while shrinks() > 0 && at < steps.len() {
        let mut shorter = steps.clone();
        shorter.remove(at);
        match fails(&shorter) {
            Some(found) => (steps, fault, at) = (shorter, found, 0),
            None => at += 1,
        }
    }
    (steps, fault)
}

/// How often a failing sequence is tried again to make it shorter.
fn shrinks() -> u32 {
    std::env::var("PROPTEST_MAX_SHRINK_ITERS").map_or(5_000, |shrinks| shrinks.parse().unwrap())
}

mod valkey {
    use super::{RedisKind::Valkey, explore};

    #[test]
    fn redis_does_what_the_model_does_1() {
        explore(Valkey, 3, false);
    }

    #[test]
    fn redis_does_what_the_model_does_2() {
        explore(Valkey, 3, false);
    }

    #[test]
    fn nothing_is_lost_when_answers_are() {
        explore(Valkey, 3, true);
    }
}

mod redis7 {
    use super::{RedisKind::Redis7, explore};

    #[test]
    fn redis_does_what_the_model_does() {
        explore(Redis7, 20, false);
    }

    #[test]
    fn nothing_is_lost_when_answers_are() {
        explore(Redis7, 20, true);
    }
}
