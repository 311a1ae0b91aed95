"""The side of extruct and price-parser: reads the pages told as JSON in the last argument, and writes one JSON line about it.

A price is looked for in JSON-LD, then in microdata, then in the elements for previews: what a program that uses the two has to add itself,
since extruct gives back all that is on a page, and price-parser reads one text.
"""

import json
import logging
import sys
import time
from decimal import Decimal
from pathlib import Path

import extruct
from price_parser import Price

task = json.loads(sys.argv[-1])
logging.disable(logging.CRITICAL)


def pages(folder):
    folder = Path(folder)
    listed = json.loads((folder / "expected.json").read_text("utf-8"))
    return [((folder / f"{row['page']}.html").read_text("utf-8"), row["url"], row["price"]) for row in listed]


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def is_product(types):
    return any(str(name).rsplit("/", 1)[-1] in ("Product", "ProductGroup") for name in as_list(types))


def amount(value, currency):
    for text in as_list(value):
        parsed = Price.fromstring(str(text), currency_hint=str(currency or ""))
        if parsed.amount:
            return parsed.amount
    return None


def of_offers(offers):
    for offer in as_list(offers):
        if isinstance(offer, dict):
            offer = offer.get("properties", offer)
            found = amount(offer.get("price") or offer.get("lowPrice"), offer.get("priceCurrency"))
            found = found or of_offers(offer.get("priceSpecification")) or of_offers(offer.get("offers"))
            if found:
                return found
    return None


def of_products(items):
    for item in as_list(items):
        if not isinstance(item, dict):
            continue
        properties = item.get("properties", item)
        if is_product(item.get("@type", item.get("type"))):
            found = of_offers(properties.get("offers")) or of_products(properties.get("hasVariant"))
        else:
            found = of_products(item.get("@graph")) or of_products(item.get("mainEntity"))
        if found:
            return found
    return None


def of_previews(graphs):
    for graph in graphs:
        properties = dict(reversed(graph["properties"]))
        for prefix in ("product:price", "og:price"):
            found = amount(properties.get(f"{prefix}:amount"), properties.get(f"{prefix}:currency"))
            if found:
                return found
    return None


def price(html, url):
    found = extruct.extract(html, base_url=url, syntaxes=["json-ld", "microdata", "opengraph"], errors="ignore")
    products = of_products(found.get("json-ld")) or of_products(found.get("microdata"))
    return products or of_previews(found.get("opengraph", []))


large = pages(task["large"])
for html, url, _ in large:
    price(html, url)
began, n_read = time.monotonic(), 0
while n_read == 0 or time.monotonic() - began < task["time_s"]:
    for html, url, _ in large:
        price(html, url)
    n_read += len(large)
per_s = n_read / (time.monotonic() - began)

given = right = there = 0
for html, url, wanted in pages(task["known"]):
    got = price(html, url)
    given += got is not None
    there += wanted is not None
    right += got is not None and wanted is not None and got == Decimal(wanted)
print(json.dumps({"result": [per_s, 2 * right / (given + there), given - right]}))
