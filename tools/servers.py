"""The servers of a running system: Redis, MongoDB, what catches mail, and the shops' pages."""

import os
import re
import shutil
import socket
import subprocess
import sys

from tools import packages
from tools.packages import MAIL, MONGOD, VALKEY, check_runs, get_server
from tools.shell import (
    DEV, ROOT, Problem, capture, end_groups, exit_text, last_lines, mortal, relative, say, wait_until,
)

LOGS = DEV / "log"
APP_STOP_S = 9.5  # a second later than producer and workers have to finish their jobs, since they hand back jobs after that
SERVER_STOP_S = 4  # for the servers; with the above under the 15 s that a stop may take


class Child:
    """A process of the running system, in a group of its own, with its output in .dev/log/<name>.log."""

    def __init__(self, name, command, lock, env=None):
        self.name = name
        self.log = LOGS / f"{name}.log"
        with open(self.log, "wb") as log:
            # The lock goes with it, so that no second system starts on this data before the last process has ended.
            self.process = subprocess.Popen(
                mortal(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=[lock], env=env, cwd=ROOT,
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return last_lines(self.text())

    def check(self):
        if self.process.poll() is not None:
            how = exit_text(self.process.returncode)
            raise Problem(f"{self.name} ended by itself ({how}); {relative(self.log)} ends with:\n{self.tail()}")


class System:
    """Everything `./dev` starts, in the order in which it starts it."""

    def __init__(self, lock):
        self.lock = lock
        self.ports = set()
        self.servers, self.apps = [], []

    def take_port(self, preferred, what=None):
        """The preferred port or the next free one, which is said."""
        port = next(port for port in range(preferred, preferred + 1000) if port not in self.ports and port_is_free(port))
        self.ports.add(port)
        if what and port != preferred:
            say(f"port {preferred} is taken: {what} gets {port}")
        return port

    def start_server(self, name, command, env=None):
        self.servers.append(Child(name, command, self.lock, env))
        return self.servers[-1]

    def start_app(self, name, command, env):
        self.apps.append(Child(name, command, self.lock, env))

    def children(self):
        return self.servers + self.apps

    def stop(self):
        """Producer and workers first, so that they can still write what they finish."""
        end_groups([child.process for child in reversed(self.apps)], APP_STOP_S)
        end_groups([child.process for child in self.servers], SERVER_STOP_S)


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def answers(port, question=b"", beginning=b""):
    """Whether a server listens, and answers a question like this."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            return not question or connection.recv(16).startswith(beginning)
    except OSError:
        return False


def choose_redis():
    """The binary for `./dev`: one on the PATH that is new enough, else our own."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and redis_version(found) >= (7, 0):
            return found
        if found:
            say(f"{found} is older than 7.0 or does not run: not used")
    return str(get_server(VALKEY))


def redis_version(binary):
    match = re.search(r"v=(\d+)\.(\d+)", capture([binary, "--version"])[1])
    return tuple(map(int, match.groups())) if match else (0, 0)


# What a server says of data that another version wrote. Redis 7.0 calls them broken and advises to repair them, which would lose them.
FOREIGN_DATA = {
    "redis": "Can't handle RDB format version|Wrong signature trying to load|Bad file format reading the append only file",
    "mongodb": "featureCompatibilityVersion|too recent to start up on the existing data|unsupported WiredTiger file version",
}


def wait_for_server(child, binary, data, ready):
    """Waits until a server answers that was started on what an earlier run left. One that cannot read it is named."""
    try:
        wait_until(f"{child.name} answers", ready, [child])
    except Problem:
        ours, wrote = server_version(binary), writer_of(data)
        if child.process.poll() is None or not re.search(FOREIGN_DATA[child.name], child.text()) or wrote == ours:
            raise
        raise Problem(
            f"{relative(binary)} ({ours}) cannot read the data in {relative(data)}, which {wrote or 'another version'} wrote; "
            "they are not damaged, do not have them repaired",
            'put the server that wrote them first on the PATH (ours: PATH="$PWD/.dev/bin:$PATH" ./dev), or give the data up: ./dev clean',
        ) from None


def server_version(binary):
    """For example Redis 7.0.15."""
    line = check_runs(binary)
    match = re.search(r"^(\S+) server v=(\S+)|db version v(\S+)", line)
    return line if not match else f"MongoDB {match[3]}" if match[3] else f"{match[1]} {match[2]}"


def writer_of(data):
    """Which Redis or Valkey wrote these data; None when that is not told."""
    for base in sorted(data.glob("appendonlydir/*.base.rdb")):
        with open(base, "rb") as file:
            match = re.search(rb"(valkey|redis)-ver.(\d+\.\d+\.\d+)", file.read(200), re.DOTALL)
        if match:
            return f"{match[1].decode().capitalize()} {match[2].decode()}"
    return None


def start(system, standins):
    """What needs no program of ours. The rest finds it in the system."""
    system.redis_url = start_redis(system)
    system.mongo_url, system.mongo_port = start_mongo(system)
    if not standins:
        system.shops = start_shops(system)
        system.mail_port = start_mail_catcher(system)


def start_redis(system):
    if os.environ.get("REDIS_URL"):
        say("redis: the one of REDIS_URL")
        return os.environ["REDIS_URL"]
    binary = choose_redis()
    port = system.take_port(6479, "redis")
    start_redis_on(system, binary, port, DEV / "redis")
    say(f"redis: {check_runs(binary).split(' sha=')[0]} ({relative(binary)}) on 127.0.0.1:{port}, data in .dev/redis")
    return f"redis://127.0.0.1:{port}"


def start_redis_on(system, binary, port, data):
    data.mkdir(exist_ok=True)
    command = [
        binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--appendonly", "yes",
        "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
    ]
    child = system.start_server("redis", command)
    wait_for_server(child, binary, data, lambda: answers(port, b"PING\r\n", b"+PONG"))


def start_mongo(system):
    """The URL, and the port of a server of our own, which `prepare_mongo` makes primary."""
    if os.environ.get("MONGO_URL"):
        say("mongodb: the one of MONGO_URL")
        return os.environ["MONGO_URL"], None
    binary = shutil.which("mongod") or str(get_server(MONGOD))
    port = system.take_port(27117, "mongodb")
    data = DEV / "mongo"
    data.mkdir(exist_ok=True)
    command = [
        binary, "--replSet", "rs0", "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(data),
        "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.5",
        # At SIGTERM a primary otherwise keeps answering for up to 15 s, for the sake of nodes that we do not have.
        "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
    ]
    child = system.start_server("mongodb", command)
    wait_for_server(child, binary, data, lambda: answers(port))
    say(f"mongodb: {check_runs(binary)} ({relative(binary)}) on 127.0.0.1:{port}, data in .dev/mongo")
    return f"mongodb://127.0.0.1:{port}/?directConnection=true", port


def prepare_mongo(system, binaries, database, shops):
    """Makes our own MongoDB take writes, with what the back end would write for the schedules to read."""
    if system.mongo_port:
        code, output = capture([str(binaries / "one-node"), str(system.mongo_port), database, shops])
        if code != 0:
            raise Problem(f"mongodb cannot be prepared; more is in .dev/log/mongodb.log:\n{last_lines(output)}")


def start_mail_catcher(system):
    """The port of an SMTP server that keeps every message as a file in .dev/mail."""
    packages.get_mail_packages()
    folder = DEV / "mail"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(ROOT / "tests/smtp_catcher.py"), "--port", "0", "--dir", str(folder)]
    port = listening(system.start_server("mail", command, {**os.environ, "PYTHONPATH": str(MAIL)}), r'"port"\s*:\s*(\d+)')
    say(f"mail catcher: 127.0.0.1:{port}, messages in .dev/mail")
    return port


def start_shops(system):
    """The demo's shop pages over HTTP; their URL."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(ROOT / "examples/shops")]
    url = f"http://127.0.0.1:{listening(system.start_server('shops', command), ' port ([0-9]+)')}"
    say(f"shop pages: {url}")
    return url


def listening(child, pattern):
    """The port that a server says it listens on."""
    wait_until(f"{child.name} listens", lambda: re.search(pattern, child.text()), [child])
    return int(re.search(pattern, child.text())[1])


def start_standins(system, binaries):
    """Stand-ins for the services whose real providers are built. Their addresses by name, and the variables that lead to them."""
    names = ["openai", "shops", "smtp", "fal", "scraperapi", "brightdata", "shopify", "woocommerce", "prestashop"]
    child = system.start_server("standins", [str(binaries / "standins"), *names])
    wait_until("the stand-ins listen", lambda: "# ready" in child.text(), [child])
    lines = child.text().splitlines()
    addresses = dict(re.findall(r"^# (\w+): (http://\S+)$", "\n".join(lines), re.MULTILINE))
    variables = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    variables["SCRAPE_ROUTE"] = "direct,scraperapi,brightdata"
    for name, url in addresses.items():
        say(f"stand-in {name}: {url}")
    return addresses, variables
