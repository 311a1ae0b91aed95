"""Building, with how long it takes and how far it is."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.shell import ROOT, Problem, duration, exit_text, run_tool, say, show

# What a build of the three programs from an empty target folder takes, in minutes of one core.
CORE_MINUTES = {"release": 15, "dev": 6}
# More cores than this wait for each other most of the time.
CORES_THAT_HELP = 8
# How often a line is added to a log.
LOG_EVERY_S = 15
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROGRESS = re.compile(r"^ *Building \[.*\] (\d+)/(\d+)")
# What cargo says while nothing is wrong.
USUAL = re.compile(r"^ *(Compiling|Building|Finished|Fresh|Downloaded|Downloading|Updating|Fetch|Locking|Adding) ")


def find_cargo():
    if not (shutil.which("cc") or os.environ.get("CC")):
        raise Problem("there is no C compiler, which some crates need", "apt-get install gcc libc6-dev   (as root)")
    cargo = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo/bin"))
    if not cargo:
        raise Problem(
            "there is no cargo to build with",
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh   and open a new shell",
        )
    return cargo


def target_directory():
    command = [find_cargo(), "metadata", "--no-deps", "--format-version", "1"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return Path(json.loads(output)["target_directory"])


def folder_of(profile):
    return target_directory() / {"dev": "debug"}.get(profile, profile)


def run_cargo(words, **options):
    """Builds with one line of progress in place of a line for each crate; anything else runs as it is."""
    if words[0] == "build":
        watched = Build()
        colour = {"CARGO_TERM_COLOR": "always"} if sys.stderr.isatty() else {}
        progress = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "80"}
        options["env"] = {**colour, **(options.get("env") or os.environ), **progress}
        options["each_line"] = watched.line
    code = run_tool([find_cargo(), *words], cwd=ROOT, **options)
    if code is None:
        raise Problem(f"cargo {words[0]} took longer than {options['limit'] / 60:.0f} minutes and was ended")
    if code != 0:
        raise Problem(f"cargo {words[0]} failed ({exit_text(code)}); what it says is above")
    if words[0] == "build":
        say(f"built in {duration(watched.elapsed())}", sys.stderr)


class Build:
    """A build that goes on."""

    def __init__(self):
        self.started = time.monotonic()
        self.next = 0

    def elapsed(self):
        return time.monotonic() - self.started

    def line(self, line):
        """Shows how far the build is; passes on what is not usual: errors, warnings, that another cargo is waited for."""
        bare = COLOURS.sub("", line)
        progress = PROGRESS.match(bare)
        if progress and self.elapsed() >= self.next:
            self.next = self.elapsed() + (0.2 if sys.stderr.isatty() else LOG_EVERY_S)
            show(f"building: {progress[1]} of {progress[2]} parts in {duration(self.elapsed())}")
        elif not USUAL.match(bare):
            say(line, sys.stderr)


def say_how_long(profile):
    """Said before anything is begun."""
    if (folder_of(profile) / "producer").exists():
        say("building what has changed since the last time")
    elif profile in CORE_MINUTES:
        cores = os.cpu_count() or 1
        minutes = CORE_MINUTES[profile] / min(cores, CORES_THAT_HELP)
        say(f"this takes about {max(minutes, 1):.0f} minutes on {cores} cores, nearly all of it for the first build; later it is seconds")


def build_programs(profile, standins):
    """Builds the three programs, with what prepares the MongoDB; with the stand-ins of the vendors where they are wanted."""
    command = ["build", "--profile", profile, "-p", "producer", "-p", "worker", "-p", "ctl"]
    say(f"building: cargo {' '.join(command)}")
    run_cargo([*command, "-p", "servers"])
    if standins:
        # Apart, so that the three are the same as without them.
        run_cargo(["build", "--profile", profile, "-p", "tests", "--bin", "standins"])
