"""Writes pypi.json: headers that Stripe's client for Python makes, and what it says of those of npm.json.

pip install --no-deps --target lib stripe==16.1.0 typing_extensions && PYTHONPATH=lib python3 make.py > pypi.json
"""

import json
import time
from importlib.metadata import version
from pathlib import Path

from stripe import SignatureVerificationError, WebhookSignature

npm = json.loads(Path(__file__).with_name("npm.json").read_text())
signed = [
    {**case, "header": WebhookSignature.generate_signature_header(case["body"], case["secret"], case["at"])} for case in npm["signed"]
]
verdicts = []
for case in npm["verdicts"]:
    time.time = lambda now=case["now"]: now
    try:
        WebhookSignature.verify_header(npm["signed"][0]["body"], case["header"], npm["signed"][0]["secret"], 300)
        taken = True
    except SignatureVerificationError:
        taken = False
    verdicts.append({**case, "taken": taken})
print(json.dumps({"by": f"pypi stripe {version('stripe')}", "signed": signed, "verdicts": verdicts}, indent=1, ensure_ascii=False))
