//! Temporary directories that go when they are dropped, or when the test process ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use crate::{prefix, process};

/// A directory that is removed, with all in it, when this is dropped.
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A server that is being killed may still write; what is left is small and in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A new empty directory below the system's folder for temporary files.
pub fn temp_dir() -> TempDir {
    let path = env::temp_dir().join(format!("ecomsimply-{}", prefix()));
    fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
    TempDir { path }
}

/// Removes `path` when this process ends: shared servers are never dropped, so a shell waits for the end of its input, which is
/// the end of the process that keeps the returned child.
pub(crate) fn remove_at_exit(path: &Path) -> Child {
    let mut command = Command::new("sh");
    // Again and again, because the server dies at the same moment and may still write a file.
    let script = r#"trap "" INT TERM HUP; cat; for try in 1 2 3 4 5 6 7 8 9; do
        rm -rf -- "$0"; [ -e "$0" ] || exit 0; sleep 1; done"#;
    command.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    process::spawn(command).expect("start a shell")
}
