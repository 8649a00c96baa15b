"""Numbers that countries give to people and accounts: their forms and check figures.

Where a number has a check figure it decides; where it has none (a passport) the number is found only beside the word
for it. It knows nothing of texts around other kinds of personal data.
"""

import re

GAP = r"[ \u00a0\n]"
"""What stands between groups of figures: a space, or the end of a line."""
_LENGTHS = (  # of an IBAN, by country: the registry of SWIFT, release 99
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
IBANS = {one[:2]: int(one[2:]) for one in _LENGTHS.split()}
IBAN = rf"(?=[A-Za-z]{{2}}\d\d)(?i:(?:{'|'.join(IBANS)})\d{{2}}(?:(?:{GAP}|-)?[A-Z0-9]){{11,30}})"
CHINESE = rf"[1-9]\d{{5}}(?:{GAP}|-)?(?:19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:{GAP}|-)?\d{{3}}[\dXx]"
SSN = r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"
_FORMS = "|".join(
    (
        rf"(?P<nino>(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:{GAP}|-)?(?:\d\d(?:{GAP}|-)?){{3}}[A-D])",
        r"(?P<pan>[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z])",
        r"(?P<itin>9\d\d-(?:5\d|6[0-5]|[78]\d|9[0-24-9])-\d{4})",
        r"(?P<taiwan>[A-Za-z][12489]\d{8})",
        r"(?P<hongkong>[A-Z]{1,2}\d{6} ?\([\dA]\))",
        rf"(?P<aadhaar>(?<!\d[ \u00a0-])[2-9]\d{{3}}(?:{GAP}\d{{4}}{GAP}|-\d{{4}}-)\d{{4}}(?!(?:{GAP}|-)\d))",
    )
)
_CALLED = (
    r"(?i:\b(?:SSN|SIN|ITIN|TIN|TFN|NINO|PAN|DNI|NRIC|Medicare|Aadhaar|UID|passport|tax file|tax(?:payer)? id\w*|"
    r"social(?: security| insurance)?|national (?:insurance|id\w*)|NI|(?:driv\w+|driver'?s) licen[cs]e|"
    r"(?:identity|id) (?:card|number|no|document))\b"
    r"|身[份分][证證]|证件|證件|护照|護照|通行[证證]|居留[证證]|居住证|驾驶?证|駕照|台胞证|回[乡鄉]证)"
)
_BESIDE = r"(?:\s?(?:number|no\b|#|card|字?[号號]码?碼?)){0,2}(?:\s?(?:is|was|are|[是为為]))?[\s:：.#=(（]{0,3}"
_VALUE = (
    rf"(?:[A-Za-z]{{1,2}}-?|[A-Z]{{1,2}}{GAP}(?=\d\d{GAP}|\d{{6}}{GAP}?[A-Z]\b))?\d(?:(?:{GAP}|-)?\d){{5,17}}(?:(?:{GAP}|-)?[A-Z](?![A-Za-z])|\([\dA]\))?"
    r"|[A-Z]{5}\d{4}[A-Z]"
)
NATIONAL = (
    rf"(?i:{_CALLED}{_BESIDE})(?P<called>{_VALUE})(?![A-Za-z0-9])"
    rf"|(?<![A-Za-z0-9+])(?:(?P<before>{_VALUE})(?=(?i:\s?[(（]|\s?(?:is|was|是)\s?(?:my|our|我的)?\s?){_CALLED})"
    rf"|(?:{_FORMS})(?![A-Za-z0-9]))"
)


def luhn(digits: str) -> bool:
    """Tell whether figures pass the check of ISO/IEC 7812-1; one figure again and again does not."""
    values = [int(digit) for digit in digits]
    doubled = [sum(divmod(2 * value, 10)) for value in values[-2::-2]]
    return (sum(doubled) + sum(values[-1::-2])) % 10 == 0 and len(set(values)) > 1


def iban(text: str) -> int:
    """Give how much of a text's beginning is an IBAN by the check of ISO 13616: its country's length, else the longest.

    Other lengths are taken too, as long as no letter or figure goes on: people miscount, and test data does.
    """
    wanted, plain, found = IBANS.get(text[:2].upper(), 0), "", 0
    for place, letter in enumerate(text):
        plain += letter.upper() if letter.isalnum() else ""
        ends = letter.isalnum() and not text[place + 1 : place + 2].isalnum()
        if ends and len(plain) >= 15 and int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1:
            found = place + 1
            if len(plain) == wanted:
                return place + 1
    return found if re.fullmatch(r"\w{4}(?:\W\w{4})*\W?\w{1,4}|\w+", text[:found]) else 0


def chinese(number: str) -> bool:
    """Tell whether an identity number of China passes the check of GB 11643-1999."""
    plain = re.sub(r"\W", "", number).upper()
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, plain, strict=False))
    return plain[-1] == "10X98765432"[total % 11]


def national(match: re.Match[str]) -> bool:
    """Tell whether what ``NATIONAL`` found passes the check of its kind, where the kind has one."""
    number = re.sub(r"\W", "", match.group(match.lastgroup or 0)).upper()
    if match.lastgroup == "taiwan":
        return _taiwan(number)
    if match.lastgroup == "hongkong":
        return _hong_kong(number)
    return match.lastgroup != "aadhaar" or _verhoeff(number)


def _taiwan(number: str) -> bool:
    area = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    digits = [area // 10, area % 10, *(int(digit) for digit in number[1:])]
    return sum(w * d for w, d in zip((1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), digits, strict=True)) % 10 == 0


def _hong_kong(number: str) -> bool:
    values = [36, *(int(letter, 36) for letter in number)] if len(number) == 8 else [int(one, 36) for one in number]
    return sum(weight * value for weight, value in zip(range(9, 0, -1), values, strict=True)) % 11 == 0


def _verhoeff(number: str) -> bool:
    """Tell whether figures pass Verhoeff's check in the dihedral group of order ten, which Aadhaar uses."""
    turned, check = "1576283094", 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = int(turned[value])
        check = _dihedral(check, value)
    return check == 0


def _dihedral(one: int, other: int) -> int:
    if one < 5:
        return (one + other) % 5 + (5 if other >= 5 else 0)
    return (one - other) % 5 + (0 if other >= 5 else 5)
