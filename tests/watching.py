"""A witness of assignment: it sees every command in the order in which the store runs it, and keeps its own books."""

from __future__ import annotations

import heapq
import json
import re
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

OURS = re.compile(r'lua\] "(HSET|HDEL|ZADD|ZREM)" "hl:\{agents\}:(of|presence|wait:[^"]+|has:[^":]+)" (.*)$')
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Monitor:
    """Writes what the store runs to a file, by its MONITOR command, until it is closed."""

    def __init__(self, url: str, path: Path) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._path = path
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.sendall(f"AUTH {parts.password}\r\nMONITOR\r\n".encode())
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self._path.open("wb") as file:
            while data := self._socket.recv(1 << 20):
                file.write(data)

    def close(self) -> None:
        """Stop listening; everything that was run before is in the file."""
        self._socket.sendall(b"QUIT\r\n")
        self._reader.join(60)
        self._socket.close()

    def commands(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield (command, key without its prefix, words) of what the scripts of assignment wrote."""
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                found = OURS.search(line)
                if found:
                    words = [word.replace('\\"', '"') for word in WORD.findall(found[3])]
                    yield found[1], found[2], words


@dataclass
class Witness:
    """What happened, checked at every step. *capacity* by agent; *teams*: name -> (strategy, members)."""

    capacity: Mapping[str, int]
    teams: Mapping[str, tuple[str, tuple[str, ...]]]
    has: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    waiting: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    given: Counter[str] = field(default_factory=Counter)
    waited: int = 0
    moved: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._queues: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._left: tuple[str, str, int] | None = None
        self._gone: set[str] = set()
        self._ever: set[str] = set()

    def see(self, command: str, key: str, words: list[str]) -> None:
        """Note one command."""
        kind, _, name = key.partition(":")
        match command, kind:
            case "ZADD", "wait":
                rank, conversation = int(words[0]), words[1]
                self.waiting[name][conversation] = rank
                heapq.heappush(self._queues[name], (rank, conversation))
            case "ZREM", "wait":
                rank_then = self.waiting[name].pop(words[0], None)
                self._left = None if rank_then is None else (name, words[0], rank_then)
            case "HSET", "of":
                self._chosen(*words)
            case "ZADD", "has":
                self.has[name].add(words[1])
                if len(self.has[name]) > self.capacity[name]:
                    self.faults.append(f"{name} has {len(self.has[name])}")
            case "ZREM", "has":
                self.has[name].discard(words[0])
            case "HSET", "presence":
                gone = json.loads(words[1].replace("\\\\", "\\"))["state"] != "online"
                (self._gone.add if gone else self._gone.discard)(words[0])
            case "HDEL", "presence":
                self._gone.discard(words[0])

    def _chosen(self, conversation: str, agent: str) -> None:
        if self._left is None or self._left[1] != conversation:
            self.faults.append(f"{conversation} did not wait")
            return
        team, _, rank = self._left
        queue, waiting = self._queues[team], self.waiting[team]
        while queue and waiting.get(queue[0][1]) != queue[0][0]:
            heapq.heappop(queue)
        self.waited += bool(queue)
        if queue and queue[0][0] < rank:
            self.faults.append(f"{conversation} overtook {queue[0][1]}")
        if agent in self._gone:
            self.faults.append(f"{agent} is not there and got {conversation}")
        self.moved += conversation in self._ever
        self._ever.add(conversation)
        self.given[agent] += 1
        self._fairly(team, agent)

    def _fairly(self, team: str, agent: str) -> None:
        strategy, members = self.teams[team]
        if strategy == "round-robin":
            counts = [self.given[member] for member in members]
            if max(counts) - min(counts) > 1:
                self.faults.append(f"{team} is {counts} apart")
            return
        free = [
            len(self.has[member])
            for member in members
            if member not in self._gone and len(self.has[member]) < self.capacity[member]
        ]
        if len(self.has[agent]) != min(free, default=-1):
            self.faults.append(f"{agent} with {len(self.has[agent])} was not the least busy: {sorted(free)}")
