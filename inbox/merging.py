"""Make one contact of two, and two of one again: in steps of one slot each, which anybody can finish.

The one that is merged becomes an alias of the other and keeps all that it had; its addresses and conversations go on
naming it. So taking a merge back needs no copy of the past: what is no alias any more is itself again.

A task first locks all contacts that it touches, in the order of their ids, and stands in each lock whole. Whoever
finds a lock finishes the task before its own, and so does the owner of the partition if the process died. A contact
remembers its last tasks, so that nobody takes up again what is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from inbox import contacts, kinship
from inbox.contacts import INTO, NoContact
from inbox.conversations import Conflict, Value
from inbox.kinship import APART, MERGE, UNDONE, End, Gave, How, Merge, listed, merges
from inbox.leases import Held
from inbox.partitions import Id, key, new_key, parse_id, tag
from inbox.store import Store
from inbox.wakes import Wakes
from inbox.work import Actor, Refusal

log = logging.getLogger(__name__)

BUSY, RAN, VIA = "busy", "ran", "via"
"""Fields of a contact: the task that has locked it, those that are over, and the merge that made it an alias."""

ERASING = "erasing"
"""The field of a contact that says that it is being erased: nothing is merged with it any more."""

DUE = "kdue"
BELL = "k"
TRIES = 12
REMEMBERED = 32
CALM = 0.004  # seconds before the second try, at most; doubled for each further one
PATIENCE = 2_000  # milliseconds after which a lock is looked at by the owner of its partition
LONGEST_REASON = 500


class NoMerge(LookupError):
    """There is no such merge of this contact."""


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be done, whole: it stands in every lock.

    *hosts* are the contact that *guest* is merged into, then the one that this is merged into, up to the root.
    """

    id: str
    what: Literal["merge", "split"]
    merge: str
    guest: str
    hosts: tuple[str, ...]
    at: int
    by: Actor
    how: How = "person"
    reason: str = ""
    evidence: tuple[str, ...] = ()

    @property
    def locks(self) -> tuple[str, ...]:
        """The contacts that it touches, in the order in which they are locked."""
        return tuple(sorted({self.guest, *self.hosts}))


class Over(Exception):
    """Somebody else has finished the task, or it makes no sense any more."""


class Merging:
    """The one way in which contacts are merged and split."""

    def __init__(self, store: Store, wakes: Wakes, now: Callable[[], int]) -> None:
        self._store = store
        self._wakes = wakes
        self._now = now

    async def merge(
        self,
        host_id: str,
        guest_id: str,
        actor: Actor,
        *,
        how: How = "person",
        reason: str = "",
        evidence: Sequence[str] = (),
    ) -> tuple[str, Merge]:
        """Make *guest_id* a part of *host_id*; return the contact that both are now, and the merge.

        Raises `Refusal` if they are one already, or too large; `UnknownId`, `NoContact`, `Conflict`, `StoreError`.
        """
        if len(reason) > LONGEST_REASON:
            raise Refusal(f"a reason has at most {LONGEST_REASON} characters")
        for attempt in range(TRIES):
            await self._calm(attempt)
            (host, fields), (guest, others) = await self._both(host_id, guest_id)
            if host == guest:
                raise Refusal(f"both are contact {host} already")
            if ERASING in fields or ERASING in others:
                raise Refusal("one of them is being erased")
            count = len({*contacts.addresses_of(fields), *contacts.addresses_of(others)})
            if count > kinship.MOST_ADDRESSES:
                raise Refusal(f"together they have more than {kinship.MOST_ADDRESSES} addresses")
            place = Id("g", parse_id(host, "k").partition, new_key())
            made = (str(place), guest, (host,), self._now(), actor, how, reason, tuple(evidence))
            await self._finish(Task(new_key(), "merge", *made), fresh=True)
            one = (await contacts.own(self._store, host)).get(MERGE + place.key)
            if one is not None:
                return host, msgspec.json.decode(one, type=Merge)
        raise Conflict

    async def split(self, contact_id: str, merge_id: str, actor: Actor, *, reason: str = "") -> tuple[str, str]:
        """Take a merge back; return the contact that stays, and the one that is free.

        Raises `NoMerge`, `Refusal` if it was taken back already; `UnknownId`, `NoContact`, `Conflict`, `StoreError`.
        """
        if len(reason) > LONGEST_REASON:
            raise Refusal(f"a reason has at most {LONGEST_REASON} characters")
        parse_id(merge_id, "g")
        for attempt in range(TRIES):
            await self._calm(attempt)
            root, fields = await contacts.resolve(self._store, contact_id)
            one, hosts = await self._found(root, fields, merge_id)
            task = Task(new_key(), "split", one.id, one.contact, hosts, self._now(), actor, reason=reason)
            await self._finish(task, fresh=True)
            done = (await contacts.own(self._store, hosts[0])).get(UNDONE + parse_id(one.id, "g").key)
            if done is not None:
                return root, one.contact
        raise Conflict

    async def all(self, root: str, fields: Mapping[str, str]) -> list[Merge]:
        """Return the merges that stand in a contact and in those that are part of it, the latest first.

        Raises `StoreError`.
        """
        found = [one for _, one in await self._tree((root,), fields, MERGE)]
        return sorted(found, key=lambda one: (-one.at, one.id))

    async def history(self, root: str, fields: Mapping[str, str]) -> list[Merge]:
        """Return every merge of a contact, also those that were taken back, the latest first. Raises `StoreError`."""
        found = [*(await self.all(root, fields)), *(one for _, one in await self._tree((root,), fields, UNDONE))]
        return sorted(found, key=lambda one: (-one.at, one.id))

    async def apart(self, first_id: str, second_id: str, actor: Actor) -> str:
        """Remember that two contacts are two people; return the first. Raises `Refusal` and as `merge` does."""
        (first, _), (second, _) = await self._both(first_id, second_id)
        if first == second:
            raise Refusal(f"both are contact {first}; split it first")
        await contacts.change(self._store, first, actor, lambda fields: separated(fields, second), self._now())
        await contacts.change(self._store, second, actor, lambda fields: separated(fields, first), self._now())
        return first

    async def prove(self, contact_id: str, address: str, evidence: Sequence[str], actor: Actor) -> None:
        """Link a contact with whoever has *address*, which is proved to be theirs too; doing it twice changes nothing.

        What somebody has taken apart stays apart. Raises `NoContact`, `Conflict`, `StoreError`.
        """
        try:
            root, fields = await contacts.resolve(self._store, contact_id)
            owner = await contacts.owner_of(self._store, address)
            if not owner or owner == root:
                if address in contacts.addresses_of(fields):
                    return
                with contextlib.suppress(Refusal):  # also what a process that died has left half done
                    await contacts.reach(self._store, root, actor, [address], self._now())
                    return
                owner = await contacts.owner_of(self._store, address)  # somebody has got it this very moment
            other = await contacts.load(self._store, owner)
            if await self._kept_apart((root, fields), (owner, other)):
                return
            # The older one stays: it is the one that people know.
            young = int(fields.get("since") or 0) > int(other.get("since") or 0)
            host, guest = (owner, root) if young else (root, owner)
            await self.merge(host, guest, actor, how="proof", evidence=(address, *evidence))
        except Refusal:
            return  # somebody else has linked them meanwhile, or they are too large to be one

    async def turn(self, held: Held) -> int | None:
        """Finish what a process that died has left locked; return when to look again. Raises `StoreError`."""
        name, slot = key(held.partition, DUE), tag(held.partition)
        for one in await self._store.do(slot, "ZRANGEBYSCORE", name, "-inf", self._now() - PATIENCE):
            busy = await self._store.do(slot, "HGET", key(held.partition, f"k:{one}"), BUSY)
            if busy:
                with contextlib.suppress(Conflict):  # others are at it
                    await self._finish(msgspec.json.decode(busy, type=Task), fresh=False)
            elif not await self._store.do(slot, "EXISTS", key(held.partition, f"k:{one}")):
                await self._store.do(slot, "ZREM", name, one)
            else:
                await contacts.write(self._store, str(Id("k", held.partition, one)), {BUSY: ""}, unmark=(DUE,))
        first = await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(first[1])) + PATIENCE if first else None

    async def _both(self, first: str, second: str) -> tuple[tuple[str, dict[str, str]], tuple[str, dict[str, str]]]:
        return await contacts.resolve(self._store, first), await contacts.resolve(self._store, second)

    async def _calm(self, attempt: int) -> None:
        if attempt:  # others are at the same contacts: let some of them pass
            await asyncio.sleep(random.uniform(0, CALM * 2**attempt))  # noqa: S311  # no secret

    async def _kept_apart(self, *both: tuple[str, Mapping[str, str]]) -> bool:
        """Tell whether somebody said that two contacts, or parts of them, are two people."""
        (first, mine), (second, theirs) = both
        ids = [
            {name, *(one.contact for one in await self.all(name, fields))}
            for name, fields in ((first, mine), (second, theirs))
        ]
        for own, other in (ids, ids[::-1]):
            for name in own:
                known = await contacts.own(self._store, name)
                if not other.isdisjoint(listed(known, APART)):
                    return True
        return False

    async def _found(self, root: str, fields: Mapping[str, str], merge_id: str) -> tuple[Merge, tuple[str, ...]]:
        for hosts, one in await self._tree((root,), fields, MERGE):
            if one.id == merge_id:
                return one, hosts
        if any(one.id == merge_id for one in await self.history(root, fields)):
            raise Refusal("that merge was taken back already")
        raise NoMerge(merge_id)

    async def _tree(
        self, hosts: tuple[str, ...], fields: Mapping[str, str], prefix: str
    ) -> list[tuple[tuple[str, ...], Merge]]:
        """Return merges of a contact and of its parts, each with the contacts that it is in, the innermost first."""
        found = [(hosts, one) for one in merges(fields, prefix)]
        for one in merges(fields):
            try:
                part = await contacts.own(self._store, one.contact)
            except NoContact:
                continue  # it is being erased, part by part
            found += await self._tree((one.contact, *hosts), part, prefix)
        return found

    async def _finish(self, task: Task, *, fresh: bool) -> None:
        """Do what is left of a task, and let its contacts go. Raises `Conflict`, `NoContact`, `StoreError`."""
        packed = msgspec.json.encode(task).decode()
        home, *others = task.locks
        if not fresh and await self._busy(home) != packed:
            await self._free(others, task, packed)
            return
        try:
            for name in task.locks:
                await self._lock(name, task, packed)
            steps = self._merged if task.what == "merge" else self._split
            await steps(task, packed)
        except (Over, NoContact):
            log.debug("a %s of contacts is over, or makes no sense any more", task.what)
        # The first lock goes last: as long as it is there the task is not over.
        await self._free([*others, home], task, packed)
        self._wakes.ring(f"p{parse_id(one, 'k').partition}" for one in task.locks)

    async def _busy(self, name: str) -> str:
        place = parse_id(name, "k")
        found = await self._store.do(tag(place.partition), "HGET", key(place.partition, f"k:{place.key}"), BUSY)
        return found or ""

    async def _lock(self, name: str, task: Task, packed: str) -> None:
        """Lock a contact for *task*, after what has locked it is finished. Raises `Over`, `NoContact`, `Conflict`."""
        for attempt in range(TRIES):
            fields = await contacts.own(self._store, name)
            busy, ran = fields.get(BUSY, ""), fields.get(RAN, "")
            if task.id in ran.split() or ERASING in fields:
                raise Over
            if busy == packed:
                return
            if busy:
                await self._finish(msgspec.json.decode(busy, type=Task), fresh=False)
                await self._calm(attempt)
                continue
            expect = {BUSY: "", RAN: ran}
            if await contacts.write(self._store, name, expect, {BUSY: packed}, mark=(DUE, self._now())):
                self._wakes.ring((f"{BELL}{parse_id(name, 'k').partition}",))
                return
        raise Conflict

    async def _free(self, names: Sequence[str], task: Task, packed: str) -> None:
        for name in names:
            for _ in range(TRIES):
                try:
                    ran = (await contacts.own(self._store, name)).get(RAN, "")
                except NoContact:
                    break
                last = " ".join([*ran.split()[1 - REMEMBERED :], task.id])
                expect = {BUSY: packed, RAN: ran}
                freed = await contacts.write(self._store, name, expect, {RAN: last}, unset=(BUSY,), unmark=(DUE,))
                if freed or await self._busy(name) != packed:
                    break

    async def _merged(self, task: Task, packed: str) -> None:
        """Make the guest an alias, then give the host what it had. Raises `Over`, `NoContact`, `StoreError`."""
        host, merge = task.hosts[0], parse_id(task.merge, "g").key
        fields = await contacts.own(self._store, host)
        while (guest := await contacts.own(self._store, task.guest)).get(VIA) != task.merge:
            if guest.get(BUSY) != packed or INTO in guest or INTO in fields or UNDONE + merge in fields:
                raise Over  # others have finished it, or one of them was merged before this task had its locks
            await contacts.write(self._store, task.guest, {BUSY: packed, INTO: ""}, {INTO: host, VIA: task.merge})

        def taken(fields: Mapping[str, str]) -> tuple[dict[str, Value], list[str], list[Value]] | None:
            if MERGE + merge in fields:
                return None
            gave, conflicts = kinship.given(fields, guest)
            one = Merge(
                task.merge, task.guest, task.at, task.by, task.how, task.reason, task.evidence,
                guest.get("name", ""), tuple(contacts.addresses_of(guest)), gave, conflicts,
            )  # fmt: skip
            values: dict[str, Value] = dict(kinship.joined(fields, gave))
            values[MERGE + merge] = msgspec.json.encode(one).decode()
            story = {"merge": task.merge, "with": task.guest, "how": task.how, "reason": task.reason}
            return values, [], contacts.told(parse_id(host, "k"), task.by, task.at, "merged", story)

        await self._write(host, packed, taken)

    async def _split(self, task: Task, packed: str) -> None:
        """Take back from every host what the guest gave, then make the guest itself again.

        Raises `Over`, `NoContact`, `StoreError`.
        """
        merge = parse_id(task.merge, "g").key
        above = [await contacts.own(self._store, name) for name in task.hosts]
        ways = [(one.get(INTO, ""), following) for one, following in zip(above, (*task.hosts[1:], ""), strict=True)]
        if any(into != following for into, following in ways):
            raise Over  # what they are part of has changed before this task had its locks
        kept = above[0].get(MERGE + merge) or above[0].get(UNDONE + merge)
        if kept is None:
            raise Over
        one = msgspec.json.decode(kept, type=Merge)
        gave, via, passed = one.gave, above[0].get(VIA, ""), []
        for name, fields in zip(task.hosts[1:], above[1:], strict=True):
            known = fields.get(MERGE + parse_id(via, "g").key)
            if known is None:
                raise Over
            upper = msgspec.json.decode(known, type=Merge)
            gave = kinship.common(upper.gave, gave)
            passed.append((name, via, gave))
            via = fields.get(VIA, "")
        # The outermost first: what it got is known from what those within it have.
        for name, via, gave in reversed(passed):
            await self._take_back(name, via, gave, packed)

        def taken(fields: Mapping[str, str]) -> tuple[dict[str, Value], list[str], list[Value]] | None:
            if MERGE + merge not in fields:
                return None
            undone = msgspec.structs.replace(one, undone=End(task.at, task.by, task.reason))
            values, gone = split_up(kinship.parted(fields, one.gave))
            values |= {UNDONE + merge: msgspec.json.encode(undone).decode(), **separated(fields, task.guest)}
            story = {"merge": task.merge, "with": task.guest, "reason": task.reason}
            entry = contacts.told(parse_id(task.hosts[0], "k"), task.by, task.at, "split", story)
            return values, [*gone, MERGE + merge], entry

        await self._write(task.hosts[0], packed, taken)
        guest = await contacts.own(self._store, task.guest)
        if guest.get(VIA) == task.merge:
            free = separated(guest, task.hosts[0])
            await contacts.write(self._store, task.guest, {BUSY: packed, VIA: task.merge}, free, unset=(INTO, VIA))

    async def _take_back(self, name: str, via: str, gave: Gave, packed: str) -> None:
        """Take *gave* back from an upper host, to which it came by the merge *via*."""
        merge = MERGE + parse_id(via, "g").key

        def taken(fields: Mapping[str, str]) -> tuple[dict[str, Value], list[str], list[Value]] | None:
            upper = msgspec.json.decode(fields[merge], type=Merge)
            part = kinship.common(upper.gave, gave)
            rest = msgspec.structs.replace(upper, gave=kinship.less(upper.gave, part))
            if rest == upper:
                return None
            values, gone = split_up(kinship.parted(fields, part))
            return {**values, merge: msgspec.json.encode(rest).decode()}, gone, []

        await self._write(name, packed, taken)

    async def _write(
        self,
        name: str,
        packed: str,
        taken: Callable[[Mapping[str, str]], tuple[dict[str, Value], list[str], list[Value]] | None],
    ) -> None:
        """Change a locked contact as *taken* makes of its hash, unless that says that it is done. Raises `Over`."""
        while True:
            fields = await contacts.own(self._store, name)
            if fields.get(BUSY) != packed:
                raise Over
            step = taken(fields)
            if step is None:
                return
            values, unset, entry = step
            expect = {BUSY: packed, "v": fields.get("v", "")}
            if await contacts.write(self._store, name, expect, values, unset=unset, log=entry):
                return


def separated(fields: Mapping[str, str], other: str) -> dict[str, str]:
    """Return what of a contact's hash changes when it is known not to be the same person as *other*."""
    return {APART: ",".join(dict.fromkeys([*listed(fields, APART), other]))}


def split_up(changes: Mapping[str, str]) -> tuple[dict[str, Value], list[str]]:
    """Return what of *changes* is set, and which fields go."""
    return {name: value for name, value in changes.items() if value}, [
        name for name, value in changes.items() if not value
    ]
