"""Resend's own client against the simulator: sends, repeats, asks, and is refused. Prints what it was told, as JSON."""

import json
import sys

import resend
from resend.exceptions import ResendError

resend.api_url, resend.api_key = sys.argv[1:]


def email(message, to):
    return {
        "from": "Ann & Bob <wedding@example.com>",
        "to": [to],
        "subject": "Save the date",
        "html": "<p>Do come!</p>",
        "text": "Do come!",
        "tags": [{"name": "usher_message", "value": message}],
    }


once = {"idempotency_key": "once"}
sent = resend.Emails.send(email("m-resend-1", "a@example.com"), once)
again = resend.Emails.send(email("m-resend-1", "a@example.com"), once)
batch = resend.Batch.send([email("m-resend-2", "b@example.com"), email("m-resend-3", "c@example.com")])
told = {
    "id": sent["id"],
    "again": again["id"],
    "batch": [one["id"] for one in batch["data"]],
    "subject": resend.Emails.get(sent["id"])["subject"],
    "domains": [domain["status"] for domain in resend.Domains.list()["data"]],
}
try:
    resend.Emails.send(email("m-resend-4", "nobody"))
except ResendError as refused:
    told["refused"] = {"kind": type(refused).__name__, "code": refused.code, "type": refused.error_type}
try:
    resend.Emails.send(email("m-resend-1", "other@example.com"), once)
except ResendError as refused:
    told["conflict"] = {"code": refused.code, "type": refused.error_type}
print(json.dumps(told))
