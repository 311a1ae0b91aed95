#!/usr/bin/env python3
"""A night of prices: 20,000 pages of 200 shops, read by two workers at the shops' pace, once with all shops well and once with one that
refuses connections, one that never answers, and one that takes 5 s for an answer.

  bench/scrape.py PRODUCER WORKER VALKEY_SERVER MONGOD [--hosts 200] [--pages 100] [--pace-ms 1000] [--only well|ill]

Each shop is an address of its own in 127.1.0.0/16, all served by this program, which notes when each request comes. Prints, as JSON, pages a
second, the smallest time between two requests of one shop, when the last page of the shops that are well was asked for, and the workers'
memory on the way. `./dev bench --scrape` builds the programs and runs it.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from hostile import SECRET, ask, free_port, memory, token  # noqa: E402

PAGES_OF_A_JOB = 5
SLOW_S = 5
# As long as pages of shops are.
FILLER = "".join(f"<div class=row><a href=/p/{n}>Product number {n} of this shop</a><span>in many colours</span></div>" for n in range(500))


def page(path):
    price = 5 + sum(path.encode()) % 90
    offer = {"@type": "Product", "name": f"Cup {path}", "offers": {"@type": "Offer", "price": f"{price}.90", "priceCurrency": "EUR"}}
    head = f"<title>Cup {path}</title><script type=\"application/ld+json\">{json.dumps(offer)}</script>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><h1>Cup {path}</h1><b>€{price}.90</b>{FILLER}</body></html>".encode()


class Shops(threading.Thread):
    """All shops. What the addresses of `hang` are asked they never answer, and those of `slow` late."""

    def __init__(self, addresses, hang, slow):
        super().__init__(daemon=True)
        self.addresses, self.hang, self.slow = addresses, hang, slow
        self.times, self.paths = defaultdict(list), defaultdict(set)
        self.under_way, self.most_at_once = defaultdict(int), 0
        self.ready = threading.Event()

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        first = await asyncio.start_server(self.answer, self.addresses[0], 0, backlog=512)
        self.port = first.sockets[0].getsockname()[1]
        await asyncio.start_server(self.answer, self.addresses[1:] + self.hang, self.port, backlog=512)
        self.ready.set()
        await asyncio.Event().wait()

    async def answer(self, reader, writer):
        shop = writer.get_extra_info("sockname")[0]
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if path == "/robots.txt":
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                self.times[shop].append(time.monotonic())
                self.paths[shop].add(path)
                self.under_way[shop] += 1
                if shop not in self.hang:  # there nobody sees that the client has gone
                    self.most_at_once = max(self.most_at_once, self.under_way[shop])
                try:
                    if shop in self.hang:
                        await asyncio.sleep(3600)
                    if shop in self.slow:
                        await asyncio.sleep(SLOW_S)
                finally:
                    self.under_way[shop] -= 1
                body = page(path)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Programs:
    """Redis, MongoDB, the API and two workers, with nothing of an earlier run."""

    def __init__(self, options, folder):
        api, redis, mongo = free_port(), free_port(), free_port()
        env = {
            "PATH": os.environ.get("PATH", ""), "HTTP_ADDR": f"127.0.0.1:{api}", "REDIS_URL": f"redis://127.0.0.1:{redis}",
            "MONGO_URL": f"mongodb://127.0.0.1:{mongo}", "DB_NAME": "bench", "JWT_SECRET": SECRET, "RUST_LOG": "warn",
            "MOCK_MODE_SCRAPING": "false", "SCRAPE_ALLOW_HOSTS": "127.0.0.0/8", "SCRAPE_PACE_MS": str(options.pace_ms),
        }
        self.api, self.processes = api, []
        self.start([options.valkey, "--port", redis, "--bind", "127.0.0.1", "--dir", folder, "--save", ""])
        self.start([options.mongod, "--port", mongo, "--bind_ip", "127.0.0.1", "--dbpath", folder, "--nounixsocket",
                    "--wiredTigerCacheSizeGB", "0.25"])
        self.start([options.producer], {**env, "ADMIN_ADDR": f"127.0.0.1:{free_port()}"})
        self.workers = [self.start([options.worker], {**env, "ADMIN_ADDR": f"127.0.0.1:{free_port()}"}) for _ in range(2)]
        deadline = time.monotonic() + 30
        while not self.is_ready():
            if time.monotonic() > deadline:
                self.stop()
                sys.exit("the programs did not start")
            time.sleep(0.1)

    def start(self, words, env=None):
        process = subprocess.Popen([str(word) for word in words], env=env, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def is_ready(self):
        try:
            status, text = ask(self.api, "GET", "/api/health")
        except OSError:
            return False
        health = json.loads(text)
        return status == 200 and health["status"] == "ok" and health["workers"] == 2

    def call(self, method, path, body=None, kind="application/json"):
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": kind}
        status, text = ask(self.api, method, path, body, headers)
        assert status == 200, (status, text[:300])
        return text

    def depth(self):
        queues = json.loads(self.call("GET", "/api/queues"))
        return next(queue["depth"] for queue in queues if queue["name"] == "scrape")

    def memory_mib(self):
        return sum(memory(worker.pid, "VmRSS") for worker in self.workers)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def jobs(urls):
    """Jobs of some pages each, which are of any shops."""
    random.Random(1).shuffle(urls)
    for n in range(0, len(urls), PAGES_OF_A_JOB):
        payload = {"product_id": f"CUP-{n}", "urls": urls[n:n + PAGES_OF_A_JOB]}
        yield json.dumps({"kind": "scrape", "payload": payload})


def night(options, ill):
    addresses = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(options.hosts)]
    refuses, hangs, slow = ("127.1.9.1", "127.1.9.2", addresses[0]) if ill else (None, None, None)
    well = addresses[3:] if ill else addresses
    visited = [refuses, hangs, slow, *well] if ill else well
    shops = Shops([slow, *well] if ill else well, [hangs] if ill else [], [slow] if ill else [])
    shops.start()
    shops.ready.wait()
    urls = [f"http://{address}:{shops.port}/{n}" for address in visited for n in range(options.pages)]
    n_pages = len(well) * options.pages
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(options, folder)
        try:
            idle_mib, began = programs.memory_mib(), time.monotonic()
            answer = programs.call("POST", "/api/jobs/batch", "\n".join(jobs(urls)), "application/x-ndjson")
            ids = [json.loads(line)["id"] for line in answer.splitlines() if b'"id"' in line]
            pushed, samples = time.monotonic(), []
            read = lambda: sum(len(shops.paths[address]) for address in well)
            while read() < n_pages and time.monotonic() - began < options.most_s:
                samples.append((read() / n_pages, programs.memory_mib()))
                time.sleep(0.5)
            samples.append((read() / n_pages, programs.memory_mib()))
            depth = programs.depth()
            while not ill and sum(depth[state] for state in ("ready", "scheduled", "running", "retrying")) \
                    and time.monotonic() - began < options.most_s:
                time.sleep(0.5)
                depth = programs.depth()
            without = 0
            for id in random.Random(1).sample(ids, min(len(ids), 100)) if not ill else []:
                job = json.loads(programs.call("GET", f"/api/jobs/{id}"))
                pages = (job["result"] or {"pages": []})["pages"]
                without += len(pages) != PAGES_OF_A_JOB or any(not page["price"] for page in pages)
        finally:
            programs.stop()
    gaps = sorted(b - a for address in well for a, b in zip(shops.times[address], shops.times[address][1:]))
    # The first one is late by its reading of robots.txt.
    later = [b - a for address in well for a, b in zip(shops.times[address][1:], shops.times[address][2:])]
    last = {address: shops.times[address][-1] - began for address in well if shops.times[address]}
    at = lambda share: next(round(mib) for done, mib in samples if done >= share)
    n_asked = sum(len(shops.times[address]) for address in well)
    first = min(shops.times[address][0] for address in well if shops.times[address])
    whole_s = max(last.values()) - (first - began)
    figures = {
        "shops": len(visited), "pages_of_the_shops_that_are_well": n_pages, "read": read(), "asked": n_asked,
        "push_s": round(pushed - began, 1), "pages_per_s": round(n_asked / whole_s, 1),
        "pages_per_s_at_most": round(len(well) * 1000 / options.pace_ms, 1),
        "last_page_s": {"first_shop": round(min(last.values()), 1), "median": round(sorted(last.values())[len(last) // 2], 1),
                        "last_shop": round(max(last.values()), 1)},
        "gap_ms": {"pace": options.pace_ms, "smallest": round(gaps[0] * 1000), "percent_1": round(gaps[len(gaps) // 100] * 1000),
                   "smallest_but_the_first": round(min(later) * 1000),
                   "median": round(gaps[len(gaps) // 2] * 1000)},
        "most_at_once_of_one_shop": shops.most_at_once, "queue_at_the_end": depth,
        "both_workers_mib": {"before": round(idle_mib), "at_20_percent": at(0.2), "at_50_percent": at(0.5), "at_the_end": round(samples[-1][1]),
                             "most": round(max(mib for _, mib in samples))},
    }
    if ill:
        figures["asked_of_ill_shops"] = {"hangs": len(shops.times[hangs]), "slow": len(shops.times[slow])}
    else:
        figures["jobs_without_all_prices_of_100"] = without
    return figures


def main():
    parser = argparse.ArgumentParser()
    for name in ("producer", "worker", "valkey", "mongod"):
        parser.add_argument(name)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--pages", type=int, default=100, help="of each shop")
    parser.add_argument("--pace-ms", type=int, default=1000)
    parser.add_argument("--only", choices=("well", "ill"))
    parser.add_argument("--most-s", type=float, default=230, help="a night is broken off after that")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the programs end, too
    nights = [night for night in ("well", "ill") if options.only in (None, night)]
    print(json.dumps({f"shops_{name}": night(options, name == "ill") for name in nights}, indent=2))


if __name__ == "__main__":
    main()
