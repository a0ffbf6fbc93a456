"""Contacts as CSV files, as spreadsheets write and read them: in UTF-8, UTF-16 or GBK, and never a formula. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inbox import contacts
from inbox.cells import FORMULAS, GUARD
from inbox.contacts import addresses_of
from inbox.sightings import emails, number
from inbox.work import Refusal

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("编号", "客户编号"),
    "name": ("姓名", "名称", "客户姓名"),
    "phone": ("电话", "手机", "手机号", "手机号码", "tel", "mobile"),
    "email": ("邮箱", "电子邮箱", "电子邮件", "e-mail", "mail"),
    "addresses": ("渠道地址", "address"),
    "tags": ("标签", "tag"),
    "tier": ("等级", "级别", "会员等级"),
    "language": ("语言",),
    "channel": ("首选渠道",),
}
"""The columns that are read, and what else they may be called."""

TOLD = ("since", "consent")
"""Columns that only the hub writes."""

HEADS = (*COLUMNS, *TOLD)
MOST_ROWS = 100_000
BREAKS = re.compile(r"[\s;；]+")
LISTED = re.compile(r"[,;|，；、\n]+")
ROUNDED = re.compile(r"[0-9][.,]?[0-9]*[eE]\+?[0-9]{1,2}")


class BadFile(ValueError):
    """The file cannot be read at all; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a line; *column* is "" where the whole line is meant."""

    line: int
    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one line says of a contact. *values* is what `contacts.checked` has returned."""

    line: int
    id: str
    addresses: tuple[str, ...]
    values: Mapping[str, str]


@dataclass(slots=True)
class Reading:
    """What a file holds: rows that can be taken, and what is wrong with the others. *count* is all lines with a row."""

    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    count: int = 0


def decoded(data: bytes) -> str:
    """Return the text of a file: a mark at its beginning decides, else it is UTF-8, else GBK. Raises `BadFile`."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    marked = [name for mark, name in marks if data.startswith(mark)]
    for encoding in marked or ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadFile("the file is in no encoding that is known here: UTF-8, UTF-16 or GBK")


def read(data: bytes, region: str) -> Reading:
    """Return what a file holds. A phone number without a country code belongs to *region*. Raises `BadFile`."""
    text = decoded(data)
    if "\0" in text:
        raise BadFile("the file is no text: a spreadsheet's own format has to be saved as CSV first")
    separator, text, skipped = _separated(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found, begins = Reading(), 1
    try:
        heads = _heads(next(reader, []), found)
        taken: dict[str, int] = {}
        begins = reader.line_num + 1
        for cells in reader:
            line, begins = begins + skipped, reader.line_num + 1
            if any(map(str.strip, cells)):
                found.count += 1
                _take(line, heads, cells, region, found, taken)
            if found.count > MOST_ROWS:
                raise BadFile(f"line {line}: a file has at most {MOST_ROWS} rows")
    except csv.Error as error:
        raise BadFile(f"line {begins + skipped}: this is no CSV: {error}") from None
    return found


def _separated(text: str) -> tuple[str, str, int]:
    """Return what separates cells, the text without a line that only says so, and how many lines that were."""
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)
    if said is not None and said[1] not in '\r\n"':
        return said[1], rest, 1
    return max(",;\t", key=first.count), text, 0


def _heads(cells: Sequence[str], found: Reading) -> list[str]:
    """Return the names of the columns, "" for those that are not read. Raises `BadFile`."""
    names = {alias: name for name, aliases in COLUMNS.items() for alias in (name, *aliases)}
    heads = [names.get(cell.strip().lower(), "") for cell in cells]
    for cell, name in zip(cells, heads, strict=True):
        if not name and cell.strip() and cell.strip().lower() not in TOLD:
            found.faults.append(Fault(1, cell.strip()[:60], "this column is not known here, and left out"))
    known = [name for name in heads if name]
    if len(set(known)) != len(known):
        raise BadFile("line 1: two columns have the same name")
    if not {"id", "phone", "email", "addresses"} & set(known):
        raise BadFile("line 1: there is no column id, phone, email or addresses")
    return heads


def _take(
    line: int, heads: Sequence[str], cells: Sequence[str], region: str, found: Reading, taken: dict[str, int]
) -> None:
    """Read one row into *found*; *taken* are the addresses of earlier lines."""
    if len(cells) > len(heads):
        found.faults.append(Fault(line, "", f"{len(cells)} cells where {len(heads)} are named"))
        return
    values = {name: bare(cell) for name, cell in zip(heads, cells, strict=False) if name}
    faults: list[Fault] = []
    addresses = tuple(dict.fromkeys(_addresses(line, values, region, faults)))
    faults += [Fault(line, "", f"line {taken[one]} has the same address") for one in addresses if one in taken]
    if not addresses and not values.get("id") and not faults:
        faults.append(Fault(line, "", "there is no address by which to know the customer"))
    tags = [one.strip() for one in LISTED.split(values.get("tags", "")) if one.strip()]
    given = {name: values.get(name) or None for name in ("tier", "language", "name", "channel")}
    try:
        checked = contacts.checked(tags or None, **given)
        contacts.reachable(addresses)
    except Refusal as error:
        faults.append(Fault(line, "", str(error)))
    else:
        if not faults:
            found.rows.append(Row(line, values.get("id", ""), addresses, checked))
    taken |= dict.fromkeys(addresses, line)
    found.faults += faults


def _addresses(line: int, values: Mapping[str, str], region: str, faults: list[Fault]) -> Iterable[str]:
    """Yield the addresses of a row."""
    phone, email = values.get("phone", ""), values.get("email", "").lower()
    if ROUNDED.fullmatch(phone):
        faults.append(Fault(line, "phone", "a spreadsheet has rounded this number; keep such columns as text"))
    elif phone:
        digits = number(phone, region)
        if digits.startswith("+"):
            yield f"tel:{digits}"
        else:
            faults.append(Fault(line, "phone", "this is no telephone number"))
    if email and any(value == email for _, _, value in emails(email)):
        yield contacts.spelled(f"mailto:{email}")
    elif email:
        faults.append(Fault(line, "email", "this is no mail address"))
    yield from map(contacts.spelled, filter(None, BREAKS.split(values.get("addresses", ""))))


def guarded(text: str) -> str:
    """Return *text* so that `bare` gives it back, and no spreadsheet takes it for a formula."""
    said = text.lstrip()
    rest = said.lstrip(GUARD)
    return GUARD + said if rest != said and _formula(rest) else text  # `cells.harmless` guards what has no ' yet


def bare(cell: str) -> str:
    """Return what a cell says, without blanks around it, and without the mark that kept it from being a formula."""
    text = cell.lstrip()  # what is a blank behind the mark may be what it guards
    return (text[1:] if text.startswith(GUARD) and _formula(text.lstrip(GUARD)) else text).strip()


def _formula(text: str) -> bool:
    return text[:1] in FORMULAS or text.lstrip()[:1] in FORMULAS if text else False


def row(contact: str, fields: Mapping[str, str], since: str, consent: str) -> list[str]:
    """Return the cells of a contact, in the order of `HEADS`."""
    addresses = addresses_of(fields)
    first = {
        scheme: next((one.removeprefix(scheme) for one in addresses if one.startswith(scheme)), "")
        for scheme in ("tel:", "mailto:")
    }
    own = [fields.get(name, "") for name in ("tags", "tier", "language", "channel")]
    return [
        *(contact, fields.get("name", ""), first["tel:"], first["mailto:"], "\n".join(addresses)),
        *(own[0].replace(",", ";"), *own[1:], since, consent),
    ]
