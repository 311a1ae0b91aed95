//! How long finished jobs are kept, and in which bucket.

/// How long finished jobs are kept, and in which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Zero: not at all.
    pub(crate) ms: u64,
}

impl Retention {
    /// How much time a bucket covers.
    pub(crate) fn width_ms(self) -> u64 {
        (self.ms / 24).max(1)
    }

    pub(crate) fn bucket(self, at_ms: u64) -> u64 {
        at_ms / self.width_ms()
    }

    /// Buckets count from their end: every job in one is kept for at least the retention.
    fn expiry_ms(self, bucket: u64) -> u64 {
        (bucket + 1) * self.width_ms() + self.ms
    }

    pub(crate) fn ttl_ms(self, bucket: u64, now_ms: u64) -> u64 {
        self.expiry_ms(bucket).saturating_sub(now_ms).max(1)
    }

    /// The buckets to free now: the last that is past its expiry, and two before it in case a tick was missed.
    pub(crate) fn expired(self, now_ms: u64) -> (u64, u64) {
        let last = (now_ms.saturating_sub(self.ms) / self.width_ms()).saturating_sub(2);
        (last.saturating_sub(2), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_is_kept_for_at_least_its_retention() {
        let retention = Retention { ms: 86_400_000 };
        for now in [1_760_000_000_000, 1_760_003_599_999, 1_760_003_600_000_u64] {
            let bucket = retention.bucket(now);
            assert!(retention.expiry_ms(bucket) >= now + retention.ms);
            let (first, last) = retention.expired(now);
            assert!(first <= last && retention.expiry_ms(last) <= now, "only expired buckets are freed");
            assert!(retention.expiry_ms(last + 3) > now, "none is forgotten for long");
        }
    }
}
