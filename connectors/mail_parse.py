"""From the bytes of a mail to one event: pure, within limits, and never without a result.

`parse` raises only `TooComplex`; `salvage` makes a message of a mail that cannot be parsed, so that
nothing is lost. `work` is `parse` for the killable worker process.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from connectors.base import Ignored, Media, Message, MessageType, Receipt, media_family
from connectors.mail_addresses import Person, read_people
from connectors.mail_body import Body
from connectors.mail_charset import decode, decode_words, line
from connectors.mail_mime import Headers, Limits, TooComplex, read
from connectors.mail_notices import is_automatic, read_bounce, read_report, report_in
from connectors.mail_quotes import split
from connectors.mail_thread import Handle, chain, external_id, find_ours, message_id, read_ids, read_token, write_handle

NOBODY = "nobody@invalid"
"""Stands for a sender who gave no address (RFC 2606 §2: .invalid never exists)."""

EARLIEST = 946_684_800_000
"""2000-01-01: no mail is older; an earlier date is a dead clock battery."""

AHEAD = 300_000
"""A sender's clock may be this many milliseconds ahead of the mail server's."""

SALVAGED_TEXT = 20_000

FORMS = re.compile(
    r"(?:wordpress|no[-_]?reply|do[-_]?not[-_]?reply|mailer|web-?forms?|form-?mail(?:er)?|webmaster|www-data|apache)@"
)
"""In whose name the form of a site writes: behind these addresses nobody reads."""

Parsed = Message | Receipt | Ignored


class Job(Struct, frozen=True):
    """One mail for `work`: its bytes, when the server received it (ms since 1970 UTC), the channel's own address.

    *notice* stands in the place of the text of a mail of which *raw* is only the header. *separator* stands
    between the mailbox and a detail of it, "" where the server knows no such addresses.
    """

    raw: bytes
    received: int
    own: str
    notice: str = ""
    separator: str = "+"
    limits: Limits = Limits()


def work(request: bytes) -> bytes:
    """Parse the `Job` in *request* (msgpack) and return its event (msgpack); too complex a mail comes back salvaged."""
    job = msgspec.msgpack.decode(request, type=Job)
    try:
        event = parse(
            job.raw,
            received=job.received,
            own=job.own,
            notice=job.notice,
            separator=job.separator,
            limits=job.limits,
        )
    except TooComplex as error:
        event = salvage(job.raw, received=job.received, own=job.own, reason=str(error))
    return msgspec.msgpack.encode(event)


def parse(
    raw: bytes,
    *,
    received: int,
    own: str,
    notice: str = "",
    separator: str = "+",
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> Parsed:
    """Return what the mail *raw* means to the channel whose address is *own*. Raises `TooComplex`."""
    mail = read(raw, limits)
    headers = mail.headers
    hint = mail.parameters.get("charset", "")
    identifier = message_id(headers.first("message-id"))
    at = _date(headers, received)
    report = read_report(mail, own, at, limits)
    if report is not None:
        return report
    sender, reply_to, form = _sender(headers, own, limits, hint)
    if sender.address == own or (form and find_ours(identifier, own)):
        return Ignored(external_id(raw, identifier), "own mail")
    subject = line(decode_words(headers.first("subject"), hint))
    body = Body(limits)
    body.read(mail)
    # A report tells of a mail in the words of a quote, but all of it is news.
    text, quoted = (body.text(), "") if report_in(mail) else split(body.text(), subject)
    bounce = read_bounce(mail, sender.address, subject, f"{text} {quoted}", own=own, at=at, limits=limits)
    if bounce is not None:
        return bounce
    details = _details(headers, limits, hint) | {"quoted": quoted, "partial": bool(notice), "form": form}
    references, answered = read_ids(headers.first("references")), read_ids(headers.first("in-reply-to"))
    details["token"] = read_token(
        (*details["to"], *details["cc"]), [*reversed(answered), *reversed(references)], own, separator
    )
    media = body.media()
    return Message(
        external_id=external_id(raw, identifier),
        address=f"mailto:{sender.address}",
        at=at,
        text=notice or text,
        type=_type(notice or text, media),
        name=sender.name,
        subject=subject,
        html=body.html(),
        media=media,
        refs=tuple(dict.fromkeys([*reversed(answered), *reversed(references)]))[:50],
        handle=write_handle(Handle(chain(references, answered, identifier), subject, reply_to)),
        auto=sender.address == NOBODY or is_automatic(headers, sender.address, subject),
        details={name: value for name, value in details.items() if value},
    )


def salvage(raw: bytes, *, received: int, own: str, reason: str) -> Parsed:
    """Make a message of a mail that could not be parsed: what its first lines say, and the mail itself as a file.

    It looks at a bounded part of *raw* only, so that it needs no worker process.
    """
    head = raw[: 64 << 10]
    fields, _, rest = head.replace(b"\r\n", b"\n").partition(b"\n\n")
    known: dict[str, bytes] = {}
    name = ""
    for row in fields.split(b"\n", 2000)[:2000]:
        key, colon, value = row.partition(b":")
        if row[:1] in (b" ", b"\t") and name:
            known[name] += row[:1000]
        elif colon:
            name = key.decode("ascii", "replace").strip().lower()
            known.setdefault(name, value[:2000])
    identifier = message_id(known.get("message-id", b""))
    people = read_people(known.get("from", b"")[:4000], 1, thorough=False)
    sender = people[0] if people else Person("", NOBODY)
    if sender.address == own:
        return Ignored(external_id(raw, identifier), "own mail")
    subject = line(decode_words(known.get("subject", b"")[:4000], thorough=False))
    answered = read_ids(known.get("references", b"")) + read_ids(known.get("in-reply-to", b""))
    return Message(
        external_id=external_id(raw, identifier),
        address=f"mailto:{sender.address}",
        at=received,
        text=decode(rest[:SALVAGED_TEXT], thorough=False).strip(),
        name=sender.name,
        subject=subject,
        media=(Media("message/rfc822", "mail.eml", len(raw), raw),),
        refs=tuple(reversed(answered))[:50],
        handle=write_handle(Handle(chain(answered, [], identifier), subject)),
        auto=sender.address == NOBODY or is_automatic(Headers(tuple(known.items())), sender.address, subject),
        details={"shunt": reason},
    )


def digest(message: Message) -> str:
    """Return a short digest of what *message* says: two copies of one mail have the same, two mails do not."""
    told = (
        message.address,
        message.subject,
        message.text,
        [(file.name, file.size) for file in message.media],
    )
    return hashlib.sha256(msgspec.msgpack.encode(told)).hexdigest()[:12]


def _sender(headers: Headers, own: str, limits: Limits, hint: str) -> tuple[Person, str, bool]:
    """Return who wrote the mail, the address for answers if it is another one (else ""), and whether a form sent it.

    A form on the shop's own site writes in the shop's name, or in a machine's, and puts the visitor into
    Reply-To. The Reply-To of a mailing list is the list: an answer there would be public, so it goes to the writer.
    """
    replies = read_people(headers.first("reply-to"), 2, hint)
    writers = (read_people(headers.first(name), limits.addresses, hint) for name in ("from", "sender", "return-path"))
    writer = next((people[0] for people in writers if people), replies[0] if replies else Person("", NOBODY))
    reply = replies[0] if replies else writer
    if writer.address == own:
        return reply, "", reply.address != own
    if len(replies) == 1 and _is_form(headers, writer.address, reply.address, own):
        return reply, "", True
    listed = headers.first("list-id") or headers.first("list-post")
    return writer, "" if listed or reply.address == writer.address else reply.address, False


def _is_form(headers: Headers, writer: str, reply: str, own: str) -> bool:
    """Tell whether a machine at *writer* hands on the words of a visitor at *reply*.

    A company whose machine wants answers at a desk of its own domain speaks for itself, and so do lists and
    automatic mail.
    """
    if not FORMS.match(writer) or reply == own or is_automatic(headers, "", decode_words(headers.first("subject"))):
        return False
    one, other = "." + writer.rpartition("@")[2], "." + reply.rpartition("@")[2]
    return not one.endswith(other) and not other.endswith(one)


def _details(headers: Headers, limits: Limits, hint: str) -> dict[str, Any]:
    """Return the other people of the mail, for the agent who answers it."""
    return {
        name: [person.address for person in read_people(headers.first(name), limits.addresses, hint)]
        for name in ("to", "cc")
    }


def _date(headers: Headers, received: int) -> int:
    """Return when the mail was written; when its own date cannot be true, when the server received it."""
    try:
        moment = parsedate_to_datetime(headers.first("date")[:100].decode("ascii", "replace"))
        at = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return received
    return at if EARLIEST <= at <= received + AHEAD else received


def _type(text: str, media: tuple[Media, ...]) -> MessageType:
    if text or len(media) != 1:
        return "text"
    family = media_family(media[0].type)
    return "image" if family == "image" else "voice" if family == "voice" else "video" if family == "video" else "file"
