"""Look whether everything is as it should be: our package names, the store's promises, the hub that runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

from config import chinese
from config.loading import Loaded
from inbox.client import Client, NoHub, Refused
from inbox.durability import Finding, judge
from inbox.opening import examine
from inbox.store import StoreError, Topology

ENGLISH = {"fine": "{}: fine", "findings": "{}: {} finding(s)", "refuse": "refuse: {}", "warn": "warn: {}"}
CHINESE = {"fine": "{}：没有问题", "findings": "{}：发现 {} 处", "refuse": "错误：{}", "warn": "提醒：{}"}
FINDINGS = {
    "the hub does not use the files as they are: {}": "文件没有启用：{}",
    "the shadow routes are not watched: {}": "影子规则没有在比对：{}",
    "the hub's processes use different rules": "各进程使用的规则不一致",
    "package {} is not ours: another distribution lies over it": "包 {} 不是汇流的：被别的发行包覆盖了",
    "package {} belongs to several distributions": "包 {} 属于多个发行包",
    "store.durability asks for {}, but the store has appendonly no; set appendonly yes": (
        "store.durability 要求 {}，但存储的 appendonly 是 no；请设 appendonly yes"
    ),
    "the store does not tell whether it keeps an append-only log (appendonly)": (
        "存储没有说明是否保留追加日志（appendonly）"
    ),
    "the store does not tell its appendfsync; {} is asked for": "存储没有说明 appendfsync；要求的是 {}",
    "store.durability asks for {}, but the store has appendfsync {}; set appendfsync {}, or ask for everysec": (
        "store.durability 要求 {}，但存储的 appendfsync 是 {}；请设 appendfsync {}，或改为要求 everysec"
    ),
    "store.durability asks for {}, but the store has appendfsync {}; set appendfsync {}": (
        "store.durability 要求 {}，但存储的 appendfsync 是 {}；请设 appendfsync {}"
    ),
    "the store could not write its append-only log the last time; is its disk full?": (
        "存储上一次没能写入追加日志；磁盘满了吗？"
    ),
    "the store does not tell its maxmemory-policy; only noeviction keeps every message": (
        "存储没有说明 maxmemory-policy；只有 noeviction 能留住每条消息"
    ),
    "the store has maxmemory-policy {}, which deletes messages when memory is short; set maxmemory-policy noeviction": (
        "存储的 maxmemory-policy 是 {}，内存不足时会删除消息；请设 maxmemory-policy noeviction"
    ),
    "the store has replicas but min-replicas-to-write 0: a failover may lose acknowledged writes; "
    "set min-replicas-to-write 1": (
        "存储有副本，但 min-replicas-to-write 是 0，故障切换时可能丢失已确认的写入；请设 min-replicas-to-write 1"
    ),
    "the store cannot be reached ({})": "连不上存储（{}）",
    "the cluster cannot be reached ({})": "连不上存储集群（{}）",
    "no sentinel names the primary ({})": "没有哨兵指出主节点（{}）",
    "a restore into this store has not come to its end; run huiliu restore again, or empty the store": (
        "向此存储的恢复没有做完；请再次运行 huiliu restore，或清空存储"
    ),
    "the data are cut into {} partitions, this version of the hub works with {}": (
        "数据分为 {} 个分区，此版本需要 {} 个"
    ),
    "{} is in use: {} is held by another hub, process {}; stop it, or give this hub a store.path of its own": (
        "{} 已被占用：{} 由另一个汇流（进程 {}）持有；请停掉它，或给这个汇流另设 store.path"
    ),
    "no hub runs its store in {}": "{} 里没有正在运行的存储",
    "the store in {} cannot be used: {}": "{} 里的存储无法使用：{}",
    "HUILIU_VALKEY_BIN names {}, which is not a program that can be run": "HUILIU_VALKEY_BIN 所指的 {} 不能运行",
}


async def examine_all(loaded: Loaded, locale: str = "en", *, as_json: bool) -> int:
    """Print what is right and wrong with names, files and store; 1 if something is wrong."""
    running = await asyncio.to_thread(hub_findings, loaded)
    findings = [*own_names(), *await store_findings(loaded), *running]
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        words = CHINESE if locale.startswith("zh") else ENGLISH
        for finding in findings:
            print(words[finding.level].format(told(finding.message, locale)))
        print(words["findings" if findings else "fine"].format(loaded.path, len(findings)))
    return 1 if any(finding.level == "refuse" for finding in findings) else 0


def told(message: str, locale: str) -> str:
    """Return what a finding says in the language of *locale*; what has no translation stays as it is."""
    if not locale.startswith("zh"):
        return message
    what, colon, fault = message.partition(": ")
    line = chinese.retold(fault)
    return chinese.matched(f"{what}{colon}{line}", tuple(FINDINGS.items())) or message


async def store_findings(loaded: Loaded) -> list[Finding]:
    """Return what is weaker about the store than the configuration asks."""
    settings = loaded.settings.store
    url = settings.url.get_secret_value()
    if url == "embedded":
        return []
    try:
        return judge(await examine(Topology(url)), settings.durability)
    except StoreError as error:
        return [Finding("refuse", str(error))]


def hub_findings(loaded: Loaded) -> list[Finding]:
    """Return why the hub that runs with this configuration does not use its files; nothing if none runs."""
    try:
        said = Client.of(loaded.settings).get("/routes/status")
    except (NoHub, Refused):
        return []
    findings = [Finding("refuse", f"the hub does not use the files as they are: {fault}") for fault in said["faults"]]
    findings += [Finding("warn", f"the shadow routes are not watched: {fault}") for fault in said["shadow_faults"]]
    if not said["agree"]:
        findings.append(Finding("warn", "the hub's processes use different rules"))
    return findings


def own_names() -> list[Finding]:
    """Return which of our package names another distribution has taken (they are common words)."""
    here = Path(__file__).parent.parent
    names = ("connectors", "config", "inbox", "outbox", "router")
    strangers = [name for name in names if Path(import_module(name).__file__ or "").parent.parent != here]
    owners = packages_distributions()
    doubled = [name for name in names if len(set(owners.get(name, []))) > 1]
    return [
        *(Finding("refuse", f"package {name} is not ours: another distribution lies over it") for name in strangers),
        *(Finding("warn", f"package {name} belongs to several distributions") for name in doubled),
    ]
