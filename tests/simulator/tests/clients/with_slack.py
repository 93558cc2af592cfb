"""Slack's own client against the simulator: posts, by the API and by webhook, and is refused. Prints what it was told."""

import json
import sys

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

url, token, hook = sys.argv[1:]
client = WebClient(token, base_url=f"{url}/api/")
blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Do come!*"}}]

sent = client.chat_postMessage(
    channel="C123ABC456",
    text="Do come!",
    blocks=blocks,
    metadata={"event_type": "usher", "event_payload": {"usher_message": "m-slack"}},
)
posted = WebhookClient(f"{url}/services/{hook}").send(text="Do come!", blocks=blocks)
dead = WebhookClient(f"{url}/services/{hook}x").send(text="Do come!")
told = {
    "ts": sent["ts"],
    "channel": sent["channel"],
    "text": sent["message"]["text"],
    "warning": sent.get("warning"),
    "team": client.auth_test()["team_id"],
    "hook": {"status": posted.status_code, "body": posted.body},
    "dead": {"status": dead.status_code, "body": dead.body},
}


def refusal(call):
    try:
        call()
    except SlackApiError as refused:
        response = refused.response
        return {
            "status": response.status_code,
            "error": response["error"],
            "wait": response.headers.get("Retry-After"),
        }


told["refused"] = refusal(lambda: client.chat_postMessage(channel="C123ABC456"))
told["stranger"] = refusal(lambda: WebClient("xoxb-wrong", base_url=f"{url}/api/").auth_test())
told["hurried"] = refusal(lambda: [client.chat_postMessage(channel="C0000FAST", text="x") for _ in range(10_000)])
print(json.dumps(told))
