"""Write a question as a customer might, with greeting, remarks, small letters and typos. What is asked stays."""

import random

BEFORE = """\
Hi,|Hello,|Hi there,|Hey,|hiya|Good morning,|Good evening.|Hello again,|Dear team,|Dear Sir or Madam,|Hi all,|
Hey guys,|Quick question:|Just a quick one:|Sorry to bother you.|Sorry for asking again,|Maybe a stupid question:|
I have a question.|Question for you:|Could you tell me please:|Can you help me?|I was wondering:|
I couldn't find this on your site:|My wife wants to know:|Asking for my mother:|One more thing:|
And something else.|Ignore my last mail.|Please ignore what I wrote yesterday.|Forget what I asked before.|
Never mind the other message.|Disregard the typo in my first mail, please.|
I know I'm talking to a machine, but anyway:|Are you a bot? Well, whatever.|Is anybody there?|
I've been waiting for half an hour.|Nobody answers your phone!|This is the third time I write.|
I'm getting really annoyed.|I am very disappointed.|This is urgent!|It's urgent.|I am new here.|
Long-time customer here.|As a loyal customer I'd like to know:|Love what you do!|Great service so far.|
My phone is about to die, so quickly:|I read your page twice and still don't get it.|No need to explain at length.|
Let me start over.|I'm writing on behalf of our club.|Your colleague told me to ask here.|
The system threw me out before I could finish.|I already looked at the FAQ.|Honest question:|Just curious:|
To be on the safe side:|Before I order:|Before I decide anything:|I'm a bit confused.|
I'm on my phone, excuse typos.|Pretend I know nothing:|Don't send me a standard text, please.|
I was told different things.|We spoke last week.|Thanks for your last answer.|The chat closed, so again:|
I tried to print your page, no luck.|I hope I'm in the right place.|My order number is 48213.|
It's about order 7741-20."""
AFTER = """\
Thanks!|Thank you.|thx|Thanks a lot in advance|Cheers|Please answer soon.|Kind regards|Best wishes|
Many thanks and have a nice day|I'd be grateful for an answer.|Looking forward to your reply.|please hurry|:)|
Thanks for your patience|Sorry for the long mail.|That's all for now.|I don't want to do anything wrong.|
It would really help me.|I need to know today.|My husband says one thing, my son another.|Just so I know.|Ta|
Sent from my phone|I'm counting on you!|No rush.|It's driving me mad.|I can't find it anywhere.|
Otherwise I'll have to ring you.|??|!!!|You can ignore the rest of my mail.|Nothing else, promise.|
I forgot to ask last time.|I'd rather ask than guess.|Is that so hard to answer?"""
SPELT = {
    "you": "u",
    "are": "r",
    "please": "pls",
    "because": "cos",
    "your": "ur",
    "and": "&",
    "tomorrow": "tmrw",
    "to": "2",
}


def noisy(question: str, draw: random.Random) -> str:
    """Add noise to a question.

    >>> noisy("Can I pay by card?", random.Random(6))
    'Hi, Can I pay by card? You can ignore the rest of my mail.'
    """
    text = question
    if draw.random() < 0.3:
        text = text.rstrip("?.").lower() if draw.random() < 0.5 else text.lower()
    if draw.random() < 0.15:
        text = " ".join(SPELT.get(word, word) for word in text.split(" "))
    if draw.random() < 0.2:
        text = misspelt(text, draw)
    if draw.random() < 0.75:
        text = f"{' '.join(draw.choice(BEFORE.split('|')).split())} {text}"
    if draw.random() < 0.4:
        text = f"{text} {' '.join(draw.choice(AFTER.split('|')).split())}"
    return text


def misspelt(text: str, draw: random.Random) -> str:
    """Drop a letter or swap two in one longer word."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 5 and word.isalpha() and word.islower()]
    if long:
        place = draw.choice(long)
        word, at = words[place], draw.randrange(1, len(words[place]) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[place] = swapped if draw.random() < 0.5 else word[:at] + word[at + 1 :]
    return " ".join(words)
