"""What the hub says to an agent who wrote from where they work."""

from __future__ import annotations

from collections.abc import Mapping

SAID: Mapping[str, tuple[str, str]] = {
    "help": (
        (
            "What you write goes to the customer, unless its first line is a command:\n"
            "{p}note TEXT · {p}assign TEAM or AGENT · {p}resolve · {p}reopen · {p}snooze 2h · {p}tag new -old · "
            "{p}take · {p}next · {p}status · {p}approve or {p}discard DRAFT · {p}help\n"
            "#12 in front means conversation 12."
        ),
        (
            "您写的内容会发给顾客；首行是命令时则执行命令：\n"
            "{p}备注 内容 · {p}转交 团队或客服 · {p}解决 · {p}重开 · {p}稍后 2h · {p}标签 新增 -删除 · {p}接下 · "
            "{p}下一个 · {p}状态 · {p}批准 或 {p}丢弃 草稿 · {p}帮助\n"
            "以 #12 开头表示第 12 号会话。"
        ),
    ),
    "unknown": (
        "“{word}” is no command; nothing was sent to the customer.{near}",
        "没有“{word}”这个命令，没有发给顾客。{near}",
    ),
    "near": (" Did you mean {p}{word}?", "是不是 {p}{word}？"),
    "noted": ("#{code}: noted.", "#{code}：已备注。"),
    "assigned": ("#{code}: assigned to {to}.", "#{code}：已转给{to}。"),
    "no_such": (
        "There is no team or agent “{to}”. There are: {known}.",
        "没有团队或客服“{to}”。可选：{known}。",
    ),
    "resolved": ("#{code}: resolved.", "#{code}：已解决。"),
    "reopened": ("#{code}: open again.", "#{code}：已重开。"),
    "snoozed": ("#{code}: put aside until {time}.", "#{code}：{time} 再提醒。"),
    "no_span": (
        "“{text}” is no time; write {p}snooze 2h, 30m or 1d.",
        "“{text}”不是时间；请写 {p}稍后 2h、30m、1d。",
    ),
    "tagged": ("#{code}: tags are {tags}.", "#{code}：标签为 {tags}。"),
    "taken": ("#{code} is yours.", "#{code} 已归您处理。"),
    "none_next": ("Nobody waits in your teams.", "您的团队里没有等待的会话。"),
    "status": ("You have {count}:", "您有 {count} 个会话："),
    "status_line": ("#{code} {name} ({status}) {words}", "#{code} {name}（{status}）{words}"),
    "more": (" What stands below the command was not sent.", "命令以下的内容没有发送。"),
    "approved": ("The draft is on its way.", "草稿已发送。"),
    "discarded": ("The draft was dropped.", "草稿已丢弃。"),
    "no_draft": ("There is no such draft.", "没有这个草稿。"),
    "refused": ("That makes no sense now: {why}", "现在不能这样做：{why}"),
    "empty": (
        "We found no words of yours above the line; nothing was sent.",
        "在分隔线以上没有找到您写的内容，没有发送。",
    ),
    "no_file": ("The file “{name}” could not be fetched; please send it again.", "文件“{name}”取不到，请重发。"),
    "doubt": (
        (
            "Which one did you mean? #{old} ({old_name}) or #{new} ({new_name})? The second came just now. "
            "Nothing was sent; write again with #{old} or #{new} in front."
        ),
        (
            "您是回复 #{old}（{old_name}）还是 #{new}（{new_name}）？后者刚刚才来。"
            "没有发送；请以 #{old} 或 #{new} 开头重发。"
        ),
    ),
    "held": (
        (
            "Your words for #{code} were not sent, they wait for approval: {why}\n{p}approve {draft} sends them, "
            "{p}discard {draft} drops them."
        ),
        "您给 #{code} 的回复没有发出，等待确认：{why}\n{p}批准 {draft} 发送，{p}丢弃 {draft} 删除。",
    ),
    "not_done": (
        "“{command}” was not done: {why}",
        "“{command}”没有执行：{why}",
    ),
    "no_conversation": (
        "Nobody can tell which customer you mean. Answer a notice, or put #12 in front.",
        "无法判断您要回复哪位顾客。请直接回复通知，或以 #12 开头。",
    ),
    "no_code": (
        "Put the number of the conversation in front, like: 12 Thank you.",
        "请以会话编号开头，例如：12 您好。",
    ),
    "unknown_code": ("You have no conversation of this number.", "您没有这个编号的会话。"),
    "no_token": ("this was no answer to a notice of ours.", "这不是对通知的回复。"),
    "bad_token": ("the notice that it answers is not one of ours.", "所回复的通知无效。"),
    "expired": ("the notice that it answers is too old.", "所回复的通知已过期。"),
    "revoked": ("the notice that it answers was revoked.", "所回复的通知已作废。"),
    "other_sender": ("it came from another address than yours.", "来自另一个邮箱地址。"),
    "no_signature": ("no signature proves that it is from your mailbox.", "没有签名能证明来自您的邮箱。"),
    "bad_signature": ("its signature is not that of your mailbox.", "签名与您的邮箱不符。"),
    "needs_approval": ("answers by SMS need approval.", "短信回复需要确认。"),
    "overtaken": ("{name} answered at {time}: {words}", "{name} 已在 {time} 回复：{words}"),
    "beside": ("{sender} wrote to the customer directly: {words}", "{sender} 直接写给顾客：{words}"),
    "not_enrolled": (
        "You are not enrolled as an agent. An admin can add you: agents.<name>.notify in huiliu.yaml.",
        "您还没有登记为客服。请管理员在 huiliu.yaml 的 agents.<名称>.notify 中添加您。",
    ),
}


def say(name: str, language: str, /, **values: object) -> str:
    """Return a sentence in *language* ("zh…" or English)."""
    return SAID[name][language.startswith("zh")].format(**values)
