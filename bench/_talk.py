"""What customers and agents write: Chinese and English, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

GOODS = (
    "羽绒服", "保温杯", "充电器", "蓝牙耳机", "运动鞋", "连衣裙", "电饭煲", "台灯", "书包", "行李箱", "键盘", "显示器",
    "婴儿车", "猫粮", "面膜", "洗发水", "雨伞", "床单", "沙发垫", "空气炸锅", "电动牙刷", "手机壳", "望远镜", "吉他弦",
)  # fmt: skip
THINGS = (
    "jacket", "charger", "headphones", "running shoes", "backpack", "suitcase", "keyboard", "desk lamp", "stroller",
    "rice cooker", "phone case", "umbrella", "water bottle", "monitor", "toothbrush", "guitar strings",
)  # fmt: skip
CITIES = ("北京", "上海", "广州", "深圳", "成都", "杭州", "武汉", "西安", "哈尔滨", "乌鲁木齐", "呼和浩特", "三亚")
COLOURS = ("红色", "黑色", "白色", "藏青色", "卡其色", "粉色")
FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国志梅雪琴云龙飞鹏宇浩然子轩梓涵欣怡思远晨曦佳琪嘉俊"
ENGLISH_NAMES = ("Emma Wilson", "James Smith", "Olivia Brown", "Liam Jones", "Sofia García", "Noah Müller", "Mia Rossi")
QUESTIONS = (
    "你好，请问我{day}买的那件{goods}什么时候可以发货？订单号{order}，一直显示待发货。",
    "收到的{goods}有一个裂开了，外面的纸箱也压扁了，可以退款还是补寄一个新的？",
    "我要退货，{goods}的颜色和图片差太多，图上是{colour}，订单{order}。",
    "这个{goods}可以寄到{city}吗？大概要几天，运费谁出？",
    "优惠券显示已经过期了，可是活动页面写的是到今晚十二点，能不能帮我恢复一下？",
    "物流停在{city}三天没有动了，快递单号 SF{order}，帮我催一下。",
    "地址写错了，麻烦改成{city}市人民路{number}号，电话 13{phone}。",
    "发票抬头能改吗？公司名写错了，订单{order}。",
    "尺码偏小，我平时穿{number}码，可以换大一码的吗？",
    "说好的{day}之前退款，到现在钱还没到账，再不处理我就投诉了。",
    "{goods}有{colour}的吗？想先问清楚再下单。",
    "在吗？有人吗？",
    "好的，知道了，谢谢。",
    "那我再等两天，如果还没有消息我再来找你们。",
    "Hi, when will my {thing} be shipped? The order number is {order}.",
    "The {thing} arrived broken, I would like a refund please.",
    "Can I change the delivery address to {number} Market Street? Order {order}.",
    "My coupon code HL{number}OFF does not work at checkout.",
    "Do you ship the {thing} to Singapore, and how much is it?",
    "Thanks, that solved it!",
)
ANSWERS = (
    "您好，订单{order}已经安排发货，预计{day}送达，请您留意短信。",
    "非常抱歉给您带来不便，退款已经提交，一到三个工作日原路退回。",
    "您好，{goods}支持七天无理由退货，请在订单页面点申请退货，运费由我们承担。",
    "已经帮您催快递了，{city}那边因为天气原因有些延误。",
    "地址已经改好，请您核对：{city}市人民路{number}号。",
    "优惠券已经重新发到您的账户，今天之内有效。",
    "请您拍一张{goods}的照片发过来，我们马上核实。",
    "Your {thing} has been shipped, the parcel number is SF{order}.",
    "We are sorry for the trouble. The refund has been sent and takes 3 days.",
    "You can exchange the {thing} within 30 days, free of charge.",
)
NOTES = (
    "已核实，同意退款{number}元。",
    "顾客比较急，{day}前务必回电。",
    "仓库说{goods}缺货，等补货通知。",
    "VIP，注意语气",
)
DAYS = ("昨天", "上周三", "前天", "星期五", "双十一", "月底")


@dataclass(frozen=True, slots=True)
class Line:
    """One message: who writes ("customer", "agent", "note"), and what."""

    who: str
    text: str


def filled(draw: random.Random, pattern: str) -> str:
    """Return *pattern* with goods, places, numbers and days put in."""
    return pattern.format(
        goods=draw.choice(GOODS),
        thing=draw.choice(THINGS),
        city=draw.choice(CITIES),
        colour=draw.choice(COLOURS),
        day=draw.choice(DAYS),
        number=draw.randrange(20, 400),
        order=draw.randrange(10**15, 10**16),
        phone=draw.randrange(10**8, 10**9),
    )


def name(draw: random.Random) -> str:
    """Return a customer's name."""
    if draw.random() < 0.1:
        return draw.choice(ENGLISH_NAMES)
    return draw.choice(FAMILY) + "".join(draw.choices(GIVEN, k=draw.choice((1, 2, 2))))


def talk(draw: random.Random, count: int) -> list[Line]:
    """Return a conversation of *count* messages; a customer begins."""
    lines = [Line("customer", filled(draw, draw.choice(QUESTIONS)))]
    while len(lines) < count:
        who = draw.choices(("customer", "agent", "note"), (55, 39, 6))[0]
        patterns = {"customer": QUESTIONS, "agent": ANSWERS, "note": NOTES}[who]
        chosen = draw.choices(patterns, k=1 if draw.random() < 0.7 else 2)
        lines.append(Line(who, "".join(filled(draw, one) for one in chosen)))
    return lines
