"""The side of Celery and taskiq: does one thing, told as JSON in the last argument, and writes one JSON line about it.

Python runs one thread at a time, so that pushes and runs are shared between as many processes as there are cores.
They are forked and tell each other in shared memory what they did.
"""

import asyncio
import ctypes
import json
import mmap
import os
import signal
import sys
import threading
import time
import traceback
import warnings

import redis

DAY_S = 24 * 3600
POLL_S = 0.005
PATIENCE_S = 300
task = json.loads(sys.argv[-1])
url = task["url"]
text = "x" * (task["payload_bytes"] - len('{"number":1234567,"text":""}'))


def payload(number):
    return {"number": number, "text": text}


def shared(length):
    """Numbers, 0 at first, that forked processes see, too."""
    return (ctypes.c_double * length).from_buffer(mmap.mmap(-1, 8 * length))


# When each job started, by its number; the last is a job to warm up with. time.monotonic() is one clock for all processes.
jobs = task.get("jobs", 0)
started = shared(jobs + 1)
# When a worker began to take jobs.
ready = shared(1)


def note_start(number):
    started[number] = time.monotonic()


def fork(run):
    """Runs it in a process of its own, which ends when this one does."""
    child = os.fork()
    if child:
        return child
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} takes too long")
        time.sleep(POLL_S)


def processes_for(clients):
    """How many clients each process has."""
    n = min(clients, task["processes"])
    return [clients // n + (index < clients % n) for index in range(n)]


# ---- Celery ----------------------------------------------------------------------------------------------------
# As its guide on optimizing says for short jobs: many are fetched ahead, and they are handed to the processes of the
# pool without asking which one is free. The worker sends no events and does not look for others.


class Celery:
    def __init__(self, keep):
        import celery
        from celery.platforms import SecurityWarning

        warnings.simplefilter("ignore", SecurityWarning)  # of a user who is root, as in a container
        self.app = celery.Celery("bench", broker=url, backend=url if keep else None)
        self.app.conf.update(
            broker_pool_limit=64, redis_max_connections=200, result_expires=DAY_S, task_ignore_result=not keep,
            worker_prefetch_multiplier=100, worker_disable_rate_limits=True, worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
        )

        @self.app.task(name="job")
        def job(number, text):
            note_start(number)
            return True

        self.job = job

    def push_all(self, clients, numbers, until):
        """Each client pushes one job after another while numbers last; how many were pushed before the time."""
        pushed = [0] * clients

        def client(index):
            for number in numbers:
                if time.monotonic() >= until:
                    return
                self.job.apply_async(kwargs=payload(number))
                pushed[index] += 1

        threads = [threading.Thread(target=client, args=[index]) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(pushed)

    def push_evenly(self, per_second, pushed):
        began = time.monotonic()
        for number in range(len(pushed)):
            time.sleep(max(0, began + number / per_second - time.monotonic()))
            pushed[number] = time.monotonic()
            self.job.apply_async(kwargs=payload(number))

    def work(self, processes):
        """Starts the worker, whose pool has the processes; what to kill."""
        from celery.signals import worker_ready

        def run():
            # The pool's processes are a group, so that they can be ended with the worker.
            os.setpgid(0, 0)

            @worker_ready.connect(weak=False)
            def note_ready(**_):
                ready[0] = time.monotonic()

            self.app.Worker(
                concurrency=processes, pool="prefork", optimization="fast", without_gossip=True, without_mingle=True,
                without_heartbeat=True, loglevel="ERROR", quiet=True,
            ).start()

        return [-fork(run)]


# ---- taskiq ----------------------------------------------------------------------------------------------------
# The broker of streams, which is the one that loses no jobs, on uvloop, with as many jobs at a time as its worker has by
# default. What its command `taskiq worker` starts in each process is started here.


class Taskiq:
    def __init__(self, keep):
        from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

        self.loop = None
        self.broker = RedisStreamBroker(url, max_connection_pool_size=100)
        if keep:
            self.broker = self.broker.with_result_backend(RedisAsyncResultBackend(url, result_ex_time=DAY_S))

        @self.broker.task(task_name="job")
        async def job(number: int, text: str) -> bool:
            note_start(number)
            return True

        self.job = job

    def run(self, coroutine):
        import uvloop

        # Connections stay with the loop that opened them, so that each process has one.
        self.loop = self.loop or uvloop.new_event_loop()
        return self.loop.run_until_complete(coroutine)

    def push_all(self, clients, numbers, until):
        async def client():
            pushed = 0
            for number in numbers:
                if time.monotonic() >= until:
                    break
                await self.job.kiq(**payload(number))
                pushed += 1
            return pushed

        async def all_clients():
            await self.broker.startup()
            return sum(await asyncio.gather(*(client() for _ in range(clients))))

        return self.run(all_clients())

    def push_evenly(self, per_second, pushed):
        async def push():
            pushes = []
            began = time.monotonic()
            for number in range(len(pushed)):
                await asyncio.sleep(began + number / per_second - time.monotonic())
                pushed[number] = time.monotonic()
                pushes.append(asyncio.ensure_future(self.job.kiq(**payload(number))))
            await asyncio.gather(*pushes)

        self.run(push())

    def work(self, processes):
        from taskiq.api import run_receiver_task

        async def receive():
            await self.broker.startup()
            ready[0] = ready[0] or time.monotonic()
            await run_receiver_task(self.broker, run_startup=False)

        def run():
            self.broker.is_worker_process = True
            self.run(receive())

        return [fork(run) for _ in range(processes)]


# ---- what is measured ------------------------------------------------------------------------------------------


def push_in_processes(clients, numbers_of, time_s):
    """Pushes from as many processes as it makes sense; jobs a second from when all of them can."""
    shares = processes_for(clients)
    pushed, ends, connected = shared(len(shares)), shared(len(shares)), shared(len(shares))
    began = shared(1)

    def run(index):
        connected[index] = 1
        wait_until(lambda: began[0], "the start")
        until = began[0] + time_s
        pushed[index] = peer.push_all(shares[index], iter(numbers_of(index, len(shares))), until)
        ends[index] = time.monotonic()

    children = [fork(lambda index=index: run(index)) for index in range(len(shares))]
    wait_until(lambda: all(connected), "starting to push")
    began[0] = time.monotonic()
    for child in children:
        if os.waitpid(child, 0)[1] != 0:
            sys.exit("a process that pushes failed")
    return sum(pushed) / (max(ends) - began[0])


def push():
    return push_in_processes(task["clients"], lambda index, n: range(index, 1 << 40, n), task["time_s"])


def fill():
    return push_in_processes(16, lambda index, n: range(index, jobs, n), float("inf"))


def drain():
    server = redis.Redis.from_url(url)
    workers = peer.work(task["processes"])
    first_left = 0

    def ended():
        nonlocal first_left
        while first_left < jobs and started[first_left]:
            first_left += 1
        return first_left == jobs and (not task["keep"] or server.dbsize() >= jobs)

    wait_until(ended, "running the jobs")
    rate = jobs / (time.monotonic() - ready[0])
    end(workers)
    return rate


def start():
    workers = peer.work(task["processes"])
    pushed = shared(jobs)
    wait_until(lambda: ready[0], "the start of the worker")

    def run():
        peer.push_all(1, iter([jobs]), float("inf"))
        wait_until(lambda: started[jobs], "the first job")
        peer.push_evenly(task["per_second"], pushed)

    pusher = fork(run)
    if os.waitpid(pusher, 0)[1] != 0:
        sys.exit("the process that pushes failed")
    wait_until(lambda: all(started), "running the jobs")
    end(workers)
    return [(started[number] - pushed[number]) * 1000 for number in range(jobs)]


def end(workers):
    for worker in workers:
        (os.killpg if worker < 0 else os.kill)(abs(worker), signal.SIGKILL)
        os.waitpid(abs(worker), 0)


peer = {"celery": Celery, "taskiq": Taskiq}[task["system"]](task.get("keep", True))
result = {"push": push, "fill": fill, "drain": drain, "start": start}[task["do"]]()
print(json.dumps({"result": result}), flush=True)
