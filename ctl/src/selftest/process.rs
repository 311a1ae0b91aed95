//! Child processes that end with this one, however it ends.

use std::{
    env,
    os::unix::process::{CommandExt, parent_id},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Run a program that ends when the process `parent` does
#[derive(Debug, Args)]
pub(crate) struct Mortal {
    #[arg(long)]
    parent: u32,
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The command of a program that is to end when this process does.
pub(crate) fn mortal(program: &Path) -> Result<Command> {
    let mut command = this_program("selftest-mortal")?;
    command.arg(program);
    Ok(command)
}

/// The command of a hidden part of this program; killed when its handle is dropped.
pub(crate) fn this_program(part: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("cannot tell where this program is")?);
    command.args([part, "--parent", &std::process::id().to_string()]).kill_on_drop(true);
    Ok(command)
}

/// Becomes the program; returns only when that fails.
pub(crate) fn become_mortal(mortal: &Mortal) -> Result<std::process::ExitCode> {
    end_with(mortal.parent)?;
    let error = std::process::Command::new(&mortal.program).args(&mortal.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", mortal.program.display()))
}

/// Has the kernel kill this process when `parent` ends, where the kernel can do that.
pub(crate) fn end_with(parent: u32) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    ensure!(parent_id() == parent, "the process {parent} that started this one has ended");
    Ok(())
}

pub(crate) fn send(process: &Child, signal: Signal) -> Result<()> {
    let id = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    kill_process(id.context("the process has ended")?, signal)?;
    Ok(())
}

/// Kills a process and waits for its end: it still writes to its folder until then.
pub(crate) fn end(process: &mut Child) {
    let _ = process.start_kill();
    let deadline = Instant::now() + Duration::from_secs(5);
    while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}
