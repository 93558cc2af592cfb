"""SendGrid's own client against the simulator: sends, asks, and is refused. Prints what it was told, as JSON."""

import json
import sys

from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Attachment, Category, CustomArg, Disposition, FileContent, FileName, FileType, Header, Mail, Personalization, To,
)

url, key = sys.argv[1:]
client = SendGridAPIClient(key, host=url)


def letter(people):
    mail = Mail(
        from_email=("wedding@example.com", "Ann & Bob"),
        subject="Save the date",
        plain_text_content="Do come!",
        html_content="<p>Do come!</p>",
    )
    for message, address in people:
        personalization = Personalization()
        personalization.add_to(To(address, "Guest"))
        personalization.add_custom_arg(CustomArg("usher_message", message))
        mail.add_personalization(personalization)
    return mail


full = letter([("m-sendgrid-1", "a@example.com"), ("m-sendgrid-2", "b@example.com")])
full.category = Category("invitation")
full.header = Header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
full.attachment = Attachment(FileContent("YQ=="), FileName("a.txt"), FileType("text/plain"), Disposition("attachment"))
sent = client.send(full)
told = {
    "id": sent.headers["X-Message-Id"],
    "status": sent.status_code,
    "body": sent.body.decode(),
    "scopes": json.loads(client.client.scopes.get().body)["scopes"],
}
try:
    client.send(letter([("m-sendgrid-3", "nobody")]))
except BadRequestsError as refused:
    told["refused"] = {"status": refused.status_code, "errors": refused.to_dict["errors"]}
try:
    SendGridAPIClient("SG.wrong", host=url).send(letter([("m-sendgrid-4", "c@example.com")]))
except UnauthorizedError as refused:
    told["stranger"] = {"status": refused.status_code, "errors": refused.to_dict["errors"]}
print(json.dumps(told))
