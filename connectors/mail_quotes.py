"""Where a customer's new words end and the quoted history begins, by what mail programs write.

The text is only cut where that is certain: when the history stands below words of the customer and
nothing of the customer's follows it. In doubt nothing is cut.
"""

from __future__ import annotations

import re

FAR = 2000
"""History that begins after more lines than this is left where it is."""

LONGEST = 500
"""No line that introduces a quote is longer; a longer one is somebody's text."""

DATE = re.compile(
    r"\d{2,4}\s*[年/.-]\s*\d{1,2}\s*[月/.-]\s*\d{1,2}|\d{1,2},? [A-Za-z]{3,9}\.? \d{4}|"
    r"[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}"
)
TIME = re.compile(r"\d{1,2}\s*[:：时時]\s*\d{2}|\d\s*[AP]M", re.IGNORECASE)

ABROAD = re.compile(
    r"(?:am .+ schrieb .+|le .+ a écrit|el .+ escribió|pada .+ menulis|vào .+ đã viết|ใน.+ เขียนว่า)", re.IGNORECASE
)
"""Gmail in German, French, Spanish, Indonesian, Vietnamese and Thai."""

YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")

BANNERS = re.compile(
    r"[-_*=\s]{2,60}(?:原始邮件|原始郵件|邮件原件|回复的原邮件|回复的邮件|原邮件|原始信件|original message|original|"
    r"replied message|reply message)[-_*=\s]{2,60}",
    re.IGNORECASE,
)
"""QQ, NetEase Mail Master, Outlook Express: a title between rules above the quoted mail."""

TITLE = re.compile(r"原始邮件|原始郵件|original email|original message", re.IGNORECASE)
"""Tencent's mail for companies and the new QQ Mail: a title alone, which only a block of fields makes a heading."""

RULE = re.compile(r"[-_=*]{5,200}")

KEYS = {
    "from": ("发件人", "发信人", "寄件者", "寄件人", "發件人", "from", "sender", "von"),
    "sent": (
        "发送时间",
        "发件时间",
        "发送日期",
        "日期",
        "时间",
        "寄件日期",
        "傳送日期",
        "傳送時間",
        "發送時間",
        "sent",
        "date",
        "sent time",
        "gesendet",
        "datum",
    ),
    "to": ("收件人", "收信人", "收件者", "to", "an"),
    "subject": ("主题", "主旨", "主題", "标题", "subject", "betreff"),
    "copy": ("抄送", "抄送人", "抄送至", "副本", "cc", "密送", "回复", "reply-to"),
}
"""Field names of the block that Outlook, Foxmail, QQ and Alimail put above a quoted mail."""

FIELD_NAMES = {name.replace(" ", ""): key for key, names in KEYS.items() for name in names}
FIELD = re.compile(r"[*|\s]*([^:：|*]{1,20}?)[*\s]*[:：|](.*)")

FORWARDED = re.compile(r"\s*(?:fwd?|fw|转发|轉發|轉寄|转寄)\s*[:：]", re.IGNORECASE)
FORWARD_BANNER = re.compile(
    r"[-_*=\s]*(?:forwarded message|begin forwarded message|转发的邮件|转发邮件|轉寄的郵件|"
    r"开始转发的邮件)",
    re.IGNORECASE,
)


def split(text: str, subject: str = "") -> tuple[str, str]:
    """Return the customer's new words and the quoted history of *text* ("" when nothing is certain to be history).

    A forwarded mail (by its *subject* or its banner) is what the customer wants to show: it is never cut.
    """
    if FORWARDED.match(subject):
        return text, ""
    rows = text.split("\n")
    for number, row in enumerate(rows[:FAR]):
        if len(row) > LONGEST or not row.strip():
            continue
        if FORWARD_BANNER.match(row):
            return text, ""
        after = _after_heading(rows, number)
        if after and _only_history(row, rows[after:]):
            return _cut(text, rows, _first_marked(rows, number))
    return text, ""


def _after_heading(rows: list[str], number: int) -> int:
    """Return the row after a heading of quoted history that begins at *number*, 0 if none begins there."""
    row = _bare(rows[number])
    if _introduces(row) and _quotes(row, rows, number + 1):
        return number + 1
    # Gmail and others fold a long introduction after a comma or before "写道".
    for more in (1, 2):
        folded = " ".join(_bare(part) for part in rows[number : number + more + 1])
        if number + more >= len(rows) or len(folded) > LONGEST or not _begins(row) or not _introduces(folded):
            continue
        if _quotes(folded, rows, number + more + 1):
            return number + more + 1
    if BANNERS.fullmatch(row) or RULE.fullmatch(row) or TITLE.fullmatch(row):
        start = next((index for index in range(number + 1, min(number + 6, len(rows))) if _bare(rows[index])), 0)
        after = _after_fields(rows, start) if start else 0
        return after or (number + 1 if BANNERS.fullmatch(row) else 0)
    return _after_fields(rows, number)


def _introduces(row: str) -> bool:
    """Tell whether *row* is "who wrote when:", as mail programs put it.

    - Gmail: 在 2026年11月20日周五 10:00，李雷 <a@b.cn> 写道： / 李雷 <a@b.cn> 于2026年11月20日周五 10:00写道：
    - NetEase: 在 2026-11-20 10:00:00，"李雷" <a@b.cn> 写道： / At 2026-11-20 10:00:00, "Li" <a@b.cn> wrote:
    - Apple: 2026年11月20日 10:00，李雷 <a@b.cn> 写道： / On Nov 20, 2026, at 10:00, Li <a@b.cn> wrote:
    - older Gmail: 2026-11-20 10:00 GMT+08:00 李雷 <a@b.cn>:
    - Proton: On Friday, November 20th, 2026 at 10:00 AM, Li <a@b.cn> wrote:
    - Zoho: ---- On Fri, 20 Nov 2026 10:00:00 +0800 Li <a@b.cn> wrote ----
    - Zoho: ---- 在 星期五, 2026-11-20 10:00:00 李雷<a@b.cn> 撰写 ----
    - Gmail abroad: Am Fr., 20. Nov. 2026 um 10:00 Uhr schrieb Li <a@b.cn>:
    """
    if row.startswith("---- ") and row.endswith(" ----"):
        row = row.strip("- ") + ":"
    said = row.rstrip(":： ")
    if len(said) == len(row):
        return False
    dated = bool(DATE.search(said))
    if said.endswith(("写道", "寫道", "撰写")) or said.lower().endswith("wrote"):
        # A date alone is not enough: people write 他在11月20日写道： themselves.
        return dated and (bool(TIME.search(said)) or "@" in said)
    if "@" in said and YEAR.search(said) and ABROAD.fullmatch(said):
        return True
    return said.endswith(">") and "@" in said and dated and said[:4].isdigit()


def _quotes(row: str, rows: list[str], after: int) -> bool:
    """Tell whether a mail is quoted below *row*, an introduction: it names an address, or what follows is marked.

    Without either somebody may be telling what another one wrote, in words of their own.
    """
    if "@" in row or "<" in row:
        return True
    following = next((line for line in rows[after:] if line.strip()), ">")
    return _marked(following)


def _begins(row: str) -> bool:
    """Tell whether a folded introduction may begin with *row*: it holds a date or an address."""
    return (
        row.lower().startswith(("在", "on ", "at ", "am ", "le ", "el ", "pada ", "vào ", "ใน"))
        or "@" in row
        or bool(re.match(r"\d{4}", row))
    )


def _after_fields(rows: list[str], number: int) -> int:
    """Return the row after a block of From, Sent, To and Subject that begins at *number*, 0 if there is none.

    Three of the four make a block, it must begin with From, and hold a subject or somebody's mail address:
    a customer who writes "寄件人：张三", "收件人：李四" for a parcel is not quoting, nor is one who travels
    from Beijing to Shanghai.
    """
    found: list[str] = []
    addressed = False
    index = number
    while index < len(rows) and index < number + 12:
        row = _bare(rows[index])
        match = FIELD.fullmatch(row)
        key = FIELD_NAMES.get(re.sub(r"[\s\u3000]", "", match[1]).lower(), "") if match else ""
        if not found and key != "from":
            return 0
        if key:
            found.append(key)
        elif row.strip("|- ") and not _continues(row, found):
            break
        addressed = addressed or ("@" in row and found[-1] in ("from", "to"))
        index += 1
    known = set(found) - {"copy"}
    if len(known) < 3 or not ("subject" in known or ("sent" in known and addressed)):
        return 0
    return index


def _continues(row: str, found: list[str]) -> bool:
    """Tell whether *row* goes on with a folded list of addresses."""
    return bool(found) and found[-1] in ("from", "to", "copy") and "@" in row and len(row) < 300


def _only_history(heading: str, rest: list[str]) -> bool:
    """Tell whether nothing in *rest* can be the customer's: all of it carries quote marks, or none of it does.

    Marks further down may be those of an older quote, with its own introduction: "Li Lei wrote:".
    """
    filled = [row for row in rest if row.strip()]
    marked = [_marked(row) for row in filled]
    if _marked(heading):
        return all(marked)
    if all(marked) or not any(marked):
        return True
    first = marked.index(True)
    return first > 0 and filled[first - 1].rstrip().endswith((":", "："))


def _marked(row: str) -> bool:
    return row.lstrip().startswith(">")


def _first_marked(rows: list[str], number: int) -> int:
    """Return where the run of rows with quote marks begins in which *number* stands: old Hotmail puts Subject first."""
    while number and _marked(rows[number]) and _marked(rows[number - 1]):
        number -= 1
    return number


def _cut(text: str, rows: list[str], number: int) -> tuple[str, str]:
    new = "\n".join(rows[:number]).rstrip()
    if not new.strip(" \t\u3000>|-_*"):
        return text, ""  # nothing above the history: the customer wrote below it, or shows it to us
    return new, "\n".join(rows[number:]).strip("\n")


def _bare(row: str) -> str:
    """Return *row* without quote marks, bold marks and outer spaces."""
    return row.replace("\xa0", " ").replace("\u202f", " ").lstrip("> \t").strip().strip("*").strip()
