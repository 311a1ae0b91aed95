//! What an SMTP server says. Replies are bytes: servers speak Latin-1 and other charsets in them, and only the code counts.
//!
//! Not read by `smtp-proto`: that takes a reply whose lines have different codes for its first, cuts the parts of an enhanced code at 255
//! (Exchange has 5.7.708), and does not tell a line of a code alone from others.

use std::{fmt, io};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// RFC 5321 allows 512 bytes; some servers need more.
const LONGEST_LINE: u64 = 4096;
const MOST_LINES: usize = 200;
/// What is told of a line that is no reply.
const QUOTED: usize = 80;

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// 200 to 599.
    pub(super) code: u16,
    /// `5.7.1` of RFC 3463, if it is given.
    pub(super) enhanced: Option<[u16; 3]>,
    /// What is said besides the code, without control characters.
    pub(super) lines: Vec<String>,
    /// Whether its last line is the code alone. That is allowed, but what says nothing may be half of something else.
    pub(super) is_bare: bool,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReply {
    /// The connection is over.
    #[error("the connection was closed")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// Something was said that is no reply.
    #[error("{0}")]
    Nonsense(String),
}

impl Reply {
    /// Reads one. After an error nothing else that comes can be understood.
    pub(super) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Self, NoReply> {
        let mut reply: Option<Self> = None;
        loop {
            let line = read_line(stream).await?;
            let (code, is_last, is_bare, text) =
                split(&line).ok_or_else(|| NoReply::Nonsense(format!("{} is no reply", quoted(&line))))?;
            let reply = reply.get_or_insert(Self { code, enhanced: None, lines: Vec::new(), is_bare: false });
            if reply.code != code {
                return Err(NoReply::Nonsense(format!("one reply has the codes {} and {code}", reply.code)));
            }
            let text = readable(text);
            reply.enhanced = reply.enhanced.or_else(|| enhanced(&text));
            reply.lines.push(text);
            reply.is_bare = is_bare;
            if is_last {
                return Ok(reply.clone());
            }
            if reply.lines.len() == MOST_LINES {
                return Err(NoReply::Nonsense(format!("a reply has more than {MOST_LINES} lines")));
            }
        }
    }
}

/// The code and all lines as one.
impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        self.lines.iter().filter(|line| !line.is_empty()).try_for_each(|line| write!(formatter, " {line}"))
    }
}

async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, NoReply> {
    let mut line = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    if line.pop_if(|last| *last == b'\n').is_none() {
        return Err(match line.len() as u64 {
            LONGEST_LINE => NoReply::Nonsense(format!("a line has more than {LONGEST_LINE} bytes")),
            _ => NoReply::Closed,
        });
    }
    line.pop_if(|last| *last == b'\r');
    Ok(line)
}

/// The code, whether it is the last line, whether it is the code alone, and the rest.
fn split(line: &[u8]) -> Option<(u16, bool, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let code =
        code.iter().try_fold(0, |code, byte| byte.is_ascii_digit().then(|| 10 * code + u16::from(byte - b'0')))?;
    let (is_last, is_bare, text) = match rest {
        [] => (true, true, rest),
        [b' ', text @ ..] => (true, false, text),
        [b'-', text @ ..] => (false, false, text),
        _ => return None,
    };
    (200..600).contains(&code).then_some((code, is_last, is_bare, text))
}

/// As UTF-8 if it is, else as Latin-1, in which every byte is a letter.
fn readable(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    text.replace(char::is_control, " ").trim().to_owned()
}

fn quoted(line: &[u8]) -> String {
    format!("{:?}", readable(line).chars().take(QUOTED).collect::<String>())
}

/// The enhanced code that a line begins with; some servers put `#` before it.
fn enhanced(text: &str) -> Option<[u16; 3]> {
    let text = text.strip_prefix('#').unwrap_or(text);
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let mut parts = text[..end].trim_end_matches('.').split('.').map(|part| {
        let is_short = part.len() <= 3;
        part.parse::<u16>().ok().filter(|_| is_short)
    });
    let code = [parts.next()??, parts.next()??, parts.next()??];
    (parts.next().is_none() && matches!(code[0], 2 | 4 | 5)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> Result<Reply, String> {
        Reply::read(&mut bytes).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_reply_is_read_in_whatever_charset_it_is() {
        for (bytes, text) in [
            (&b"250 2.0.0 Nachricht \xfcbernommen\r\n"[..], "250 2.0.0 Nachricht übernommen"),
            ("250 2.0.0 Nachricht übernommen\r\n".as_bytes(), "250 2.0.0 Nachricht übernommen"),
            (b"550-5.1.1 No such\r\n550 5.1.1 user\x07 here\n", "550 5.1.1 No such 5.1.1 user  here"),
            (b"250-\r\n250 \r\n", "250"),
        ] {
            assert_eq!(read(bytes).await.unwrap().to_string(), text);
        }
        let bare = read(b"250-2.0.0 queued\r\n250\r\n").await.unwrap();
        assert!(bare.is_bare && !read(b"250 \r\n").await.unwrap().is_bare);
        assert_eq!(bare.enhanced, Some([2, 0, 0]));
    }

    #[tokio::test]
    async fn what_is_no_reply_is_not_taken_for_one() {
        for bytes in [
            &b"250-ok\r\n550 no\r\n"[..],
            b"OK\r\n",
            b"25\r\n",
            b"2500 ok\r\n",
            b"+50 ok\r\n",
            b"100 go on\r\n",
            b"600 x\r\n",
            b"\r\n",
            b"250 ok",
            b"250-ok\r\n",
            b"",
            &b"250-ok\r\n".repeat(MOST_LINES),
            &b"2".repeat(10_000),
        ] {
            assert!(read(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_come_to_an_end_is_not_listened_to() {
        for (endless, what) in [(b"250-ok\r\n".repeat(MOST_LINES), "200 lines"), (b"2".repeat(10_000), "4096 bytes")] {
            assert!(read(&endless).await.unwrap_err().contains(what), "{what}");
        }
    }

    #[test]
    fn an_enhanced_code_is_found_where_it_belongs() {
        for (text, code) in [
            ("5.7.708 Access denied", Some([5, 7, 708])),
            ("#5.1.0 Address rejected.", Some([5, 1, 0])),
            ("4.2.1", Some([4, 2, 1])),
            ("5.4.5: daily limit", Some([5, 4, 5])),
            ("5.7.1. Denied", Some([5, 7, 1])),
            ("5.6.7.8 is blocked", None),
            ("3.1.1 x", None),
            ("5.7 x", None),
            ("host 5.7.1", None),
            ("5.7.1000 x", None),
        ] {
            assert_eq!(enhanced(text), code, "{text}");
        }
    }
}
