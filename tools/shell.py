"""Folders, words and processes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / ".dev"

# Why everything that goes on is to end: a signal came, or what goes on beside it failed. Whoever waits looks here, so that nothing is
# started and then forgotten.
halt = []
printing = threading.Lock()


class Problem(Exception):
    """Something that cannot be had or done: what it is, and the command that would help."""

    def __init__(self, what, help=None):
        super().__init__(what)
        self.what, self.help = what, help

    def __str__(self):
        return self.what + (f"\n  what helps: {self.help}" if self.help else "")


class Stopped(Exception):
    """SIGINT or SIGTERM came."""


def pause(seconds=0.1):
    """Waits a moment, and ends what goes on when it is to end."""
    time.sleep(seconds)
    if halt:
        raise halt[0]


@contextlib.contextmanager
def meanwhile(work):
    """Does the work in a thread beside what the `with` has, and waits for it. Whichever fails first ends the other."""
    def guarded():
        try:
            work()
        except BaseException as error:  # told by the main thread
            halt.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
        while thread.is_alive():
            pause(0.05)
    except BaseException as error:
        halt.append(error)
        raise
    finally:
        thread.join()
    if halt:
        raise halt[0]


def say(text, to=None):
    write(f"{text}\n", to or sys.stdout)


def show(text):
    """How far something is: on a terminal in the last line, which the next words replace."""
    if sys.stdout.isatty():
        write(text[:shutil.get_terminal_size().columns - 1], sys.stdout)
    else:
        say(text)


def write(text, to):
    with printing, contextlib.suppress(OSError):  # the terminal is gone; what was started must be stopped all the same
        print(f"\r\x1b[2K{text}" if to.isatty() else text, end="", file=to, flush=True)


def relative(path):
    try:
        return str(Path(path).relative_to(ROOT))
    except ValueError:
        return str(path)


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def last_lines(text, count=15):
    return "\n".join("    " + line for line in text.rstrip().splitlines()[-count:])


def exit_text(code):
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def mortal(command):
    """The command, made to end when this script does, even by kill -9, where util-linux has the tool for it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else list(command)


def signal_group(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end_groups(processes, grace):
    """One SIGTERM to each group that still runs, and SIGKILL to those that are left after the grace."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(process.poll() is None for process in running) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in running:
        if process.poll() is None:
            signal_group(process, signal.SIGKILL)
            process.wait()


def run_tool(command, limit=None, each_line=None, **options):
    """Runs a command in a process group of its own; its exit code, or None when the limit (seconds) passed. What it writes to standard
    error goes to `each_line`, where there is one."""
    if each_line:
        options["stderr"] = subprocess.PIPE
    process = subprocess.Popen(mortal(command), start_new_session=True, stdin=subprocess.DEVNULL, **options)
    reader = threading.Thread(target=read_lines, args=(process.stderr, each_line)) if each_line else None
    deadline = time.monotonic() + limit if limit else None
    try:
        if reader:
            reader.start()
        while process.poll() is None:
            if deadline and time.monotonic() > deadline:
                return None
            pause(0.05)
        return process.returncode
    finally:
        end_groups([process], 5)
        if reader:
            reader.join()


def read_lines(stream, each_line):
    """Lines end with a carriage return too, as those do that a program shows one over the other."""
    rest = b""
    while chunk := stream.read1(65536):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            each_line(line.decode(errors="replace"))
    if rest:
        each_line(rest.decode(errors="replace"))


def capture(command, **options):
    """Runs a short command quietly; its exit code and what it wrote."""
    with tempfile.TemporaryFile() as output:
        try:
            code = run_tool(command, stdout=output, stderr=subprocess.STDOUT, **options)
        except FileNotFoundError as error:
            return 127, str(error)
        output.seek(0)
        return code, output.read().decode(errors="replace")


def wait_until(what, condition, children=(), limit=60):
    """Waits until the condition holds, the children live, and nobody asks to stop."""
    deadline = time.monotonic() + limit
    while not condition():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            logs = "".join(f"\n  {relative(child.log)}:\n{child.tail()}" for child in children)
            raise Problem(f"waited {limit} s in vain until {what}{logs}")
        pause(0.05)
