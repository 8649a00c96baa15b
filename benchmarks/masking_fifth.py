"""Messages of the fifth masking set: forms of masking_fifth.json, 300 English and 200 Chinese.

They were written and committed before any pattern was run on them, by the author of the patterns that the fourth set
had led to: so other countries, other identity numbers and other ways of writing cards, but not unseen by design.
Numbers without a form in ``Writer.numbers`` are random figures: no check was written for them.
"""

import json
from pathlib import Path

from benchmarks.masking_formats import Message
from benchmarks.masking_fourth import Writer, grouped

SEED = 505
FORMS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def fifth() -> list[Message]:
    """Give the 500 messages, each with its values; an identity number has the kind ``id``."""
    return [*_Fifth("en", FORMS, SEED).messages(300), *_Fifth("zh", FORMS, SEED).messages(200)]


class _Fifth(Writer):
    """Write cards in halves, with other signs between, and phones of the form alone."""

    faker_phones = False

    def _card(self) -> str:
        digits = str(self.fakers["en_US"].credit_card_number(self.chosen.choice(("visa16", "mastercard", "amex"))))
        sizes = self.chosen.choice(((4, 4, 4, 4), (8, 8), (4, 8, 4), (4, 4, 8))) if len(digits) == 16 else (4, 6, 5)
        return grouped(digits, sizes, self.chosen.choice((" ", "-", "_", "/", ", ", " . ", "\t", "\u2009")))
