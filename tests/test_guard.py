"""Masking: what is found, what is left alone, and that locators still tile the masked text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk import guard
from mmsdk.chunking import chunks
from mmsdk.types import Document, Image, Locator, Part


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to anna.lee+shop@mail.example.co.uk.", "Write to [EMAIL]."),
        ("邮箱li.wei@example.cn请联系", "邮箱[EMAIL]请联系"),
        ("邮箱：ｌｉ＠ｅｘａｍｐｌｅ．ｃｎ。", "邮箱：[EMAIL]。"),
        ("请拨打13812345678或+86 138 1234 5678。", "请拨打[PHONE]或[PHONE]。"),
        ("手机１３８１２３４５６７８转接", "手机[PHONE]转接"),
        ("电话010-62345678，客服400-820-8820", "电话[PHONE]，客服[PHONE]"),
        ("Call (555) 123-4567, 555-123-4567 or +1 555.123.4567.", "Call [PHONE], [PHONE] or [PHONE]."),
        ("Tel. +49 30 901820 or 030 901820", "Tel. [PHONE] or [PHONE]"),
        ("Card 4111 1111 1111 1111, exp 12/27", "Card [CREDIT_CARD], exp 12/27"),
        ("卡号6222021234567894哦", "卡号[CREDIT_CARD]哦"),
        ("IBAN DE89 3704 0044 0532 0130 00 IS MINE", "IBAN [IBAN] IS MINE"),
        ("GB82WEST12345698765432", "[IBAN]"),
        ("身份证11010519491231002X。", "身份证[CHINESE_ID]。"),
        ("SSN 123-45-6789", "SSN [SSN]"),
        ("from 192.168.0.12 and 2001:db8::ff00:42:8329", "from [IP] and [IP]"),
        ("a@b.com,c@d.org", "[EMAIL],[EMAIL]"),
        ("Ring (01632) 960832, (02)8798-9088 or 07.4864.3906", "Ring [PHONE], [PHONE] or [PHONE]"),
        ("快递员可以打0968259734", "快递员可以打[PHONE]"),
        ("Text 729 486 6283 x12 or tel. 5646 4403.", "Text [PHONE] or tel. [PHONE]."),
        ("Maestro 060410810232", "Maestro [CREDIT_CARD]"),
        ("Mastercard 5555.5555.5555.4444 or 4111 1111 1111\n1111", "Mastercard [CREDIT_CARD] or [CREDIT_CARD]"),
        ("iban=de89-3704-0044-0532-0130-00;", "iban=[IBAN];"),
        ("身份证 110105 19491231 002X", "身份证 [CHINESE_ID]"),
        (
            "(AB 12 34 56 C), ABCPK1234F and 234123412346 (Aadhaar)",
            "([NATIONAL_ID]), [NATIONAL_ID] and [NATIONAL_ID] (Aadhaar)",
        ),
        (
            "Aadhaar 2341 2341 2346; 身分證 A123456789, A123456(3)",
            "Aadhaar [NATIONAL_ID]; 身分證 [NATIONAL_ID], [NATIONAL_ID]",
        ),
        ("SIN no. 046 454 286, tax file number 123 456 782", "SIN no. [NATIONAL_ID], tax file number [NATIONAL_ID]"),
        (
            "Is 669287010 stored as my SSN? 于G06536594是不是登记成我的护照号了",
            "Is [NATIONAL_ID] stored as my SSN? 于[NATIONAL_ID]是不是登记成我的护照号了",
        ),
        ("why do you need my SIN? it is 046 454 286", "why do you need my SIN? it is [NATIONAL_ID]"),
        ("here is the SSN number you wanted: 816066343.", "here is the SSN number you wanted: [NATIONAL_ID]."),
        ("The TFN on file should be 299-856-721, not 5", "The TFN on file should be [NATIONAL_ID], not 5"),
        (
            "为什么要护照号？我的是EA1946566。流水号962764920038",
            "为什么要护照号？我的是[NATIONAL_ID]。流水号962764920038",
        ),
        ("Phone: (901) 381-7485 x734. 559 428 552 is my SIN", "Phone: [PHONE]. [NATIONAL_ID] is my SIN"),
        ("mobile +61 499 008 559\n017473211 is my TFN", "mobile [PHONE]\n[NATIONAL_ID] is my TFN"),
        ("S.I.N. - 326-657-590; SS number - 688 42 7221", "S.I.N. - [NATIONAL_ID]; SS number - [NATIONAL_ID]"),
        ("分机0571-83616489-881", "分机[PHONE]"),
        ("My passport is 494562704, 护照号：E56895245", "My passport is [NATIONAL_ID], 护照号：[NATIONAL_ID]"),
        ("SSN 123 45 6789; ITIN 912-78-1234", "SSN [NATIONAL_ID]; ITIN [NATIONAL_ID]"),
        ("[716] 479-1596, 905/589-6724 or (239)3050614", "[PHONE], [PHONE] or [PHONE]"),
        ("(+61) 475 123 456, 0061 2 0530 0311, 1300 791 161", "[PHONE], [PHONE], [PHONE]"),
        ("My landline 98519 32620. 2317 2359 is my new mobile", "My landline [PHONE]. [PHONE] is my new mobile"),
        ("座机021-69391167转501，手机186.9999.8888", "座机[PHONE]，手机[PHONE]"),
        ("Phone number:\n(0161) 496\n0423\nCard", "Phone number:\n[PHONE]\nCard"),
        ("电话：+86-21-60955428\n（14587341096）找我", "电话：[PHONE]\n（[PHONE]）找我"),
        ("Write to O'NEIL@MÜLLER-BAU.DE, _ann@a.co", "Write to [EMAIL], [EMAIL]"),
        (
            "Could you text me on 630 97 50 57? Mobile 9977 1281; (852) 5590 1085",
            "Could you text me on [PHONE]? Mobile [PHONE]; [PHONE]",
        ),
        ("06.56.43.42.34, (21) 8515-2887, 905 503-6941, ext. 401", "[PHONE], [PHONE], [PHONE]"),
        ("请拨91 766 48 29，收不到667-146-501的验证码", "请拨[PHONE]，收不到[PHONE]的验证码"),
        ("+85295425366\n4111  1111  1111  1111", "[PHONE]\n[CREDIT_CARD]"),
        ("PAN 4111 - 1111 - 1111 - 1111, 3782–822463–10005", "PAN [CREDIT_CARD], [CREDIT_CARD]"),
        ("DE 89 3704 0044 0532 0130 00, GB82.WEST.1234.5698.7654.32", "[IBAN], [IBAN]"),
        ("my number is 12 34 5678 Our IBAN is DE89370400440532013000", "my number is [PHONE] Our IBAN is [IBAN]"),
        ("12345678-Z and 12.345.678-Z, X-1234567-L", "[NATIONAL_ID] and [NATIONAL_ID], [NATIONAL_ID]"),
        ("DNI 12345678z; 意大利税号rssmra85t10a562s", "DNI [NATIONAL_ID]; 意大利税号[NATIONAL_ID]"),
        ("RSSMRA85T10A562S, 2 55 08 14 168 025 38, 390.533.447-05", "[NATIONAL_ID], [NATIONAL_ID], [NATIONAL_ID]"),
        ("Steuer-ID 36/574/261/809, CPF 390 533 447 05", "Steuer-ID [NATIONAL_ID], CPF [NATIONAL_ID]"),
        (
            "I typed 1234 56789 1 as my Medicare card. Reisepass C01X00T47",
            "I typed [NATIONAL_ID] as my Medicare card. Reisepass [NATIONAL_ID]",
        ),
        ("HKID card: A123456 (3)\n身份证 110105 1949 1231 002X", "HKID card: [NATIONAL_ID]\n身份证 [CHINESE_ID]"),
        (
            "756.9217.0769.85, PESEL 44051401359, S1234567D (NRIC)",
            "[NATIONAL_ID], PESEL [NATIONAL_ID], [NATIONAL_ID] (NRIC)",
        ),
    ],
)
def test_masked(text: str, masked: str) -> None:
    assert guard.mask(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "The Alder 2 tent weighs 1.95 kg and costs 249.00 EUR.",
        "Order 4111 1111 1111 1112 is no card.",
        "GB82 WEST 1234 5698 7654 33 fails its check.",
        "编号110105194912310021不是身份证",
        "Version 3.51.3 of 2024-05-17, 08/2024, 12:30:45.",
        "Area 000-12-3456 or 666-12-3456",
        "2024年12月31日以前退货，共30天。",
        "300.1.1.400 is no address",
        "ISBN 978-3-16-148410-0",
        "ISBN 0786904070",
        "订单2023285450118233还没发",
        "ring the bell, PO 9323895077 is due",
        "@handle and foo@bar",
        "I cannot see order 00123842, SKU 03-5230-88",
        "tracking 683829611568 and EAN 4092516111039",
        "parcel JD5308275057668427, NO0010861081 2019-11-25",
        "call me on 2025-01-15",
        "A123456788 and A123456(4) fail their checks",
        "2341 2341 2347 fails Verhoeff's",
        "12345678-A, X-1234567-A, 390.533.447-06, RSSMRA85T10A562T fail theirs",
        "2 55 08 14 168 025 39",
        "frying pan 12345678, sin 12345678, the ni 123456",
        "during 2021 12 31 24, technically 12345678",
        "call me about order 12345678, booking 2291-4273-9",
        "Mon Apr 07 00:00:02 +0000 2014",
        "https://doi.org/10.1000/182.1788.5510",
        "2014-04-21,323.970001,331.149994",
        "发票号码：41754674",
        "",
        "firmware 5.9.3.230 is installed, 固件1.3.9.146",
        "646-29-385 is no order. 错误代码15553499",
        "my passport expires, booking 12345678 and order 1234567890",
        "order no. 458-5725618-9918055, 订单399596672730388503",
        "联系我。货号8774439，发票代码045266287307 验证码336526",
    ],
)
def test_left_alone(text: str) -> None:
    assert guard.mask(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ship to: Studio 81, Grace Road, Gillside, TF7W 3AZ now", "Ship to: [ADDRESS] now"),
        ("at 819 Harrison Plateau, East Courtney, WA, 2918", "at [ADDRESS]"),
        ("送到三重縣長春路10號9樓，谢谢", "[ADDRESS]，谢谢"),
        ("Best, Joanna Sloan", "Best, [NAME]"),
        ("Hi, Reece Scott-Griffiths here.", "Hi, [NAME] here."),
        ("签收人郑龙，不是我", "签收人[NAME]，不是我"),
        ("Thanks, Great shop", "Thanks, Great shop"),
    ],
)
def test_addresses_and_names_are_told_by_wording(text: str, masked: str) -> None:
    assert guard.mask(text, guard.EVERY)[0] == masked


def test_kinds_are_chosen_and_checked() -> None:
    text = "a@b.com 13812345678"
    assert guard.mask(text, ["phone"])[0] == "a@b.com [PHONE]"
    assert guard.mask(text, "email")[0] == "[EMAIL] 13812345678"
    assert guard.mask(text, [])[0] == text
    with pytest.raises(ValueError, match=r"unknown kind of personal data 'face'; there are email"):
        guard.mask(text, ["face"])


def test_findings_point_into_the_given_text() -> None:
    text = "写信给 a@b.com，电话 13812345678。"
    found = guard.mask(text)[1]
    assert [(finding.kind, text[finding.start : finding.stop]) for finding in found] == [
        ("email", "a@b.com"),
        ("phone", "13812345678"),
    ]


SECRETS = [
    "a@b.com",
    "13812345678",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "11010519491231002X",
    "123-45-6789",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["word ", "。", "帐篷", "\n", "7 ", ", "]), max_size=8), st.sampled_from(SECRETS))
def test_a_secret_is_found_wherever_it_stands(around: list[str], secret: str) -> None:
    before, after = "".join(around[::2]), "".join(around[1::2])
    masked, found = guard.mask(f"{before} {secret} {after}")
    assert secret not in masked
    assert len(found) >= 1


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*SECRETS, "Open daily.\n", "每天开放。", " ", "x"]), min_size=1, max_size=9),
    st.lists(st.integers(1, 40), max_size=6),
    st.booleans(),
)
def test_locators_tile_the_masked_text(words: list[str], cuts: list[int], with_picture: bool) -> None:
    text = " ".join(words)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts: list[Part] = [
        Part(text[start:stop], Locator("characters", start, stop)) for start, stop in itertools.pairwise(edges)
    ]
    if with_picture:
        import numpy as np

        parts.append(Part(Image(np.zeros((2, 2, 3), np.uint8)), Locator("image"), "picture"))
    document, count = guard.mask_document(Document("d", tuple(parts), "s", "x"), guard.KINDS)
    assert document.text == guard.mask(text)[0]
    assert count == len(guard.mask(text)[1])
    for part in document.parts:
        if isinstance(part.content, str):
            assert part.locator.start is not None
            assert part.locator.stop is not None
            assert document.text[int(part.locator.start) : int(part.locator.stop)] == part.content
    for chunk in chunks(document, size=30):
        if chunk.text:
            start, stop = chunk.locator.start, chunk.locator.stop
            assert start is not None
            assert stop is not None
            assert document.text[int(start) : int(stop)] == chunk.text


def test_pages_rows_speech_and_metadata_are_masked() -> None:
    parts = (
        Part("Call 555-123-", Locator("page", 0, 13, 2)),
        Part("4567 now", Locator("page", 13, 21, 2)),
        Part("name: a@b.com", Locator("row", 0, 13, 1), "row"),
        Part("my number is 555-123-4567", Locator("seconds", 1.5, 4.0), "transcript"),
        Part("a@b.com", Locator("image", box=(0, 0, 9, 9)), "ocr"),
    )
    given = Document("d", parts, "s", "x", {"title": "Mail of a@b.com", "to": ["c@d.org", 5], "n": 1})
    document, count = guard.mask_document(given, guard.KINDS)
    assert [part.content for part in document.parts] == [
        "Call [PHONE]",
        " now",
        "name: [EMAIL]",
        "my number is [PHONE]",
        "[EMAIL]",
    ]
    assert document.parts[1].locator == Locator("page", 12, 16, 2)
    assert document.parts[3].locator == Locator("seconds", 1.5, 4.0)
    assert document.parts[4].locator == Locator("image", box=(0, 0, 9, 9))
    assert document.metadata == {"title": "Mail of [EMAIL]", "to": ["[EMAIL]", 5], "n": 1}
    assert count == 6


def test_without_kinds_a_document_is_as_it_was() -> None:
    document = Document("d", (Part("a@b.com", Locator("characters", 0, 7)),), "s", "x")
    assert guard.mask_document(document, ()) == (document, 0)
