#!/usr/bin/env python3
"""How the API answers others while hostile clients send it batches of 32 MiB made of very small parts.

  bench/hostile.py PRODUCER VALKEY_SERVER [--clients 8] [--seconds 20]

Starts both on free ports with nothing else running, and prints, as JSON, how long `GET /api/health/live` took beside the clients, how much
memory the process took at most, and how the batches were answered. `./dev bench --hostile` builds the producer and runs it.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SECRET = "the secret of a measurement, long enough"
MIB = 1 << 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def token():
    pack = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"sub": "bench", "iss": "ecomsimply", "aud": "ecomsimply", "exp": int(time.time()) + 3600, "scope": "admin"}
    text = b".".join(pack(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (text + b"." + pack(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())).decode()


def bodies():
    """Batches of 32 MiB: too many jobs; jobs of nothing but small parts; jobs with as many bad fields as are looked at; one large text."""
    fill = lambda part, count: b'{"jobs":[' + b",".join([part] * count) + b"]}"
    parts = b'{"kind":"content","payload":{"features":[' + b",".join([b'{"":0}'] * 140_000) + b"]}}"
    bad = b'{"kind":"content","payload":{' + b",".join(b'"%d":0' % n for n in range(6_000)) + b"}}"
    long = b'{"kind":"content","payload":{"name":"' + b"x" * (MIB - 100) + b'"}}'
    return [fill(b'{"":0}', 4_500_000), fill(parts, 32), fill(bad, 500), fill(long, 31)]


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def hostile(port, body, until, statuses):
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    while time.monotonic() < until:
        try:
            status, _ = ask(port, "POST", "/api/jobs/batch", body, headers)
        except OSError as error:
            status = type(error).__name__
        statuses.append(status)


def memory(pid, field):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


def measure(port, pid, clients, seconds):
    texts, statuses, times = bodies(), [], []
    before = memory(pid, "VmRSS")
    until = time.monotonic() + seconds
    for n in range(clients):
        # A batch that is still answered at the end is not waited for.
        threading.Thread(target=hostile, args=(port, texts[n % len(texts)], until, statuses), daemon=True).start()
    while time.monotonic() < until:
        began = time.monotonic()
        status, _ = ask(port, "GET", "/api/health/live")
        assert status == 200, status
        times.append((time.monotonic() - began) * 1000)
        time.sleep(0.01)
    times.sort()
    at = lambda share: round(times[min(int(len(times) * share), len(times) - 1)], 1)
    return {
        "clients": clients, "asked": len(times), "live_p50_ms": at(0.5), "live_p99_ms": at(0.99), "live_max_ms": at(1),
        "memory_before_mib": round(before), "memory_most_mib": round(memory(pid, "VmHWM")),
        "batches": {str(status): statuses.count(status) for status in sorted(set(statuses), key=str)},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("producer")
    parser.add_argument("valkey")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    api, admin, redis = free_port(), free_port(), free_port()
    env = {
        "PATH": os.environ.get("PATH", ""), "HTTP_ADDR": f"127.0.0.1:{api}", "ADMIN_ADDR": f"127.0.0.1:{admin}",
        "REDIS_URL": f"redis://127.0.0.1:{redis}", "MONGO_URL": "mongodb://127.0.0.1:1", "JWT_SECRET": SECRET,
        "RUST_LOG": "warn",
    }
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [options.valkey, "--port", str(redis), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        producer = subprocess.Popen([options.producer], env=env, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    ask(api, "GET", "/api/health/live")
                    break
                except OSError:
                    if producer.poll() is not None or time.monotonic() > deadline:
                        sys.exit("the producer did not start")
                    time.sleep(0.05)
            print(json.dumps(measure(api, producer.pid, options.clients, options.seconds), indent=2))
        finally:
            for process in (producer, server):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
