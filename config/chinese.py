"""Faults in Chinese: sentences that the checks of this package write in English, said again for who reads Chinese.

What has no translation here, such as a connector's own words, stays as it is.
"""

from __future__ import annotations

import re
from functools import cache

from config import remarks
from config.faults import Fault

SENTENCES = {
    '"{}" cannot be a name': "“{}”不能用作名称",
    '"{}" is no type of file': "“{}”不是文件类型",
    '"{}" names no days': "“{}”不是星期",
    "[{}] and [{}] are the same": "第 [{}] 项和第 [{}] 项相同",
    "a list or mapping cannot be a key": "列表或映射不能作为键",
    "a merge key (<<) is not allowed": "不允许使用合并键（<<）",
    "a reference to the environment is not complete": "环境变量的引用不完整",
    "a second document begins here": "这里又开始了一个文档",
    "DTSTART holds no date": "DTSTART 里没有日期",
    "DTEND holds no date": "DTEND 里没有日期",
    "DURATION holds no number of days": "DURATION 里没有天数",
    "this ends what has not begun": "这里结束了没有开始的部分",
    "this event ends before it begins, or lasts longer than a year": "该事件结束早于开始，或超过一年",
    "this event has no date": "该事件没有日期",
    "this event repeats": "这是重复事件",
    "this is no iCalendar file": "这不是 iCalendar 文件",
    "this is no line of an iCalendar file": "这不是 iCalendar 文件的内容",
    "the file ends in the middle": "文件没有结束就中断了",
    'the name "team" stands for the hours of a team': "team 表示团队自己的工作时间，不能用作名称",
    "the warning comes after the time is over": "预警晚于时限",
    "调休 alone does not say whether this day is open": "只写“调休”看不出这天上不上班",
    "a tab indents this line": "本行用制表符缩进",
    "a tag (!) is not allowed": "不允许使用标签（!）",
    "a team cannot overflow to itself": "不能溢出到本团队自己",
    "an alias (*) is not allowed": "不允许使用别名（*）",
    "an anchor (&) is not allowed": "不允许使用锚点（&）",
    "an anchor (&) or tag (!) is not allowed": "不允许使用锚点（&）或标签（!）",
    "another file has a text of this name": "另一个文件里已有同名文字",
    'another route is called "{}"': "另一条规则也叫“{}”",
    "both {} and {} are given": "{} 和 {} 只能写一个",
    "everybody on this machine can read the secret's file": "本机所有人都能读取这个密钥文件",
    "notice by email needs an address": "用邮件通知需要邮箱地址",
    "the braces of a variable do not match": "变量的花括号不配对",
    "the connector cannot be used: {}": "连接器无法使用：{}",
    "the default names no team": "default 没有指定团队",
    "the environment variable {} is not set": "没有设置环境变量 {}",
    "the environment variable {} is not UTF-8 text": "环境变量 {} 不是 UTF-8 文本",
    'the file "{}" cannot be read ({})': "无法读取文件“{}”（{}）",
    'the file "{}" is listed twice': "文件“{}”列了两次",
    "the file cannot be read ({})": "无法读取文件（{}）",
    "the file is empty": "文件是空的",
    "the file is larger than 1 MB": "文件超过 1 MB",
    "the file is not UTF-8": "文件不是 UTF-8 编码",
    "the file is not UTF-8; it looks like GBK": "文件不是 UTF-8 编码，看起来是 GBK",
    "the night of {} overlaps the next day": "{} 夜间的时段与次日重叠",
    "the secret's file cannot be read ({})": "无法读取密钥文件（{}）",
    "the secret's file is empty": "密钥文件是空的",
    "the secret's file is larger than 64 KB": "密钥文件超过 64 KB",
    "the secret's file is not UTF-8 text": "密钥文件不是 UTF-8 文本",
    "there is a default in another file already": "另一个文件里已有 default",
    "there is no agent {}": "没有客服 {}",
    "nobody could get a conversation": "谁都接不到会话",
    "there is no channel or kind {}": "没有渠道或渠道类型 {}",
    "there is no channel kind {}": "没有渠道类型 {}",
    "there is no channel {}": "没有渠道 {}",
    "there is no default": "缺少 default",
    "there is no event {}": "没有事件 {}",
    "there is no kind {}": "没有渠道类型 {}",
    "there is no opening hours {}": "没有工作时间 {}",
    "there is no route {}": "没有规则 {}",
    "there is no service level {}": "没有服务承诺 {}",
    "there is no such channel kind": "没有这种渠道类型",
    "there is no team {}": "没有团队 {}",
    "there is no template {}": "没有文字模板 {}",
    "there is no text": "没有文字",
    "there is no time zone {}": "没有时区 {}",
    "there is no variable {}": "没有变量 {}",
    "this address ends in something that is no database number": "地址末尾不是数据库编号",
    "this address does not name the primary": "地址里没有写主节点名称",
    "this address names no socket": "地址里没有写套接字路径",
    "this address names no usable host and port": "地址里没有可用的主机和端口",
    "this address names several hosts": "地址里写了多个主机",
    "this character is not allowed": "不允许使用这个字符",
    "this condition is empty": "这个条件是空的",
    "this is a list": "这里是列表",
    "this is a mapping": "这里是映射",
    "this is empty": "这里是空的",
    "this is nested more than {} levels deep": "嵌套超过 {} 层",
    "this is no file name": "这不是文件名",
    "this is not the address of a store": "这不是存储的地址",
    "this is not YAML: {}": "这不是合法的 YAML：{}",
    "this is the token of {} too": "与 {} 的令牌相同",
    "this key is empty": "这个键是空的",
    "this key is given twice, first in line {}": "这个键写了两次，第一次在第 {} 行",
    "this key is missing": "缺少这个键",
    "this list is empty": "这个列表是空的",
    "this promises nothing": "没有任何承诺",
    "this secret is empty": "这个密钥是空的",
    "this text is empty": "这段文字是空的",
    "two of these intervals overlap": "有两个时段重叠",
    "unknown key": "未知的键",
    "wecom needs to know the agent's userid": "wecom 需要客服的 userid",
    "dingtalk needs to know the agent's userid": "dingtalk 需要客服的 userid",
    "feishu needs to know the agent's userid": "feishu 需要客服的 userid",
    "sms needs to know the agent's number": "sms 需要客服的号码",
    "{} begins and ends at the same time": "{} 起止时间相同",
    "{} has a user, query or fragment": "{} 含有用户名、参数或片段",
    "{} is a number": "{} 是数字",
    "{} is given twice": "{} 写了两次",
    "{} is not a date": "{} 不是日期",
    "{} is not a duration": "{} 不是时长",
    "{} is not a duration (the unit is missing)": "{} 不是时长（缺少单位）",
    "{} is not a language tag": "{} 不是语言代码",
    "{} is not a mail address": "{} 不是邮箱地址",
    "{} is not a percentage": "{} 不是百分比",
    "{} is not a range of dates": "{} 不是日期范围",
    "{} is not a size": "{} 不是大小",
    "{} is not a time zone": "{} 不是时区",
    "{} is not a useful duration": "{} 不是可用的时长",
    "{} is not a web address": "{} 不是网址",
    "{} is not accepted": "{} 不被接受",
    "{} is not allowed": "不允许 {}",
    "{} is not an interval of time": "{} 不是时段",
    "{} is not known": "未知的 {}",
    "{} is text": "{} 是文字",
    "{} is true or false": "{} 是真假值",
    "this file of words is not in use": "这个词表文件没有在用",
    "there is no word in this file": "文件里没有词",
    "this word has more than {} characters": "这个词超过 {} 个字符",
    "this word holds a character that nobody can write": "这个词含有控制字符",
    "there are more than {} words": "词超过 {} 个",
    "the file is larger than 8 MB": "文件超过 8 MB",
    "the file of words cannot be read ({})": "无法读取词表文件（{}）",
    "a file of words cannot be read here": "这里不能读取词表文件",
    "nobody is asked about orders": "没有配置订单查询",
    'facts.order has no field "{}"': "facts.order 没有字段“{}”",
    'the fallback "{}" is no field': "备用值“{}”不是字段",
    'there is no variable "{}"': "没有变量“{}”",
    "{} has a user, a fragment, or a variable in its host": "{} 含有用户名、片段，或主机名里有变量",
    "{} is no path in JSON": "{} 不是 JSON 路径",
    "{} cannot be a field": "{} 不能用作字段名",
    "{} cannot be a header here": "{} 不能用作这里的请求头",
    "this cannot stand in a header": "这个值不能放进请求头",
    "{} is no regular expression": "{} 不是正则表达式",
    "{} is no comparison": "{} 不是比较",
    "{} is too long: the customer's next messages wait as well": "{} 太长：顾客后面的消息也要等",
}
EXPECTATIONS = {
    "1 to 63 small letters, digits and hyphens, a letter or digit first": (
        "1 到 63 个小写字母、数字或连字符，以字母或数字开头"
    ),
    "1% to 100%, or a duration like 100s": "1% 到 100%，或 100s 这样的时长",
    "a date like 20261001, or a local time": "20261001 这样的日期，或当地时间",
    "a warn_at below every reply's time": "小于每个回复时限的 warn_at",
    "an event for each date": "每个日期一个事件",
    "days or weeks like P3D": "P3D 这样的天数或周数",
    "at most a year": "至多一年",
    "休 or 班 too": "同时写“休”或“班”",
    "a date like {} or a range like {}": "{} 这样的日期，或 {} 这样的范围",
    "a duration like 90s, 30m, 24h or 7d": "90s、30m、24h、7d 这样的时长",
    "a finite number": "有限的数字",
    "a list": "列表",
    "a mapping (key: value)": "映射（键: 值）",
    "a name from {}, where there is none": "{} 里的名称，但那里是空的",
    "a number": "数字",
    "a path": "路径",
    "a plain value; quotes make it text": "普通的值；加引号就是文字",
    "a regular expression of RE2": "RE2 正则表达式",
    "a size like 512 KB, 25 MB or 1 GB": "512 KB、25 MB、1 GB 这样的大小",
    "a tag like zh, en or zh-CN": "zh、en、zh-CN 这样的代码",
    "a text for each language, like {zh: …, en: …}": "每种语言一段文字，如 {zh: …, en: …}",
    "a token of its own": "各用各的令牌",
    "a total of at least {}": "合计至少 {}",
    "a whole number": "整数",
    "an IANA name like {}": "IANA 时区名，如 {}",
    "an address like {}": "如 {}",
    "another team": "另一个团队",
    "at least one of first_reply, next_reply and resolution": "first_reply、next_reply、resolution 至少一项",
    "at least {} characters": "至少 {} 个字符",
    "at least {} items": "至少 {} 项",
    "at least {}": "至少 {}",
    "at most {} characters": "最多 {} 个字符",
    "at most {} items": "最多 {} 项",
    "at most {}": "最多 {}",
    "days like mon, mon-fri or sat,sun": "mon、mon-fri、sat,sun 这样的星期",
    "each date once": "每个日期一次",
    "each day once": "每天一次",
    "each file once": "每个文件一次",
    "each key once": "每个键一次",
    "each name once": "每个名称一次",
    "each once": "每项一次",
    "intervals apart from each other": "互不重叠的时段",
    "less than {}": "小于 {}",
    "mode 0600": "权限 0600",
    "more than nothing and at most ten years": "大于零，至多十年",
    "more than {}": "大于 {}",
    "nothing": "没有值",
    "one default": "只有一个 default",
    "one document per file": "每个文件一个文档",
    "one of them": "其中之一",
    "spaces": "空格",
    "team, agent or ignore": "team、agent 或 ignore",
    "text": "文字",
    "text or a list": "文字或列表",
    "text that matches {}": "符合 {} 的文字",
    "the earlier date first, at most a year": "早的日期在前，至多一年",
    "the key itself": "键本身",
    "the keys themselves": "直接写出各键",
    "the path of a file": "文件路径",
    "the plain key": "普通的键",
    "the secret, or {}": "密钥，或 {}",
    "the team for messages that no route matches": "不匹配任何规则的消息归哪个团队",
    "the value itself": "直接写出值",
    'times like "09:00-18:00", up to 24:00': '"09:00-18:00" 这样的时间，最晚 24:00',
    "true or false": "true 或 false",
    "variables like {{ contact.name }}": "{{ contact.name }} 这样的变量",
    '"00:00-24:00" for a whole day': '全天写 "00:00-24:00"',
    "one that the routes in use name": "现用规则里的词表文件",
    "one word a line": "每行一个词",
    "at most {} words": "最多 {} 个词",
    "something to look for": "要查找的内容",
    "the words themselves": "直接写出词语",
    "facts.order in huiliu.yaml": "huiliu.yaml 里的 facts.order",
    "fields of the order, like {}": "订单的字段，如 {}",
    "variables like {sender.value}": "{sender.value} 这样的变量",
    "a path like $.data.status or $.orders[0].amount": "$.data.status 或 $.orders[0].amount 这样的路径",
    "small letters, digits and _, a letter first": "小写字母、数字和 _，以字母开头",
    "a name like X-Api-Key": "X-Api-Key 这样的名称",
    "one line of ASCII": "一行 ASCII 文字",
    'something like ">= 500" or "> 10, < 99.9"': '">= 500" 或 "> 10, < 99.9" 这样的比较',
    "at most 10s": "最多 10s",
    "at least one text": "至少一个值",
}
REASONS = {
    "no such file or directory": "文件不存在",
    "permission denied": "没有权限",
    "is a directory": "是目录",
    "not a regular file": "不是普通文件",
    "this is no file name": "不是文件名",
    "this value": "该值",
}


def said(fault: Fault) -> str:
    """Print *fault* as `str` does, in Chinese."""
    where = f"{fault.file}:{fault.line}:{fault.column}: "
    path = f"{fault.path}: " if fault.path else ""
    what = translated(fault.what)
    expected = f"；应为 {_expected(fault.expected)}" if fault.expected else ""
    nearest = f"；是不是 {fault.nearest}？" if fault.nearest else ""
    rule = f" [{fault.rule}]" if fault.rule else ""
    return f"{where}{path}{what}{expected}{nearest}{rule}"


def translated(sentence: str) -> str:
    """Return *sentence* in Chinese, or as it is when it is none of ours."""
    return _matched(sentence, (*SENTENCES.items(), *remarks.SENTENCES.items())) or sentence


def _expected(text: str) -> str:
    known = _matched(text, (*EXPECTATIONS.items(), *remarks.EXPECTATIONS.items()))
    return known or re.sub(r", | or ", "、", text) if " " in text else known or text


def _matched(text: str, table: tuple[tuple[str, str], ...]) -> str:
    if text in dict(table):
        return dict(table)[text]
    for pattern, (_, chinese) in zip(_patterns(tuple(key for key, _ in table)), table, strict=True):
        found = pattern.fullmatch(text)
        if found is not None and found.groups():
            pieces = iter(REASONS.get(piece, piece) for piece in found.groups())
            return re.sub(r"\{\}", lambda _, rest=pieces: next(rest), chinese)  # type: ignore[misc]
    return ""


@cache
def _patterns(keys: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile("(.+)".join(map(re.escape, key.split("{}"))), re.DOTALL) for key in keys)
