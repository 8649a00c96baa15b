"""Measure masking on 2,000 messages made with Faker: 1,000 English (en_US), 1,000 Chinese (zh_CN).

    python -m benchmarks.service_masking [--set NAME]

``development`` was looked at while the patterns were written. ``held-out`` has other locales (en_US, en_GB, en_AU,
en_CA; zh_CN, zh_TW), seeds, sentences and decoys, written before the patterns were run on it. ``third`` is
benchmarks/masking_formats.py: forms that people write, and identity numbers of seven places, again written before.
``fourth`` is benchmarks/masking_fourth.py: more countries, written before by someone who had not read the patterns;
``fifth`` is benchmarks/masking_fifth.py: 500 messages with other forms still, by the author of the patterns.
``sixth`` to ``ninth`` are benchmarks/masking_sixth.py: what Faker gives, as people usually write it;
``-main-en`` and so on name one table and language of them.

Each message is a sentence of a customer with one or two values of known kind, or a decoy (an order or parcel number, a
price, a date, a version). A value is found when one finding of its kind covers it whole; a finding is right when it
overlaps a value of its kind. Names and addresses are reported apart.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from faker import Faker

from benchmarks.masking_fifth import fifth
from benchmarks.masking_formats import Message, third
from benchmarks.masking_fourth import fourth
from benchmarks.masking_sixth import eighth, ninth, seventh, sixth
from mmsdk import evaluation, guard

STRUCTURED = {"email", "phone", "credit_card", "iban", "ssn", "chinese_id", "id"}
OTHERS: dict[str, Callable[[], list[Message]]] = {"third": third, "fourth": fourth, "fifth": fifth}
OTHERS |= {
    f"{name}-{table}-{language}": partial(made, table, language)
    for name, made in (("sixth", sixth), ("seventh", seventh), ("eighth", eighth), ("ninth", ninth))
    for table in ("main", "more")
    for language in ("en", "zh")
}
OTHERS |= {
    "sixth": partial(sixth, "main"),
    "seventh": partial(seventh, "main"),
    "eighth": partial(eighth, "main"),
    "ninth": partial(ninth, "main"),
}
IDENTITY = {"ssn", "chinese_id", "national_id"}
ENGLISH = {
    "email": ("You can write to {} about it.", "my mail is {}, please answer there", "Contact {}"),
    "phone": ("Call me at {} tomorrow.", "My phone number is {}", "you can reach me on {} after five"),
    "credit_card": ("I paid with card {} last week.", "The card number is {}.", "{} was charged twice"),
    "iban": ("Send the refund to {} please.", "IBAN: {}", "my account {} has not received it"),
    "ssn": ("My SSN is {}.", "social security number {} as you asked"),
    "name": ("My name is {} and I ordered boots.", "This is {}, I need help.", "Kind regards, {}"),
    "address": ("Please deliver to {} instead.", "I live at {}.", "My new address: {}"),
}
CHINESE = {
    "email": ("请发邮件到{}联系我", "我的邮箱是{}，谢谢", "邮箱：{}。"),
    "phone": ("请拨打{}找我", "我的手机号是{}", "电话{}，下午可以联系"),
    "credit_card": ("我用卡号{}付的款", "信用卡{}被扣了两次", "卡号：{}。"),
    "iban": ("请退到{}这个账户", "IBAN是{}，谢谢"),
    "chinese_id": ("身份证号{}已经上传", "我的身份证是{}。", "证件号码：{}"),
    "name": ("我叫{}，买了一双靴子", "收件人：{}。", "我是{}，请帮我查一下"),
    "address": ("请送到{}，谢谢", "地址：{}", "我住在{}。"),
}
DECOYS = (
    *("Order QM-{5} has not come.", "Parcel number {12} is late", "It costs {3}.99 euros since 2024-05-1{1}"),
    *("version {1}.{2}.{3} fails", "I have waited for {2} days for order {8}", "Invoice 2024-{6} of 12/11/2024"),
    *("订单号{10}还没到", "快递单号{12}查不到", "价格是{3}.50元，2024年5月1{1}日下单", "型号A{4}的帐篷有{2}厘米吗"),
)

HELD_ENGLISH = {
    "email": ("Can you resend the invoice to {}?", "{} is the address I signed up with", "cc {} and my husband please"),
    "phone": (
        "If the driver gets lost, have him dial {}.",
        "Tel. {}",
        "Text {} once it ships",
        "try {} or ring the bell",
    ),
    "credit_card": ("You took the money from {} twice!", "Visa {} was declined, why?", "use {} for the new order"),
    "iban": ("Please wire it back, my bank details: {}.", "refund goes to {} as before", "account no. {}, thanks"),
    "ssn": ("Your form wants my social, it is {}.", "SSN {} / please delete it", "ID check: {}"),
    "name": ("The parcel is for {}, my neighbour.", "Hi, {} here.", "Mr. {} signed for it", "Best, {}"),
    "address": ("We moved, send it to {} from now on.", "Ship to: {}", "Pick it up at {}, second door on the left."),
}
HELD_CHINESE = {
    "email": ("发票请寄到{}，多谢", "账号是{}登录不了", "抄送{}一份吧"),
    "phone": ("快递员可以打{}", "我换号了，现在用{}", "联系方式：{}（白天）", "加我微信{}"),
    "credit_card": ("刚才刷的是{}，没成功", "卡{}怎么扣了我两笔钱？", "换成{}这张付"),
    "iban": ("海外账户{}能收退款吗", "请汇到{}，谢谢"),
    "chinese_id": ("实名认证填{}提示错误", "证件：{}，麻烦核对", "{}是我的身份证"),
    "name": ("包裹是给{}的", "签收人{}，不是我", "您好，我叫{}，想退货", "持卡人：{}"),
    "address": ("搬家了，改送{}", "请寄到{}，放门口就行", "收货地址是{}。"),
}
HELD_DECOYS = (
    *(
        "My basket QM{7} shows {2} items",
        "tracking 1Z{9} says 0{1}:3{1}",
        "size {2}-{2}, colour {3}",
        "I am {2} years old",
    ),
    *(
        "since 3{1}/12/2023 nothing happened",
        "PO {10} was {4}.00 USD",
        "error 0x{8}",
        "model TX-{4}-{3}",
        "{4} {4} points",
    ),
    *("订单2023{12}还没发", "帐篷{3}x{3}厘米", "积分{5}分，券{8}", "{2}号楼有快递柜", "2023年1{1}月2{1}日{2}:3{1}下单"),
)
HELD = (
    ("en_US", HELD_ENGLISH, 400),
    *(
        (name, {kind: some for kind, some in HELD_ENGLISH.items() if kind != "ssn"}, 200)
        for name in ("en_GB", "en_AU", "en_CA")
    ),
    ("zh_CN", HELD_CHINESE, 700),
    ("zh_TW", {kind: some for kind, some in HELD_CHINESE.items() if kind != "chinese_id"}, 300),
)


def values(faker: Faker, locale: str) -> dict[str, Callable[[], str]]:
    own = {"en_US": {"ssn": faker.ssn}, "zh_CN": {"chinese_id": faker.ssn}}.get(locale, {})
    return {
        "email": faker.email,
        "phone": faker.phone_number,
        "credit_card": faker.credit_card_number,
        "iban": faker.iban,
        "name": faker.name,
        "address": faker.address,
        **own,
    }


def messages(
    locale: str, templates: dict[str, tuple[str, ...]], *, count: int, seed: int, decoys: Sequence[str]
) -> list[tuple[str, list[guard.Finding]]]:
    faker, chosen = Faker(locale), random.Random(seed)
    faker.seed_instance(seed)
    makers, found = values(faker, locale), []
    for number in range(count):
        text, spans = "", []
        for kind in chosen.sample(sorted(templates), 1 + number % 2):
            before, after = chosen.choice(templates[kind]).split("{}")
            value = makers[kind]().replace("\n", ", ")
            text += (" " if text else "") + before
            spans.append(guard.Finding(kind, len(text), len(text) + len(value)))
            text += value + after
        if number % 3 == 0:
            text += " " + decoy(chosen, decoys)
        found.append((text, spans))
    return found


def decoy(chosen: random.Random, decoys: Sequence[str]) -> str:
    text = chosen.choice(decoys)
    for size in range(12, 0, -1):
        text = text.replace(f"{{{size}}}", str(chosen.randrange(10 ** (size - 1), 10**size)))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["development", "held-out", *OTHERS], default="held-out")
    parser.add_argument("--missed", type=int, default=25, help="how many misses to print")
    given = parser.parse_args()
    wanted, shown = given.set, given.missed
    is_held = wanted == "held-out"
    parts = HELD if is_held else (("en_US", ENGLISH, 1000), ("zh_CN", CHINESE, 1000))
    seed, decoys = (2026, HELD_DECOYS) if is_held else (7, DECOYS)
    made = (
        OTHERS[wanted]()
        if wanted in OTHERS
        else [
            message
            for locale, templates, count in parts
            for message in messages(locale, templates, count=count, seed=seed, decoys=decoys)
        ]
    )
    hit, right = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    missed, masked, left = [], [], []
    for text, spans in made:
        found = guard.find(text, guard.EVERY)
        if wanted in OTHERS:  # an identity number is right under any kind of them
            found = [replace(one, kind="id") if one.kind in IDENTITY else one for one in found]
        for span in spans:
            covered = any(one.kind == span.kind and one.start <= span.start and one.stop >= span.stop for one in found)
            hit[span.kind].append(float(covered))
            hidden = {place for one in found for place in range(one.start, one.stop)}
            masked.append(float(hidden >= {place for place in range(span.start, span.stop) if text[place].isalnum()}))
            if not covered:
                missed.append(f"{span.kind} {text[span.start : span.stop]!r}: {text!r}")
        if not spans:
            left.append(float(not any(one.kind in STRUCTURED for one in found)))
        for one in found:
            right[one.kind].append(float(any(_overlap(one, span) for span in spans)))
            if not right[one.kind][-1]:
                missed.append(f"wrong {one.kind} {text[one.start : one.stop]!r}: {text!r}")
    show(
        "structured",
        [n for kind in STRUCTURED for n in hit[kind]],
        [n for k in right for n in right[k] if k in STRUCTURED],
    )
    print(f"every letter of a value masked, under whatever kind: {evaluation.mean(masked)}")
    if left:
        print(f"messages without a value that are left as they are: {evaluation.mean(left)} of {len(left)}")
    for kind in sorted(name for name in hit if hit[name]):
        show(kind, hit[kind], right[kind])
    print(*sorted(missed, key=lambda one: one.startswith(("name", "address")))[:shown], sep="\n")


def _overlap(one: guard.Finding, span: guard.Finding) -> bool:
    return one.kind == span.kind and one.start < span.stop and one.stop > span.start


def show(name: str, hit: Sequence[float], right: Sequence[float]) -> None:
    print(f"{name:12s} recall {evaluation.mean(hit)} of {len(hit)}, precision {evaluation.mean(right or [1.0])}")


if __name__ == "__main__":
    main()
