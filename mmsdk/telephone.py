"""Numbers of telephones in texts: forms that tell by themselves, and any run of figures beside a word for calling.

It knows nothing of which numbers are in use: numbering plans differ, and people group figures as they like. Text is
given with full-width forms narrowed.
"""

import re

_GAP = r"[ \u00a0.\-/]"
_BREAK = r"(?:[ \u00a0\n.\-/]|[ \u00a0][\-/\u2013][ \u00a0])"
_CLEAR = "|".join(
    (
        rf"\(?\+[1-9]\d{{0,2}}\)?(?:{_BREAK}?[(\[]?\d{{1,5}}[)\]]?){{2,7}}",  # international
        rf"(?<![0-9][ -])00[1-9]\d{{0,2}}(?:{_GAP}?\(?\d{{1,5}}\)?){{2,5}}",
        rf"(?:86{_GAP}?)?1[3-9]\d(?:{_GAP}?\d{{4}}{_GAP}?\d{{4}}|{_GAP}\d{{3}}{_GAP}\d{{5}})",  # China, mobile
        rf"(?<![0-9][ -])0\d{{1,5}}{_BREAK}\d{{3,8}}(?:{_GAP}\d{{2,6}}){{0,3}}",  # with the trunk prefix 0
        rf"(?<![0-9][ -])[(\[]0\d{{1,5}}[)\]]\.?{_GAP}?\d{{3,8}}(?:{_GAP}\d{{2,6}}){{0,3}}",  # in brackets
        rf"(?<![0-9][ -])0[1-9](?:{_GAP}\d\d){{4}}",  # France
        rf"\(\d{{2,3}}\){_GAP}?9?\d{{4}}{_GAP}\d{{4}}",  # Brazil; Singapore and Hong Kong with the country in brackets
        r"(?<!ISBN )0[1-9]\d{8,9}",
        rf"400{_GAP}?\d{{3}}{_GAP}?\d{{4}}|0[ \u00a0]800{_GAP}\d{{3}}{_GAP}\d{{3}}",  # services of China and France
        rf"1[38]00{_GAP}\d{{3}}{_GAP}\d{{3,4}}",  # of Australia, India, Singapore
        rf"(?:(?:00)?1{_GAP})?(?:[(\[]\d{{3}}[)\]]{_GAP}?|\d{{3}}{_GAP})\d{{3}}{_GAP}?\d{{4}}",  # North America
        r"001[2-9]\d{9}",
    )
)
_ANY = rf"[(\[]?\+?\d(?:[)\]]?{_BREAK}?[(\[]?\d){{5,14}}"
_NAMED = (  # words for a telephone, and verbs that are said of nothing else
    r"(?:(?<![A-Za-z])(?:(?:tele|cell|smart)?phones?|mobiles?|cell|landline|tel(?:efon[a-z]*)?|ph|call(?:ing|ed)?|dial|fax"
    r"|whatsapp|wechat|sms|hotline|handy|m[oó]vil|tél|telefone|emergency contact"
    r"|(?:my|our|his|her|new|old|other|home|work|office|private|day(?:time)?|evening) number"
    r"|[TMPF](?=:))(?![A-Za-z])|电话|電話|手机|手機|联系|聯繫|联络|聯絡|座机|致电|回电|拨|撥|打|前台|短信|微信|热线"
    r"|(?:(?<=[的新旧])|(?<!\w))(?:号码|號碼))"
)
_OTHER = (
    r"(?:(?<!on the )(?<!on my )(?:order|booking|account)|parcel|invoice|tracking|item|ticket|ref|serial|case"
    r"|member|card|code|version|build|article|\bpart\b|batch|model|error|quote|IBAN|EAN"
    r"|ISBN|SKU|IMEI|\bPO\b|\bID\b|[$€£¥]|订单|单号|单号码|编号|条形?码|流水|发票|卡号|账号|工单|房间|货号|批[号次]|型号|代码|参考|运单|取件码)"
)
_SAID = (  # verbs of calling among others, with nobody but people behind them
    r"(?<![A-Za-z])(?:text|reach(?:ed)?|answer|hold of|ring|try|contact|signal|back)"
    r"(?:[\s,:]{1,2}(?:me|us|him|her|them|back|again|at|on|under|via|is|no\.?|number)(?![A-Za-z])){0,4}[\s,:]{1,3}"
)
_EXTENSION = r"(?:,? ?(?:x|ext\.?|extension|poste|#|转|轉|分机|分機) ?\d{1,6})?"
_AFTER = (
    r"(?= ?(?i:(?:is|was) (?:my|our|the) (?:new |old |own )?(?:(?:tele)?phone|mobile|cell|landline|tel)"
    r"|[是为](?:我的?)?新?(?:手机|电话))|(?:的?(?:验证码|短信)|(?:一直)?(?:没人|无人)接|打不通))"
)
PATTERN = re.compile(
    rf"(?<![A-Za-z0-9+.])(?<!10\.\d{{4}}/)(?P<clear>(?:{_CLEAR}){_EXTENSION})(?![A-Za-z0-9])"
    rf"|(?i:{_NAMED}(?:(?!{_OTHER})[^\d\n+(\[]){{0,32}}\n?|{_SAID})(?<![A-Za-z0-9])(?P<called>{_ANY}{_EXTENSION})(?![A-Za-z0-9])"
    rf"|(?<![A-Za-z0-9])(?P<before>{_ANY}){_AFTER}"
)
_EXTENDED = re.compile(r"0\d{2,3}[- ]?\d{7,8}-\d{1,6}")
"""A telephone of China with the number of a desk behind a hyphen."""
_DATE = re.compile(
    r"(?:19|20)\d\d[ ./-]\d\d[ ./-]\d\d(?: \d\d)?|\d\d[ ./-]\d\d[ ./-](?:19|20)\d\d(?: \d\d)?"
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d"
)
_NUMBERED = re.compile(
    r"(?:\b(?:tracking|order|parcel|EAN|GTIN|UPC|IMEI|barcode|ISBN|SKU|invoice|ticket|ref\w*|serial|doi)|运单|快递单|条形?码"
    r"|订单|流水|发票|单号|书号|编号|货号|批[号次]|型号|代码|工单|参考)\W{0,2}(?:number|no|编?[号號]码?)?\W{0,3}$",
    re.IGNORECASE,
)


def numbered(text: str, start: int) -> bool:
    """Tell whether the words before a place say that the number there is one of a parcel, an article or an order."""
    return bool(_NUMBERED.search(text[max(0, start - 24) : start]))


def accepted(match: re.Match[str]) -> int:
    """Give how much of what ``PATTERN`` found is a telephone number: 7 to 15 figures in whole groups, no date.

    With the prefix 0 alone there are 9 to 12, in other clear forms 8 or more. A line that holds ten already is whole.
    """
    found, is_clear = match.group(match.lastgroup or 0), match.lastgroup == "clear"
    if match.lastgroup != "called" and numbered(match.string, match.start()):
        return 0
    number = re.split("[,xep#转轉分]", found)[0].rstrip()
    if is_clear and _EXTENDED.fullmatch(number):
        return len(found)
    has_trunk = number.lstrip("([").startswith("0") and not number.startswith("00") and is_clear
    least, most = (9, 12) if has_trunk else (8 if is_clear else 7, 15)
    stop = len(found)
    ends = [gap.start() for gap in re.finditer(_BREAK, number)]
    line = number.find("\n")
    if line >= 0 and _figures(number[:line]) >= 10:
        number, stop = number[:line], line
    if _figures(number) > most:
        stop = next((end for end in reversed(ends) if _figures(number[:end]) <= most), 0)
        number = number[:stop]
    if number.startswith("00"):
        least = 11 if number.isdigit() else 9
    count = _figures(number)
    is_service = re.fullmatch(r"13 ?\d\d ?\d\d", number) is not None  # Australia
    is_number = (count >= least or is_service) and len(set(number)) > 2 and not _DATE.fullmatch(number)
    return stop if is_number else 0


def _figures(text: str) -> int:
    return sum(letter.isdigit() for letter in text)
