"""Cards with buttons on WeCom: what goes out, what a press says, and what the card shows afterwards.

Pure. Sources: developer.work.weixin.qq.com, path/90236 (button_interaction), path/90240 (template_card_event),
path/90241 (update_button), path/94888 (update_template_card).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from connectors.base import Choice, Rejected

MOST_BUTTONS = 6
TITLE = 36  # characters that a card shows of its title, and of the words below it
WORDS = 160
KEY_LIMIT = 1024

# A card's task_id may consist of letters, digits and "_-@", up to 128 bytes, and is taken once per app.
OURS = "huiliu-"
TASK_ID = re.compile(r"[A-Za-z0-9_@-]{1,120}")

HANDLE = "card:"
"""`Outbound.handle` is this and a ResponseCode: the message replaces the buttons of that card, it is no new one."""


def task_id(delivery: str) -> str:
    """Return the task_id of the card that carries the delivery *delivery*, the same for every attempt."""
    # The outbox numbers the parts of a delivery with a dot, which a task_id may not have.
    name = delivery.replace(".", "_")
    if not TASK_ID.fullmatch(name):
        name = hashlib.sha256(delivery.encode()).hexdigest()
    return OURS + name


def ours(task: str) -> bool:
    """Tell whether the card with the task_id *task* is one of ours; other programs may send through the same app."""
    return task.startswith(OURS)


def label(choice: Choice) -> str:
    """Return what a button reads: JSON can only escape control characters, which the platform refuses."""
    return "".join(char for char in choice.label if char >= " ").strip()


def key(choice: Choice, token: str) -> str:
    """Return the key of a button: what the press shall bring back, and the label that the card shows afterwards."""
    return f"{token}|{choice.id}|{label(choice).replace('|', '/')}"


def pressed(event_key: str) -> tuple[str, str, str]:
    """Return the token, the choice's id and its label that the key of a button of ours holds."""
    token, _, rest = event_key.partition("|")
    choice, _, shown = rest.rpartition("|")
    return (token, choice, shown) if choice else ("", event_key, "")


def whole(text: str) -> bool:
    """Tell whether a card shows all of *text*."""
    title, _, words = text.strip().partition("\n")
    return len(title) <= TITLE and len(words.strip()) <= WORDS


def card(text: str, choices: Sequence[Choice], task: str, token: str = "") -> dict[str, Any]:
    """Return the card that offers *choices* under *text*; of a text that is not `whole`, its beginning.

    *token* comes back with a press. Raises `Rejected` for buttons that the platform does not take.
    """
    title, _, words = text.strip().partition("\n")
    content: dict[str, Any] = {
        "card_type": "button_interaction",
        "main_title": {"title": excerpt(title, TITLE)},
        "task_id": task,
        "button_list": buttons(choices, token),
    }
    if words.strip() and whole(text):
        content["sub_title_text"] = words.strip()
    return content


def buttons(choices: Sequence[Choice], token: str) -> list[dict[str, Any]]:
    """Return the buttons of *choices*. Raises `Rejected`."""
    if len(choices) > MOST_BUTTONS:
        raise Rejected(f"a WeCom card has at most {MOST_BUTTONS} buttons")
    made = [{"text": label(choice), "style": 1, "key": key(choice, token)} for choice in choices]
    ids = {choice.id for choice in choices}
    if len(ids) < len(made) or not all(choice.id and label(choice) for choice in choices):
        raise Rejected("the choices of a card need ids and labels, each id once")
    if any(len(str(button["key"]).encode()) > KEY_LIMIT for button in made):
        raise Rejected(f"id and label of a choice are longer than {KEY_LIMIT} bytes")
    return made


def excerpt(text: str, most: int) -> str:
    """Return *text* if it has at most *most* characters, else its beginning and an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def settled(userid: str, corp_id: str, seconds: int, shown: str) -> str:
    """Return the answer to a press that greys the card's buttons out and shows *shown* in their place."""
    fields = f"<ToUserName>{cdata(userid)}</ToUserName><FromUserName>{cdata(corp_id)}</FromUserName>"
    button = f"<Button><ReplaceName>{cdata(shown)}</ReplaceName></Button>"
    kind = "<MsgType><![CDATA[update_button]]></MsgType>"
    return f"<xml>{fields}<CreateTime>{seconds}</CreateTime>{kind}{button}</xml>"


def cdata(text: str) -> str:
    """Return *text* as a CDATA section, or several: "]]>" would end one early."""
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"
