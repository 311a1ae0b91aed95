//! Names how pages are read: what was read by other code is not taken for what this code reads.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::Path,
};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=src");
    let mut hash = DefaultHasher::new();
    add(Path::new("src"), &mut hash)?;
    println!("cargo:rustc-env=PRICES_RULES={:016x}", hash.finish());
    Ok(())
}

/// All files below `folder`, in the order of their names.
fn add(folder: &Path, hash: &mut DefaultHasher) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(&path, hash)?;
        } else {
            fs::read(path)?.hash(hash);
        }
    }
    Ok(())
}
