"""Messages of the sixth to ninth masking sets: what Faker gives, in the ways that people usually write it.

A checker of the issue would make such a set: Faker's own values (and the usual groupings of them) of en_US, en_GB and
zh_CN (``main``, 2,000 messages) and of en_CA, en_AU and zh_TW (``more``, 1,000), in sentences, behind labels, in lists,
in brackets, glued to Chinese characters, in full-width figures. An order number, a price, a date or another number that
is nobody's stands beside every third message and alone in one of six. The sixth and seventh set were written at once
and committed before the masker was run on either, by a helper who had read its patterns; the eighth with the words that
are usual for such numbers, when the seventh had been looked at and before anything was mended for it; the ninth, again
with usual words, after all mending.
"""

import json
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from faker import Faker

from benchmarks.masking_formats import Message
from mmsdk import guard

FORMS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
SEEDS = {"sixth": 606, "seventh": 707, "eighth": 808, "ninth": 909}
SHARES = {
    "main": {"en": {"en_US": 600, "en_GB": 500}, "zh": {"zh_CN": 900}},
    "more": {"en": {"en_CA": 300, "en_AU": 300}, "zh": {"zh_TW": 400}},
}
KINDS = ("email", "phone", "phone", "credit_card", "iban", "id", "id", "name", "address")
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in string.ascii_letters + string.digits + "+-()"}
_IDENTITIES = {
    "en_US": ("ssn", "ssn", "ssn", "itin", "passport"),
    "en_GB": ("nino", "nino", "nino", "passport"),
    "en_CA": ("sin",),
    "en_AU": ("tfn",),
    "zh_CN": ("cn", "cn", "cn", "cn_passport"),
    "zh_TW": ("tw",),
}
_PHONES = {
    "en_US": (
        *("(2##) ###-####", "3##-###-####", "4##.###.####", "5## ### ####", "6#########"),
        *("+1 7## ### ####", "+18#########", "1-9##-###-####", "(2##)###-####", "+1 (3##) ###-####"),
    ),
    "en_GB": (
        *("07### ######", "07#########", "+44 7### ######", "+447#########", "07### ### ###", "0044 7### ######"),
        *("020 7### ####", "(0161) ### ####", "01### ######", "+44 (0)20 7### ####"),
    ),
    "en_CA": ("416-###-####", "(604) ###-####", "514 ### ####", "+1 613-###-####", "905#######", "1 (403) ###-####"),
    "en_AU": (
        *("04## ### ###", "04########", "+61 4## ### ###", "(02) #### ####", "02 #### ####", "+61 2 #### ####"),
        "03-####-####",
    ),
    "zh_CN": (
        *("13#########", "138 #### ####", "159-####-####", "+86 186########", "+86-133-####-####", "0086 177########"),
        *("010-6#######", "021 5### ####", "(0755)8#######", "0571-8#######-8##", "86-150########", "400-###-####"),
    ),
    "zh_TW": (
        *("09########", "0912-###-###", "0987 ### ###", "+886 9## ### ###", "02-2###-####", "(02)2### ####"),
        "04-2#######",
    ),
}
_NINO = ("AB", "CE", "HL", "JG", "LS", "NM", "PW", "RA", "SX", "TY", "WK", "YB")


def sixth(table: str, language: str = "") -> list[Message]:
    """Give the messages of a table (``main`` or ``more``), of one language or both."""
    return _made("sixth", table, language)


def seventh(table: str, language: str = "") -> list[Message]:
    """Give messages with the other sentences, labels and seed."""
    return _made("seventh", table, language)


def eighth(table: str, language: str = "") -> list[Message]:
    """Give messages with a third kind of sentences and seed, written when the patterns had been mended on the sixth."""
    return _made("eighth", table, language)


def ninth(table: str, language: str = "") -> list[Message]:
    """Give messages with a fourth kind of sentences and seed, written after the last mending and not mended on."""
    return _made("ninth", table, language)


def _made(name: str, table: str, language: str) -> list[Message]:
    wanted = {one: shares for one, shares in SHARES[table].items() if language in ("", one)}
    return [
        message
        for one, shares in wanted.items()
        for locale, count in shares.items()
        for message in _Writer(name, one, locale).messages(count)
    ]


class _Writer:
    """Write messages of one locale."""

    def __init__(self, name: str, language: str, locale: str) -> None:
        self.name, self.language, self.locale = name, language, locale
        seed = f"{SEEDS[name]}{locale}"
        self.chosen, self.faker = random.Random(seed), Faker(locale)
        self.faker.seed_instance(seed)
        self.banks = [Faker(one) for one in ("de_DE", "fr_FR", "nl_NL", "es_ES", "it_IT")]
        for bank in self.banks:
            bank.seed_instance(seed)
        self.templates = FORMS[name][language]
        self.makers: Mapping[str, Callable[[], str]] = {
            "email": self._email,
            "phone": self._phone,
            "credit_card": self._card,
            "iban": self._iban,
            "name": lambda: str(self.faker.name()),
            "address": self._address,
        }

    def messages(self, count: int) -> list[Message]:
        """Give messages with one to three values, or decoys alone."""
        found = []
        for number in range(count):
            picked = [] if number % 6 == 5 else self._picked(number)
            is_list = len(picked) > 1 and self.chosen.random() < 0.25
            text, spans = "", []
            for kind in picked:
                text += self._joint(is_list=is_list) if text else ""
                label, value = self._id() if kind == "id" else ("", self.makers[kind]())
                before, after = self._template(kind, is_list=is_list).replace("{label}", label).split("{}")
                if self.language == "zh" and kind not in ("email", "name", "address") and self.chosen.random() < 0.1:
                    value = value.translate(_WIDE)
                text += before
                spans.append(guard.Finding(kind, len(text), len(text) + len(value)))
                text += value + after
            for _ in range(2 if not picked else number % 3 == 0):
                text += (self._joint(is_list=is_list) if text else "") + self._decoy()
            found.append((text, spans))
        return found

    def _picked(self, number: int) -> list[str]:
        kinds: list[str] = []
        while len(kinds) < 1 + number % 3:
            kind = self.chosen.choice(KINDS)
            if kind not in kinds:
                kinds.append(kind)
        return kinds

    def _joint(self, *, is_list: bool) -> str:
        if is_list:
            return "\n"
        return self.chosen.choice((". ", "\n", ", ", " ") if self.language == "en" else ("。", "\n", "，", "；", " "))

    def _template(self, kind: str, *, is_list: bool) -> str:
        labelled = [one for one in self.templates[kind] if re.fullmatch(r"[^{}]{0,22}(?:\{label\})?.{0,3}\{\}", one)]
        return str(self.chosen.choice(labelled if is_list and labelled else self.templates[kind]))

    def _filled(self, form: str) -> str:
        return "".join(self.chosen.choice(string.digits) if letter == "#" else letter for letter in form)

    def _decoy(self) -> str:
        def number(match: re.Match[str]) -> str:
            if match[1] == "02":
                return f"{self.chosen.randrange(1, 29):02d}"
            return self._filled(self.chosen.choice("123456789") + "#" * (int(match[1]) - 1))

        return re.sub(r"\{(\d+)\}", number, self.chosen.choice(FORMS["decoys"][self.language]))

    def _email(self) -> str:
        faker = self.faker
        made = str(self.chosen.choice((faker.email, faker.free_email, faker.company_email, faker.ascii_safe_email))())
        if self.chosen.random() < 0.1:
            return made.replace("@", f"+{self._filled('##')}@")
        return self.chosen.choice((str, str, str, str, str.upper, str.capitalize))(made)

    def _phone(self) -> str:
        if self.chosen.random() < 0.5:
            return str(self.faker.phone_number())
        return self._filled(self.chosen.choice(_PHONES[self.locale]))

    def _card(self) -> str:
        digits = str(self.faker.credit_card_number())
        between = self.chosen.choice(("", "", "", " ", " ", "-", "-", ".", "\u00a0"))
        sizes = (4, 6, 5) if len(digits) == 15 else (4,) * (len(digits) // 4 + 1)
        return _grouped(digits, sizes, between)

    def _iban(self) -> str:
        plain = str(self.chosen.choice([self.faker, self.faker, *self.banks]).iban())
        written = self.chosen.choice((str, str, str.lower))(plain)
        return _grouped(written, (4,) * (len(plain) // 4 + 1), self.chosen.choice(("", "", " ", " ", "-")))

    def _address(self) -> str:
        made = str(self.faker.address())
        return made if self.chosen.random() < 0.3 else made.replace("\n", ", ")

    def _id(self) -> tuple[str, str]:
        name = self.chosen.choice(_IDENTITIES[self.locale])
        label = self.chosen.choice(FORMS["labels"][self.name][name])
        digits = re.sub(r"\W", "", str(self.faker.ssn()))
        spaced = self.chosen.choice(("", " ", "-"))
        if name in ("ssn", "itin"):
            made = str(self.faker.ssn() if name == "ssn" else self.faker.itin())
            return label, self.chosen.choice((made, made, made, made.replace("-", " "), made.replace("-", "")))
        if name == "nino":
            plain = self.chosen.choice((digits, self.chosen.choice(_NINO) + self._filled("######") + "C"))
            return label, _grouped(plain, (2, 2, 2, 2, 1), self.chosen.choice(("", " ", " ", "-")))
        if name == "passport":
            return label, str(self.faker.passport_number())
        if name == "sin":
            return label, _grouped(digits, (3, 3, 3), spaced)
        if name == "tfn":
            return label, _grouped(self._tfn(), (3, 3, 3), spaced)
        if name == "cn_passport":
            return label, self._filled(self.chosen.choice(("E########", "G########", "EA#######")))
        if name == "tw":
            return label, digits if self.chosen.random() < 0.8 else digits.lower()
        ways = (digits, digits, digits, _grouped(digits, (6, 8, 4), spaced), _grouped(digits, (6, 4, 4, 4), " "))
        return label, self.chosen.choice((*ways, digits.lower()))

    def _tfn(self) -> str:
        while True:
            digits = self._filled("#########")
            if sum(w * int(d) for w, d in zip((1, 4, 3, 7, 5, 8, 6, 9, 10), digits, strict=True)) % 11 == 0:
                return digits


def _grouped(text: str, sizes: Sequence[int], between: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return between.join(part for part in parts if part)
