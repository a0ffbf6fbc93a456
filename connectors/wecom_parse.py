"""From the text of a verified WeCom callback to events. Pure: no clock, no network, no store.

Sources: developer.work.weixin.qq.com, path/90239 (messages), path/90240 (events).
"""

from __future__ import annotations

import re

import msgspec

from connectors.base import Event, Ignored, Malformed, Message, Notice
from connectors.pushes import Fields, created, digest, distinction, message, position, read, rest, short, word
from connectors.wecom_cards import ours, pressed

SCHEME = "wecom:"
# Contacts, path/90195: 1 to 64 letters, digits and "_-@.", the first one a letter or digit. "@all" is nobody's id.
USERID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
# Changes of the directory, finished jobs and approvals come from the platform itself, not from a member.
PLATFORM = "sys"

# Theirs (lower case) -> ours.
EVENTS = {
    "subscribe": "follow",
    "unsubscribe": "unfollow",
    "enter_agent": "enter",
    "location": "location",
    "click": "click",
    "view": "view",
}
PRESS = "template_card_event"


def parse(text: str, agent_id: int) -> list[Event]:
    """Return the events that the callback *text* means; *agent_id* is the channel's app.

    Raises `Malformed` and nothing else. The same callback always gives the same external ids.
    """
    fields = read(text)
    kind = word(fields, "MsgType").lower()
    if not kind:
        raise Malformed("the callback has no MsgType")
    if kind == "event" and word(fields, "FromUserName") in ("", PLATFORM):
        return [Ignored(digest(msgspec.json.encode(fields)), "not a member's doing")]
    userid, at = sender(fields), created(fields)
    check_app(fields, agent_id)
    if kind == "event":
        return [event(fields, userid, at)]
    return [message(fields, kind, SCHEME, userid, at)]


def sender(fields: Fields) -> str:
    """Return the id of the member who caused the callback. Raises `Malformed` if there is none."""
    userid = word(fields, "FromUserName")
    if not USERID.fullmatch(userid):
        raise Malformed("FromUserName of the callback is missing or no user id")
    return userid


def check_app(fields: Fields, agent_id: int) -> None:
    """Raise `Malformed` when the callback is for another app: an answer would come from the wrong one."""
    named = word(fields, "AgentID").strip()
    if named and named != str(agent_id):
        raise Malformed("the callback is for another app: AgentID is not the agent_id of this channel")


def event(fields: Fields, userid: str, at: int) -> Message | Notice:
    """Return what a member did: a press on a card of ours is what they say, all else is a notice."""
    theirs = word(fields, "Event")
    if not theirs:
        raise Malformed("the event has no Event")
    kind = theirs.lower()
    task = word(fields, "TaskId")
    if kind == PRESS and ours(task):
        return press(fields, userid, at, task)
    details = rest(fields, frozenset())
    if kind == "location":
        details = rest(fields, frozenset({"Latitude", "Longitude"})) | position(fields, "Latitude", "Longitude")
    return Notice(
        external_id=":".join(
            (userid, str(at // 1000), short(theirs), distinction(fields), *filter(None, (short(task),)))
        ),
        address=SCHEME + userid,
        at=at,
        name=EVENTS.get(kind, theirs),
        details=details,
    )


def press(fields: Fields, userid: str, at: int, task: str) -> Message:
    """Return the press of a card's button: the choice is what `Outbound.choices` called it, the text its label.

    `refs` names the card (`Sent.external_id`). The details hold `Outbound.token`, CardType, TaskId and ResponseCode;
    an `Outbound` whose handle is "card:" and that code replaces the card's buttons, once, within 72 hours.
    """
    button = word(fields, "EventKey")
    if not button:
        raise Malformed("the press of a card has no EventKey")
    token, choice, label = pressed(button)
    return Message(
        external_id=f"{userid}:{at // 1000}:{PRESS}:{short(task)}:{digest(button.encode())}",
        address=SCHEME + userid,
        at=at,
        text=label or choice,
        refs=(task,),
        choice=choice,
        details={**rest(fields, frozenset({"EventKey"})), "Event": PRESS, **({"token": token} if token else {})},
    )
