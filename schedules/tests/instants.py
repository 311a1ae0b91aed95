"""When cron expressions run, by another way than the crate's: it walks through real time in steps of five minutes and looks
at the clock of each zone. Prints the table that `tables.rs` compares with:

    pip install --target /tmp/tz tzdata==2026.6
    PYTHONTZPATH= PYTHONPATH=/tmp/tz python3 schedules/tests/instants.py > schedules/tests/instants.txt

A line has the zone, the expression, how many instants there are in 2025 to 2030, and the CRC-32 of their Unix seconds, each
followed by a line feed; then come the instants within a day of a change of the clock, for people.
"""

import sys
import zlib
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import tzdata

ZONES = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",
    # Whose rules were changed since 2025.
    "Africa/El_Aaiun",
    "America/Vancouver",
    "America/Edmonton",
    "America/Winnipeg",
    "America/Inuvik",
    "America/Havana",
]
EXPRESSIONS = [
    "0 0 * * *",
    "0 3 * * *",
    "30 2 * * *",
    "15 2 * * *",
    "*/15 2 * * *",
    "0 2,3 * * *",
    "10,40 0-3 * * sun",
    "30 1 * * 1-5",
    "0 0 * * 7",
    "0 12 13 * 5",
    "0 9 */10 * 1",
    "0 9 1 jan,jul *",
    "0 0 31 * *",
    "30 2 29 2 *",
    "0 * * * *",
    "*/30 * * * *",
    "5 */2 * * *",
    "45 1-3/1 * * *",
    "0 0-23/6 * * *",
    "20 * 29 2 *",
]
STEP = timedelta(minutes=5)
BEGIN = datetime(2025, 1, 1, tzinfo=timezone.utc)
END = datetime(2031, 1, 1, tzinfo=timezone.utc)
NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


def numbers(text, first, last, names=()):
    """The numbers that a field lists."""
    found = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        if span == "*":
            low, high = first, last
        else:
            low, _, high = (span if "-" in span else f"{span}-{span}").partition("-")
            low, high = (first + names.index(x) if x in names else int(x) for x in (low, high))
        found.update(range(low, high + 1, int(step or 1)))
    return found


class Expression:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minutes = numbers(minute, 0, 59)
        self.hours = numbers(hour, 0, 23)
        self.days = numbers(day, 1, 31)
        self.months = numbers(month, 1, 12, NAMES)
        self.weekdays = {n % 7 for n in numbers(weekday, 0, 6, DAYS)}
        self.one_is_enough = day[0] != "*" and weekday[0] != "*"
        self.real_time = "*" in hour or "/" in hour

    def fits(self, wall):
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        day, weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return day or weekday if self.one_is_enough else day and weekday


def walk(zone, expressions):
    """The instants of each expression, and the changes of the clock."""
    instants, changes = {text: [] for text in expressions}, []
    parsed = [(instants[text], Expression(text)) for text in expressions]
    now = BEGIN
    wall = now.astimezone(zone).replace(tzinfo=None)
    latest = wall - STEP
    while now < END:
        shown = now.astimezone(zone).replace(tzinfo=None)
        if shown != wall:
            changes.append(now)
        # What was never shown before is new; all that was jumped over is new at once.
        new = []
        while latest < shown:
            latest += STEP
            new.append(latest)
        for found, expression in parsed:
            if expression.fits(shown) if expression.real_time else any(map(expression.fits, new)):
                found.append(now)
        now += STEP
        wall = shown + STEP
    return instants, changes


def main():
    print("tzdata", tzdata.IANA_VERSION)
    for name in ZONES:
        instants, changes = walk(ZoneInfo(name), EXPRESSIONS)
        for text in EXPRESSIONS:
            seconds = "".join(f"{int(instant.timestamp())}\n" for instant in instants[text])
            print(f"{name}|{text}|{len(instants[text])}|{zlib.crc32(seconds.encode())}")
            if name in ZONES[:3] and len(instants[text]) < 10_000:
                near = [i for i in instants[text] if any(abs(i - c) < timedelta(hours=3) for c in changes[:2])]
                for instant in near:
                    print(f"  {instant:%Y-%m-%dT%H:%M:%SZ}")


if __name__ == "__main__":
    sys.exit(main())
