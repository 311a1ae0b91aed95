//! The test of this test: for each script a bug that it must find. The bug is planted in a process of its own, this same test
//! binary, because the scripts of a process are the same for all its tests.

use std::process::Command;

/// The script and its text, what is replaced in it, and by what.
struct Bug {
    script: &'static str,
    text: &'static str,
    from: &'static str,
    to: &'static str,
}

macro_rules! bug {
    ($script:ident, $from:literal => $to:literal) => {
        Bug {
            script: stringify!($script),
            text: include_str!(concat!("../../src/scripts/", stringify!($script), ".lua")),
            from: $from,
            to: $to,
        }
    };
}

macro_rules! planted {
    ($($test:ident: $script:ident, $from:literal => $to:literal;)*) => {
        $(
            #[test]
            fn $test() {
                explore_with(&bug!($script, $from => $to), 0);
            }
        )*
    };
}

planted! {
    claim_leaves_due_jobs_where_they_were:
        claim, "redis.call('ZREM', waiting, unpack(due))" => "";
    claim_takes_no_lease:
        claim, "redis.call('ZADD', base .. ':leases', lease_end_ms, claim)" => "";
    finish_asks_no_claim:
        finish, "if has == had then" => "if true then";
    finish_forgets_what_a_claim_has_left:
        finish, "redis.call('HINCRBY', left, claim, -ends)" => "";
    finish_keeps_the_history:
        finish, "redis.call('HDEL', base .. sparse, unpack(done, from, to))" => "";
    finish_keeps_a_bucket_for_ever:
        finish, "redis.call('PEXPIRE', key, ttl_ms)" => "";
    release_asks_no_claim:
        release, "elseif not take(claim, id) then" => "elseif not take(claim, id) and false then";
    release_keeps_the_lease:
        release, "redis.call('ZREM', base .. ':leases', claim)" => "";
    release_leaves_the_job_in_its_claim:
        release, "string.sub(ids, 1, at - 1) .. string.sub(ids, at + 16)" => "ids";
    release_forgets_a_cancellation:
        release, "redis.call('SISMEMBER', base .. ':cancels', id) == 1" => "false";
    finish_keeps_the_progress:
        finish, "{ ':history', ':progress' }" => "{ ':history' }";
    release_keeps_the_progress:
        release, "redis.call('HDEL', base .. ':progress', id)" => "";
    progress_asks_no_claim:
        progress, "if not owns(id, ARGV[i + 1]) then" => "if false then";
    renew_extends_what_is_lost:
        renew, "if redis.call('ZSCORE', leases, ARGV[i]) then" => "if true then";
    renew_leaves_the_lease_as_it_is:
        renew, "redis.call('ZADD', leases, lease_end_ms, ARGV[i])" => "";
    upkeep_takes_jobs_from_living_workers:
        upkeep, "redis.call('ZRANGEBYSCORE', leases, '-inf', now," => "redis.call('ZRANGEBYSCORE', leases, '-inf', '+inf',";
    upkeep_forgets_only_the_record_of_a_dead_letter:
        upkeep, "redis.call('ZREM', dead, unpack(old))" => "";
    upkeep_frees_no_bucket:
        upkeep, "redis.call('UNLINK', base .. ':done:' .. bucket)" => "";
    cancel_forgets_that_the_id_is_still_listed:
        cancel, "redis.call('SADD', base .. ':ghosts', id)" => "";
    cancel_does_not_tell_the_running_one:
        cancel, "redis.call('SADD', base .. ':cancels', id)" => "";
    revive_lists_an_id_twice:
        revive, "redis.call('SREM', base .. ':ghosts', id) == 0" => "redis.call('SREM', base .. ':ghosts', id) >= 0";
    revive_forgets_the_clean_slate:
        revive, "if history ~= '' then" => "if false then";
    bury_forgets_the_history:
        bury, "redis.call('HDEL', KEYS[1] .. ':history', id)" => "";
    bury_deletes_what_is_not_dead:
        bury, "redis.call('ZREM', KEYS[1] .. ':dead', id) == 1" => "redis.call('ZREM', KEYS[1] .. ':dead', id) >= 0";
    unhold_loses_what_it_cannot_read:
        unhold, "redis.call('RPUSH', base .. ':held', id)" => "";
    beat_keeps_a_dead_replica_for_ever:
        beat, "redis.call('EXPIRE', KEYS[2], kept_s)" => "";
    mark_keeps_a_dead_replica_for_ever:
        mark, "redis.call('EXPIRE', KEYS[1], kept_s)" => "";
    find_knows_no_job_that_finished_late:
        find, "redis.call('GET', base .. ':finished:' .. id)" => "false";
}

/// What the model test tells when `bug` is planted, after `shrinks` attempts to tell it shorter.
fn explore_with(bug: &Bug, shrinks: u32) -> String {
    assert_eq!(bug.text.matches(bug.from).count(), 1, "{:?} is once in the script", bug.from);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "valkey::redis_does_what_the_model_does_1", "--nocapture"])
        .env("QUEUE_PLANTED_BUG", format!("{}\n{}\n{}", bug.script, bug.from, bug.to))
        .env("MODEL_STEPS", "60000")
        .env("PROPTEST_MAX_SHRINK_ITERS", shrinks.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), Some(101), "the bug is not found:\n{told}");
    // What is found is a difference, not a script that ends in an error.
    assert!(told.contains(" steps: ") && !told.contains("the call failed"), "{told}");
    told
}

#[test]
fn what_fails_is_told_in_few_steps() {
    let told = explore_with(&bug!(cancel, "redis.call('SADD', base .. ':ghosts', id)" => ""), 2_000);
    // Which steps are left over depends on the sequence that found it; a handful tells as much as two.
    let n_steps = told.split(" steps: ").next().and_then(|before| before.rsplit(' ').next()?.parse::<usize>().ok());
    assert!(n_steps.is_some_and(|n_steps| n_steps <= 8), "{told}");
    assert!(told.contains("\n  Push") && told.contains("\n  Cancel("), "{told}");
}
