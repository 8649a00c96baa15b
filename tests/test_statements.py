"""How what was found is cut into sentences, and what models read of them."""

import pytest

from mmsdk.chunking import chunks
from mmsdk.statements import Sentence, split
from mmsdk.types import Document, Hit, Locator, Part

TABLE = """# What it costs

| Service | Mainland | Islands |
|:--|---|--:|
| Standard | €4.90 | €8.50 |
| Express | €12.00 | |
| Bulky goods |

It is paid in advance.
"""


def cut(text: str, source: str = "prices.md") -> list[Sentence]:
    part = Part(text, Locator("characters", 0, len(text)))
    return split([Hit(chunk, 1.0) for chunk in chunks(Document("d", (part,), source, ""), size=4000)])


def test_a_row_of_a_markdown_table_is_read_with_the_names_of_its_columns_and_quoted_as_it_stands() -> None:
    standard, express, bulky, advance = cut(TABLE)
    assert standard.line == "Service: Standard; Mainland: €4.90; Islands: €8.50"
    assert express.line == "Service: Express; Mainland: €12.00"
    assert express.passage == "prices . What it costs: Service: Express; Mainland: €12.00"
    assert express.text == "| Express | €12.00 | |"
    assert bulky.line == "| Bulky goods |"
    assert (bulky.before, advance.before) == ("", "")


def test_lines_with_bars_that_no_names_stand_above_are_read_as_they_stand() -> None:
    first, second = cut("| Canoe | 40 |\n| Tent | 20 |")
    assert (first.line, second.line) == (first.text, second.text) == ("| Canoe | 40 |", "| Tent | 20 |")


def test_a_row_is_read_without_the_row_before_and_its_columns_in_words() -> None:
    first, second, after = cut("Item: Tent; price_eur: 289\nItem: Canoe; price_eur: 900\n\nBoth are in stock.")
    assert (first.before, second.before, after.before) == ("", "", "")
    assert second.line == "Item: Canoe; price eur: 900"
    assert second.text == "Item: Canoe; price_eur: 900"


@pytest.mark.parametrize(("text", "line"), [("A seat costs 7\neuros.", "A seat costs 7 euros."), ("a_b.", "a_b.")])
def test_a_sentence_is_read_in_one_line(text: str, line: str) -> None:
    (sentence,) = cut(text, "handbook.txt")
    assert (sentence.line, sentence.text) == (line, text)
    assert sentence.passage == f"handbook: {line}"
