//! The name of a claim: replica, number of the claim, and its time, so that a stopped and resumed worker cannot pass for its own
//! later claim. Written `host/pid/random/claim@ms`.

use std::{fmt, str::FromStr};

/// One run of a worker process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReplicaId(String);

impl ReplicaId {
    pub(crate) fn new(host: &str, pid: u32) -> Self {
        let host: String = host.chars().filter(|c| !matches!(c, '/' | '@')).take(64).collect();
        let random = uuid::Uuid::now_v7().simple().to_string();
        Self(format!("{host}/{pid}/{}", &random[24..]))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and process, as people know it.
    pub(crate) fn worker(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(worker, _)| worker)
    }

    pub(crate) fn claim(&self, claim: u64, at_ms: u64) -> ClaimName {
        ClaimName { replica: self.clone(), claim, at_ms }
    }
}

/// Which claim of which replica has a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimName {
    pub(crate) replica: ReplicaId,
    claim: u64,
    /// When it was claimed.
    pub(crate) at_ms: u64,
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.replica.0, self.claim, self.at_ms)
    }
}

impl FromStr for ClaimName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rest, at_ms) = text.rsplit_once('@').ok_or(())?;
        let (replica, claim) = rest.rsplit_once('/').ok_or(())?;
        let parse = |number: &str| number.parse().map_err(|_| ());
        Ok(Self { replica: ReplicaId(replica.to_owned()), claim: parse(claim)?, at_ms: parse(at_ms)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_names_its_worker() {
        let replica = ReplicaId::new("host-1/x@y", 4211);
        let name = replica.claim(17, 1_760_000_000_000);
        let read: ClaimName = name.to_string().parse().unwrap();
        assert_eq!(read, name);
        assert_eq!(read.replica.worker(), "host-1xy/4211");
        assert!("nonsense".parse::<ClaimName>().is_err());
    }

    #[test]
    fn two_runs_of_the_same_process_id_differ() {
        assert_ne!(ReplicaId::new("a", 1), ReplicaId::new("a", 1));
    }
}
