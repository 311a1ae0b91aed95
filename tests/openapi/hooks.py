"""How Schemathesis writes what it does not know: one JSON value a line."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, bytes) else value.encode()
    jobs = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(job, default=str).encode() + b"\n" for job in jobs)
