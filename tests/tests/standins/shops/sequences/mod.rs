//! Any sequence of partial updates, cut-off calls and killed runs ends with the shop holding exactly the merge of the accepted jobs in the
//! order of their ids; there is one product, and customers never saw half of it.
//!
//! The same sequences are drawn at each run; `PROPTEST_RNG_SEED` draws others, and `SHOP_SEQUENCES` says how many each shop gets. One that
//! fails is made as short as it gets and printed.
//!
//! Reading order: `said.rs` (what jobs say), `steps.rs` (what can happen), `merge.rs` (what the shop ought to hold), `run.rs` (what it
//! holds beside that), `found.rs` (what was found so).

mod found;
mod merge;
mod run;
mod said;
mod steps;

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use providers::publication::Shop;

use self::{run::Counts, steps::Sequence};

const SEQUENCES: u32 = 100;
const SEED: u64 = 1;

/// Draws sequences for a shop, of products with or without variants; the shortest that goes wrong. `is_ordered`: jobs have ids of their own.
fn explore(shop: Shop, is_ordered: bool) -> Result<(), String> {
    let sequences = std::env::var("SHOP_SEQUENCES").map_or(SEQUENCES, |n| n.replace('_', "").parse().unwrap());
    let seed = std::env::var("PROPTEST_RNG_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("{shop}: PROPTEST_RNG_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counts = Cell::new(Counts::default());
    let fault_in = |sequence: &Sequence| {
        runtime.block_on(async {
            let (told, fault) = run::run(shop, sequence, is_ordered).await;
            counts.set(counts.get() + told);
            fault
        })
    };
    let config = Config {
        cases: sequences,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: if is_ordered { 400 } else { 0 },
        ..Config::default()
    };
    let check = |sequence: Sequence| fault_in(&sequence).map_or(Ok(()), |fault| Err(TestCaseError::fail(fault)));
    match TestRunner::new(config).run(&steps::sequences(shop), check) {
        Ok(()) => println!("{shop}: {sequences} sequences, {}", counts.get()),
        Err(TestError::Fail(fault, _)) if !is_ordered => return Err(fault.message().to_owned()),
        Err(TestError::Fail(fault, sequence)) => {
            let (sequence, fault) = steps::shorter(sequence, fault.message().to_owned(), fault_in);
            return Err(format!("{shop}, PROPTEST_RNG_SEED={seed}: {fault}\n{sequence:#?}"));
        }
        Err(TestError::Abort(reason)) => return Err(format!("no sequences: {reason}")),
    }
    Ok(())
}

#[track_caller]
fn assert_merged(shop: Shop) {
    if let Err(fault) = explore(shop, true) {
        panic!("{fault}");
    }
}

#[test]
fn woocommerce_holds_the_merge_of_all_jobs_whatever_is_cut_off() {
    assert_merged(Shop::Woocommerce);
}

#[test]
fn prestashop_holds_the_merge_of_all_jobs_whatever_is_cut_off() {
    assert_merged(Shop::Prestashop);
}

#[test]
fn shopify_holds_the_merge_of_all_jobs_whatever_is_cut_off() {
    assert_merged(Shop::Shopify);
}

/// The test of these tests: whose jobs all have the same id, nobody can tell which of them says the last word.
#[test]
fn jobs_that_have_no_order_are_found_out() {
    let fault = explore(Shop::Woocommerce, false).unwrap_err();
    assert!(fault.contains("ought to be"), "{fault}");
}
