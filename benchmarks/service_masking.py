"""Measure masking on 2,000 messages made with Faker: 1,000 English (en_US), 1,000 Chinese (zh_CN).

    python -m benchmarks.service_masking

Each message is a sentence of a customer with one or two values of known kind, or a decoy (an order or parcel number, a
price, a date, a version). A value is found when one finding of its kind covers it whole; a finding is right when it
overlaps a value of its kind. Names and addresses are reported apart.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from faker import Faker

from mmsdk import evaluation, guard

STRUCTURED = {"email", "phone", "credit_card", "iban", "ssn", "chinese_id"}
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


def values(faker: Faker, locale: str) -> dict[str, Callable[[], str]]:
    own = {"ssn": faker.ssn} if locale == "en_US" else {"chinese_id": faker.ssn}
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
    locale: str, templates: dict[str, tuple[str, ...]], *, count: int
) -> list[tuple[str, list[guard.Finding]]]:
    faker, chosen = Faker(locale), random.Random(7)
    faker.seed_instance(7)
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
            text += " " + decoy(chosen)
        found.append((text, spans))
    return found


def decoy(chosen: random.Random) -> str:
    text = chosen.choice(DECOYS)
    for size in range(12, 0, -1):
        text = text.replace(f"{{{size}}}", str(chosen.randrange(10 ** (size - 1), 10**size)))
    return text


def main() -> None:
    made = [*messages("en_US", ENGLISH, count=1000), *messages("zh_CN", CHINESE, count=1000)]
    hit, right = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    missed = []
    for text, spans in made:
        found = guard.find(text, guard.EVERY)
        for span in spans:
            covered = any(one.kind == span.kind and one.start <= span.start and one.stop >= span.stop for one in found)
            hit[span.kind].append(float(covered))
            if not covered:
                missed.append(f"{span.kind}: {text}")
        for one in found:
            right[one.kind].append(float(any(_overlap(one, span) for span in spans)))
            if not right[one.kind][-1]:
                missed.append(f"wrong {one.kind} {text[one.start : one.stop]!r}: {text}")
    show(
        "structured",
        [n for kind in STRUCTURED for n in hit[kind]],
        [n for k in right for n in right[k] if k in STRUCTURED],
    )
    for kind in sorted(hit):
        show(kind, hit[kind], right[kind])
    print(*missed[:25], sep="\n")


def _overlap(one: guard.Finding, span: guard.Finding) -> bool:
    return one.kind == span.kind and one.start < span.stop and one.stop > span.start


def show(name: str, hit: Sequence[float], right: Sequence[float]) -> None:
    print(f"{name:12s} recall {evaluation.mean(hit)} of {len(hit)}, precision {evaluation.mean(right or [1.0])}")


if __name__ == "__main__":
    main()
