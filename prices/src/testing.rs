//! What tests need.

/// What this thread has used of the processor, in seconds: unlike a clock it does not run while others do.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
