"""Twilio's own client against the simulator: sends, asks, and is refused. Prints what it was told, as JSON."""

import json
import sys

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

url, account, token = sys.argv[1:]
client = Client(account, token)
client.api.base_url = url

sent = client.messages.create(
    to="+447911123456",
    from_="+15005550006",
    body="Do come! 👍",
    status_callback="https://usher.example.com/hooks/twilio?usher_message=m-twilio",
)
found = client.messages.list(to="+447911123456", limit=5)
told = {
    "id": sent.sid,
    "status": sent.status,
    "segments": sent.num_segments,
    "fetched": client.messages(sent.sid).fetch().body,
    "listed": [message.sid for message in found],
    "account": client.api.v2010.accounts(account).fetch().status,
    "balance": client.api.v2010.accounts(account).balance.fetch().currency,
}
try:
    client.messages.create(to="nobody", from_="+15005550006", body="x")
except TwilioRestException as refused:
    told["refused"] = {"status": refused.status, "code": refused.code, "message": refused.msg}
try:
    stranger = Client(account, "wrong")
    stranger.api.base_url = url
    stranger.messages.create(to="+447911123456", from_="+15005550006", body="x")
except TwilioRestException as refused:
    told["stranger"] = {"status": refused.status, "code": refused.code}
print(json.dumps(told))
