"""Message-IDs: those of others, read as they come, and our own, by which a reply and a bounce find their way back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct

MESSAGE_ID = re.compile(r"<([^<>]{1,900})>|([^\s<>,;]+)")
BARE = re.compile(r"[^\s<>@\"()]{1,400}@[^\s<>@\"()]{1,400}")
SAFE = re.compile(r"[A-Za-z0-9._-]{1,100}")
REPLY = re.compile(r"\s*(?:re|回复|回覆|答复|答覆)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE)
MARK = ".r."
WORD = "r."
LONGEST_LOCAL = 64
KEPT = 20
"""References kept in a thread: the first and the latest (RFC 5322 asks for all, mail servers cap the line)."""


class Handle(Struct, frozen=True, omit_defaults=True):
    """What is needed to answer a mail so that it lands in the same thread.

    *refs* are the Message-IDs of the thread, oldest first, its last one the mail to answer.
    """

    refs: tuple[str, ...] = ()
    subject: str = ""
    reply_to: str = ""


def write_handle(handle: Handle) -> str:
    """Return *handle* as it travels through the hub."""
    return msgspec.json.encode(handle).decode()


def read_handle(text: str) -> Handle:
    """Return the `Handle` in *text*; an empty one for a conversation that began elsewhere. Raises `ValueError`."""
    if not text:
        return Handle()
    return msgspec.json.decode(text, type=Handle)


def read_ids(raw: bytes) -> list[str]:
    """Return the Message-IDs of a header value in their order, without the blanks that folding left in them.

    Alimail leaves the brackets out. An id without them counts where nothing but ids stands in the field:
    elsewhere it may be the address in "Message from a@b.cn of Friday".
    """
    found = MESSAGE_ID.findall(raw[:20_000].decode("utf-8", "replace"))
    plain = all(BARE.fullmatch(bare) for _, bare in found if bare)
    ids = ["<" + re.sub(r"\s", "", inner or bare) + ">" for inner, bare in found if inner or plain]
    return [found for found in dict.fromkeys(ids) if len(found) > 2]


def message_id(raw: bytes) -> str:
    """Return the Message-ID of a header value, "" if it is missing or says nothing ("<>", "<@>")."""
    ids = read_ids(raw)
    text = re.sub(r"\s", "", raw[:1000].decode("utf-8", "replace")).strip("<>")
    found = ids[0] if ids else f"<{text}>"
    return found if len(found) > 6 and found.isprintable() else ""


def external_id(raw: bytes, identifier: str) -> str:
    """Return the id under which the hub knows a mail: its Message-ID, else a digest of its bytes."""
    return identifier or "sha256:" + hashlib.sha256(raw).hexdigest()[:40]


def our_id(outbound_id: str, address: str, token: str = "") -> str:
    """Return the Message-ID for a message of ours: the same for every attempt, so that a copy is recognised.

    A *token* in it comes back with every answer, also where the server knows no subaddresses.
    """
    local = outbound_id if SAFE.fullmatch(outbound_id) else hashlib.sha256(outbound_id.encode()).hexdigest()[:40]
    return f"<hl-{local}{MARK}{token}@{domain(address)}>" if token else f"<hl-{local}@{domain(address)}>"


def subaddress(address: str, separator: str, token: str) -> str:
    """Return *address* with *token* in its local part (RFC 5233), "" if it would be longer than RFC 5321 allows."""
    local, _, host = address.rpartition("@")
    marked = f"{local}{separator}{WORD}{token}"
    return f"{marked}@{host}" if separator and token and len(marked) <= LONGEST_LOCAL else ""


def read_token(recipients: Iterable[str], refs: Iterable[str], own: str, separator: str) -> str:
    """Return the token that a mail to *recipients* in answer to *refs* carries, "" if there is none.

    *own* is the channel's address; what was sent from elsewhere, or to somebody else, is none of ours.
    """
    local, _, host = own.rpartition("@")
    if separator:
        mine = re.compile(
            rf"{re.escape(local)}{re.escape(separator)}{re.escape(WORD)}([a-z0-9]{{8,60}})@{re.escape(host)}"
        )
        for one in recipients:
            if match := mine.fullmatch(one.lower()):
                return match[1]
    ours = re.compile(rf"<hl-[A-Za-z0-9._-]+{re.escape(MARK)}([a-z0-9]{{8,60}})@{re.escape(domain(own))}>")
    return next((match[1] for one in refs if (match := ours.fullmatch(one))), "")


def find_ours(text: str, address: str) -> str:
    """Return the first Message-ID of ours in *text*, "" if there is none."""
    found = re.search(rf"<hl-[A-Za-z0-9._-]{{1,100}}@{re.escape(domain(address))}>", text)
    return found[0] if found else ""


def domain(address: str) -> str:
    """Return the host part of a mail *address* in its ASCII form. Raises `ValueError` if it can have none."""
    return address.rpartition("@")[2].encode("idna").decode("ascii").lower()


def known_ids(refs: Iterable[str]) -> list[str]:
    """Return the Message-IDs among external ids of the hub: the ids of mails without one are left out."""
    found = [re.fullmatch(r"(<[^<>\s]+>)(?:#\w+)?", ref) for ref in refs]
    return [match[1] for match in found if match]


def ascii_address(address: str) -> str:
    """Return *address* with its host part in ASCII. Raises `ValueError` if it can have none."""
    return f"{address.rpartition('@')[0]}@{domain(address)}"


def chain(references: list[str], answered: list[str], own: str) -> tuple[str, ...]:
    """Return the thread from *references* and *answered* (In-Reply-To) up to *own*, shortened in the middle."""
    ids = [found for found in dict.fromkeys([*references, *answered, own]) if found]
    if own in ids:
        ids = [*(found for found in ids if found != own), own]
    return tuple(ids if len(ids) <= KEPT else [ids[0], *ids[-(KEPT - 1) :]])


def reply_subject(subject: str) -> str:
    """Return *subject* with exactly one "Re: " before it, whatever language the marks before were in."""
    bare = subject
    while match := REPLY.match(bare):
        bare = bare[match.end() :]
    return f"Re: {bare.strip()}".strip()
