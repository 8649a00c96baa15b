"""Messages of the third masking set: values by Faker, and by forms that people write, with their own sentences.

Seven locales (en_US, en_GB, en_AU, en_IN, en_CA, zh_CN, zh_TW), 2,000 messages. Half of the phones are Faker's, half
are filled into forms; cards, IBANs and identity numbers are valid and then spaced, dotted, hyphened, bracketed,
widened or broken over two lines. It was written and committed before any pattern was run on it; afterwards only
figures of its forms that had been random instead of fixed (``+86``) were mended, and all was measured anew.
"""

import random
import re
from collections.abc import Callable, Mapping

from faker import Faker

from mmsdk import guard

Message = tuple[str, list[guard.Finding]]
SIZES = {"en_US": 350, "en_GB": 300, "en_AU": 200, "en_IN": 200, "en_CA": 200, "zh_CN": 500, "zh_TW": 250}
SEED = 31
PHONES = {  # a # is any figure, an @ one from 2 on
    "en_US": (
        *("(@##) @##-####", "@##.@##.####", "@## @## ####", "@##@######", "+1 @## @## ####", "+1 (@##) @##-####"),
        *("1-@##-@##-####", "@##/@##-####", "@##-@##-#### ext. ##", "001 @## @## ####", "[@##] @##-####"),
        *("+1.@##.@##.####", "1 (@##) @## ####", "+1@##@######", "(@##)@######", "@## @##-#### x###"),
    ),
    "en_GB": (
        *("07### ######", "07### ### ###", "+44 7### ######", "+44 (0)7### ######", "0044 7### ######"),
        *("(07###) ######", "07###-###-###", "07###.###.###", "020 7### ####", "(020) 7### ####", "0161 ### ####"),
        *("01632 ######", "+44 20 7### ####", "020-7###-####", "+44(0)7#########", "0800 ### ###", "07 ### ### ###"),
    ),
    "en_AU": (
        *("04## ### ###", "(02) #### ####", "+61 4## ### ###", "0061 2 #### ####", "02 #### ####", "(03)####-####"),
        *("1300 ### ###", "04########", "+61 (0)4## ### ###", "(+61) 4## ### ###", "04##-###-###", "(07)########"),
    ),
    "en_IN": (
        *("+91 9@### #####", "+91-9@########", "09@### #####", "9@### #####", "9@########", "(+91) 9@########"),
        *("91 9@########", "022-2### ####", "+91 (22) 2### ####", "0091 9@### #####", "080 4### ####", "9@#-###-####"),
    ),
    "zh_CN": (
        *("138 #### ####", "139-####-####", "+86 158 #### ####", "(+86)189########", "0086-137########"),
        *("86 135########", "010-@### ####", "（021）6#######", "021 6#######", "0755-2#######", "400-@##-####"),
        *("400 @## ####", "+86-21-6#######", "021-6#######转801", "186.####.####", "151########", "177 ### #####"),
    ),
    "zh_TW": (
        *("09##-###-###", "09## ### ###", "09########", "(02)2###-####", "02-2### ####", "+886 9## ### ###"),
        *(
            "+886-2-2###-####",
            "00886 9########",
            "0800-###-###",
            "(04) 2### ####",
            "（02）2#######",
            "+886(0)9########",
        ),
    ),
}
PHONES["en_CA"] = PHONES["en_US"]
ENGLISH = {
    "email": (
        *("Nothing arrived in my inbox {}", "log in fails for <{}>", "E-mail:\n{}\nthanks", "write ({}) when done"),
        *("mailto:{} does not work on your page", "Both of us use {}; please split the account", "From: {}\nHello"),
    ),
    "phone": (
        *("Please ring back: {}", "the courier should WhatsApp {}", "Phone number:\n{}", "I changed my cell to {}"),
        *("{} is my new mobile", "Ph: {} (evenings only)", "contact no. {}", "My landline {} is dead since Monday"),
        *("you keep calling the wrong phone, mine is {}", "tel={}", "Fax {}, attention billing"),
    ),
    "credit_card": (
        *("charged on {}, twice", "Card: {} exp 09/29", "remove the stored card {}", "my Mastercard ({}) expired"),
        *("Payment with {} bounced", "CC#{} CVV 123", "it is the one that reads\n{}", "Amex or this one: {}?"),
    ),
    "iban": (
        *("Our bank is {}", "IBAN {} / BIC COBADEFF", "transfer the 20.00 to {} today", "account:\n{}"),
        *("was it {} that you paid out to?", "iban={};", "Direct debit from {} was returned"),
    ),
    "id": (
        *("My {label} is {}", "{label}: {}", "You asked for the {label} ({})", "{label} no. {} as requested"),
        *("why do you need {} ({label})?", "{label}\n{}"),
    ),
    "name": ("The account holder is {}", "I'm {} from flat 3", "Sincerely,\n{}", "Please ask for Mrs {}", "- {}"),
    "address": ("Return address:\n{}", "it went to {} by mistake", "the flat at {} is ours", "Collect from {}, please"),
}
CHINESE = {
    "email": ("登录名是{}", "用（{}）注册的", "E-mail:{}", "邮箱地址\n{}\n收不到验证码", "回复到{}就好"),
    "phone": (
        *("打我手机{}", "电话：{}", "新号码{}，旧的停机了", "手机号\n{}", "座机是{}", "有事联系{}，谢谢", "（{}）找我"),
        *("预留的手机号{}收不到短信", "请回电{}"),
    ),
    "credit_card": ("银行卡{}", "卡号是 {} 有效期09/29", "从{}扣的款", "我尾号前面是{}这张", "信用卡号：\n{}"),
    "iban": ("收款账户{}", "IBAN：{}", "欧洲的账号是{}，请核对"),
    "id": ("{label}{}", "{label}：{}", "我的{label}是{}，请核实", "上传的{label}（{}）不清楚", "{label}\n{}"),
    "name": ("本人{}申请退款", "联系人：{}", "寄给{}先生", "我的名字是{}", "姓名：{}"),
    "address": ("新家在{}", "寄回{}可以吗", "地址写{}", "我人在{}，能上门取件吗"),
}
DECOYS = {
    "en": (
        *("Order no. ####### of 12.09.2025", "tracking ############", "SKU ##-####-## is out", "EAN 40###########"),
        *("ISBN 978-#-###-#####-#", "it was 1,2##.00 and 15 % off", "flight BA #### at 09:35", "build 10.#.##.####"),
        *("ticket #########", "PO-2025-#####/#", "row 3: 12 24 36 4@", "51.5###, -0.12## on the map", "Ref AB########"),
        *(
            "from 2024-09-30 to 2025-01-15",
            "parcel JD################",
            "serial #A#B-##C#-#D##",
            "we are 4 adults, 2 kids",
        ),
    ),
    "zh": (
        *("订单编号########", "运单SF#############", "型号ZX-####/#", "一共1,2##.00元", "2025年9月30日15:20下的单"),
        *(
            "发票号码：########",
            "优惠码#A#B#C",
            "尺寸120x200厘米",
            "第####次",
            "房间号1203",
            "工单########",
            "条码6############",
        ),
        *("流水号20250930##########", "版本10.#.##", "满300减50", "3-5天"),
    ),
}
_IBANS = ("en_GB", "de_DE", "fr_FR", "nl_NL", "it_IT", "es_ES", "de_CH", "pl_PL", "no_NO", "de_AT")
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in "0123456789+-()"}
_CARDS = {"visa16": (4, 4, 4, 4), "mastercard": (4, 4, 4, 4), "amex": (4, 6, 5), "discover": (4, 4, 4, 4)}
_CARDS |= {"jcb16": (4, 4, 4, 4), "diners": (4, 6, 4), "visa13": (13,), "union": (4, 4, 4, 4), "union19": (6, 13)}


def third() -> list[Message]:
    """Give the 2,000 messages, each with its values; an identity number has the kind ``id``."""
    return [message for locale, count in SIZES.items() for message in _Writer(locale).messages(count)]


class _Writer:
    """Write messages of one locale."""

    def __init__(self, locale: str) -> None:
        self.locale, self.chosen, self.faker = locale, random.Random(f"{SEED}{locale}"), Faker(locale)
        self.faker.seed_instance(SEED)
        self.cards, self.banks = Faker("en_US"), [Faker(name) for name in _IBANS]
        for other in (self.cards, *self.banks):
            other.seed_instance(SEED)
        is_english = locale.startswith("en")
        self.templates, self.decoys = (ENGLISH, DECOYS["en"]) if is_english else (CHINESE, DECOYS["zh"])
        self.makers: Mapping[str, Callable[[], str]] = {
            "email": self._email,
            "phone": self._phone,
            "credit_card": self._card,
            "iban": self._iban,
            "name": self.faker.name,
            "address": lambda: self.faker.address().replace("\n", ", "),
        }

    def messages(self, count: int) -> list[Message]:
        kinds = [*sorted(self.templates), "phone", "credit_card", "id"]  # these three twice as often
        found = []
        for number in range(count):
            text, spans = "", []
            for kind in self.chosen.sample(kinds, 1 + number % 2):
                label, value = self._id() if kind == "id" else ("", self._bent(kind, self.makers[kind]()))
                before, after = self.chosen.choice(self.templates[kind]).replace("{label}", label).split("{}")
                text += self.chosen.choice((" ", "\n")) * bool(text) + before
                spans.append(guard.Finding(kind, len(text), len(text) + len(value)))
                text += value + after
            if number % 3 == 0:
                text += self.chosen.choice((". ", "\n")) + self._filled(self.chosen.choice(self.decoys))
            found.append((text, spans))
        return found

    def _bent(self, kind: str, value: str) -> str:
        """Widen one value in ten of Chinese messages, break one in twenty-five over two lines at a space."""
        if kind in ("name", "address", "email"):
            return value
        if self.locale.startswith("zh") and self.chosen.random() < 0.1:
            return value.translate(_WIDE)
        if " " in value and self.chosen.random() < 0.04:
            place = self.chosen.choice([match.start() for match in re.finditer(" ", value)])
            return value[:place] + "\n" + value[place + 1 :]
        return value

    def _filled(self, form: str) -> str:
        return "".join(
            str(self.chosen.randrange(10)) if c == "#" else str(self.chosen.randrange(2, 10)) if c == "@" else c
            for c in form
        )

    def _email(self) -> str:
        value = self.chosen.choice((self.faker.email, self.faker.company_email, self.faker.ascii_free_email))()
        user, host = value.split("@")
        forms = (value, value, value.upper(), f"{user}+shop@{host}", f"{user.title()}@mail.{host}", f"{user}_99@{host}")
        value = self.chosen.choice(forms)
        is_wide = self.locale.startswith("zh") and self.chosen.random() < 0.15
        return value.replace("@", "＠") if is_wide else value

    def _phone(self) -> str:
        if self.chosen.random() < 0.5:
            return str(self.faker.phone_number())
        return self._filled(self.chosen.choice(PHONES[self.locale]))

    def _card(self) -> str:
        brand = self.chosen.choice(list(_CARDS))
        if brand.startswith("union"):
            digits = _luhn_ended(self._filled("62" + "#" * (16 if brand == "union19" else 13)))
        else:
            digits = str(self.cards.credit_card_number(brand))
        between = self.chosen.choice((" ", "-", "", ".", "\u00a0"))
        parts, at = [], 0
        for size in _CARDS[brand]:
            parts.append(digits[at : at + size])
            at += size
        return between.join(parts)

    def _iban(self) -> str:
        plain = str(self.chosen.choice(self.banks).iban())
        by_four = [plain[at : at + 4] for at in range(0, len(plain), 4)]
        forms = (
            plain,
            plain.lower(),
            " ".join(by_four),
            " ".join(by_four),
            "-".join(by_four),
            " ".join(by_four).lower(),
        )
        return self.chosen.choice(forms)

    def _id(self) -> tuple[str, str]:
        """Give what an identity number is called, and one."""
        made: list[tuple[str, str]] = []
        f = self.faker
        match self.locale:
            case "en_US":
                ssn = f.ssn()
                made += [("SSN", ssn), ("social security number", ssn.replace("-", " "))]
                made += [("SSN", ssn.replace("-", "")), ("ITIN", f.itin()), ("passport", f.passport_number())]
            case "en_GB":
                nino = (
                    self.chosen.choice(("JG", "AB", "NP", "SR")) + self._filled("######") + self.chosen.choice("ABCD")
                )
                spaced = " ".join((nino[:2], nino[2:4], nino[4:6], nino[6:8], nino[8:]))
                made += [("National Insurance number", nino), ("NI number", spaced), ("NINO", spaced.replace(" ", "-"))]
                made += [("National Insurance number", f.ssn()), ("passport", self._filled("#########"))]
            case "en_AU":
                tfn = self._weighed("@########", (1, 4, 3, 7, 5, 8, 6, 9, 10), 11)
                spaced = f"{tfn[:3]} {tfn[3:6]} {tfn[6:]}"
                made += [("TFN", tfn), ("tax file number", spaced), ("Medicare", self._filled("2### ##### #"))]
            case "en_IN":
                aadhaar = str(f.aadhaar_id()).replace(" ", "")
                made += [("Aadhaar", aadhaar), ("Aadhaar number", f"{aadhaar[:4]} {aadhaar[4:8]} {aadhaar[8:]}")]
                pan = self._letters(3) + "P" + self._letters(1) + self._filled("####") + self._letters(1)
                made += [("PAN", pan), ("Aadhaar", f"{aadhaar[:4]}-{aadhaar[4:8]}-{aadhaar[8:]}")]
            case "en_CA":
                sin = str(f.ssn()).replace(" ", "")
                made += [("SIN", f"{sin[:3]} {sin[3:6]} {sin[6:]}"), ("social insurance number", sin)]
                made += [("SIN", f"{sin[:3]}-{sin[3:6]}-{sin[6:]}")]
            case "zh_CN":
                number = str(f.ssn())
                made += [("身份证号", number), ("身份证", number.lower()), ("证件号", number.translate(_WIDE))]
                made += [
                    ("身份证号码", f"{number[:6]} {number[6:14]} {number[14:]}"),
                    ("护照号", self._filled("E########")),
                ]
                made += [("港澳通行证", self._filled("C########")), ("身份证号", number)]
            case _:
                made += [("身分證字號", str(f.ssn())), ("身份證", str(f.ssn()).lower()), ("身分證", str(f.ssn()))]
                made += [("香港身份證", self._hong_kong())]
        return self.chosen.choice(made)

    def _letters(self, count: int) -> str:
        return "".join(self.chosen.choice("ABCDEFGHKLMNPRSTW") for _ in range(count))

    def _weighed(self, form: str, weights: tuple[int, ...], modulus: int) -> str:
        while True:
            digits = self._filled(form)
            if sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % modulus == 0:
                return digits

    def _hong_kong(self) -> str:
        letter, digits = self._letters(1), self._filled("######")
        total = 36 * 9 + (ord(letter) - 55) * 8 + sum(w * int(d) for w, d in zip(range(7, 1, -1), digits, strict=True))
        check = -total % 11
        return f"{letter}{digits}({'A' if check == 10 else check})"


def _luhn_ended(digits: str) -> str:
    """Put the check figure of ISO/IEC 7812-1 in place of the last."""
    values = [int(digit) for digit in digits[-2::-1]]
    total = sum(value if place % 2 else sum(divmod(2 * value, 10)) for place, value in enumerate(values))
    return digits[:-1] + str(-total % 10)
