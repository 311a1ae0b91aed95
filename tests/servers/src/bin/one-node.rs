//! For `./dev`: makes the mongod on a loopback port a replica set of one node, and writes what the demo's schedules read.

use std::io::{Error, Result};

/// `one-node PORT DATABASE SHOPS`
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, database, shops] = &arguments[..] else { return Err(Error::other("wanted: PORT DATABASE SHOPS")) };
    let port = port.parse().map_err(Error::other)?;
    servers::make_primary(port)?;
    servers::write_demo(port, database, shops)
}
