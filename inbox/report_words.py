"""The words of reports in English and Chinese: names of figures and groups, definitions, notes, verdicts."""

from __future__ import annotations

from collections.abc import Mapping

from inbox.report import Column, Definition, Figure, Report, Series, Table

Pair = tuple[str, str]

NAMES: Mapping[str, Pair] = {
    # survey figures
    "response_rate": ("Response rate", "回复率"),
    "score_csat": ("Satisfied (CSAT)", "满意率（CSAT）"),
    "score_nps": ("Net promoter score (NPS)", "净推荐值（NPS）"),
    "score_ces": ("Effort score (CES)", "费力度（CES）"),
    "score_mean": ("Mean score", "平均分"),
    "mean": ("Mean", "平均分"),
    "invited": ("Invited", "邀请"),
    "reached": ("Reached", "送达"),
    "valid": ("Valid answers", "有效回复"),
    "answers": ("Answers", "回答"),
    "of_answers": ("Share", "占比"),
    "detractors": ("Detractors 0–6", "贬损者 0–6"),
    "passives": ("Passives 7–8", "被动者 7–8"),
    "promoters": ("Promoters 9–10", "推荐者 9–10"),
    # service figures
    "opened": ("Opened", "新会话"),
    "reopened": ("Reopened", "再次打开"),
    "resolved": ("Resolved", "已解决"),
    "turns": ("Customers' turns", "顾客轮次"),
    "backlog": ("Backlog", "积压"),
    "messages_in": ("Messages received", "收到消息"),
    "messages_out": ("Answers by people", "人工回复"),
    "messages_auto": ("Sent by the hub", "自动发送"),
    "first_reply": ("First reply", "首次回复"),
    "next_reply": ("Next reply", "后续回复"),
    "resolution": ("Resolution", "解决"),
    "kept": ("Promises kept", "承诺达成率"),
    "judged": ("Promises judged", "已判定的承诺"),
    "n": ("Count", "数量"),
    "median_work": ("median, working time", "中位数（工作时间）"),
    "p90_work": ("90th percentile, working time", "第 90 百分位（工作时间）"),
    "median_wall": ("median, by the clock", "中位数（自然时间）"),
    "p90_wall": ("90th percentile, by the clock", "第 90 百分位（自然时间）"),
    "sent": ("Sent", "已发送"),
    "delivered": ("Delivered", "已送达"),
    "read": ("Read", "已读"),
    "failed": ("Failed", "失败"),
    "dead": ("Given up", "放弃"),
    "uncertain": ("Uncertain", "未知"),
    "owed": ("Owed", "应发送"),
    # groups
    "team": ("Team", "团队"),
    "agent": ("Agent", "客服"),
    "channel": ("Channel", "渠道"),
    "without": ("teams other than", "以下团队之外"),
    "tag": ("Tag", "标签"),
    "week": ("Week", "周"),
    "hour": ("Hour of the day", "时段"),
    "stage": ("Stage", "阶段"),
    "topic": ("Topic", "主题"),
    "language": ("Language", "语言"),
    "stratum": ("Stratum", "分层"),
    "via": ("Answered by", "回复方式"),
    "clock": ("Time", "时长"),
    "delivery": ("Deliveries by channel", "各渠道发送结果"),
    # charts
    "response_rate_by_week": ("Response rate by week", "每周回复率"),
    "score_by_week": ("Score by week", "每周得分"),
    "score_by_team": ("Score by team", "各团队得分"),
    "score_by_agent": ("Score by agent", "各客服得分"),
    "score_by_channel": ("Score by channel", "各渠道得分"),
    "score_by_tag": ("Score by tag", "各标签得分"),
    "spread": ("How answers are spread", "回答分布"),
    "volume_by_day": ("Conversations by day", "每日会话"),
    "volume_by_week": ("Conversations by week", "每周会话"),
    "opened_by_hour": ("Opened by hour of the day", "各时段新会话"),
    "kept_by_team": ("Promises kept by team", "各团队承诺达成率"),
    "kept_by_week": ("Promises kept by week", "每周承诺达成率"),
    "first_reply_by_week": ("First reply by week, median of working time", "每周首次回复（工作时间中位数）"),
}
SAID: Mapping[str, Pair] = {
    "survey": ("Survey report", "问卷报告"),
    "service": ("Service report", "服务报告"),
    "period": ("{first} to {last}", "{first} 至 {last}"),
    "before": ("before: {first} to {last}", "对比：{first} 至 {last}"),
    "made": ("made {at}, time zone {timezone}", "生成于 {at}，时区 {timezone}"),
    "owner": ("Owner", "负责人"),
    "purpose": ("Purpose", "目的"),
    "filters": ("Only", "仅限"),
    "late": ("Sent late: it was due earlier.", "补发：本应更早发送。"),
    "low": ("from", "下限"),
    "high": ("to", "上限"),
    "change": ("change", "变化"),
    "compared": ("Compared", "对比"),
    "higher": ("higher than before", "高于上期"),
    "lower": ("lower than before", "低于上期"),
    "unchanged": ("unchanged within the margin", "在误差范围内不变"),
    "unknown": ("nothing to compare with", "无可对比"),
    "margin": ("±{margin}", "±{margin}"),
    "interval_head": ("Margin", "误差"),
    "between": ("{low} to {high}", "{low} 至 {high}"),
    "of": ("{n} answers", "{n} 份回答"),
    "cases": ("{n} cases", "{n} 例"),
    "hidden": ("too few answers", "回答太少"),
    "fewer": ("<{least}", "<{least}"),
    "nobody": ("(none)", "（无）"),
    "all": ("All", "全部"),
    "partial": ("partial", "不完整"),
    "figures": ("Figures", "主要指标"),
    "charts": ("Charts", "图表"),
    "tables": ("By group", "分组"),
    "keywords": ("Words of open answers", "文字回答关键词"),
    "words_read": ("{read} of {answers} answers read", "已分析 {answers} 份中的 {read} 份"),
    "side_good": ("from the satisfied", "满意者更常提到"),
    "side_bad": ("from the dissatisfied", "不满意者更常提到"),
    "side_": ("from everybody", "大家都提到"),
    "word": ("Word", "关键词"),
    "good": ("Satisfied", "满意者"),
    "bad": ("Dissatisfied", "不满意者"),
    "weight": ("Weight (z)", "权重（z）"),
    "example": ("Example", "示例"),
    "definitions": ("Definitions", "定义"),
    "notes": ("To be known", "说明"),
    "answers_head": ("Answer", "回答"),
    "nothing": ("Nothing was counted in this period.", "此期间没有数据。"),
    "no_words": ("No word occurs often enough.", "没有足够常见的词。"),
    "chart_data": ("The figures are in the table.", "数据见表格。"),
    "more_groups": ("Only the {count} largest groups are shown.", "只显示最大的 {count} 组。"),
    "summary": ("Summary", "概要"),
    "value": ("Value", "值"),
    "unit": ("Unit", "单位"),
    "n": ("Count", "数量"),
    "error": ("Standard error", "标准误"),
    "difference": ("Change", "变化"),
    "verdict": ("Verdict", "结论"),
    "section": ("Section", "部分"),
    "group": ("Group", "分组"),
    "figure": ("Figure", "指标"),
    "responses": ("Responses", "回复明细"),
    "codebook": ("Codebook", "编码表"),
    "count": ("count", "数量"),
    "share": ("share", "比例"),
    "points": ("points", "分"),
    "mean": ("mean", "均值"),
    "seconds": ("seconds", "秒"),
    "text": ("text", "文字"),
}
DEFINED: Mapping[str, Pair] = {
    "period_survey": (
        (
            "An invitation belongs to the period in which it was sent, and so do the answers to it, whenever they came. "
            "Days and weeks are those of {timezone}."
        ),
        "邀请按发送时间归入期间，对它的回复（无论何时收到）也归入同一期间。日和周按 {timezone} 计算。",
    ),
    "invited": (
        "Invited: everybody who was to be asked and was not left out (for a cool-down, an opt-out, or the sample).",
        "邀请：应当询问、且未因冷却期、退订或抽样而略过的人。",
    ),
    "reached": (
        (
            "Reached: the platform has taken the invitation and no receipt says that it failed, or the person answered. "
            "Whatever waits, failed or is uncertain is not reached."
        ),
        "送达：平台已接收邀请且没有失败回执，或本人已回复。等待中、失败、结果未知的都不算送达。",
    ),
    "valid": (
        (
            "Valid answers: the first response to an invitation, if it is not flagged as a duplicate. Straight-lined and "
            "very fast ones are flagged, and count."
        ),
        "有效回复：对一份邀请的第一次回复，且未被标为重复。千篇一律或过快的回复会被标出，但计入。",
    ),
    "response_rate": (
        (
            "Response rate = valid answers / reached, with Wilson's score interval. Invitations that can still be answered "
            "count as not answered yet."
        ),
        "回复率 = 有效回复 ÷ 送达，附 Wilson 得分区间。仍可回复的邀请按尚未回复计。",
    ),
    "score_csat": (
        (
            "Satisfied (CSAT) = share of answers of {good} or more on the scale from {low} to {high}, with Wilson's score "
            "interval."
        ),
        "满意率（CSAT）= 在 {low} 到 {high} 分中打 {good} 分及以上者的比例，附 Wilson 得分区间。",
    ),
    "score_nps": (
        (
            "Net promoter score = share of promoters (9 and 10) less share of detractors (0 to 6), in points from -100 to "
            "100. Its standard error is that of the difference of two shares of one sample; its interval is the adjusted "
            "Wald interval (three answers added)."
        ),
        (
            "净推荐值（NPS）= 推荐者（9、10 分）比例减去贬损者（0 至 6 分）比例，范围 -100 至 100。标准误按同一样本两比例之差计算；"
            "区间为调整 Wald 区间（加 3 份回答）。"
        ),
    ),
    "score_ces": (
        (
            "Effort score (CES) = mean of the answers from {low} (very difficult) to {high} (very easy), with Student's "
            "interval; the higher the easier."
        ),
        "费力度（CES）= {low}（非常困难）到 {high}（非常轻松）的平均分，附 t 区间；越高越轻松。",
    ),
    "score_mean": (
        "Mean score = mean of the answers from {low} to {high}, with Student's interval.",
        "平均分 = {low} 到 {high} 的平均，附 t 区间。",
    ),
    "mean": (
        "Mean = mean of the same answers, with Student's interval; a mean treats the steps of the scale as equal.",
        "平均分 = 同一组回答的平均，附 t 区间；平均分视各级间距相等。",
    ),
    "interval": (
        (
            "Margins and intervals are for a confidence of {level}. They tell how far chance alone may reach; who does not "
            "answer may think otherwise, and no interval shows that."
        ),
        "误差和区间的置信度为 {level}，只反映抽样的偶然性；未回复者的看法可能不同，区间无法体现。",
    ),
    "population": (
        (
            "The survey meant {population} cases of the period, also those that were left out. The intervals of the scores at "
            "the top are about these, with the finite population correction; changes are compared without it."
        ),
        "本期问卷对象共 {population} 例（含被略过的）。上方得分的区间针对这些对象，已作有限总体修正；比较变化时不作此修正。",
    ),
    "weighted": (
        (
            "The sample was drawn by strata: the score of all is the mean of the strata's scores, weighted by how many "
            "people each has."
        ),
        "样本按层抽取：总得分为各层得分按该层人数加权的平均。",
    ),
    "change": (
        (
            "Changes are against the period of the same length just before. The limits of a change come from those of both "
            "values; where zero lies between them, the value is unchanged as far as can be told ({level})."
        ),
        "变化与紧邻的、同样长度的上一期间比较。变化的区间由两个数值的区间推得；区间包含零时，视为在误差范围内不变（{level}）。",
    ),
    "small": (
        "Scores of fewer than {least} answers are not shown: they would tell more of a person than of a group.",
        "少于 {least} 份回答的得分不显示，以免反映个人而非群体。",
    ),
    "by_agent": (
        "By agent: a case counts for everybody who answered in it, so that agents add up to more than all.",
        "按客服：每位参与回复的客服各计一次，因此各客服之和大于总数。",
    ),
    "by_agent_service": (
        "By agent and team: a conversation counts for who has it now, or had it last.",
        "按客服和团队：会话计入现在（或最后）负责的客服和团队。",
    ),
    "by_tag": (
        "By tag: what has several tags counts in each of them.",
        "按标签：带有多个标签的各计一次。",
    ),
    "by_week": (
        (
            "Weeks are ISO weeks from Monday; one that is not wholly in the period, or not over, is marked. Its change is "
            "against the week before."
        ),
        "周为 ISO 周（周一开始）；不完整的周会标出。其变化与前一周比较。",
    ),
    "by_hour": (
        "By hour: when the conversation was opened, or the customer's turn began.",
        "按时段：以会话打开或顾客轮次开始的时间计。",
    ),
    "keywords": (
        (
            "Words: runs of Chinese characters that hold together and stand free, English words and pairs, without words "
            "that say nothing. A word belongs to a side if its log odds between both sides, with a prior out of all "
            "answers, are beyond 1.65 standard errors. Phones, addresses, links and long numbers are blacked out."
        ),
        (
            "关键词：结合紧密且独立出现的汉字串、英文单词和词对，不含虚词。若其在两方之间的对数优势比（以全部回答为先验）超过 1.65 个标准误，"
            "则归入一方。电话、地址、链接和长数字已遮盖。"
        ),
    ),
    "period_service": (
        "What happened in the period counts, whenever its conversation began. Days and weeks are those of {timezone}.",
        "按事件发生的时间归入期间，不论会话何时开始。日和周按 {timezone} 计算。",
    ),
    "opened": (
        "Opened: new conversations. Reopened: resolved ones that their customer, or one of us, opened again.",
        "新会话：新建的会话。再次打开：已解决后由顾客或我方重新打开的会话。",
    ),
    "resolved": (
        "Resolved: how often a conversation was resolved; one that was resolved twice counts twice.",
        "已解决：会话被解决的次数；解决两次计两次。",
    ),
    "turns": (
        (
            "Customers' turns: how often a customer began to wait for a person. Several messages without an answer between "
            "them are one turn."
        ),
        "顾客轮次：顾客开始等待人工回复的次数。其间没有回复的多条消息算一个轮次。",
    ),
    "backlog": (
        "Backlog: conversations that were not resolved at the end of the period.",
        "积压：期末尚未解决的会话。",
    ),
    "times": (
        (
            "First reply: from the customer's first message to the first answer of a person. Next reply: from the first "
            "unanswered message after that to the answer. Resolution: from the message that opened the conversation to its "
            "end, less the time in which the customer was waited for. Each counts when it ended; what machines send is no "
            "answer."
        ),
        (
            "首次回复：从顾客第一条消息到人工首次回复。后续回复：从其后第一条未回复消息到回复。解决：从打开会话的消息到解决，扣除等待顾客的时间。"
            "均按结束时间归入期间；自动发送不算回复。"
        ),
    ),
    "working": (
        (
            "Working time: within the hours of the conversation's promise, else of its team; where there are none, all "
            "time is working time. By the clock: all of it."
        ),
        "工作时间：按会话承诺的工作时间计；没有则按团队的；都没有则全部时间。自然时间：全部时间。",
    ),
    "quantiles": (
        (
            "The median and the 90th percentile lie between neighbouring values in proportion; their limits are "
            "distribution-free."
        ),
        "中位数和第 90 百分位在相邻值之间按比例取值；区间为非参数区间。",
    ),
    "kept": (
        (
            "Promises kept = clocks that ended in time / clocks that were judged: those that ended in the period, and those "
            "whose deadline passed in it without an end. By the promises as they are now."
        ),
        "承诺达成率 = 按时结束的时钟 ÷ 已判定的时钟（在期间内结束的，以及在期间内超时而未结束的）。按现行承诺计算。",
    ),
    "outcomes": (
        (
            "Deliveries: what became of them in the period, by the day on which it became known; one that is delivered and "
            "then read counts in both columns."
        ),
        "发送结果：按得知结果的日期计入；先送达后已读的，在两列中各计一次。",
    ),
    "limit_scan": (
        "Conversations whose last message is more than {days} days before the period are left out.",
        "最后一条消息早于期间 {days} 天以上的会话不计入。",
    ),
}
NOTED: Mapping[str, Pair] = {
    "partial": (
        "The period is not over: counts will still grow, and are compared with a whole period.",
        "期间尚未结束：数量还会增加，且与完整的上期比较。",
    ),
    "still_open": ("{count} invitations can still be answered.", "还有 {count} 份邀请可以回复。"),
    "fate_waiting": ("{count} invitations wait to be sent.", "{count} 份邀请等待发送。"),
    "fate_uncertain": ("Of {count} invitations it is not known whether they arrived.", "{count} 份邀请是否送达未知。"),
    "fate_failed": ("{count} invitations could not be delivered.", "{count} 份邀请未能送达。"),
    "fate_suppressed": (
        "{count} people were left out (cool-down, opt-out, sample).",
        "{count} 人被略过（冷却期、退订、抽样）。",
    ),
    "flag_duplicate": (
        "{count} second responses to the same invitation do not count.",
        "{count} 份对同一邀请的重复回复不计入。",
    ),
    "flag_straight_lining": (
        "{count} responses give every question the same score.",
        "{count} 份回复对所有问题打同样的分。",
    ),
    "flag_too_fast": (
        "{count} responses came faster than the questions can be read.",
        "{count} 份回复快于阅读问题所需时间。",
    ),
    "nothing_before": ("There are no answers in the period before.", "上一期间没有回复。"),
    "late": ("This report was due at {due} and is sent late.", "本报告应于 {due} 发送，现补发。"),
    "counted_only": (
        "Messages and deliveries of {days} days are not counted yet.",
        "{days} 天的消息与发送结果尚未统计。",
    ),
}


def name(key: str, language: str) -> str:
    """Return the name of a figure, a group or a chart; an unknown key is its own name."""
    return _chosen(NAMES.get(key), key, language)


def say(key: str, language: str, **values: object) -> str:
    """Return a phrase."""
    return _chosen(SAID.get(key), key, language).format(**values)


def defined(one: Definition, language: str) -> str:
    """Return a definition or note as a sentence."""
    return _chosen(DEFINED.get(one.key) or NOTED.get(one.key), one.key, language).format(**one.values)


def figure_name(one: Figure, language: str) -> tuple[str, str]:
    """Return what a figure is called, and what stands below it: a question's words, or how a time is taken."""
    if one.about in NAMES:
        return name(one.about, language), name(one.key, language)
    return name(one.key, language), one.about


def column_name(one: Column, language: str) -> str:
    """Return the head of a column."""
    part = f" {say(one.part, language)}" if one.part else ""
    if one.about in NAMES:
        return f"{name(one.about, language)}{_colon(language)}{name(one.key, language)}{part}"
    return f"{name(one.key, language)}{part}"


def series_name(one: Series, language: str) -> str:
    """Return what stands in a chart's legend."""
    return one.about if one.key.startswith("value_") else name(one.key, language)


def table_name(one: Table, language: str) -> str:
    """Return the title of a table."""
    return one.about if one.key == "answers" else name(one.key, language)


def title(report: Report) -> str:
    """Return the title of a report."""
    kind = say(report.kind, report.language)
    return f"{kind}{_colon(report.language)}{report.title}" if report.title else kind


def verdict(word: str, language: str) -> str:
    """Return what a comparison means, in words."""
    return say(word, language)


def _colon(language: str) -> str:
    return "：" if language.startswith("zh") else ": "


def _chosen(pair: Pair | None, key: str, language: str) -> str:
    if pair is None:
        return key
    return pair[1] if language.startswith("zh") else pair[0]
