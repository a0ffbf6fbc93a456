"""LINE keeps the contract of every connector."""

import base64
import hashlib
import hmac

from huiliu_line import Line

from connectors.base import Ignored, Media, Message, Notice, SendError, Sent, WebhookCall
from connectors.testing import (
    Payload,
    ReceivingContract,
    Reply,
    Request,
    Sending,
    SendingContract,
    attachment,
    outbound,
    webhook_call,
)

SECRET = "a-line-channel-secret"
TEXT = (
    b'{"destination":"U8e74","events":[{"type":"message","webhookEventId":"01H","timestamp":1795000000000,'
    b'"source":{"type":"user","userId":"U4af4980629"},"message":{"id":"444573844083572737","type":"text","text":"\xe5\x9c\xa8\xe5\x90\x97"}}]}'
)
MIXED = (
    b'{"destination":"U8e74","events":['
    b'{"type":"follow","webhookEventId":"01J","timestamp":1795000000001,"source":{"userId":"U4af4980629"}},'
    b'{"type":"join","webhookEventId":"01K","timestamp":1795000000002,"source":{"groupId":"C1"}},'
    b'{"type":"message","webhookEventId":"01L","timestamp":1795000000003,"source":{"userId":"U4af4980629"},'
    b'"message":{"id":"444573844083572738","type":"image"}}]}'
)


class TestLine(ReceivingContract, SendingContract):
    """The suite, fed with LINE's payloads and answers."""

    connector_class = Line
    address = "line:U4af4980629"
    proofs = ("X-Line-Signature",)

    def options(self, platform: str) -> dict[str, str]:
        return {"channel_secret": SECRET, "access_token": "a-line-access-token", "api_base": platform}

    def sign(self, body: bytes) -> WebhookCall:
        proof = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        return webhook_call(body, headers={"X-Line-Signature": proof})

    def meaningful(self, body: bytes) -> bool:
        return body.startswith(b'{"events":[]')

    def payloads(self) -> list[Payload]:
        user, at = self.address, 1_795_000_000_000
        return [
            Payload("text", self.sign(TEXT), (Message("444573844083572737", user, at, text="在吗"),)),
            Payload(
                "follow, group, picture",
                self.sign(MIXED),
                (
                    Notice("01J", user, at + 1, "follow"),
                    Ignored("01K", "no user"),
                    Message(
                        "444573844083572738",
                        user,
                        at + 3,
                        type="image",
                        media=(Media("image/jpeg", ref="444573844083572738"),),
                    ),
                ),
            ),
        ]

    def sendings(self) -> list[Sending]:
        return [
            Sending("text", outbound(address=self.address, text="在的"), Sent("461230966842064897")),
            Sending("picture", outbound(address=self.address, media=[attachment()]), Sent("461230966842064897")),
        ]

    def platform_answer(self, request: Request) -> Reply:
        return Reply(200, '{"sentMessages":[{"id":"461230966842064897"}]}')

    def expected_errors(self, status: int) -> tuple[type[SendError], ...]:
        """409 says that the message was accepted before."""
        return () if status == 409 else super().expected_errors(status)
