//! Names how pages are read: what was read by other code is not taken for what this code reads.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

/// Files and folders below `src` that have no part in what is read of a page: what is made of prices afterwards, names, and tests.
const OTHERS: [&str; 6] = ["compare", "rates", "thin", "lib", "testing", "tests"];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rustc-env=PRICES_RULES={}", rules()?);
    Ok(())
}

/// A hash of all files that decide.
pub(crate) fn rules() -> io::Result<String> {
    let mut hash = DefaultHasher::new();
    for path in deciding(Path::new("src"))? {
        fs::read(path)?.hash(&mut hash);
    }
    Ok(format!("{:016x}", hash.finish()))
}

/// The files below `folder` that decide what is read, in the order of their names.
pub(crate) fn deciding(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        match path.file_stem().and_then(|name| name.to_str()) {
            Some(name) if OTHERS.contains(&name) => {}
            _ if path.is_dir() => files.extend(deciding(&path)?),
            _ => files.push(path),
        }
    }
    Ok(files)
}
