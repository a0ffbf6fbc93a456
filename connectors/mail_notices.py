"""Mail that machines write: automatic answers, lists, bounces and receipts, told apart by their headers.

Sources: RFC 3834 (automatic responses), RFC 3464 (delivery status), RFC 8098 (read receipts),
[MS-OXCMAIL] (X-Auto-Response-Suppress), and what QQ, NetEase and Exchange write in Chinese.
"""

from __future__ import annotations

import re

from connectors.base import Ignored, Receipt
from connectors.mail_addresses import ADDRESS
from connectors.mail_charset import line
from connectors.mail_mime import Headers, Limits, Part, TooComplex, read_headers
from connectors.mail_thread import find_ours

MACHINES = re.compile(
    r"(?:mailer-daemon|postmaster|mail-daemon|mdaemon|no-?reply|do-?not-?reply|noreply-.*|"
    r"bounces?[+=-].*|autoreply|auto-reply)@",
    re.IGNORECASE,
)
DAEMONS = re.compile(r"(?:mailer-daemon|postmaster|mail-daemon|mdaemon|bounces?)(?:[+=-].*)?@", re.IGNORECASE)

ANSWERS = re.compile(
    r"\s*\[?(?:自动回复|自動回覆|自动答复|自動回復|系统自动回复|休假|外出|不在办公室|automatic reply|auto[- ]?reply|"
    r"auto[- ]?response|autoreply|out of (?:the )?office|ooo|(?-i:AUTO)(?=:))\]?\s*(?:[:：]|$|/)",
    re.IGNORECASE,
)
BOUNCES = re.compile(
    r"系统退信|退信|邮件被退回|投递失败|投遞失敗|未送达|未送達|无法送达|无法投递|退件|undeliver|returned mail|"
    r"delivery (?:status notification(?!\s*\(delay)|failure|has failed)|mail delivery (?:failed|system)|"
    r"failure notice|delivery failed|non-?\s?delivery|mail delivery problem",
    re.IGNORECASE,
)

AUTOMATIC_FIELDS = (
    "x-autoreply", "x-autorespond", "x-autoresponse", "x-autoreply-from", "x-mail-autoreply", "x-auto-reply",
    "list-id", "list-unsubscribe", "list-post", "list-help", "list-subscribe", "list-archive",
)  # fmt: skip

STATES = {"failed": "failed", "delivered": "delivered"}
"""RFC 3464 Action -> state of a receipt; "delayed", "relayed" and "expanded" say nothing final."""


def is_automatic(headers: Headers, sender: str, subject: str) -> bool:
    """Tell whether a machine wrote this mail or a list distributed it, so that it is never answered automatically."""
    submitted = headers.text("auto-submitted").partition(";")[0].strip()
    if submitted and submitted != "no":
        return True
    if headers.text("precedence") in ("bulk", "junk", "list", "auto_reply", "auto-reply"):
        return True
    # Whoever wants no delivery or read receipts (DR, NDR, RN, NRN) may be a person (MS-OXCMAIL §2.2.3.2.14).
    suppress = {word.strip() for word in headers.text("x-auto-response-suppress").split(",")}
    if suppress & {"all", "oof", "autoreply"}:
        return True
    if any(headers.first(name) for name in AUTOMATIC_FIELDS):
        return True
    if any(value.strip() == b"<>" for value in headers.all("return-path")):
        return True
    if headers.text("content-type").startswith("multipart/report"):
        return True
    return bool(MACHINES.match(sender) or ANSWERS.match(subject) or (DAEMONS.match(sender) and BOUNCES.search(subject)))


def read_report(mail: Part, own: str, at: int, limits: Limits) -> Receipt | Ignored | None:
    """Return what a delivery or read report says about a mail sent by *own*, None if it is about none of ours."""
    if mail.type != "multipart/report":
        return None
    status = next((part for part in mail.parts if part.type.startswith("message/") and _is_status(part.type)), None)
    if status is None:
        return None
    body = status.content()[: limits.header_bytes]
    identifier = _original(mail, body, own, limits)
    if not identifier:
        return None
    if status.type == "message/disposition-notification":
        if "displayed" in _value(body, "disposition"):
            return Receipt(identifier, "read", at)
        return Ignored(identifier + " report", "read receipt that says nothing")
    actions = _values(body, "action")
    if "failed" in actions:
        return Receipt(identifier, "failed", at, _reason(body))
    if "delivered" in actions:
        return Receipt(identifier, "delivered", at)
    return Ignored(identifier + " report", "delivery delayed" if "delayed" in actions else "delivery report")


def read_bounce(
    mail: Part, sender: str, subject: str, text: str, *, own: str, at: int, limits: Limits
) -> Receipt | None:
    """Return the failure that a bounce without the standard form reports, if it names a mail that we sent as *own*.

    The name may stand in its header, in its *text*, or in the returned mail that it brings. Only a mail
    daemon is believed, and only when its subject says so.
    """
    if not (DAEMONS.match(sender) and BOUNCES.search(subject)):
        return None
    threads = [mail.headers.first(name) for name in ("in-reply-to", "references", "x-failed-message-id")]
    texts = [*(value[:20_000].decode("ascii", "replace") for value in threads), text, *_returned(mail, limits)]
    identifier = find_ours(" ".join(texts), own)
    return Receipt(identifier, "failed", at, "the recipient's mail system sent it back") if identifier else None


def _is_status(kind: str) -> bool:
    return kind in ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification")


def _original(mail: Part, status: bytes, own: str, limits: Limits) -> str:
    """Find our Message-ID in a report: in its own fields, in the returned mail or header, or in what it answers."""
    texts = [" ".join(_values(status, "original-message-id")), *_returned(mail, limits)]
    texts += [mail.headers.first(name).decode("ascii", "replace") for name in ("in-reply-to", "references")]
    return next((found for found in (find_ours(text[:20_000], own) for text in texts) if found), "")


def _returned(mail: Part, limits: Limits) -> list[str]:
    """Return the Message-IDs of the mails that *mail* brings, whole or as their headers."""
    found: list[str] = []
    for part in mail.parts:
        if part.type in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global"):
            content = part.content()
            try:
                returned, _ = read_headers(content, 0, len(content), limits)
            except TooComplex:
                continue
            found.append(returned.first("message-id")[:1000].decode("ascii", "replace"))
    return found


def _reason(body: bytes) -> str:
    """Return the status code and the words of the other mail system, without addresses."""
    diagnostic = _value(body, "diagnostic-code", keep=True).partition(";")[2] or _value(
        body, "diagnostic-code", keep=True
    )
    words = ADDRESS.sub("…", line(diagnostic, 1000))
    return line(f"{_value(body, 'status')} {words}", 300) or "not delivered"


def _value(body: bytes, name: str, *, keep: bool = False) -> str:
    return next(iter(_values(body, name, keep=keep)), "")


def _values(body: bytes, name: str, *, keep: bool = False) -> list[str]:
    """Return the values of every field *name* in the groups of a report."""
    found: list[str] = []
    folding = False
    for row in body.decode("utf-8", "replace").splitlines():
        key, colon, value = row.partition(":")
        if row[:1] in (" ", "\t") and folding:
            found[-1] += " " + row.strip()
        else:
            folding = bool(colon) and key.strip().lower() == name
            if folding:
                found.append(value.strip())
    return found if keep else [value.lower() for value in found]
