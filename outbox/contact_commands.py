"""The commands about contacts: clients of the running hub's API."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from inbox.client import SLOW
from inbox.commands import CANNOT_TELL, NO, AsJson, Connect, attempt, dump, table, width
from inbox.commands import harmless as shown
from inbox.printing import fail, heads, trouble, written

SAID = {
    "en": {
        "there": "{} is there already; name another file, or say --force",
        "cannot write": "cannot write {}: {}",
        "cannot read": "cannot read {}: {}",
        "wrote": "{} is written",
        "merged": "{} is part of {} now (merge {})",
        "split": "{} is a contact of its own again, {} stays",
        "goes": "goes",
        "stays": "stays",
        "sure": "this cannot be taken back: say --yes, or look first with --dry-run",
        "erased": "erased",
        "would": "nothing was changed",
        "nothing": "there is no such contact; it may have been erased before",
        "import": "{rows} rows: {created} new, {changed} changed, {unchanged} as they are, {refused} refused",
        "preview": "a preview: nothing was changed; say --apply to take it in",
    },
    "zh": {
        "there": "{} 已存在；请换一个文件名，或加 --force",
        "cannot write": "无法写入 {}：{}",
        "cannot read": "无法读取 {}：{}",
        "wrote": "已写入 {}",
        "merged": "{} 已并入 {}（合并编号 {}）",
        "split": "{} 已恢复为独立客户，{} 保留",
        "goes": "删除",
        "stays": "保留",
        "sure": "此操作无法撤销：请加 --yes，或先用 --dry-run 查看",
        "erased": "已删除",
        "would": "未作任何改动",
        "nothing": "没有这个客户；可能此前已删除",
        "import": "{rows} 行：新增 {created}，更新 {changed}，无变化 {unchanged}，拒绝 {refused}",
        "preview": "仅为预览，未作任何改动；确认后请加 --apply",
        "why opt_outs": "以免再打扰；只保留地址的密钥散列",
        "why conversations": "时间、归属、消息条数",
        "why log_entries": "何时发生了哪一类事；不含文字和姓名",
        "why scores": "数字答案；不含文字，也无法得知是谁的",
    },
}

HEADS = ("id", "name", "addresses", "tags", "tier", "language", "channel", "since")

Id = Annotated[str, typer.Argument(metavar="ID")]
Output = Annotated[str, typer.Option("--output", "-o", help="file to write / 输出文件")]
Force = Annotated[bool, typer.Option("--force", help="overwrite the file / 覆盖文件")]
Reason = Annotated[str, typer.Option("--reason", help="why / 原因")]


def with_contacts(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Add the commands to `huiliu contact`, and return it."""
    looking(app, connect, locale)
    identity(app, connect, locale)
    personal(app, connect, locale)
    tables(app, connect, locale)
    return app


def looking(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the commands that show contacts."""

    @app.command("list")
    def list_all(
        text: Annotated[str, typer.Argument(help="name, address or id / 姓名、地址或编号")] = "",
        tag: str = "",
        tier: str = "",
        limit: int = 50,
        as_json: AsJson = False,
    ) -> None:
        """List contacts, newest first. / 列出客户。"""

        def work() -> None:
            found = connect().get("/contacts", q=text, tag=tag, tier=tier, limit=limit)
            if as_json:
                dump(found)
                return
            table(heads(HEADS, locale()), [[cell(one[name]) for name in HEADS] for one in found["items"]])

        attempt(work)

    @app.command()
    def show(name: Id, as_json: AsJson = False) -> None:
        """Show one contact, and what was merged into it. / 显示一个客户及其合并记录。"""

        def work() -> None:
            found = connect().get(f"/contacts/{name}")
            if as_json:
                dump(found)
                return
            for head, key in zip(heads(HEADS, locale()), HEADS, strict=True):
                print(f"{head}{' ' * (10 - width(head))} {shown(cell(found[key]))}")
            names = ("contact", "name", "at", "how", "reason")
            if found["merges"]:
                rows = [[one[key] for key in ("id", *names)] for one in found["merges"]]
                table(heads(("merge", *names), locale()), rows)

        attempt(work)


def identity(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the commands that make one contact of two, and two of one."""

    @app.command()
    def merge(
        name: Id, other: Annotated[str, typer.Argument(metavar="OTHER")], reason: Reason = "", as_json: AsJson = False
    ) -> None:
        """Make OTHER a part of the contact. / 将另一客户并入。"""

        def work() -> None:
            done = connect().post(f"/contacts/{name}/merge", {"with": other, "reason": reason})
            if as_json:
                dump(done)
                return
            print(words(locale())["merged"].format(other, done["contact"]["id"], done["merge"]["id"]))

        attempt(work)

    @app.command()
    def split(
        name: Id,
        merged: Annotated[
            str, typer.Argument(metavar="[MERGE]", help="the last one if not given / 不写则为最近一次")
        ] = "",
        reason: Reason = "",
        as_json: AsJson = False,
    ) -> None:
        """Take a merge back: exactly what was merged is a contact again. / 撤销一次合并。"""

        def work() -> None:
            client, which = connect(), merged
            if not which:
                standing = client.get(f"/contacts/{name}")["merges"]
                which = standing[0]["id"] if standing else "g0-none"
            done = client.post(f"/contacts/{name}/split", {"merge": which, "reason": reason})
            if as_json:
                dump(done)
                return
            print(words(locale())["split"].format(done["split"]["id"], done["contact"]["id"]))

        attempt(work)


def personal(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the commands by which a person gets what the law gives them."""

    @app.command()
    def export(
        name: Annotated[str, typer.Argument(metavar="[ID]", help="without it, all as CSV / 不写则导出全部为 CSV")] = "",
        output: Output = "",
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Write everything about one person as a ZIP, or all contacts as CSV. / 导出一个人的全部资料，或全部客户。"""

        def work() -> None:
            said = words(locale())
            path = Path(output or (f"{name}.zip" if name else "contacts.csv"))
            if path.exists() and not force:
                fail(said["there"].format(path), CANNOT_TELL)
            pieces = connect().fetch(f"/contacts/{name}/export" if name else "/contacts/export")
            try:
                save(path, pieces)
            except OSError as error:
                fail(said["cannot write"].format(path, trouble(error, locale())), CANNOT_TELL)
            if as_json:
                written([path])
            else:
                print(said["wrote"].format(path), file=sys.stderr)

        attempt(work)

    @app.command()
    def erase(
        name: Id,
        reason: Reason = "",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go / 只列出将删除的内容")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="do it / 确认删除")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Remove what the hub knows about a person, for good. / 依法删除一个人的全部资料，不可恢复。"""

        def work() -> None:
            if not dry_run and not yes:
                fail(words(locale())["sure"], NO)
            body = {"reason": reason, "dry_run": dry_run}
            done = connect().post(f"/contacts/{name}/erase", body, patience=SLOW)
            if as_json:
                dump(done)
                return
            said = words(locale())
            print(said[done["state"]])
            rows = [(said["goes"], what, count, "") for what, count in done["goes"].items() if count]
            rows += [
                (said["stays"], one["what"], one["count"], said.get(f"why {one['what']}", one["why"]))
                for one in done["stays"]
            ]
            if rows:
                table(("", "", "", ""), rows)

        attempt(work)


def tables(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the command that takes a table of contacts in."""

    @app.command("import")
    def take(
        file: Annotated[Path, typer.Argument(metavar="FILE")],
        apply: Annotated[bool, typer.Option("--apply", help="take it in / 正式导入")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Take a CSV file of contacts in; without --apply only say what that would do. / 导入客户，默认只预览。"""

        def work() -> None:
            try:
                data = file.read_bytes()
            except OSError as error:
                fail(words(locale())["cannot read"].format(file, trouble(error, locale())), CANNOT_TELL)
            done = connect().upload("/contacts/import", data, preview="" if apply else "true")
            if as_json:
                dump(done)
            else:
                said = words(locale())
                print(said["import"].format(rows=done["rows"], **done["counts"]))
                for one in done["faults"]:
                    where = f"{file}:{one['line']}" + (f" {one['column']}" if one["column"] else "")
                    print(shown(f"{where}: {one['why']}"))
                if done["preview"]:
                    print(said["preview"], file=sys.stderr)
            if done["counts"]["refused"]:
                raise typer.Exit(NO)

        attempt(work)


def words(locale: str) -> dict[str, str]:
    """Return what is said in the language of *locale*."""
    return SAID["zh" if locale.startswith("zh") else "en"]


def cell(value: Any) -> str:
    """Return a value for a table."""
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def save(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
