"""Numbers that countries give to people and accounts: their forms and check figures.

Where a number has a check figure it decides; where it has none (a passport) the number is found only beside the word
for it. It knows nothing of texts around other kinds of personal data.
"""

import re

GAP = r"(?:\s{1,2}|(?:\s\.|\s?[\-/_\u2013\u2014])\s?|\.(?!\s))"
"""What stands between groups of figures: a space, a dot, a hyphen or dash with spaces or without, the end of a line.
A dot with a space behind it alone ends a sentence."""
_LENGTHS = (  # of an IBAN, by country: the registry of SWIFT, release 99
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
IBANS = {one[:2]: int(one[2:]) for one in _LENGTHS.split()}
_COUNTRY = "|".join(IBANS)
IBAN = rf"(?:(?:{_COUNTRY})[ \u00a0-]?|(?i:{_COUNTRY}))\d{{2}}(?:{GAP}?[A-Za-z0-9]){{11,30}}"
CHINESE = rf"[1-9]\d{{5}}{GAP}?(?:19|20)\d{{2}}{GAP}?(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){GAP}?\d{{3}}[\dXx]"
SSN = r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"
_FORMS = "|".join(
    (
        rf"(?P<nino>(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]{GAP}?(?:\d\d{GAP}?){{3}}[A-D])",
        r"(?P<pan>[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z])",
        r"(?P<itin>9\d\d-(?:5\d|6[0-5]|[78]\d|9[0-24-9])-\d{4})",
        r"(?P<taiwan>[A-Za-z][12489]\d{8})",
        r"(?P<hongkong>[A-Z]{1,2}\d{6} ?\([\dA]\))",
        rf"(?P<aadhaar>(?<!\d[ \u00a0-])[2-9]\d{{3}}(?:[ \u00a0\n]\d{{4}}[ \u00a0\n]|-\d{{4}}-)\d{{4}}(?!{GAP}?\d))",
        r"(?P<spain>\d{1,2}\.\d{3}\.\d{3}-?[A-Z]|\d{8}-[A-Z]|[XYZxyz]-?\d{7}-?[A-Za-z])",
        r"(?P<italy>(?i:[A-Z]{3} ?[A-Z]{3} ?\d\d[A-EHLMPRST]\d\d ?[A-Z]\d{3}[A-Z]))",
        rf"(?P<france>[12]{GAP}?\d\d{GAP}?(?:0[1-9]|1[0-2]|[2-9]\d){GAP}?(?:\d\d|2[AB]){GAP}?\d{{3}}{GAP}?\d{{3}}{GAP}?\d\d)",
        r"(?P<switzerland>756\.\d{4}\.\d{4}\.\d\d)",
        r"(?P<brazil>\d{3}\.\d{3}\.\d{3}-\d\d)",
    )
)
_WORDS = (
    r"(?i:(?<![A-Za-z])(?:SSN?(?= n[ou]|#)|SSN|ITIN|TFN|[ST]\.?[IF]\.?N\.|N\.I\.|S\.S\.N?\.?"
    r"|NINO|DNI|NIE|NIF|NRIC|HKID|CPF(?:/MF)?|BSN|PESEL|CURP|INSEE|PPSN?|RRN"
    r"|(?-i:SIN|TIN|NI|PAN|UID|CF|NIR|AHV|AVS|RUT|FIN)|medicare|aadh?aa?r|(?:reise)?pas+(?:port|eport|aporte|aporto)?"
    r"|travel document|(?:individual )?taxpayer(?: identi[a-z]+)?(?= n[ou])|tax identi[a-z]+(?= n[ou])"
    r"|nat\. insurance|tax file|tax(?:payer)? id[a-z]*|tax code|steuer-?id[a-z]*|steuernummer|idnr\.?|codice fiscale"
    r"|s[eé]curit[eé] sociale|contribuinte|[a-zø]+(?:register|service|sels|son|versicherungs)nummer"
    r"|social(?! media| network)(?: security| insurance)?|soc\.? ?sec\.?|national (?:insurance|id[a-z]*)"
    r"|foreigner'?s number"
    r"|(?-i:My Number)"
    r"|(?:individual|personal|national|identity|registration|insured|NHS)(?: identi[a-z]+)? (?:numbers?|no\.)"
    r"|(?:identity|id|residen[a-z]+|insurance) (?:card|number|no|document|permit)|(?:driv[a-z]+|driver'?s) licen[cs]e"
    r"|(?:ROC|PRC|HK|Taiwan|Hong Kong|German|French|Dutch|[a-z]+(?:ese|ish|ian|can)) ID)(?![A-Za-z])"
    r"|身[份分][证證]|公民身份|[证證]件|护照|護照|通行[证證]|居留[证證]|居住证|驾驶?证|[驾駕]照|台胞证|回[乡鄉]证|旅行[证證]"
    r"|社[会會]?(?:安全?|保[险險障]?)(?=[号號])|国民保险|[税稅](?=[号號])|[个個]人(?=番号|号码)|居民登[录錄記记])"
)
_BESIDE = (
    r"(?i:(?:[)]?\s?(?:(?:numbers?|card|code|document|no\.?|nr\.?|num\.?)(?![A-Za-z])|#|字?[号號]码?碼?|编号|編號"
    r"|番号|卡)){0,3}"
    r"(?:\([^()\d]{1,8}\)|[)])?(?:,? it(?:'s| is))?(?:\s?(?:(?:is|was|are)(?![A-Za-z])|[是为為]))?,?[\s:#=(]{0,3}"
    r"(?:(?<!\d)[\-–](?=[\sA-Za-z\d])\s?)?)"
)
_VALUE = (
    rf"(?:[A-Za-z]{{1,3}}|(?!PO)[A-Z]{{1,2}}{GAP})?\d(?:{GAP}?\d){{4,18}}"
    rf"(?:{GAP}?[A-HJ-Z](?![A-Za-z0-9])| ?\([\dA-Za-z]\))?"
    r"|(?=(?:[A-Za-z]*\d){4})[A-Za-z0-9]{6,18}"
    rf"|[A-Z]{{5}}{GAP}\d{{4}}{GAP}[A-Z]|[A-Z]{{3}}{GAP}?[A-Z]{{3}}{GAP}?\d\d[A-Z]\d\d{GAP}?[A-Z]\d{{3}}[A-Z]"
)
_MINE = r"(?i:my|our|the|his|her|我的)(?:\s[\w'’]+)?\s?\(?"
_BEHIND = rf"(?=\s?(?:\((?:[A-Za-z]+ )?|(?i:is|was|as|=|是)\s?(?:{_MINE})?\s?){_WORDS})"
_NOTHING_ELSE = (  # between the word and a number further on: no figure, no new line, no word for another number
    r"(?:编?号码?)?(?i:(?!(?<![a-z])(?:order|parcel|invoice|tracking|item|booking|reservation|ticket|ref|reference|serial|case"
    r"|member|account|iban|card|code|coupon|version|build|model|article|part|batch|size|price|error|quote|po|room|points"
    r"|(?:tele)?phone|mobile|cell|tel|call|fax|text|e?-?mail)(?:s|ed|ing)?(?![a-z])|订单|[编條条]形?码|代码|流水|发票|卡|账户"
    r"|型号|价|电话|手机|座机|预[订定]|参考|邮)[^\d\n号號\ufffc]){1,40}"
)
_ALONE = (  # what is a number of a person by its form, when its word stands further off
    r"[A-Z]?\d{8,10}[A-Z]?|[A-Z]{2}\d{7}|\d{3}(?P<sign>[ -])\d{2,3}(?P=sign)\d{3,4}"
    rf"|[A-Z]{{2}}(?:{GAP}?\d\d){{3}}{GAP}?[A-Z]"
)
_SAID = re.compile(
    r"[\d\ufffc][A-Za-z)]?\s?(?:[(（]|(?:is|was|as|=|是)\s?(?:my|our|the|his|her|我的)?)\s?$", re.IGNORECASE
)
"""What stands before a word that belongs to the number before it."""
_TWO_LINES = rf"(?:[A-Za-z]{{1,3}})?\d(?:[ .\-/]?\d)*[A-Za-z]?\n[A-Za-z]{{0,3}}\d(?:{GAP}?\w){{7}}"
_LATER = (  # the same, when the word stands behind it
    rf"(?=(?: [a-z]+){{0,3}} (?:as|for|is|under) (?:{_MINE}|[A-Z]\w+ )?{_WORDS}"
    rf"|[\u4e00-\u9fff]{{0,6}}[是为成作](?:了|我的){{0,2}}[\u4e00-\u9fff]{{0,2}}{_WORDS})"
)
NATIONAL = (
    rf"{_WORDS}{_BESIDE}(?P<called>{_VALUE})(?![A-Za-z0-9])"
    rf"|{_WORDS}{_NOTHING_ELSE}(?<![A-Za-z0-9+\-])(?P<further>{_ALONE})(?![A-Za-z0-9]|-\d|[ .]\d\d)"
    rf"|(?<![A-Za-z0-9+\-])(?P<earlier>{_ALONE.replace('sign', 'other')}){_LATER}"
    rf"|(?<![A-Za-z0-9+])(?:(?P<before>(?!{_TWO_LINES}){_VALUE}){_BEHIND}|(?:{_FORMS})(?![A-Za-z0-9]))"
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


def national(match: re.Match[str]) -> int:
    """Give how much of what ``NATIONAL`` found is a number: all that passes the check of its kind, where it has one.

    Beside a word for such numbers, figures of a card are none, and a line that holds eight is whole.
    """
    found = match.group(match.lastgroup or 0)
    if match.lastgroup == "further" and _SAID.search(match.string, max(0, match.start() - 24), match.start()):
        return 0
    if match.lastgroup in ("called", "before", "further", "earlier"):
        line = found.find("\n")
        found = found[:line] if line >= 0 and len(re.sub(r"\W", "", found[:line])) >= 8 else found
    number = re.sub(r"\W", "", found).upper()
    check = _CHECKS.get(match.lastgroup or "")
    is_card = (
        13 <= len(number) <= 19 and number.isdigit() and luhn(number) and not (len(number) == 15 and _france(number))
    )
    return len(found) if (not is_card if check is None else check(number)) else 0


def _taiwan(number: str) -> bool:
    area = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    digits = [area // 10, area % 10, *(int(digit) for digit in number[1:])]
    return sum(w * d for w, d in zip((1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), digits, strict=True)) % 10 == 0


def _hong_kong(number: str) -> bool:
    values = [36, *(int(letter, 36) for letter in number)] if len(number) == 8 else [int(one, 36) for one in number]
    return sum(weight * value for weight, value in zip(range(9, 0, -1), values, strict=True)) % 11 == 0


def _aadhaar(number: str) -> bool:
    """Tell whether figures pass Verhoeff's check in the dihedral group of order ten, and are no card of Maestro."""
    if number[:2] in ("50", *(str(one) for one in range(56, 70))) and luhn(number):
        return False
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


def _spain(number: str) -> bool:
    """Tell whether a DNI or NIE ends with its letter: the figures modulo 23; X, Y, Z are 0, 1, 2."""
    figures = number[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return number[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(figures) % 23]


def _italy(number: str) -> bool:
    """Tell whether a codice fiscale ends with its letter: odd places are weighed, even ones counted."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in number[:15]]
    return (sum(odd[value] for value in values[::2]) + sum(values[1::2])) % 26 == ord(number[-1]) - 65


def _france(number: str) -> bool:
    """Tell whether the number of the social insurance ends with 97 less the rest; Corsica is 19 and 18."""
    return (int(number[:13].replace("2A", "19").replace("2B", "18")) + int(number[13:])) % 97 == 0


def _brazil(number: str) -> bool:
    digits = [int(digit) for digit in number]
    sums = [sum(w * digit for w, digit in zip(range(size + 1, 1, -1), digits, strict=False)) for size in (9, 10)]
    return all(total * 10 % 11 % 10 == digit for total, digit in zip(sums, digits[9:], strict=True))


_CHECKS = {
    "taiwan": _taiwan,
    "hongkong": _hong_kong,
    "aadhaar": _aadhaar,
    "spain": _spain,
    "italy": _italy,
    "france": _france,
    "brazil": _brazil,
    "nino": str.isalnum,
    "pan": str.isalnum,
    "itin": str.isalnum,
    "switzerland": str.isalnum,
}
