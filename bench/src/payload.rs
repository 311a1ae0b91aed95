//! The payload of every job: JSON of 200 bytes that holds the job's number.

/// Bytes of a payload.
pub(crate) const BYTES: usize = 200;
const BEFORE_NUMBER: &str = r#"{"number":"#;
const BEFORE_TEXT: &str = r#","text":""#;

/// The payload of job `number`.
pub(crate) fn make(number: usize) -> String {
    let mut payload = format!("{BEFORE_NUMBER}{number}{BEFORE_TEXT}");
    while payload.len() < BYTES - 2 {
        payload.push('x');
    }
    payload.push_str("\"}");
    payload
}

/// The number in a payload.
pub(crate) fn number(payload: &[u8]) -> Option<usize> {
    let rest = payload.strip_prefix(BEFORE_NUMBER.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_200_bytes_and_gives_its_number_back() {
        for n in [0, 7, 9_999_999] {
            let payload = make(n);
            assert_eq!(payload.len(), BYTES);
            let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
            assert_eq!(value["number"], n);
            assert_eq!(number(payload.as_bytes()), Some(n));
        }
        assert_eq!(number(b"[]"), None);
    }
}
