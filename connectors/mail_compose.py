"""A message of the hub written as a mail (RFC 5322): one thread, one recipient, no header but ours."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from connectors.base import Choice, Outbound, Rejected
from connectors.mail_mime import MEDIA_TYPE
from connectors.mail_thread import Handle, ascii_address, domain, known_ids, our_id, reply_subject, subaddress

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
PLAIN_ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[^\s<>@,;:\"()\[\]\\]{1,255}")
PAGE = re.compile(r"https?://[!-;=?-~]{1,700}")
WRITABLE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
WIRE = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
"""Seven bits only: not every server on the way takes more, and a signature breaks if one converts."""
FILLER = 30
ADDRESS = re.compile(r"(https?://[^\s<>\"]+)")
LINK = (
    "display:inline-block;margin:4px 2px;padding:11px 16px;border:1px solid #0b6b5d;border-radius:8px;"
    "color:#0b6b5d;text-decoration:none;font-size:16px;line-height:1.4"
)
"""Mail programs read no style sheet."""


async def compose(message: Outbound, handle: Handle, address: str, name: str, separator: str = "") -> bytes:
    """Return *message* as a mail from *address* that continues the thread of *handle*.

    *separator* stands between the mailbox and a detail of it, where the server knows such addresses ("" if not).
    Raises `Rejected` when a header would hold a line break or another control character: it would
    become a header of its own.
    """
    recipient = recipient_of(message, handle)
    subject = message.subject or (reply_subject(handle.subject) if handle.subject else "")
    refs = tuple(dict.fromkeys([*handle.refs, *known_ids(message.refs)]))
    named = [text for file in message.media for text in (file.name, file.type)]
    for value in (subject, handle.subject, name, address, message.author, *named):
        if CONTROLS.search(value):
            raise Rejected("a header of the mail holds a line break or another control character")
    mail = EmailMessage(policy=WIRE)
    mail["From"] = _address(name or message.author, address)
    mail["To"] = _address("", recipient)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at / 1000, UTC))
    mail["Message-ID"] = our_id(message.id, address, message.token)
    answers = subaddress(address, separator, message.token)
    if answers:
        mail["Reply-To"] = _address(name, answers)
    if message.auto:
        # RFC 3834 §5: so that no other machine answers this one.
        mail["Auto-Submitted"] = "auto-replied"
        mail["X-Auto-Response-Suppress"] = "All"
    written = _thread(handle.refs, refs) + _ways_to_leave(message.unsubscribe, address)
    files = [await file.read() for file in message.media]
    try:
        # Encoding 20 MB takes most of a second: not on the loop.
        return written + await asyncio.to_thread(_write, mail, message, files)
    except ValueError:
        raise Rejected("the mail holds characters that cannot be written") from None


def _thread(answered: Sequence[str], refs: Sequence[str]) -> bytes:
    """Name the mail that is answered, the last of *answered*, and the thread *refs* that it belongs to.

    Written by hand, one id a line: the library would encode an id that is longer than a line, as those of
    Microsoft 365 are, and no mail program would find its thread by that. An id that no header can hold is left out.
    """
    known = [one for one in refs if WRITABLE_ID.fullmatch(one)]
    if not known:
        return b""
    parents = [one for one in answered if one in known]
    lines = "\r\n ".join(known)
    return f"In-Reply-To: {parents[-1] if parents else known[0]}\r\nReferences: {lines}\r\n".encode("ascii")


def _ways_to_leave(page: str, address: str) -> bytes:
    """Name the ways to end such mails: a mail to us (RFC 2369), and one click where the page is safe (RFC 8058).

    Written by hand: the library would encode what is longer than a line, which mail programs do not read here.
    """
    if not page:
        return b""
    if not PAGE.fullmatch(page):
        raise Rejected("the address of the unsubscribe page cannot be written in a header")
    token = page.rpartition("/")[2]
    post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if page.startswith("https://") else ""
    mail = f"<mailto:{ascii_address(address)}?subject=unsubscribe%20{token}>"
    return f"List-Unsubscribe: <{page}>,\r\n {mail}\r\n{post}".encode("ascii")


def _write(mail: EmailMessage, message: Outbound, files: list[bytes]) -> bytes:
    """Return the bytes of *mail* with text, HTML and files.

    The library writes each file's header around a short filler; the file itself takes its place
    afterwards, for the library needs seconds for what base64 does in milliseconds.
    """
    mail.set_content(offered(message.text, message.choices), subtype="plain", charset="utf-8")
    if message.html or message.choices:
        html = offered_html(message.html or paragraphs(message.text), message.choices)
        mail.add_alternative(html, subtype="html", charset="utf-8")
    fillers = [secrets.token_bytes(FILLER) for _ in files]
    for file, filler in zip(message.media, fillers, strict=True):
        # A mail or multipart inside a mail may not be in base64 (RFC 2046 §5.2.1): it goes as plain bytes.
        plain = not MEDIA_TYPE.fullmatch(file.type) or file.type.startswith(("message/", "multipart/"))
        family, _, kind = ("application/octet-stream" if plain else file.type).partition("/")
        mail.add_attachment(filler, maintype=family, subtype=kind, filename=file.name)
    pieces: list[bytes] = []
    rest = mail.as_bytes()
    for content, filler in zip(files, fillers, strict=True):
        head, _, rest = rest.partition(base64.b64encode(filler))
        coded = base64.b64encode(content)
        pieces += [head, b"\r\n".join(coded[start : start + 76] for start in range(0, len(coded), 76))]
    return b"".join([*pieces, rest])


def offered(text: str, choices: Sequence[Choice]) -> str:
    """Return *text* with a line for each choice; its page is what one opens to make it."""
    lines = [f"{choice.label}: {choice.url}" if choice.url else choice.label for choice in choices]
    return "\n".join([text, "", *lines]) if lines else text


def offered_html(html: str, choices: Sequence[Choice]) -> str:
    """Return *html* with the choices as links below it, large enough for a thumb, one for each line on a phone."""
    links = [
        f'<a href="{escape(choice.url)}" style="{LINK}">{escape(choice.label)}</a>' for choice in choices if choice.url
    ]
    return f"{html}<p>{' '.join(links)}</p>" if links else html


def paragraphs(text: str) -> str:
    """Return *text* as HTML; addresses in it become links."""
    parts = ADDRESS.split(text)
    linked = "".join(
        f'<a href="{escape(part)}">{escape(part)}</a>' if number % 2 else escape(part).replace("\n", "<br>\n")
        for number, part in enumerate(parts)
    )
    return f"<p>{linked}</p>"


def recipient_of(message: Outbound, handle: Handle) -> str:
    """Return the one address *message* goes to: where the customer wants answers, else the customer.

    Raises `Rejected`.
    """
    scheme, _, address = message.address.partition(":")
    if scheme != "mailto":
        raise Rejected("the recipient is no mail address")
    recipient = handle.reply_to or address
    # An address beyond ASCII needs SMTPUTF8 all the way to the recipient; hardly any server offers it.
    if not PLAIN_ADDRESS.fullmatch(recipient) or CONTROLS.search(recipient) or not recipient.split("@")[0].isascii():
        raise Rejected("the recipient's mail address cannot be written to")
    try:
        return ascii_address(recipient)
    except ValueError:
        raise Rejected("the recipient's mail domain is not valid") from None


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, address.rpartition("@")[0], domain(address))
    except (ValueError, IndexError):
        raise Rejected("a mail address cannot be written in a header") from None
