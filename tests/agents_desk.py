"""Agents at their mailboxes, telephones and WeCom, a customer on WeChat, and the hub between them, all on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar, cast

import dkim
import dns.message
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.simulators.twilio import TwilioPlatform
from connectors.simulators.wechat import WeChatPlatform
from connectors.simulators.wecom import WeComPlatform
from tests import wecom_desk
from tests.hubs import Stage, configuration, running, served, write
from tests.mail_peers import PASSWORD, Dovecot, Postfix, need, private_root
from tests.twilio_account import ACCOUNT, SMS, TOKEN

AES = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
MOBILE = "+8613800138000"
SELECTOR = "s1"
PATIENCE = 45.0
TEAM = """
teams:
  frontdesk: {name: 前台, members: [lilei, hanmeimei], assign: {strategy: manual}%s}
agents:
  lilei:
    name: 李雷
    email: lilei@example.com
    notify: [%s]
    notices: {bundle: 1s}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.com%s}
%s
"""
ROUTES = "default: {team: frontdesk, agent: lilei}\n"
T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], seconds: float = PATIENCE) -> T:
    """Return what *look* finds as soon as that is true, looking 20 times a second: the servers need the processor."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110  # mail servers and telephones announce nothing
            await asyncio.sleep(0.05)
    return found


class KeyServer(asyncio.DatagramProtocol):
    """A DNS server on loopback that knows the DKIM keys of some domains."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.asked: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name = query.question[0].name.to_text().lower()
        self.asked.append(name)
        text = self.records.get(name)
        if text is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            pieces = " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", pieces))
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@dataclass
class Signer:
    """The key with which a domain signs its mail."""

    domain: str
    key: bytes
    record: str

    @classmethod
    def of(cls, domain: str) -> Signer:
        """Make a key pair for *domain*."""
        pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = pair.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = pair.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(domain, private, "v=DKIM1; k=rsa; p=" + "".join(public.decode().split("\n")[1:-2]))

    @property
    def place(self) -> str:
        """Where the key is published."""
        return f"{SELECTOR}._domainkey.{self.domain}."

    def sign(self, raw: bytes, **options: Any) -> bytes:
        """Return *raw* with a signature on top."""
        head = dkim.sign(raw, SELECTOR.encode(), self.domain.encode(), self.key, **options)
        return bytes(head) + raw


@dataclass
class Mailboxes:
    """The mail of example.com: a real Postfix takes it, a real Dovecot hands it out."""

    root: Path
    dovecot: Dovecot
    postfix: Postfix
    read: dict[str, set[str]] = field(default_factory=dict)

    def channel(self, resolver: int, *, more: str = "") -> str:
        """Return the channel service@example.com as it stands in huiliu.yaml."""
        login = f"host: 127.0.0.1, tls: none, user: service, password: '{PASSWORD}'"
        return (
            f"  service-mail: {{kind: email, address: service@example.com, resolver: '127.0.0.1:{resolver}', {more}"
            f"imap: {{{login}, port: {self.dovecot.port}}}, "
            f"smtp: {{host: 127.0.0.1, tls: none, port: {self.postfix.port}}}}}"
        )

    def mails(self, user: str) -> list[EmailMessage]:
        """Return the mails in the inbox of *user*, oldest first."""
        paths = sorted(self.dovecot.folder(user).glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
        return [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in paths
            if path.parent.name in ("new", "cur")
        ]

    def send(self, raw: bytes, sender: str, recipient: str) -> None:
        """Hand a mail to Postfix."""
        with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=20) as smtp:
            smtp.sendmail(sender, [recipient], raw)


@contextmanager
def mailboxes() -> Iterator[Mailboxes]:
    """Run the mail servers of example.com."""
    need("dovecot", "postfix")
    with private_root() as root:
        (root / "dovecot").mkdir(mode=0o755)
        (root / "postfix").mkdir(mode=0o755)
        dovecot = Dovecot(root / "dovecot")
        postfix = Postfix(root / "postfix", root / "dovecot" / "mail", "example.com")
        for user in ("service", "lilei", "hanmeimei"):
            postfix.add_user(f"{user}@example.com", user)
        try:
            dovecot.start()
            postfix.start()
            yield Mailboxes(root, dovecot, postfix)
        finally:
            postfix.stop()
            dovecot.stop()


def answer_to(
    notice: EmailMessage, text: str, *, sender: str = "lilei@example.com", headers: dict[str, str] | None = None
) -> tuple[bytes, str]:
    """Return what a mail program sends as the answer to *notice*, with the notice quoted below, and where to."""
    to = str(notice["Reply-To"] or notice["From"])
    recipient = email.utils.parseaddr(to)[1]
    quoted = "\n".join(f"> {row}" for row in notice.get_content().splitlines())
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = f"Li Lei <{sender}>"
    mail["To"] = recipient
    mail["Subject"] = f"Re: {notice['Subject']}"
    mail["Date"] = email.utils.formatdate(time.time())
    mail["Message-ID"] = email.utils.make_msgid(domain="example.com")
    mail["In-Reply-To"] = str(notice["Message-ID"])
    mail["References"] = f"{notice['References'] or ''} {notice['Message-ID']}".strip()
    for name, value in (headers or {}).items():
        del mail[name]
        mail[name] = value
    mail.set_content(f'{text}\n\n在 2026-11-20 10:00:00，"service" <service@example.com> 写道：\n{quoted}\n')
    return mail.as_bytes(), recipient


@dataclass
class Desk:
    """A running hub with a customer on WeChat, and its agents wherever they are."""

    stage: Stage
    wechat: WeChatPlatform
    sms: TwilioPlatform
    wecom: WeComPlatform
    keys: KeyServer
    mail: Mailboxes | None = None

    async def customer_writes(self, text: str, who: str = OPENID) -> dict[str, Any]:
        """Let a customer write; return their conversation once it is lilei's."""
        push = await self.wechat.write(who, text)
        assert push.taken

        async def mine() -> list[dict[str, Any]]:
            found = await self.stage.conversations(agent="lilei")
            return [one for one in found if one["contact"]["addresses"] == [f"wechat:{who}"]]

        return (await until(mine))[0]

    def customer_read(self, who: str = OPENID) -> list[str]:
        """Return what the customer has received."""
        return [one.text for one in self.wechat.received.get(who, [])]

    async def customer_reads(self, *texts: str, who: str = OPENID) -> None:
        """Wait until the customer has received exactly *texts*."""

        async def read() -> bool:
            return self.customer_read(who) == list(texts)

        await until(read)

    async def notice(self, user: str = "lilei", *, since: str = "", subject: bool = False) -> EmailMessage:
        """Return the first mail to *user* that says *since*, in its text or in its *subject*."""
        boxes = self.mail
        assert boxes is not None

        async def there() -> list[EmailMessage]:
            found = boxes.mails(user)
            return [one for one in found if since in (str(one["Subject"]) if subject else one.get_content())]

        return (await until(there))[0]

    async def texted(self, number: int = 1) -> str:
        """Return the SMS number *number* (from 1) that the agent's telephone has received."""

        async def there() -> list[str]:
            found = [one.body for one in self.sms.messages if one.to == MOBILE]
            return found if len(found) >= number else []

        return (await until(there))[number - 1]

    async def told_words(self, words: str, member: str = "LiLei") -> None:
        """Wait until a member of WeCom has been told *words*."""

        async def there() -> bool:
            return any(words in one.text for one in self.wecom.received.get(member, []))

        await until(there)

    async def drafts(self) -> list[dict[str, Any]]:
        """Return the drafts that wait."""
        found: list[dict[str, Any]] = (await self.stage.api("GET", "/drafts"))["items"]
        return found

    async def answers(self, conversation: str) -> list[dict[str, Any]]:
        """Return our side's messages of a conversation."""
        return [one for one in await self.stage.messages(conversation) if one["direction"] == "outbound"]

    async def nothing_pending(self, channel: str, count: int) -> None:
        """Wait until *count* events of *channel* have been recorded and everything was read that was written."""

        async def counted() -> bool:
            return self.stage.hub.recorder.counts[channel, "received"] >= count

        await until(counted)


@asynccontextmanager
async def desk(
    store_url: str,
    folder: Path,
    *,
    notify: str,
    mail: Mailboxes | None = None,
    keys: dict[str, str] | None = None,
    other: str = "",
    more: str = "",
    channel: str = "",
    channels: str = "",
    group: str = "",
    routes: str = ROUTES,
) -> AsyncIterator[Desk]:
    """Run a hub whose agent lilei is told by *notify*.

    *keys* are what the DNS knows; *other*, *group*, *channel*, *channels* and *more* go into huiliu.yaml: to
    hanmeimei, to the team, to the mail channel, beside the channels, to the end.
    """
    wechat = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key=AES)
    loop = asyncio.get_running_loop()
    transport, dns_server = await loop.create_datagram_endpoint(KeyServer, local_addr=("127.0.0.1", 0))
    dns_server.records.update(keys or {})
    public = "http://127.0.0.1:8080"
    sms = TwilioPlatform(ACCOUNT, TOKEN, f"{public}/hooks/staff-sms")
    wecom = WeComPlatform(wecom_desk.CORP, wecom_desk.AGENT, wecom_desk.SECRET, wecom_desk.TOKEN, wecom_desk.AES_KEY)
    wecom.corp.members.update({"LiLei", "HanMeimei", "Intern"})
    try:
        async with (
            served(wechat.app) as wechat_base,
            served(sms.app) as sms_base,
            served(wecom.app) as wecom_base,
        ):
            sms.api_url = sms_base
            doors = [
                (
                    "  shop-wechat: {kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, "
                    f"token: pushtoken, encoding_aes_key: {AES}, api_base: '{wechat_base}'}}"
                ),
                (
                    f"  staff-sms: {{kind: twilio-sms, account_sid: {ACCOUNT}, auth_token: {TOKEN}, "
                    f"from_number: '{SMS}', api_base: '{sms_base}'}}"
                ),
                (
                    f"  staff-wecom: {{kind: wecom-app, corp_id: {wecom_desk.CORP}, agent_id: {wecom_desk.AGENT}, "
                    f"secret: {wecom_desk.SECRET}, token: {wecom_desk.TOKEN}, "
                    f"encoding_aes_key: {wecom_desk.AES_KEY}, api_base: '{wecom_base}'}}"
                ),
            ]
            if mail is not None:
                doors.append(mail.channel(dns_server.port, more=channel))
            everywhere = "\n".join([*doors, channels])
            text = configuration(everywhere, public_url=public, more=TEAM % (group, notify, other, more))
            async with running(store_url, write(folder, text, routes=routes)) as stage:
                wechat.hub_url = f"{stage.base}/hooks/shop-wechat"
                sms._hub_url = stage.base
                wecom.hub_url = f"{stage.base}/hooks/staff-wecom"
                yield Desk(stage, wechat, sms, wecom, dns_server, mail)
    finally:
        transport.close()
