"""Dates and amounts of money in one form: ISO 8601 and "USD 3000000". What is relative ("last week") has none."""

import re

_WRITTEN = "jan january,feb february,mar march,apr april,may,jun june,jul july,aug august,sep sept september"
_WRITTEN += ",oct october,nov november,dec december"
_MONTHS = {name: number for number, names in enumerate(_WRITTEN.split(","), 1) for name in names.split()}
_NAMED = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_NAMED})\.?,? (\d{{4}})\b", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"\b({_NAMED})\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b", re.IGNORECASE)
_MONTH = re.compile(rf"\b({_NAMED})\.?,? (?:of )?(\d{{4}})\b", re.IGNORECASE)
_ISO = re.compile(r"\b(\d{4})-(\d{2})(?:-(\d{2}))?\b")
_CJK = re.compile(r"(\d{4})年(?:(\d{1,2})月)?(?:(\d{1,2})[日号])?")
_YEAR = re.compile(r"\b(1\d{3}|20\d{2})\b(?!\s*s\b)")
_CURRENCIES = {"$": "USD", "us$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "CNY", "元": "CNY", "dollars": "USD"}
_CURRENCIES |= {"dollar": "USD", "euros": "EUR", "euro": "EUR", "pounds": "GBP", "yen": "JPY", "yuan": "CNY"}
_CURRENCIES |= {code.lower(): code for code in ("USD", "EUR", "GBP", "JPY", "CNY", "CHF")}
_SCALES = {"thousand": 1e3, "million": 1e6, "m": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12}
_SCALES |= {"k": 1e3, "万": 1e4, "亿": 1e8}
_AMOUNT = re.compile(
    r"(\d[\d,]*(?:\.\d+)?)\s*-?(thousand|million|billion|trillion|mn|bn|[mbk万亿](?![a-z]))?", re.IGNORECASE
)


def iso_date(text: str) -> str:
    """Give a date as ISO 8601, as exact as it is written; empty when there is none.

    >>> iso_date("on 5 May 1998"), iso_date("March 2001"), iso_date("2024年3月5日"), iso_date("last week")
    ('1998-05-05', '2001-03', '2024-03-05', '')
    """
    if found := _DAY_FIRST.search(text):
        return _written(found[3], _MONTHS[found[2].lower()], int(found[1]))
    if found := _MONTH_FIRST.search(text):
        return _written(found[3], _MONTHS[found[1].lower()], int(found[2]))
    if found := _ISO.search(text) or _CJK.search(text):
        return _written(found[1], int(found[2] or 0), int(found[3] or 0))
    if found := _MONTH.search(text):
        return _written(found[2], _MONTHS[found[1].lower()], 0)
    found = _YEAR.search(text)
    return found[1] if found else ""


def amount(text: str) -> str:
    """Give an amount of money as currency and number; empty when one of them is missing.

    >>> amount("$3.5 million"), amount("EUR 1,200"), amount("20 billion yen"), amount("3亿元")
    ('USD 3500000', 'EUR 1200', 'JPY 20000000000', 'CNY 300000000')
    """
    number, low = _AMOUNT.search(text), text.casefold()
    currency = next((code for sign, code in sorted(_CURRENCIES.items(), key=lambda c: -len(c[0])) if sign in low), "")
    if not number or not currency:
        return ""
    value = float(number[1].replace(",", "")) * _SCALES.get((number[2] or "").lower(), 1)
    return f"{currency} {value:.2f}".removesuffix(".00")


def _written(year: str, month: int, day: int) -> str:
    if not 1 <= month <= 12:
        return year
    return f"{year}-{month:02}-{day:02}" if 1 <= day <= 31 else f"{year}-{month:02}"
