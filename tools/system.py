"""The running system: `./dev`, `./dev --standins`, `./dev demo`, `./dev clean`."""

import fcntl
import json
import os
import re
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tools import cargo, servers
from tools.packages import FETCHED
from tools.shell import (
    DEV, ROOT, Problem, Stopped, capture, end_groups, exit_text, last_lines, meanwhile, mortal, pause, say, wait_until,
)

STATE = DEV / "run.json"
LOCK = DEV / "lock"
REPLICAS = 2
APP_GRACE_S = 8  # what producer and workers are given to finish their jobs


def take_lock():
    """Held while a system runs, by this script and by all it starts."""
    DEV.mkdir(exist_ok=True)
    lock = open(LOCK, "a+")
    deadline = time.monotonic() + 15
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            pass
        state = read_state()
        if state or time.monotonic() > deadline:
            where = f"at {state['url']}, process {state['pid']}" if state else "or starts or stops, in this folder"
            raise Problem(f"a system already runs {where}", "./dev demo uses it; Ctrl-C in its terminal stops it")
        pause()


def read_state():
    """What a running `./dev` says of itself; None when there is none that is ready."""
    try:
        state = json.loads(STATE.read_text())
        os.kill(state["pid"], 0)
        return state
    except (OSError, ValueError, KeyError):
        return None


def command_run(profile, standins):
    lock = take_lock()
    servers.LOGS.mkdir(exist_ok=True)
    STATE.unlink(missing_ok=True)
    system = servers.System(lock.fileno())
    try:
        return run_system(system, profile, standins)
    finally:
        # From here on a further signal changes nothing: all is being stopped already.
        say("stopping what was started")
        STATE.unlink(missing_ok=True)
        system.stop()


def run_system(system, profile, standins):
    cargo.say_how_long(profile)
    with meanwhile(lambda: servers.start(system, standins)):
        binaries = cargo.build_programs(profile, standins)
    if standins:
        addresses, variables = servers.start_standins(system, binaries)
        shops, mail = addresses["shops"], f"{addresses['smtp']}/_requests"
        services = {"MOCK_MODE": "false", **variables}
    else:
        shops, mail = system.shops, str(DEV / "mail")
        services = mock_services(system.mail_port)
    env = app_environment(system, services)
    servers.prepare_mongo(system, binaries, env["DB_NAME"], shops)
    token = write_token(binaries, env)
    url = start_apps(system, binaries, env)
    state = {"pid": os.getpid(), "url": url, "shops": shops, "mail": mail, "binaries": str(binaries)}
    write_secret("run.json", json.dumps(state))
    code = run_demo(state, token, [], system.children())
    if standins:
        show_status(state, token)
        show_how_to_break(addresses)
    say(f"\nAPI:   {url}   (documented at {url}/api/openapi.json)\ntoken: {token}   (also in .dev/token, for 30 days)")
    say(
        f"\necomctl, in another terminal:  export PATH=\"{binaries}:$PATH\"   and in this folder: ecomctl queue list\n"
        "tokens of its own making:       JWT_SECRET=$(cat .dev/secret) ecomctl token --scope \"jobs:write jobs:read\""
    )
    if code != 0:
        say(f"THE DEMO FAILED ({exit_text(code)}); what it says is above")
    say("running until Ctrl-C; `./dev demo` runs the demo again")
    try:
        while True:
            for child in system.children():
                child.check()
            pause(0.2)
    except Stopped:
        return code


def clean_environment():
    """Ours without the variables of .env.example: no key or mode of the caller's shell gets in. Loopback is past any proxy."""
    names = re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    kept = {name: value for name, value in os.environ.items() if name == "RUST_LOG" or name not in names}
    hosts = [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]
    kept["NO_PROXY"] = kept["no_proxy"] = ",".join(filter(None, hosts))
    return kept


def app_environment(system, services):
    return {
        **clean_environment(), **services,
        "REDIS_URL": system.redis_url, "MONGO_URL": system.mongo_url, "DB_NAME": "ecomsimply_dev",
        "JWT_SECRET": jwt_secret(), "SHUTDOWN_GRACE_S": str(APP_GRACE_S),
    }


def mock_services(mail_port):
    """All mock but what needs no vendor: pages are fetched, and mail goes to the catcher."""
    return {
        "MOCK_MODE": "true", "MOCK_MODE_SCRAPING": "false", "MOCK_MODE_EMAIL": "false",
        "SCRAPE_ALLOW_HOSTS": "127.0.0.1", "SMTP_SERVER": "127.0.0.1", "SMTP_PORT": str(mail_port),
        "SENDER_EMAIL": "shop@ecomsimply.example",
    }


def write_secret(name, text):
    """A file in .dev that only its owner can read."""
    path = DEV / name
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    path.chmod(0o600)


def jwt_secret():
    path = DEV / "secret"
    if not path.exists():
        write_secret("secret", secrets.token_hex(32))
    return path.read_text()


def write_token(binaries, env):
    """A 30-day token that may do everything, in .dev/token."""
    command = [str(binaries / "ecomctl"), "token", "--scope", "admin", "--days", "30"]
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    if result.returncode != 0:
        raise Problem(f"ecomctl token failed:\n{last_lines(result.stderr)}")
    write_secret("token", result.stdout.strip() + "\n")
    return result.stdout.strip()


def start_apps(system, binaries, env):
    """One producer and the worker replicas; the URL of the API once all are ready."""
    api = f"127.0.0.1:{system.take_port(8080, 'the API')}"
    workers = [("worker", f"worker-{number}") for number in range(1, REPLICAS + 1)]
    for program, name in [("producer", "producer"), *workers]:
        admin = f"127.0.0.1:{system.take_port(9100)}"
        system.start_app(name, [str(binaries / program)], {**env, "HTTP_ADDR": api, "ADMIN_ADDR": admin})
    say(f"starting one producer and {REPLICAS} workers; their logs are in .dev/log")
    wait_until("the API is ready", lambda: http_get(f"http://{api}/api/health/ready")[0] == 200, system.children())
    wait_until(f"{REPLICAS} workers are ready", lambda: workers_seen(api) >= REPLICAS, system.children())
    return f"http://{api}"


def workers_seen(api):
    status, body = http_get(f"http://{api}/api/health")
    return json.loads(body).get("workers") or 0 if status == 200 else 0


def http_get(url):
    """The status and the body as text; 0 while nothing answers. Loopback never goes through a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


def ecomctl(state, token, arguments):
    """The command and its environment."""
    env = {**clean_environment(), "ECOM_URL": state["url"], "ECOM_TOKEN": token}
    return [str(Path(state["binaries"]) / "ecomctl"), *arguments], env


def run_demo(state, token, arguments, children=()):
    """The demo's exit code."""
    catalogue = str(ROOT / "examples/catalogue.csv")
    command, env = ecomctl(state, token, ["demo", "--catalogue", catalogue, "--shops", state["shops"], *arguments])
    process = subprocess.Popen(mortal(command), start_new_session=True, stdin=subprocess.DEVNULL, env=env, cwd=ROOT)
    try:
        while process.poll() is None:
            for child in children:
                child.check()
            pause(0.05)
        return process.returncode
    finally:
        end_groups([process], 2)


def show_status(state, token):
    """What each service says of itself."""
    command, env = ecomctl(state, token, ["status"])
    code, output = capture(command, env=env)
    say(f"\n{output.rstrip()}" if code == 0 else f"\nno status ({exit_text(code)}):\n{last_lines(output)}")


def show_how_to_break(addresses):
    """One command for each thing that can be done to a stand-in by hand."""
    openai, smtp = addresses["openai"], addresses["smtp"]
    say(
        f"\nbreak one:  curl -X PUT {openai}/_fault -d '{{\"fault\": \"status\", \"status\": 500}}'\n"
        f"            curl -X PUT {smtp}/_fault -d '{{\"at\": \"recipient\", \"reply\": \"451 4.7.1 try later\", \"times\": 3}}'\n"
        f"mend it:    curl -X DELETE {openai}/_fault\n"
        f"what came:  curl {openai}/_requests"
    )


def command_demo(arguments):
    state = read_state()
    if not state:
        raise Problem("no system runs in this folder", "./dev   in another terminal")
    return run_demo(state, (DEV / "token").read_text().strip(), arguments)


def command_clean(everything):
    take_lock()
    kept = {LOCK} if everything else {LOCK, *FETCHED}
    for path in set(DEV.iterdir()) - kept:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    what = "all of .dev" if everything else "the data and logs in .dev; --all would remove the servers too"
    say(f"removed {what}")
    return 0
