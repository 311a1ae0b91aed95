//! A mail catcher: a real SMTP server that keeps every message as a file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use crate::binaries::{missing, workspace};
use crate::process::{mortal, spawn};
use crate::{TempDir, temp_dir};

/// `tests/smtp_catcher.py` on a free port, killed when dropped.
pub struct SmtpServer {
    child: Child,
    // Kept open: the catcher would die writing to a closed pipe.
    _output: BufReader<ChildStdout>,
    directory: TempDir,
    port: u16,
}

impl SmtpServer {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    /// When its Python packages are missing or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments, such as `--cert`; see `tests/smtp_catcher.py --help`.
    ///
    /// # Panics
    /// When its Python packages are missing or it does not start.
    pub fn start_with(arguments: &[&str]) -> Self {
        let packages = workspace().join(".dev/python");
        if !packages.join("aiosmtpd").is_dir() {
            missing("the Python package aiosmtpd");
        }
        let directory = temp_dir();
        let mut command = mortal(Path::new("python3"));
        command.arg(workspace().join("tests/smtp_catcher.py")).args(["--port", "0", "--dir"]).arg(directory.path());
        command.args(arguments);
        command.env("PYTHONPATH", packages).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn(command).expect("start python3");
        let mut output = BufReader::new(child.stdout.take().expect("the catcher's output is a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("read the catcher's first line");
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        let port = digits.parse().unwrap_or_else(|_| panic!("the mail catcher did not start; it said {line:?}"));
        Self { child, _output: output, directory, port }
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The raw messages that came in so far, oldest first.
    pub fn messages(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("read the catcher's folder");
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        let texts = files.iter().map(|file| fs::read(file).expect("read a message"));
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_message_that_was_sent_is_kept() {
        let server = SmtpServer::start();
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut say = |line: &str| {
            (&stream).write_all(line.as_bytes()).unwrap();
            answers.next().unwrap().unwrap()
        };
        assert!(say("").starts_with("220"));
        for line in ["HELO shop\r\n", "MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.com>\r\n"] {
            assert!(say(line).starts_with("250"));
        }
        assert!(say("DATA\r\n").starts_with("354"));
        assert!(say("Subject: offers\r\n\r\nhello\r\n.\r\n").starts_with("250"));
        let messages = server.messages();
        assert_eq!(messages.len(), 1);
        assert!(messages[0].contains("Subject: offers") && messages[0].contains("hello"));
    }
}
