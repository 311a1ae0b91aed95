#!/usr/bin/env python3
"""All sizes and formats of a JPEG of 12 megapixels, beside npm's sharp (libvips) on one thread, in turn.

  bench/pictures.py SIZES NODE MODULES [--rounds 3] [--file JPEG]

SIZES is `pictures/examples/sizes.rs`, built; MODULES a folder with node_modules. sharp is asked in two ways, of which the faster counts for its
time and the leaner for its memory. Then 100 pictures at once, through the gate of a worker. `./dev bench --pictures` gets and builds
what is needed. Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).with_name("pictures.mjs")
AGAIN = 3
AT_ONCE = 100
# As libuv reads it.
ONE_THREAD = {**os.environ, "UV_THREADPOOL_SIZE": "1"}


def run(*command):
    """The time in seconds, the most memory in MiB, and what else was said."""
    words = [str(word) for word in command]
    said = subprocess.run(words, env=ONE_THREAD, check=True, capture_output=True, text=True).stdout.split()
    return float(said[0]), int(said[1]) / 1024, said[2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes")
    parser.add_argument("node")
    parser.add_argument("modules")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file or Path(folder) / "scene.jpg"
        if not arguments.file:
            subprocess.run([arguments.sizes, "make", str(file)], check=True)
        modules = Path(arguments.modules).absolute()
        ways = {
            "ours": [arguments.sizes, file, AGAIN],
            "sharp, each of the JPEG": [arguments.node, SCRIPT, modules, file, AGAIN, "each"],
            "sharp, decoded once": [arguments.node, SCRIPT, modules, file, AGAIN, "once"],
        }
        times, peaks, last = {way: [] for way in ways}, {way: [] for way in ways}, {}
        for _ in range(arguments.rounds):
            for way, command in ways.items():
                seconds, mib, last[way] = run(*command)
                times[way].append(seconds)
                peaks[way].append(mib)
        seconds = {way: statistics.median(taken) for way, taken in times.items()}
        mib = {way: statistics.median(taken) for way, taken in peaks.items()}
        others = [way for way in ways if way != "ours"]
        together_s, together_mib, _ = run(arguments.sizes, "together", file, AT_ONCE)
    figures = {
        "seconds": seconds,
        "speed, ours / sharp": round(min(seconds[way] for way in others) / seconds["ours"], 3),
        "peak_mib": {way: round(value, 1) for way, value in mib.items()},
        "peak memory, ours / sharp": round(mib["ours"] / min(mib[way] for way in others), 3),
        "bytes, JPEG and WebP of each size": {way: " ".join(said) for way, said in last.items()},
        f"{AT_ONCE} at once": {"seconds": together_s, "peak_mib": round(together_mib, 1)},
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
