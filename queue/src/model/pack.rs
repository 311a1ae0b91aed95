//! Several finished jobs in one field of a bucket: a script handles one long text far faster than many short ones.
//!
//! A pack is `#`, then for each job `length of its finished record u32 LE · id · finished record`. A finished record by itself
//! begins with a byte of MessagePack's maps, never with `#`. `find.lua` takes a job out of its pack.

use super::id::JobId;

const MARK: u8 = b'#';
/// The most jobs in a pack, and how many bytes it takes at most before another one is added: whoever looks for one of them reads
/// the whole pack.
pub(crate) const MOST: (usize, usize) = (64, 16 * 1024);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_has_for_each_job_its_length_its_id_and_its_record() {
        let (a, b) = (JobId::new(1, 7), JobId::new(1, 8));
        let packed = pack([(a, &b"record"[..]), (b, &b""[..])].into_iter());
        let expected = [b"#\x06\0\0\0", &a.as_bytes()[..], b"record", b"\0\0\0\0", &b.as_bytes()[..]].concat();
        assert_eq!(packed, expected);
    }
}
