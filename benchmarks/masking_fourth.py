"""Messages of the fourth masking set: phones of 17 countries, IBANs of 35, identity numbers of 12 places, passports.

2,000 messages (1,200 English, 800 Chinese) from the forms of masking_fourth.json, written and committed before any
pattern was run on them, by someone who had not read the patterns. One phone in four is Faker's, the others are written
as numbering plans and people write them. Checksums are valid. 300 messages hold decoys alone, every third of the others
one beside its values.
"""

import json
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faker import Faker

from benchmarks.masking_formats import Message
from mmsdk import guard

SEED = 404
FORMS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
FAKER_PHONES = {"US": "en_US", "GB": "en_GB", "AU": "en_AU", "CA": "en_CA", "IN": "en_IN", "DE": "de_DE", "FR": "fr_FR"}
FAKER_PHONES |= {
    "ES": "es_ES",
    "IT": "it_IT",
    "NL": "nl_NL",
    "CH": "de_CH",
    "BR": "pt_BR",
    "TW": "zh_TW",
    "CN": "zh_CN",
}
_BROKEN = 0.025  # of the values with a space: over two lines
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in string.ascii_letters + string.digits + "+-()"}
_CARDS: Mapping[str, Sequence[Sequence[int]]] = {
    "visa16": ((4, 4, 4, 4),),
    "mastercard": ((4, 4, 4, 4),),
    "discover": ((4, 4, 4, 4),),
    "jcb16": ((4, 4, 4, 4),),
    "amex": ((4, 6, 5), (4, 4, 4, 3)),
    "diners": ((4, 6, 4),),
    "jcb15": ((4, 6, 5),),
    "maestro": ((4, 4, 4),),
    "visa13": ((4, 3, 3, 3),),
    "visa19": ((4, 4, 4, 4, 3),),
    "unionpay": ((4, 4, 4, 4), (6, 13), (4, 4, 4, 4, 3)),
}
_BETWEEN = (" ", " ", "-", "-", "", "", ".", "\u00a0", "  ", " - ", "\u2013")
_NINO = ("AB", "CE", "HK", "JC", "LW", "NX", "PY", "RZ", "SM", "TN", "WP")
_VERHOEFF: Sequence[str] = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_MOVED = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def fourth() -> list[Message]:
    """Give the 2,000 messages, each with its values; an identity number has the kind ``id``."""
    return [*Writer("en", FORMS, SEED).messages(1200), *Writer("zh", FORMS, SEED).messages(800)]


class Writer:
    """Write messages of one language from a file of forms."""

    faker_phones = True

    def __init__(self, language: str, forms: Mapping[str, Any], seed: int) -> None:
        self.language, self.forms, self.chosen = language, forms, random.Random(f"{seed}{language}")
        self.fakers = {name: Faker(name) for name in sorted(FAKER_PHONES.values())}
        for name, faker in self.fakers.items():
            faker.seed_instance(f"{seed}{language}{name}")
        self.templates, self.decoys = forms["templates"][language], forms["decoys"][language]
        self.makers: Mapping[str, Callable[[], str]] = {
            "email": self._email,
            "phone": self._phone,
            "credit_card": self._card,
            "iban": self._iban,
        }
        self.numbers: Mapping[str, Callable[[], str]] = {
            "us": lambda: str(self.fakers["en_US"].ssn()),
            "itin": lambda: str(self.fakers["en_US"].itin()),
            "gb": lambda: self.chosen.choice(_NINO) + self._filled("######") + self.chosen.choice("ABCD"),
            "ca": lambda: str(self.fakers["en_CA"].ssn()),
            "tfn": lambda: self._weighed("@########", (1, 4, 3, 7, 5, 8, 6, 9, 10), 11),
            "medicare": self._medicare,
            "aadhaar": lambda: verhoeff_ended(self._filled("@##########")),
            "pan": lambda: str(self.fakers["en_IN"].pan()),
            "cn": lambda: with_x(self.fakers["zh_CN"].ssn()) if self.chosen.random() < 0.3 else self._of("zh_CN"),
            "tw": lambda: self._of("zh_TW"),
            "hk": lambda: hong_kong(self._filled("[]######")),
            "dni": lambda: str(self.fakers["es_ES"].nif()),
            "nie": lambda: str(self.fakers["es_ES"].nie()),
            "fr": lambda: self._of("fr_FR"),
            "it": lambda: self._of("it_IT"),
            "de": lambda: german_tax(self.chosen),
            "br": lambda: str(self.fakers["pt_BR"].cpf()),
        }

    def messages(self, count: int) -> list[Message]:
        """Give messages with one or two values or none, and decoys."""
        joints = (". ", "\n", ", ") if self.language == "en" else ("。", "\n", "，")
        kinds = ["email", "phone", "phone", "credit_card", "iban", "id", "id"]
        found = []
        for number in range(count):
            text, spans = "", []
            picked = [] if number % 20 in (3, 9, 16) else self.chosen.sample(kinds, 1 + number % 2)
            for kind in picked:
                label, value = self._id() if kind == "id" else ("", self.makers[kind]())
                before, after = self.chosen.choice(self.templates[kind]).replace("{label}", label).split("{}")
                value = self._bent(kind, value)
                if kind == "credit_card":
                    after = self._filled(after)
                text += self.chosen.choice(joints) * bool(text) + before
                spans.append(guard.Finding(kind, len(text), len(text) + len(value)))
                text += value + after
            if not picked or number % 3 == 0:
                text += self.chosen.choice(joints) * bool(text) + self._decoy()
            found.append((text, spans))
        return found

    def _bent(self, kind: str, value: str) -> str:
        """Widen one value in eight of Chinese messages; break some over two lines at a space."""
        if kind != "email" and self.language == "zh" and self.chosen.random() < 0.125:
            return value.translate(_WIDE)
        if " " in value and self.chosen.random() < _BROKEN:
            place = self.chosen.choice([match.start() for match in re.finditer(" ", value)])
            return value[:place] + "\n" + value[place + 1 :]
        return value

    def _filled(self, form: str) -> str:
        """Put a figure for ``#``, one from 2 on for ``@``, a capital for ``[]``, a number sign for ``~``."""
        pools = {"#": string.digits, "@": string.digits[2:], "[]": string.ascii_uppercase, "~": "#"}
        return re.sub(r"#|@|~|\[\]", lambda match: self.chosen.choice(pools[match[0]]), form)

    def _decoy(self) -> str:
        faker = self.fakers["en_US"]
        form = self._filled(self.chosen.choice(self.decoys))
        return form.replace("{isbn}", faker.isbn13()).replace("{ean}", faker.ean13())

    def _email(self) -> str:
        faker = self.fakers["en_US"]
        first, last, number = faker.first_name().lower(), faker.last_name().lower(), self._filled("##")
        user = self.chosen.choice(self.forms["emails"]["users"]).format(first=first, last=last, n=number, f=first[0])
        host = self.chosen.choice(self.forms["emails"]["hosts"]).format(last=last)
        bent = self.chosen.choice((str, str, str, str.upper, str.title))
        return str(bent(f"{user}@{host}"))

    def _phone(self) -> str:
        country = self.chosen.choice(list(self.forms["phones"]))
        if self.faker_phones and country in FAKER_PHONES and self.chosen.random() < 0.25:
            return str(self.fakers[FAKER_PHONES[country]].phone_number())
        return self._filled(self.chosen.choice(self.forms["phones"][country]))

    def _card(self) -> str:
        brand = self.chosen.choice(list(_CARDS))
        sizes = self.chosen.choice(_CARDS[brand])
        if brand == "unionpay":
            digits = luhn_ended("62" + self._filled("#" * (sum(sizes) - 2)))
        else:
            digits = str(self.fakers["en_US"].credit_card_number(brand))
        return grouped(digits, sizes, self.chosen.choice(_BETWEEN))

    def _iban(self) -> str:
        country, account = self.chosen.choice(list(self.forms["banks"].items()))
        pools = {"#": string.digits, "A": string.ascii_uppercase, "C": string.ascii_uppercase + string.digits}
        parts = re.findall(r"([#AC])(\d+)", account)
        plain = iban(
            country, "".join(self.chosen.choice(pools[pool]) for pool, size in parts for _ in range(int(size)))
        )
        fours = [4] * (len(plain) // 4)
        spaced = grouped(plain, fours, " ")
        forms = (
            *(plain, plain, spaced, spaced, spaced.lower(), plain.lower(), grouped(plain, fours, "-")),
            *(grouped(plain, fours, "\u00a0"), grouped(plain, fours, "."), f"{plain[:4]} {plain[4:]}"),
            *(f"{plain[:2]} {plain[2:]}", grouped(plain, (2, 2, *fours[1:]), " ")),
        )
        return self.chosen.choice(forms)

    def _of(self, locale: str) -> str:
        return re.sub(r"\W", "", self.fakers[locale].ssn())

    def _id(self) -> tuple[str, str]:
        """Give what an identity number is called, and one in some form: ``_`` its next letter, ``x`` in lower case."""
        name, given = self.chosen.choice(list(self.forms["identities"].items()))
        form, label = self.chosen.choice(given["forms"]), self.chosen.choice(given[self.language])
        if name not in self.numbers:
            return label, self._filled(form)
        letters = iter(re.sub(r"\W", "", self.numbers[name]()))
        return label, "".join(next(letters) if c == "_" else next(letters).lower() if c == "x" else c for c in form)

    def _medicare(self) -> str:
        digits = self.chosen.choice("23456") + self._filled("#######")
        check = sum(w * int(digit) for w, digit in zip((1, 3, 7, 9, 1, 3, 7, 9), digits, strict=True)) % 10
        return f"{digits}{check}{self.chosen.choice('12345')}"

    def _weighed(self, form: str, weights: Sequence[int], modulus: int) -> str:
        while True:
            digits = self._filled(form)
            if sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % modulus == 0:
                return digits


def grouped(text: str, sizes: Sequence[int], between: str) -> str:
    """Cut off parts of these sizes; what is left is the last part."""
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return between.join(part for part in (*parts, text[at:]) if part)


def luhn_ended(digits: str) -> str:
    """Put the check figure of ISO/IEC 7812-1 in place of the last."""
    values = [int(digit) for digit in digits[-2::-1]]
    total = sum(value if place % 2 else sum(divmod(2 * value, 10)) for place, value in enumerate(values))
    return digits[:-1] + str(-total % 10)


def iban(country: str, account: str) -> str:
    """Give the IBAN of an account (ISO 13616)."""
    number = int("".join(str(int(letter, 36)) for letter in account + country + "00"))
    return f"{country}{98 - number % 97:02d}{account}"


def verhoeff_ended(digits: str) -> str:
    """Append the figure that makes Verhoeff's check come out as zero."""
    for last in string.digits:
        check = 0
        for place, digit in enumerate(reversed(digits + last)):
            check = int(_VERHOEFF[check][int(_MOVED[place % 8][int(digit)])])
        if check == 0:
            return digits + last
    raise AssertionError(digits)


def with_x(number: str) -> str:
    """Change the order part of a Chinese number until its check figure is X (ISO 7064, MOD 11-2)."""
    bodies = (f"{number[:14]}{order:03d}" for order in range(1000))
    return next(
        f"{body}X" for body in bodies if sum(int(digit) * 2 ** (17 - at) for at, digit in enumerate(body)) % 11 == 2
    )


def hong_kong(plain: str) -> str:
    """Append the check figure to a letter and six figures."""
    values = (36, ord(plain[0]) - 55, *map(int, plain[1:]))
    check = -sum(w * value for w, value in zip(range(9, 1, -1), values, strict=True)) % 11
    return plain + ("A" if check == 10 else str(check))


def german_tax(chosen: random.Random) -> str:
    """Give eleven figures: of the first ten exactly one stands twice; ISO 7064, MOD 11,10."""
    digits = [chosen.randrange(1, 10)]
    digits += chosen.sample([digit for digit in range(10) if digit != digits[0]], 8)
    digits.insert(chosen.randrange(2, 10), digits[chosen.randrange(9)])
    product = 10
    for digit in digits:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return "".join(map(str, digits)) + str((11 - product) % 10)
