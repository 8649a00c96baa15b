"""Say what the words of a sentence carry: content, numbers, names, negation, and what a question asks for.

English words are stemmed by Snowball; Chinese, Japanese and Korean are read as pairs of neighbouring
characters. There is no grammar here: words are looked up in short closed lists, so what is not in them
counts as content.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from functools import lru_cache

import snowballstemmer

from mmsdk.chunking import CJK

_WORD = re.compile(rf"[{CJK}]+|\d+(?:[.,:]\d+)*%?|[^\W\d_][\w+-]*(?:['’]\w+)*", re.UNICODE)
_IS_CJK = re.compile(f"[{CJK}]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_STEM = snowballstemmer.stemmer("english").stemWord

# Words that say how a thing is asked or said, not what it is about.
_LIGHT = frozenset(
    """a an the this that these those it its they them their theirs he she his her him we us our ours you your yours i me
    my mine one ones some any each both either same such other another there here
    and or but so if then than as at by for from in into of on onto to with about per via up out off over also just
    too very please tell know let lets say says said mean means
    is are was were be been being am do does did done doing have has had having can could may might shall should will
    would must need needs want wants wanted like get gets got getting give gives given take takes taken make makes made
    go goes going come comes put use used using able possible allow allows allowed offer offers provide provides
    provided available exist exists happen happens work works there's it's i'm i'd i've you're don't
    what which who whom whose when where why how much many long often far soon yes whether kind type sort way ways
    thing things something anything anyone someone customer customers""".split()
)
# Words that turn the meaning around: they have to be the same in what is said and what stands there.
_NEGATIONS = frozenset(
    """no not never none nobody nothing neither nor without cannot unable except excluding unless isn't aren't wasn't
    weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't mustn't haven't hasn't""".split()
)
_RELATIONS = frozenset(
    """before after until till since within during above below under over between more less fewer most least only every
    all always sometimes first last minimum maximum up from to""".split()
)
_CJK_NEGATIONS = re.compile("不|没|無|无|未|非|勿|别|莫|否")
_CJK_LIGHT = frozenset(
    "的了吗呢吧啊呀么么是在有我你您他她它们這这那哪谁誰几幾个個什怎样樣为為何多少能可以会會要请請问問和与與或及就都也还還"
    "被把给給对對从從到向于於而且但如果被将將需想用得地着之其该該此"
)

_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}

_DAYS = (
    "mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?|january|february|"
    "march|april|may|june|july|august|september|october|november|december"
)
_COLOURS = (
    "red|green|blue|yellow|orange|purple|violet|pink|brown|black|white|gr[ea]y|beige|sand|olive|navy|silver|gold|golden|"
    "turquoise|teal|cream|khaki|maroon"
)
_UNITS = "seconds?|minutes?|mins?|hours?|days?|nights?|weeks?|months?|years?"
_CJK_DIGIT = "[\\d一二三四五六七八九十百千万两半几]"

_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "money",
        r"how much (?:is|are|was|does|do|would|for|to)\b(?!.*\b(?:weigh|hold|contain|produce)\b)|\b(?:cost|costs|price|prices|priced|fee|fees"
        r"|fare|charge|charges|fine|deposit|pay)\b(?=.*\bhow much)|what (?:does|do|did|would|will)\b.*\bcost|what(?:'s| is| are| was)? (?:the )?(?:\w+ )?"
        r"(?:price|cost|fee|fare|charge|fine|deposit)|多少钱|价格|几元|怎么收费|售价|费用",
        r"[$€£¥￥]|\b(?:euros?|dollars?|pounds?|pence|cents?|eur|usd|gbp|chf|cny|rmb|yuan|free|no charge|percent)\b|\d %|\d%|[元角块]|免费|\d+\.\d\d\b",
    ),
    ("colour", r"\bcolou?rs?\b|什么颜色|是什么色|哪些颜色|颜色", rf"\b(?:{_COLOURS})\b|[红绿蓝黄橙紫粉棕黑白灰银金]"),
    (
        "weight",
        r"\bweigh|\bweight\b|how heavy|多重|重量|几斤",
        r"\d\s?(?:kg|g|kilos?|kilograms?|grams?|lbs?|pounds?|oz|ounces?|t|tons?|tonnes?)\b|公斤|千克|克|斤|吨",
    ),
    (
        "size",
        r"how (?:big|large|tall|wide|deep|high|thick)\b|\b(?:size|height|width|depth|dimensions|diameter)\b(?=.*\?)|多大|多高|多宽|多深|尺寸",
        r"\d\s?(?:m|cm|mm|km|metres?|meters?|centimetres?|centimeters?|inch(?:es)?|feet|foot|ft|l|litres?|liters?|x|mb|gb)\b|[×]|\b(?:small|medium|large|xs|xl|sizes?)\b|米|厘米|毫米|平方|升",
    ),
    (
        "duration",
        r"how (?:long|old|quickly|fast|soon|many (?:days|hours|minutes|weeks|months|years))\b|多久|多长时间|几天|几年|几个月|多少天",
        rf"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty|forty|sixty|ninety|an?|half|same|next|lifetime))\s?-?(?:working |business )?(?:{_UNITS})?\b"
        rf"|\b(?:{_UNITS}|immediately|overnight|lifetime|forever|until|founded|built|since)\b|{_CJK_DIGIT}+\s?(?:个)?(?:年|月|天|日|周|星期|小时|分钟|秒)|当[天日]|即时",
    ),
    (
        "time",
        r"\bwhen\b|what (?:time|day|days|date|hours|year|month)\b|(?:opening|business) (?:hours|times)|until what|什么时候|何时|几点|哪年|哪一年|哪天|时间",
        rf"\d{{1,2}}[:.]\d\d|\d\s?(?:am|pm|a\.m|p\.m|o'clock)|\b(?:{_DAYS}|noon|midnight|morning|afternoon|evening|night|daily|every day|weekends?|weekdays?|"
        rf"holidays?|today|tomorrow|spring|summer|autumn|winter|{_UNITS}|as soon|once|after|before|until)s?\b|\b1\d\d\d\b|\b20\d\d\b|[年月日时時点點周早晚午夜天]",
    ),
    (
        "number",
        r"how many\b|what (?:is|are) the (?:\w+ )?(?:number|maximum|minimum|limit|capacity)|多少(?!钱)|几(?!点|年|天|个月|元)",
        r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|hundred|dozen|no limit|unlimited|half|all)\b|[一二三四五六七八九十百千万两]",
    ),
    (
        "phone",
        r"(?:phone|telephone|fax|hotline) (?:number)?|\bnumber of (?:the )?(?:front|customer|support)|电话|热线",
        r"\d[\d\s()/-]{5,}\d",
    ),
    ("mail", r"\be-?mail address|邮箱", r"@|\bat\b.*\bdot\b"),
    (
        "person",
        r"^\W*(?:(?:and|so|but) )?who(?:m|se)?\b|\bwhich (?:person|doctor|dentist|teacher)|谁",
        r"(?-i:(?<=[a-z,;] )[A-Z][a-z]|^[A-Z]\w+ [A-Z]\w+)|\b(?:we|you|staff|team|owner|customer|buyer|adult|parent|member|\w+er|\w+or|\w+ist|\w+ian)s?\b|[\u4e00-\u9fff]",
    ),
    (
        "place",
        r"\bwhere\b|\bwhich (?:city|country|floor|street|address)|what is the address|哪里|哪儿|何处|什么地方|在几楼|哪个城市",
        r"\b(?:in|at|on|near|next to|behind|from|to|under|opposite|street|road|square|floor|online|app|website|settings)\b|[在于省市县区路街楼层国州镇村处]",
    ),
)
_WANTS = tuple(
    (name, re.compile(question, re.IGNORECASE), re.compile(answer, re.IGNORECASE)) for name, question, answer in _KINDS
)
_DAY = re.compile(rf"\b(?=[A-Z])(?i:{_DAYS})s?\b|(?:周|星期|礼拜)[一二三四五六日天]")
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE = re.compile(r"\s*(?:to|until|through|till|-|–|—|至|到)\s*")
_SPANS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"\b(?:daily|every day|all week|seven days|any day)\b|每天|每日", re.IGNORECASE), _WEEK),
    (re.compile(r"\bweekdays?\b|工作日", re.IGNORECASE), _WEEK[:5]),
    (re.compile(r"\bweekends?\b|周末", re.IGNORECASE), _WEEK[5:]),
)
_COLOUR = re.compile(rf"\b(?:{_COLOURS})\b", re.IGNORECASE)


def is_cjk(text: str) -> bool:
    """Tell whether a text is mainly Chinese, Japanese or Korean."""
    return 2 * len(_IS_CJK.findall(text)) >= len(re.findall(r"\w", text)) > 0


def tokens(text: str) -> list[str]:
    """Give words, numbers and runs of CJK characters in order, as written."""
    return [match.group().replace("’", "'") for match in _WORD.finditer(text)]


def content(text: str) -> list[str]:
    """Give the content of a text in order, each once: stems of English words, numbers, pairs of CJK characters.

    >>> content("How much does the return of two tents cost?")
    ['return', '2', 'tent', 'cost']
    """
    return list(dict.fromkeys(_terms(text)))


def surface(text: str) -> dict[str, str]:
    """Give content as in ``content``, each with the word it was written as."""
    found: dict[str, str] = {}
    for word in tokens(text):
        for term in _terms(word):
            found.setdefault(term, term if _IS_CJK.match(word) else word.casefold())
    return found


def _terms(text: str) -> Iterator[str]:
    for word in tokens(text):
        if _IS_CJK.match(word):
            kept = [letter for letter in word if letter not in _CJK_LIGHT and not _CJK_NEGATIONS.match(letter)]
            pairs = [a + b for a, b in pairwise(word) if a in kept and b in kept]
            yield from pairs or (kept if len(kept) == 1 else [])
        elif word[0].isdigit():
            yield number(word)
        else:
            folded = word.casefold()
            for piece in _unhyphened(folded):
                if piece in _NUMBER_WORDS and piece != "one":
                    yield _NUMBER_WORDS[piece]
                elif piece and piece not in _LIGHT and piece not in _NEGATIONS:
                    yield stem(piece)


def _unhyphened(word: str) -> list[str]:
    """Take ``two-person`` apart, but not ``e-book``, which is no book."""
    pieces = word.split("-")
    return ["".join(pieces)] if min(len(piece) for piece in pieces) < 2 else pieces


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Give the Snowball stem of an English word, without a possessive."""
    return str(_STEM(word.removesuffix("'s").removesuffix("'")))


def number(written: str) -> str:
    """Write a number in one way: ``1,000.50`` and ``1000.5`` are the same, so are ``9:00`` and ``9``."""
    figure = written.rstrip("%")
    if _GROUPED.fullmatch(figure):
        figure = figure.replace(",", "")
    figure = figure.replace(",", ".")
    if figure.count(".") == 1:
        figure = figure.rstrip("0").rstrip(".")
    figure = figure.removesuffix(":00")
    return figure.lstrip("0") or "0"


def numbers(text: str) -> set[str]:
    """Give the numbers of a text, digits and English number words, written in one way."""
    found = {number(match.group()) for match in _NUMBER.finditer(text)}
    return found | {_NUMBER_WORDS[word] for word in re.findall(r"[a-z]+", text.casefold()) if word in _NUMBER_WORDS}


def names(text: str) -> set[str]:
    """Give the stems of words that look like names: capitals inside a sentence, all capitals, letters with digits."""
    found = set()
    for match in _WORD.finditer(text):
        word = match.group()
        before = text[: match.start()].rstrip(" \"'“‘(")
        begins = not before or before[-1] in ".!?:;\n。！？：；-*#|>"
        coded = any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)
        upper = len(word) > 1 and word.isupper()
        if word.casefold() in _LIGHT or word.casefold() in _NEGATIONS or _IS_CJK.match(word):
            continue
        if coded or upper or (word[0].isupper() and not begins):
            found.add(stem(word.casefold()))
    return found


def neighbours(text: str, figure: str) -> set[str]:
    """Give the nearest content before and after each place where a number stands in a text."""
    order = [term for word in tokens(text) for term in _terms(word)]
    found = set()
    for place, term in enumerate(order):
        if term == figure:
            found.update(order[max(0, place - 1) : place] + order[place + 1 : place + 2])
    return {term for term in found if not term[0].isdigit()}


def negated(text: str) -> bool:
    """Tell whether a text negates: an odd number of negations, so that ``not without`` affirms."""
    words = [word.casefold() for word in tokens(text)]
    count = sum(word in _NEGATIONS or word.endswith("n't") for word in words)
    return (count + len(_CJK_NEGATIONS.findall(text))) % 2 == 1


def relations(text: str) -> set[str]:
    """Give the words that set limits and order: before, within, only, every, ..."""
    return {word for token in tokens(text) if (word := token.casefold()) in _RELATIONS}


def wanted(question: str) -> tuple[str, re.Pattern[str] | None]:
    """Name the kind of answer a question wants, with what must stand in one; ``""`` where its wording does not tell."""
    return next(((name, answer) for name, question_, answer in _WANTS if question_.search(question)), ("", None))


def counted(question: str) -> str:
    """Give the term that ``how many`` counts, empty for other questions."""
    match = re.search(r"\bhow many (.+)", question, re.IGNORECASE)
    return next(_terms(match.group(1)), "") if match else ""


def specific(text: str) -> set[str]:
    """Give the days, months and colours of a text, ``Monday to Friday`` day by day: those asked about must be there."""
    found = {match.group().casefold() for match in _COLOUR.finditer(text)}
    order = []
    for match in _DAY.finditer(text):
        order.append((_day(match.group()), match.start(), match.end()))
        found.add(_day(match.group()))
    for (first, _, stop), (last, start, _) in pairwise(order):
        if _RANGE.fullmatch(text[stop:start]) and first in _WEEK and last in _WEEK:
            begin, end = _WEEK.index(first), _WEEK.index(last)
            found.update(_WEEK[begin : end + 1] if begin <= end else [*_WEEK[begin:], *_WEEK[: end + 1]])
    for pattern, days in _SPANS:
        if pattern.search(text):
            found.update(days)
    return found


def _day(written: str) -> str:
    if written[0] in "周星礼":
        return _WEEK["一二三四五六日".index(written[-1].replace("天", "日"))]
    return written.casefold()[:3]
