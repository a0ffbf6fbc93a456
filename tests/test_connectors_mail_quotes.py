"""Where the quoted history begins, in the formats of many mail programs, and where nothing may be cut."""

# ruff: noqa: E501  # headings stand as mail programs write them

from __future__ import annotations

import time

import pytest

from connectors.mail_quotes import split

CUT = {
    "gmail-zh": "在 2026年11月20日周五 10:00，客服 <s@example.com> 写道：\n> 您好",
    "gmail-zh-name-first": "客服 <s@example.com> 于2026年11月20日周五 10:00写道：\n\n> 您好\n> 再见",
    "gmail-zh-folded": "在 2026年11月20日周五 10:00，示例商城客服中心 <\ns@example.com> 写道：\n\n> 您好",
    "gmail-zh-tw": "客服 <s@example.com> 於 2026年11月20日 週五 上午10:00寫道：\n\n> 您好",
    "gmail-en": "On Fri, Nov 20, 2026 at 10:00 AM Shop <s@example.com> wrote:\n\n> Hello",
    "gmail-en-folded": "On Fri, Nov 20, 2026 at 10:00 AM Example Shop Customer Service <\ns@example.com> wrote:\n> Hello",
    "gmail-old": "2026-11-20 10:00 GMT+08:00 客服 <s@example.com>:\n> 您好",
    "netease": '在 2026-11-20 10:00:00，"客服" <s@example.com> 写道：\n\n您好',
    "netease-marked": '在 2026-11-20 10:00:00，"客服" <s@example.com> 写道：\n>您好\n>再见',
    "netease-en": 'At 2026-11-20 10:00:00, "Shop" <s@example.com> wrote:\n\nHello',
    "netease-master": "---- 回复的原邮件 ----\n| 发件人 | 客服<s@example.com> |\n| 日期 | 2026年11月20日 |\n| 主题 | 订单 |\n您好",
    "netease-master-en": "---- Replied Message ----\n| From | Shop<s@example.com> |\n| Date | 11/20/2026 |\n| Subject | x |\nHi",
    "qq": '------------------ 原始邮件 ------------------\n发件人: "客服" <s@example.com>;\n发送时间: 2026年11月20日\n您好',
    "qq-nbsp": '------------------\xa0原始邮件\xa0------------------\n发件人:\xa0"客服"<s@example.com>;\n主题:\xa0订单\n您好',
    "qq-en": "------------------ Original ------------------\nFrom: Shop <s@example.com>\nDate: Fri\nSubject: x\n\nHi",
    "foxmail": "发件人： 客服\n发送时间： 2026-11-20 10:00\n收件人： 张三\n主题： 订单\n您好",
    "outlook-zh": "发件人: 客服 <s@example.com>\n发送时间: 2026年11月20日 10:00\n收件人: 张三\n抄送: 李四\n主题: 订单\n\n您好",
    "outlook-zh-rule": "________________________________\n发件人: 客服\n发送时间: 2026年\n收件人: 张三\n主题: 订单\n\n您好",
    "outlook-tw": "寄件者: 客服 <s@example.com>\n寄件日期: 2026年11月20日\n收件者: 張三\n主旨: 訂單\n\n您好",
    "outlook-en": "From: Shop <s@example.com>\nSent: Friday, November 20, 2026 10:00 AM\nTo: Bob\nSubject: Order\n\nHello",
    "outlook-bold": "*From:* Shop <s@example.com>\n*Sent:* Friday\n*To:* Bob\n*Subject:* Order\n\nHello",
    "outlook-express": "-----Original Message-----\nFrom: Shop\nSent: Friday\nTo: Bob\nSubject: Order\n\nHello",
    "outlook-express-zh": "-----邮件原件-----\n发件人: 客服\n发送时间: 2026年11月20日\n收件人: 张三\n主题: 订单\n\n您好",
    "alimail": "------------------------------------------------------------------\n发件人：客服 <s@example.com>\n"
    "发送时间：2026年11月20日(星期五) 09:00\n收件人：张三\n主　题：订单\n\n您好",
    "iphone-zh": "> 在 2026年11月20日，10:00，客服 <s@example.com> 写道：\n> \n> 您好",
    "iphone-zh-new": "> 2026年11月20日 10:00，客服 <s@example.com> 写道：\n> \n> 您好",
    "iphone-en": "> On Nov 20, 2026, at 10:00, Shop <s@example.com> wrote:\n> \n> Hello",
    "exmail-phone": "---------------原始邮件---------------\n发家人: 客服\n发送时间: 2026年11月20日 10:00\n收件人: 张三\n主题: 订单\n"
    "On Thu, Nov 19, 2026 at 9:00 AM 张三 <z@example.net> wrote:\n\n> 在吗\n您好，在的\n> 何时发货\n今天",
    "older-quote": "发件人： 客服\n发送时间： 2026-11-20 10:00\n收件人： 张三\n主题： 订单\n您好\n\nZhang San writes:\n\n> 在吗\n\n再见",
    "hotmail-old": "> Subject: Order\n> From: s@example.com\n> To: z@example.net\n> Date: Fri, 20 Nov 2026 10:00:00 +0800\n> \n> Hello",
    "thunderbird": "在 2026/11/20 10:00, 客服 写道:\n> 您好",
    "thunderbird-en": "On 20/11/2026 10:00 am, Shop wrote:\n\n> Hello",
    "nothing-below": "在 2026/11/20 10:00, 客服 写道:",
    "sina": "发件人：客服 <s@example.com>\n收件人：z@example.net\n日期：2026年11月20日 10点00分\n\n您好",
    "recipient-only": "发件人: 客服\n日期: 2026年11月20日 10:00\n收件人: z@example.net\n\n您好",
    "exmail": '原始邮件\n\n \n\n发件人："客服"< s@example.com >;\n\n发件时间：2026/11/20 10:00\n\n收件人："a"< a@example.net >;\n\n'
    "抄送人：x\n\n主题：订单\n\n\n您好",
    "exmail-en": 'Original Email\n\n \n\nSender:"Shop"< s@example.com >;\n\nSent Time:2026/11/20 10:00\n\nTo:"a"< a@example.net >;\n\n'
    "Subject:order\n\n\nHello",
    "qq-new": "         原始邮件\n         \n       \n发件人：客服 <s@example.com>\n发件时间：2026年11月20日 10:00\n收件人：张三 <z@example.net>\n"
    "主题：订单\n\n\n您好",
    "sent-time": "From: Shop <s@example.com>\nSent Time: 2026/11/20 10:00\nTo: z@example.net\nHello",
    "proton": "On Friday, November 20th, 2026 at 10:00 AM, Shop <s@example.com> wrote:\n\n> Hello",
    "zoho": "---- On Fri, 20 Nov 2026 10:00:00 +0800 Shop <s@example.com> wrote ----\n\nHello",
    "zoho-zh": " ---- 在 星期五, 2026-11-20 10:00:00 客服<s@example.com> 撰写 ----\n\n您好",
    "gmail-de": "Am Fr., 20. Nov. 2026 um 10:00 Uhr schrieb Shop <s@example.com>:\n\n> Hallo",
    "gmail-de-folded": "Am Fr., 20. März 2026 um 10:00 Uhr schrieb Example Shop Kundendienst <\ns@example.com>:\n\n> Hallo",
    "gmail-fr": "Le ven. 20 nov. 2026 à 10:00, Shop <s@example.com> a écrit\xa0:\n\n> Bonjour",
    "gmail-es": "El vie, 20 nov 2026 a las 10:00, Shop (<s@example.com>) escribió:\n\n> Hola",
    "gmail-id": "Pada tanggal Jum, 20 Nov 2026 pukul 10.00 Shop <s@example.com> menulis:\n\n> Halo",
    "gmail-vi": "Vào Th 6, 20 thg 11, 2026 vào lúc 10:00 Shop <s@example.com> đã viết:\n\n> Xin chào",
    "gmail-th": "ในวันที่ ศ. 20 พ.ย. 2026 เวลา 10:00 Shop <s@example.com> เขียนว่า:\n\n> สวัสดี",
    "outlook-de": "Von: Shop <s@example.com>\nGesendet: Freitag, 20. November 2026 10:00\nAn: z@example.net\nBetreff: Bestellung\n\nHallo",
    "long-recipients": "发件人: 客服 <s@example.com>\n发送时间: 2026年11月20日 10:00\n收件人: a <a@example.com>; b <b@example.com>;\n"
    "c <c@example.com>\n主题: 订单\n\n您好",
}  # fmt: skip

KEPT = {
    "plain": "你好，我的订单什么时候到？",
    "inline-answers": "好的\n在 2026年11月20日周五 10:00，客服 <s@example.com> 写道：\n> 尺码？\nM码\n> 颜色？\n蓝色",
    "answers-below-fields": "请看\n-----Original Message-----\nFrom: Shop\nSent: Friday\nTo: Bob\nSubject: x\n\nM码\n> 尺码？\n蓝色\n> 颜色？",
    "answer-below": "On Fri, Nov 20, 2026 at 10:00 AM Shop <s@example.com> wrote:\n> Size?\nM please",
    "only-history": "------------------ 原始邮件 ------------------\n发件人: 客服 <s@example.com>\n发送时间: 2026年\n主题: 订单\n您好",
    "own-quote": "说明书里写道：\n加热不超过三分钟",
    "own-quote-with-date": "客服在2026年11月20日的聊天里写道：\n可以全额退款",
    "own-address": "我的新地址\n收件人：张三\n电话：1234\n地址：上海市示例路1号",
    "own-fields": "以下是我的信息\n主题：退货\n时间：下午三点\n地点：门店",
    "a-sender-only": "包裹信息如下\n发件人：王五\n收件人：张三\n电话：1234",
    "own-parcel": "请帮我安排上门取件：\n寄件人：张三 13800138000\n收件人：李四 13900139000\n时间：11月25日下午\n物品：衣服\n"
    "我要投诉上次的快递员，谢谢",
    "own-waybill": "您好，运单信息如下\n寄件人：张三\n收件人：李四\n寄件日期：2026-11-20\n到现在还没收到，我要退款！",
    "own-booking": "Hi, please change my booking:\nFrom: Beijing\nTo: Shanghai\nDate: 25 Nov\nI want a refund for the old one.",
    "own-story": "对方说：\n在2026年11月20日 10:00，客服告诉我会退款，他写道：\n马上退\n但是到现在没退，我要投诉",
    "own-story-en": "Hello\nOn Nov 20, 2026 at 10:00 AM your agent wrote:\nWe refund at once\nBut nothing came",
    "own-story-folded": "您好\n在2026年11月20日 10:00，客服告诉我会退款，\n他写道：\n马上退\n但是到现在没退",
    "own-title": "原始邮件\n我没有收到，请再发一次",
    "own-story-de": "Hallo,\nam 20. November 2026 schrieb Ihr Kollege:\nWir erstatten sofort\nAber nichts kam",
    "own-journey-de": "Bitte umbuchen:\nVon: Berlin\nAn: Hamburg\nDatum: 25. Nov.\nGeld bitte zurück",
    "own-rule": "第一个问题\n----------\n第二个问题",
    "own-marks": "价格对比：\n> 100元\n> 200元",
    "forward-banner": "请看\n---------- Forwarded message ---------\nFrom: X <x@example.com>\nDate: Fri\nSubject: y\nTo: z\n\nhi",
    "forward-netease": '请看\n-------- 转发邮件信息 --------\n发件人："X" <x@example.com>\n发送日期：2026-11-20 10:00:00\n主题：y\n内容',
    "apple-forward": "请看\n开始转发的邮件：\n\n> 发件人: X <x@example.com>\n> 主题: y\n> 日期: 2026年\n> \n> 内容",
    "text-after-marked": "好\n> 在 2026年11月20日，10:00，客服 <s@example.com> 写道：\n> 您好\n\n补充：请尽快",
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_history_is_cut(name: str) -> None:
    """The customer's words stay, the history below them is set apart, and both together are everything."""
    words = "收到了，谢谢。\n\n订单号 2026001"
    new, quoted = split(f"{words}\n\n\n{CUT[name]}")

    assert (words, CUT[name]) == (new, quoted)


@pytest.mark.parametrize("name", KEPT)
def test_nothing_of_the_customer_is_cut(name: str) -> None:
    """In doubt the whole text stays: answers between quotes, forwarded mail, lists that look like headings."""
    assert (KEPT[name], "") == split(KEPT[name])


@pytest.mark.parametrize("subject", ["Fwd: 订单", "FW: order", "转发：订单", "转发: 订单", "轉寄: 訂單"])
def test_forwarded_mail_is_whole(subject: str) -> None:
    """What a customer forwards is what they want to show."""
    text = f"请看\n\n{CUT['outlook-zh']}"

    assert (text, "") == split(text, subject)


def test_history_within_history_is_cut_once() -> None:
    """The first heading counts; older ones are part of the history."""
    text = f"新的话\n\n{CUT['qq']}\n\n{CUT['outlook-zh']}"
    new, quoted = split(text)

    assert new == "新的话"
    assert quoted.startswith("------------------ 原始邮件")
    assert quoted.endswith(CUT["outlook-zh"])


def test_a_long_text_takes_no_time() -> None:
    """Half a million characters of almost-headings are looked through in a blink."""
    text = "在 2026-11-20 10:00 a\n发件人：x\n-----\n" * 15_000
    begin = time.process_time()
    split(text)

    assert time.process_time() - begin < 1.0
