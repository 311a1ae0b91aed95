//! Several finished jobs in one field of a bucket: a script handles one long text far faster than many short ones.
//!
//! A pack is `#`, then for each job `length of its finished record u32 LE · id · finished record`. A finished record by itself
//! begins with a byte of MessagePack's maps, never with `#`.

use crate::message::JobId;

const MARK: u8 = b'#';
/// The most jobs in a pack, and how many bytes it takes at most before another one is added: whoever looks for one of them reads
/// the whole pack.
pub(crate) const MOST: (usize, usize) = (64, 16 * 1024);
const HEAD: usize = 4 + 16;

/// A pack of these jobs.
pub(crate) fn pack<'a>(jobs: impl Iterator<Item = (JobId, &'a [u8])>) -> Vec<u8> {
    let mut bytes = vec![MARK];
    for (id, finished) in jobs {
        // At most a payload and its result: far under 4 GB.
        bytes.extend((finished.len() as u32).to_le_bytes());
        bytes.extend(id.as_bytes());
        bytes.extend(finished);
    }
    bytes
}

/// The finished record of a job in what is stored for it; `None` when a pack is damaged.
pub(crate) fn unpack(stored: &[u8], id: JobId) -> Option<&[u8]> {
    let Some(mut rest) = stored.strip_prefix(&[MARK]) else { return Some(stored) };
    loop {
        let (head, after) = rest.split_at_checked(HEAD)?;
        let (length, owner) = head.split_first_chunk::<4>()?;
        let (finished, next) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        if owner == id.as_bytes() {
            return Some(finished);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_found_in_its_pack_and_no_other() {
        let jobs: Vec<(JobId, Vec<u8>)> = (0..3u8).map(|n| (JobId::new(1, 7), vec![n; usize::from(n)])).collect();
        let packed = pack(jobs.iter().map(|(id, finished)| (*id, &finished[..])));
        for (id, finished) in &jobs {
            assert_eq!(unpack(&packed, *id), Some(&finished[..]));
        }
        assert_eq!(unpack(&packed, JobId::new(1, 7)), None);
    }

    #[test]
    fn a_record_by_itself_is_what_it_is_and_a_damaged_pack_is_none() {
        let id = JobId::new(1, 7);
        assert_eq!(unpack(b"\x81", id), Some(&b"\x81"[..]));
        let packed = pack([(id, &b"record"[..])].into_iter());
        for end in 1..packed.len() {
            assert_eq!(unpack(&packed[..end], id), None, "cut off after {end}");
        }
    }
}
