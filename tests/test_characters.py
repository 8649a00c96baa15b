"""What a Chinese question shares with sentences."""

from mmsdk.characters import FEATURES, described

TEXTS = ["自习室在三楼，共有一百二十个座位。", "打印黑白文件每页五角，彩色每页两元。", "图书可以续借一次。"]


def test_the_sentence_with_the_rare_characters_is_ahead() -> None:
    found = described("彩色打印一页多少钱？", TEXTS, TEXTS)
    assert all(tuple(one) == FEATURES for one in found)
    assert max(range(3), key=lambda row: found[row]["letters"] + found[row]["pairs"]) == 1
    assert found[1]["margin"] > 0 > found[0]["margin"]
    assert found[1]["longest"] > found[2]["longest"]


def test_what_stands_in_no_sentence_is_noticed_and_context_counts() -> None:
    assert (
        described("停车场在哪里？", TEXTS, TEXTS)[0]["nowhere"]
        > described("自习室在哪里？", TEXTS, TEXTS)[0]["nowhere"]
    )
    bare, led = (described("借阅几次？", TEXTS, ["", "", lead + TEXTS[2]])[2]["letters"] for lead in ("", "借阅："))
    assert led > bare


def test_one_sentence_has_no_rivals_and_a_question_may_be_empty_of_content() -> None:
    assert described("在哪里？", TEXTS[:1], TEXTS[:1])[0]["margin"] == 0
    assert described("吗？", TEXTS[:1], TEXTS[:1])[0]["letters"] == 0
