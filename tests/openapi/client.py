"""Enqueues, waits and lists with the client that `openapi-python-client` made: client.py URL TOKEN.

The client is the package `generated` in the current folder.
"""

import compileall
import importlib
import pkgutil
import sys

import generated
from generated import AuthenticatedClient
from generated.api.jobs import jobs_create, jobs_create_batch, jobs_list, jobs_show
from generated.api.queues import queues_list
from generated.api.schedules import schedules_put, schedules_show
from generated.models import (
    BatchRequest,
    Content,
    Definition,
    Email,
    JobAnswer,
    JobOptions,
    JobRequestContent,
    JobRequestEmail,
    JobSpec,
    Language,
    Priority,
    Problem,
    State,
)


def every_module_can_be_used():
    assert compileall.compile_dir(generated.__path__[0], quiet=1)
    for module in pkgutil.walk_packages(generated.__path__, "generated."):
        importlib.import_module(module.name)


def text(name):
    payload = Content(product_id="L-1", name=name, category="Lighting", language=Language.EN)
    return JobRequestContent(kind="content", payload=payload, options=JobOptions(priority=Priority.HIGH))


def email():
    return JobRequestEmail(kind="email", payload=Email(to="zoe@customer.example", subject="Hello", text="Hello Zoé"))


def main(url, token):
    every_module_can_be_used()
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)

    # Enqueue, with an idempotency key: the second time it is the same job.
    first = jobs_create.sync(client=client, body=text("Desk lamp"), idempotency_key="lamp-1")
    assert isinstance(first, JobAnswer), first
    again = jobs_create.sync_detailed(client=client, body=text("Desk lamp"), idempotency_key="lamp-1")
    assert (again.status_code, again.parsed.id) == (200, first.id), again

    # Wait.
    done = jobs_show.sync(str(first.id), client=client, wait=60.0)
    assert isinstance(done, JobAnswer) and done.state == State.SUCCEEDED, done
    assert done.provider == "mock" and done.payload["product_id"] == "L-1" and done.result["title"], done
    assert done.attempts[0].finished_at is not None and done.expires_at is None, done
    # A field that was not set was not sent: the kind's own default is in force.
    assert "tone" not in done.payload, done.payload

    # A batch, and the list of what was enqueued, page by page. A job that has just ended may not be listed yet: then from the start.
    batch = jobs_create_batch.sync(client=client, body=BatchRequest(jobs=[text("Floor lamp"), email()]))
    assert (batch.accepted, batch.rejected) == (2, 0), batch
    missing, cursor = {str(line.id) for line in batch.results} | {str(first.id)}, None
    while missing:
        page = jobs_list.sync(client=client, limit=2, **({"cursor": cursor} if cursor else {}))
        missing -= {str(job.id) for job in page.items}
        cursor = page.next_cursor
    assert {queue.name for queue in queues_list.sync(client=client)} >= {"content", "email"}

    # A schedule is answered as its schema says, and a problem is one.
    spec = JobSpec(kind="email", payload=email().payload.to_dict())
    answer = schedules_put.sync("ping", client=client, body=Definition(cron="0 3 * * *", job=spec, paused=True))
    assert (answer.name, answer.cron, answer.built_in, answer.next_at) == ("ping", "0 3 * * *", False, None), answer
    assert schedules_show.sync("ping", client=client).to_dict() == answer.to_dict()
    unknown = schedules_show.sync("pong", client=client)
    assert isinstance(unknown, Problem) and unknown.type_.endswith("/not-found"), unknown
    print("enqueued, waited, listed")


if __name__ == "__main__":
    main(*sys.argv[1:])
