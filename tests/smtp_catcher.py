#!/usr/bin/env python3
"""A real SMTP server on loopback that keeps every message as a file.

Prints one line of JSON with its port when it listens. Each message becomes DIR/NNNN.eml, and a line of DIR/messages.jsonl
with its envelope. Ends on SIGTERM or SIGINT. Needs the package aiosmtpd.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Catcher:
    """What aiosmtpd asks at each step of a message."""

    def __init__(self, directory, reply, reply_rcpt):
        self.directory = directory
        self.reply = reply
        self.reply_rcpt = reply_rcpt
        self.count = sum(1 for _ in directory.glob("*.eml"))

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.reply_rcpt:
            return self.reply_rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.reply:
            return self.reply
        self.count += 1
        name = f"{self.count:04}.eml"
        # Renamed into place, so that a reader never sees half a message.
        partial = self.directory / f"{name}.partial"
        partial.write_bytes(envelope.original_content)
        os.replace(partial, self.directory / name)
        line = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "file": name}
        with open(self.directory / "messages.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return f"250 2.0.0 kept as {name}"


async def serve(options):
    options.dir.mkdir(parents=True, exist_ok=True)
    catcher = Catcher(options.dir, options.reply, options.reply_rcpt)
    tls = None
    if options.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)

    def login(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data == LoginPassword(options.user.encode(), options.password.encode())
        return AuthResult(success=good)

    def dialogue():
        starttls = tls if not options.implicit else None
        return SMTP(
            catcher,
            hostname="localhost",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=login if options.user else None,
            auth_required=options.user is not None,
            auth_require_tls=False,
        )

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(dialogue, options.host, options.port, ssl=tls if options.implicit else None)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--dir", type=Path, required=True, help="where messages are kept")
    parser.add_argument("--reply", help='answer to every text instead of keeping it, such as "451 4.3.0 try later"')
    parser.add_argument("--reply-rcpt", help='answer to every recipient, such as "550 5.1.1 no such user"')
    parser.add_argument("--cert", help="PEM; with it STARTTLS is insisted on")
    parser.add_argument("--key", help="PEM, of the certificate")
    parser.add_argument("--implicit", action="store_true", help="TLS from the first byte")
    parser.add_argument("--user", help="who has to log in")
    parser.add_argument("--password", default="")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
