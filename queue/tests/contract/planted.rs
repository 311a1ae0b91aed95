//! The test of these tests, for the scripts that the model test does not reach: a bug in each is found by the test named. The bug is
//! planted in a process of its own, this same test binary, because the scripts of a process are the same for all its tests.

use std::process::Command;

macro_rules! planted {
    ($($test:ident: $script:ident, $from:literal => $to:literal, found by $found_by:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let text = include_str!(concat!("../../src/scripts/", stringify!($script), ".lua"));
                assert_eq!(text.matches($from).count(), 1, "{:?} is once in the script", $from);
                let bug = concat!(stringify!($script), "\n", $from, "\n", $to);
                assert_eq!(run($found_by, bug).0, Some(101), "the bug is not found");
            }
        )*

        #[test]
        fn without_the_bugs_nothing_is_found() {
            for test in [$($found_by),*] {
                let (code, told) = run(test, "");
                assert_eq!(code, Some(0), "{told}");
                assert!(told.contains("1 passed"), "{test} is there: {told}");
            }
        }
    };
}

planted! {
    unique_gives_a_held_key_away:
        unique, "if present ~= seen then" => "if false then",
        found by "unique_keys::valkey::a_held_key_returns_the_existing_job_or_is_refused";
    partition_gives_all_queues_one_number:
        partition, "local number = #names / 2 + 1" => "local number = 1",
        found by "lists::valkey::ready_jobs_are_listed_newest_first_over_all_lists_and_queues";
    recorded_drops_what_nobody_wrote:
        recorded, "head[n + 1] == ARGV[n + 1]" => "true",
        found by "history::valkey::two_recorders_never_drop_a_job_that_neither_wrote";
    push_absent_forgets_the_finished:
        push_absent, "and redis.call('EXISTS', base .. ':finished:' .. id) == 0" => "",
        found by "fixed_ids::valkey::a_job_that_ends_hours_after_its_time_is_known_too";
    push_absent_adds_an_id_to_the_list_that_has_it:
        push_absent, "redis.call('SREM', base .. ':ghosts', id) == 0" => "true",
        found by "fixed_ids::valkey::one_that_was_cancelled_so_long_ago_that_it_is_forgotten_is_run_once";
    push_absent_adds_some_and_fails_at_another:
        push_absent, "check(base, 'ZCARD', { ':of:' .. tenant })" => "",
        found by "fixed_ids::valkey::what_is_refused_for_a_damaged_key_is_refused_whole";
    push_absent_adds_a_job_twice_in_a_call:
        push_absent, "absent[id] = false" => "",
        found by "fixed_ids::valkey::what_is_refused_for_a_damaged_key_is_refused_whole";
    push_once_pushes_whatever_stands_in_the_key:
        push_once, "if not present then" => "if true then",
        found by "idempotency::valkey::of_many_pushes_with_one_idempotency_key_one_adds_a_job";
    push_once_takes_keys_and_fails_then:
        push_once, "check(base, 'ZCARD', { ':of:' .. tenant })" => "",
        found by "idempotency::valkey::a_push_with_a_key_that_is_refused_takes_no_key";
    replace_keeps_a_job_for_ever:
        replace, "finished, 'KEEPTTL')" => "finished)",
        found by "replacing::valkey::a_job_that_finished_long_after_its_push_is_replaced_and_kept_no_longer";
    forget_takes_those_that_have_not_ended:
        forget, "id) == 0 then" => "id) == 1 then",
        found by "lists::valkey::a_list_takes_only_jobs_that_have_ended_out_of_the_index";
    scored_leaves_out_those_of_the_same_time:
        scored, "'(' .. score" => "score",
        found by "lists::valkey::sorted_states_are_listed_by_time_also_when_all_times_are_the_same";
    lock_is_given_to_all_who_ask:
        lock, "if holder == id or (not holder and before == 0) then" => "if true then",
        found by "concurrency_running::valkey::of_50_jobs_of_one_key_in_two_replicas_never_two_run_at_once_and_all_end";
    lock_is_given_past_those_that_wait:
        lock, "(not holder and before == 0)" => "not holder",
        found by
        "concurrency_keys::valkey::of_the_jobs_that_wait_for_a_key_the_lowest_id_comes_first_and_before_all_that_are_ready";
    lock_is_never_taken_over:
        lock, "if holder and takes_over == '1' and" => "if false and",
        found by "concurrency_keys::valkey::the_key_of_a_job_whose_worker_died_is_free_when_its_lease_would_be";
    lock_remembers_for_ever_who_waits:
        lock, "if #lapsed > 0 then" => "if false then",
        found by "concurrency_keys::valkey::one_that_is_known_to_wait_and_does_not_come_is_forgotten";
    lock_remembers_all_who_wait:
        lock, "if redis.call('ZCARD', waiting) > tonumber(most_waiting) then" => "if false then",
        found by
        "concurrency_keys::valkey::no_more_than_10_000_jobs_of_a_key_are_known_to_wait_and_these_are_the_lowest";
    keep_lock_takes_it_from_others:
        keep_lock, "if has[1] and (has[1] ~= id or has[2] ~= claim) then" => "if false then",
        found by "concurrency_keys::valkey::a_lost_key_stops_the_handler_at_once_and_uses_no_attempt";
    keep_lock_takes_it_from_a_later_run:
        keep_lock, "(has[1] ~= id or has[2] ~= claim)" => "has[1] ~= id",
        found by "concurrency_keys::valkey::a_job_takes_its_own_key_over_from_its_earlier_run";
    unlock_frees_what_another_has:
        unlock, "if has[1] and has[1] == id and has[2] == claim then" => "if id ~= '' then",
        found by "concurrency_keys::valkey::who_lets_a_key_go_too_late_does_not_free_anothers";
    hurry_has_it_come_behind_the_others:
        hurry, "redis.call('LPUSH'" => "redis.call('RPUSH'",
        found by
        "concurrency_keys::valkey::of_the_jobs_that_wait_for_a_key_the_lowest_id_comes_first_and_before_all_that_are_ready";
    waiting_lists_the_last_job_twice:
        waiting, "return at + #ids - i + 1" => "return at + #ids - i",
        found by "lists::valkey::pages_are_complete_and_list_nothing_twice_while_jobs_are_pushed_and_claimed";
}

/// The exit code of a test with this bug, and what it said.
fn run(test: &str, bug: &str) -> (Option<i32>, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("QUEUE_PLANTED_BUG", bug)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}
