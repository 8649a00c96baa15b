"""Say what kind of answer a question wants, and what must stand in a sentence that gives it.

``How much is ...?`` wants money, ``What colour ...?`` a colour, and so on, for English and Chinese. A question
whose wording does not tell its kind can be answered by any sentence. The lists are closed and short: a kind is
here only if its answers can be told by their wording.
"""

import re
from dataclasses import dataclass

MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
DAYS = "mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?|" + MONTHS
_SHORT_MONTHS = "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
_SEASONS = "spring|summer|autumn|fall|winter|season|quarter|easter|christmas|new year"
COLOURS = (
    "red|green|blue|yellow|orange|purple|violet|pink|brown|black|white|gr[ea]y|beige|sand|olive|navy|silver|"
    "gold|golden|turquoise|teal|cream|khaki|maroon"
)
_SHADES = (
    f"{COLOURS}|ivory|vermilion|scarlet|crimson|ruby|burgundy|wine|plum|lilac|lavender|indigo|cobalt|azure|ocean|mint|"
    "lime|moss|pine|emerald|mustard|ochre|amber|rust|copper|bronze|brass|charcoal|anthracite|graphite|slate|pearl|chalk|"
    "walnut|oak|natural|transparent|clear|striped|chequered|dark|light|pale|bright"
)
_CURRENCIES = (
    "euros?|dollars?|pounds?|pence|cents?|yuan|francs?|kron(?:a|or|er?)|krónur?|guilders?|crowns?|z[lł]ot\\w+|korunas?|"
    "forints?|lei|dinars?|lari|liras?|rou?bles?|rupees?|rand|shillings?|naira|cedis?|yen|baht|ringgit|pesos?|reais|"
    "dirhams?|riyals?|shekels?|quid|bucks?|fiver|tenner|eur|usd|gbp|chf|cny|rmb|sek|nok|dkk|isk|pln|czk|huf|tl|inr|"
    "jpy|krw|thb|myr|rm|sgd|s\\$|aud|nzd|cad|zar|kes|ksh|ngn|mxn|clp|ars|brl|kr|kč|zł|rs"
)
_BUYERS = "adults?|child(?:ren)?|students?|pupils?|pensioners?|members?|guests?|visitors?|outsiders?|staff|foreigners?"
_UNITS = "seconds?|minutes?|mins?|hours?|days?|nights?|weeks?|months?|years?"
_COUNTS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|dozen|half"
)
_LENGTH = (
    rf"(?:\d ?|\b(?:{_COUNTS}) )(?:[cmk]?m|(?:centi|milli)?met(?:re|er)s?|feet|foot|ft|inch(?:es)?|yards?|fathoms?)\b"
)
_MEASURED = r"\b(?:dimension|measure)[^.\n]*\d|\d ?[x×] ?\d"
_FIGURES = "[\\d一二三四五六七八九十百千万两半几]"
_BEGIN = r"^\W*(?:(?:and|but|so) )?"
_ASKS_LATER = r"(?!.*[,.!]\s+(?:is|are|do|does|did|can|could|may|must|should|will|would|what|how|where|who|which)\b)"


@dataclass(frozen=True)
class Kind:
    """Hold a kind of answer: ``asked`` matches questions that want it, ``given`` sentences that can give it."""

    name: str
    asked: re.Pattern[str]
    given: re.Pattern[str]


def wanted(question: str) -> Kind | None:
    """Give the kind of answer a question wants, if its wording tells.

    >>> kind = wanted("How much is a towel?")
    >>> kind and (kind.name, bool(kind.given.search("Towels are white.")))
    ('money', False)
    """
    return next((kind for kind in KINDS if kind.asked.search(question)), None)


def _kind(name: str, asked: tuple[str, ...], given: tuple[str, ...]) -> Kind:
    return Kind(name, re.compile("|".join(asked), re.IGNORECASE), re.compile("|".join(given), re.IGNORECASE))


KINDS = (
    _kind(
        "phone",
        (
            r"\b(?:phone|telephone|fax) number\b|\bhotline\b.*\?|\bnumber of (?:the )?(?:front|customer)",
            "电话(?:号码)?是|哪个电话|热线",
        ),
        (r"\d[\d\s()/-]{5,}\d",),
    ),
    _kind("mail", (r"\bwhat\b.*\be-?mail address", "邮箱"), ("@",)),
    _kind(
        "money",
        (
            r"how much (?:is|are|was|does|do|would|for|to)\b(?!.*\b(?:weigh|hold|contain|produce|use|need)\b)",
            r"\bwhat (?:does|do|did|would|will)\b.*\b(?:cost|charge|pay)\b",
            r"\bwhat(?:'s| is| are| was) (?:the )?(?:\w+ )?(?:price|cost|fee|fare|charge|fine|deposit)s?\b",
            "多少钱|价格|几元|怎么收费|售价|费用",
        ),
        (
            r"[$€£¥￥₹₽₩฿]|\d ?%|\d+\.\d\d\b|\bR ?\d|\d[.,]\d{3}\b",
            rf"(?:\b|\d)(?:{_CURRENCIES})\b",
            r"\b(?:free|no charge|for nothing|half|percent|price|worth|fees?|costs?|charged?|paid?|pays?|billed)\b",
            r"\bper \w",
            r"\b(?:deposit|bond|rent|hire|fare|entry|admission|subscription|tickets?|rate)\b[^.;]{0,30}\d",
            rf"\b(?:{_BUYERS}|single|return|one way|reduced)\b[^.;]{{0,20}}\d|\d (?:a|an|each|apiece)\b",
            "[元角块]|免费|免收|付|价",
        ),
    ),
    _kind(
        "colour",
        (r"\b(?:what|which) (?:\w+ )?colou?rs?\b|\bcolou?rs? (?:is|are|does|do)\b", "什么颜色|什么色|哪些颜色"),
        (rf"\b(?:{_SHADES}|colou?rs?)\b", "[红绿蓝黄橙紫粉棕黑白灰银金]"),
    ),
    _kind(
        "weight",
        (r"\bweigh\b|\bweight of\b|how heavy", "多重|重量|几斤"),
        (
            r"\d\s?(?:k?g|kilos?|(?:kilo)?grams?|lbs?|pounds?|oz|ounces?|t|tons?|tonnes?)\b",
            r"\b(?:kilos?|(?:kilo)?grams?|pounds?|tons?|tonnes?|scales|heavier|lighter)\b",
            r"\bweigh(?:t|s)\b[^;]*\d|\((?:k?g|lbs?|oz)\): ?\d",
            "公斤|千克|克|斤|吨",
        ),
    ),
    _kind(
        "depth",
        (r"how deep\b|\bdepth\b.*\?", "多深|深度"),
        (rf"\bdeep|\bdepth|{_MEASURED}|{_LENGTH}(?! (?:long|wide|broad|high|tall|thick))", "深|×"),
    ),
    _kind(
        "height",
        (r"how tall\b|\bheight\b.*\?", "多高|高度"),
        (
            rf"\btall|\bhigh|\bheight|\bgrow|\breach|{_MEASURED}|{_LENGTH}(?! (?:long|wide|broad|deep|thick))",
            "[高米拔]|×",
        ),
    ),
    _kind(
        "width",
        (r"how wide\b|\bwidth\b.*\?", "多宽|宽度"),
        (
            rf"\bwid(?:e|th)|\bacross|\bbroad|\brim\b|span\b|\bdiameter|{_MEASURED}",
            rf"{_LENGTH}(?! (?:long|deep|high|tall))",
            "宽|×",
        ),
    ),
    _kind(
        "brightness",
        (r"how bright\b|\blumens?\b.*\?|\?.*\blumens?\b", "多亮|亮度|流明"),
        (r"\d ?l[mx]\b|\b(?:lumens?|lux|candelas?|candles?|bright(?:er|est|ness)?|dim(?:mer)?)\b", "流明|勒克斯|亮"),
    ),
    _kind(
        "volume",
        (r"how many (?:lit(?:re|er)|gallon|pint)s?\b", "多少升|几升"),
        (
            r"\d ?(?:l|ml|cl|dl)\b|\b(?:(?:centi|milli)?lit(?:re|er)s?|gallons?|pints?|quarts?|volume|capacity)\b|_l\b",
            "升",
        ),
    ),
    _kind(
        "size",
        (
            r"how (?:big|large|high|thick)\b",
            r"\b(?:dimensions|diameter)\b.*\?|\bwhat sizes?\b",
            "多大|尺寸",
        ),
        (
            r"\d",
            rf"\b(?:{_COUNTS}|small|medium|large|xs|xl|sizes?|inch|foot|quarter|third|fifth|twice|double)\b",
            "米|平方|升|[亩%×寸]",
        ),
    ),
    _kind(
        "month",
        (r"\b(?:which|what) months?\b", "哪个月|哪几个月|(?<![这那前后过好近])几月"),
        (
            rf"\b(?:{MONTHS}|{_SHORT_MONTHS}|months?|year|always)\b|\d[./-]\d",
            rf"\b(?:{_SEASONS})s?\b",
            "[月春夏秋冬季]|全年",
        ),
    ),
    _kind(
        "duration",
        (
            r"how (?:long|old|quickly|fast|soon|many (?:days|hours|minutes|weeks|months|years))\b",
            "多久|多长时间|(?<![这哪])几天(?!上)|几年|几个月|多少天",
        ),
        (
            rf"\d|\b(?:{_COUNTS}|{_UNITS}|fortnight|immediately|overnight|lifetime|lives?|forever|until|till|morning)\b",
            r"\b(?:at once|straight away|by (?:noon|the|next)|founded|built|since)\b",
            rf"{_FIGURES}+\s?个?(?:年|月|天|日|工作日|周|星期|小时|分钟|秒)|当[天日]|即时",
        ),
    ),
    _kind(
        "time",
        (
            rf"{_BEGIN}(?:since |until |till )?when\b{_ASKS_LATER}",
            r"\b(?:which|what) (?:time|(?:week)?days?|dates?|hours|years?)\b(?! (?:trip|ticket|pass|tour|zone|group))",
            r"\b(?:opening|business) (?:hours|times)",
            "什么时候|何时|几点|哪年|哪一年|哪天",
        ),
        (
            rf"\d|\b(?:{_COUNTS})\b",
            rf"\b(?:{DAYS}|{_UNITS}|noon|midnight|morning|afternoon|evening|daily|every day|weekends?|weekdays?)s?\b",
            rf"\b(?:holiday|{_SEASONS}|{_SHORT_MONTHS})s?\b|\b(?:today|tomorrow|as soon|once|after|before|until)\b",
            r"\b(?:when|while|if|only|during|moment|dusk|dawn|sunset|sunrise|tide|night|dark|never|always|any time)\b",
            r"\b(?:now|soon|late|later|early|next|last|straight away|by|within|ago)\b",
            "[后才礼年月日时時点點周早晚午夜天]",
        ),
    ),
    _kind(
        "room",
        (r"how many (?:people|persons|guests|of us)\b.*\b(?:fits?|holds?|sit(?! on)|seats?|sleeps?|accommodates?)\b",),
        (
            r"\b(?:people|persons?|guests?|adults?|visitors?|children|members|seat(?:s|ed)?|sit|sleeps?|beds?|berths?)\b",
            r"\b(?:places|crew|bathers|desks?|chairs?|passengers?)\b",
            rf"\b(?:holds?|fits?|accommodates?|capacity|(?:for|to) (?:up to |at most )?(?:\d+|{_COUNTS}))\b",
        ),
    ),
    _kind(
        "number",
        (
            r"how many\b|\bwhat (?:is|are) the (?:(?!order|serial)\w+ )?(?:number|maximum|minimum|limit|capacity)",
            "多少(?!钱)|几(?!点|年|天|个月|元)",
        ),
        (
            rf"\d|\b(?:{_COUNTS}|no limit|unlimited|half|all|once|twice|only|single)\b",
            "[一二三四五六七八九十百千万两]",
        ),
    ),
    _kind(
        "papers",
        (
            r"\bwhat (?:do|must|should|shall|can) (?:i|we|one|you) (?:have to |need to )?(?:bring|show|present)\b",
            "带什么|带哪些|出示什么",
        ),
        (r"\b(?:bring|show|present|need|require|with|must)\w*\b", "带|携|持|出示|凭|提供"),
    ),
    _kind(
        "person",
        (rf"{_BEGIN}who(?:m|se)?\b|\bwhich (?:person|doctor|dentist|teacher)\b", "谁"),
        (
            r"(?-i:(?<=[a-z,;:] )[A-Z][a-z]|^[A-Z]\w+ [A-Z]\w+)",
            r"\b(?:we|you|staff|team|customer|adult|parent|people|anyone|everyone|by|children|committee|neighbour|wife|"
            r"husband|member|owner|driver|teacher|doctor|buyer|tenant|landlord|visitor|seller|manager|director|parties|your|"
            r"parish|town|city|council|winner|loser|us|motorbike|chef|cook|guide|coach|trainer|captain|secretary|warden|"
            r"office|guest|passenger|student|pupil|nurse|resident|player|lawyer|uncle|aunt|who|i|he|she|they)s?\b",
            "[\u4e00-\u9fff]",
        ),
    ),
    _kind(
        "place",
        (
            rf"{_BEGIN}where\b|\bwhich (?:city|country|floor|street|address)\b|\bwhat is the address",
            "哪里|哪儿|何处|什么地方|几楼|哪个城市",
        ),
        (
            r"\b(?:in|into|at|on|near|next to|beside|behind|under|opposite|inside|outside|street|road|square|floor)\b",
            r"\b(?:to|from|at|above|below|between|with us|place|room|house|hall|everywhere|by|use|across|along)\b",
            r"\b(?:around|past|through|beneath|here|there|online|upstairs|downstairs|corner|entrance|booths?|bin|side)\b",
            "[在从向交于省市县区路街楼层国州镇村处]",
        ),
    ),
)
"""The kinds, the narrower before the wider."""
