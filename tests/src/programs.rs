//! Where the programs and the examples are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder of the workspace's `Cargo.toml`.
///
/// # Panics
/// When this crate is not one folder below it.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is one folder below the workspace")
}

/// A file or folder of `examples`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    workspace().join("examples").join(name)
}

/// One of our programs, built with the profile of the running test.
///
/// # Panics
/// When it was not built: a test that starts programs does not make Cargo build them.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test knows its own path");
    let folder = test.ancestors().nth(2).expect("the test is in the folder `deps` of its profile");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is not there: run `./dev test`, or `cargo build --workspace --bins` first",
        program.display()
    );
    program
}
