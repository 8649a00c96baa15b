"""The agent over the real models: answers with sources, flows, hand-over, privacy, a second process, doors."""

import csv
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from mmsdk import Collection, Runtime
from mmsdk.errors import InputError
from mmsdk.webhook import SIGNATURE, verified
from mmsdk_service import Desk, Flow, IntentClassifier, Options, Playbook, Reply, ServiceAgent, Slot, Tool, Webhook
from mmsdk_service.agent import TIDY
from mmsdk_service.flows import Engine
from mmsdk_service.handover import Queue
from mmsdk_service.knowledge import refused
from mmsdk_service.meaning import Meaning
from mmsdk_service.senses import critical
from mmsdk_service.state import State
from mmsdk_service.tools import Toolbox
from mmsdk_service.wording import language_of, segments, triggered

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "service"
RAN: list[str] = []


class Order(BaseModel):
    order: str
    customer: str = ""


class Days(BaseModel):
    days: int


def status(given: Order) -> dict[str, Any]:
    return {"status": {"QM-20481": "on its way"}[given.order]}


def refund(given: Order) -> dict[str, Any]:
    RAN.append(f"{given.customer}:{given.order}")
    return {"amount": "€12.50"}


TOOLS = (Tool("order_status", status, Order), Tool("refund", refund, Order, effects=True))


@pytest.fixture(scope="module")
def shop(bundled: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("service") / "shop"
    with Collection.open(folder, create=True, settings=bundled.settings) as collection:
        collection.add([ROOT / "examples/data/faq.md", ROOT / "examples/data/policies"])
        yield collection


@pytest.fixture(scope="module")
def intents(bundled: Runtime) -> IntentClassifier:
    from mmsdk_service.examples import read_examples

    return IntentClassifier(bundled.encoder("text:all-MiniLM-L6-v2")).fit(*read_examples(SERVICE / "intents.yaml"))


@pytest.fixture
def agent(shop: Collection, intents: IntentClassifier, bundled: Runtime, tmp_path: Path) -> Iterator[ServiceAgent]:
    RAN.clear()
    options = Options(tools=TOOLS)
    playbook = SERVICE / "playbook.yaml"
    with ServiceAgent(
        shop, intents, playbook=playbook, state=tmp_path / "state", options=options, runtime=bundled
    ) as made:
        yield made


def talk(agent: ServiceAgent, *messages: str, customer: str = "") -> list[Reply]:
    replies: list[Reply] = []
    for message in messages:
        session = replies[-1].session if replies else None
        replies.append(agent.reply(message, session=session, customer=customer))
        assert agent.grounded(replies[-1])
    return replies


def test_documents_are_quoted_with_their_place(agent: ServiceAgent) -> None:
    reply = talk(agent, "How many days do I have to send something back?")[0]
    assert reply.status == "answered"
    assert "45 days" in reply.reply
    (cited,) = reply.to_json()["citations"]
    assert cited["source"].endswith("returns.md")
    assert cited["quote"] in (ROOT / "examples/data/policies/returns.md").read_text("utf-8")
    assert reply.action is None


def test_a_flow_asks_checks_and_answers_and_survives_another_topic(agent: ServiceAgent) -> None:
    asked, aside, wrong, done = talk(
        agent, "Where is my order?", "How do I wash a down jacket?", "QM-1", "the number is qm-20481"
    )
    assert asked.action == {"flow": "order status", "step": "asking", "waits_for": "order"}
    assert "30 °C" in aside.reply
    assert aside.reply.endswith("It looks like QM-12345.")
    assert "five figures" in wrong.reply
    assert done.reply == "Order QM-20481 is on its way."
    assert done.action is not None
    assert done.action["result"] == {"status": "on its way"}


def test_effects_wait_for_a_yes_and_values_are_corrected(agent: ServiceAgent) -> None:
    *_, corrected, done = talk(agent, "I want a refund", "QM-20482", "sorry, I meant QM-20481", "yes", customer="ann")
    assert corrected.reply == "Shall I refund order QM-20481?"
    assert RAN == ["ann:QM-20481"]
    assert "€12.50" in done.reply
    declined = talk(agent, "please refund QM-20483", "no")[-1]
    assert declined.action is None
    assert RAN == ["ann:QM-20481"]


def test_chinese_is_spoken_throughout(agent: ServiceAgent) -> None:
    asked, confirm, done = talk(agent, "我要退款", "QM-20481", "好的")
    assert (asked.language, confirm.reply) == ("zh", "确认为订单QM-20481退款吗？")
    assert done.reply.startswith("订单QM-20481已退款")
    question = talk(agent, "海岛地区的退货运费由谁承担？")[0]
    assert "海岛地区的退货运费由顾客自付" in question.reply


def test_two_requests_in_one_message_are_both_answered(agent: ServiceAgent) -> None:
    reply = talk(agent, "Where is my order QM-20481 and how long is the guarantee on a tent?")[0]
    assert "on its way" in reply.reply
    assert "five years" in reply.reply


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Ignore my last e-mail. Can I pay in instalments?", "three monthly instalments"),
        ("I forgot the password of your system, but what do you teach in your courses?", "map reading"),
        ("Sorry to bother you again: may I bring my dog?", "Dogs are welcome"),
        ("不好意思打扰了，退货期限是多久？", "四十五天"),
        ("我忘了规则，退款方式是什么？", "六个工作日"),
        ("你们的系统打不开，哪些商品不能退？", "滤水器"),
        ("中文客服几点在线？", "周二和周五"),
    ],
)
def test_a_question_behind_a_remark_is_answered(agent: ServiceAgent, message: str, words: str) -> None:
    reply = talk(agent, message)[0]
    assert reply.status == "answered"
    assert words in reply.reply
    assert reply.action is None


def test_what_only_leads_in_is_told_from_what_counts(agent: ServiceAgent) -> None:
    status, both, condition = (
        talk(agent, message)[0]
        for message in (
            "My order QM-20481 has not come. Where is it?",
            "Please refund QM-20481. Also, may I bring my dog?",
            "If I pay by gift card, can I pay in instalments?",
        )
    )
    assert status.reply == "Order QM-20481 is on its way."
    assert both.reply.startswith("Dogs are welcome")
    assert both.reply.endswith("Shall I refund order QM-20481?")
    assert condition.reply == "Gift cards cannot be combined with instalments."


def test_a_message_that_is_answered_in_part_is_no_failure(agent: ServiceAgent) -> None:
    *_, last = talk(agent, "Who painted the Mona Lisa?", "May I bring my dog, and what is the capital of Mongolia?")
    assert last.status == "unsure"
    assert "Dogs are welcome" in last.reply
    assert last.handover is None


def test_the_state_outlives_the_agent(agent: ServiceAgent, shop: Collection, bundled: Runtime, tmp_path: Path) -> None:
    asked = talk(agent, "I want a refund")[0]
    options = Options(tools=TOOLS)
    with ServiceAgent(
        shop, None, playbook=SERVICE / "playbook.yaml", state=tmp_path / "state", options=options, runtime=bundled
    ) as other:
        assert other.reply("QM-20481", session=asked.session).reply == "Shall I refund order QM-20481?"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Let me speak to a real person please", "request"),
        ("转人工", "request"),
        ("This is outrageous, I am furious", "anger"),
        ("我要投诉你们，太过分了", "anger"),
        ("My lawyer will sue you", "legal"),
        ("有人盗刷了我的卡", "fraud"),
        ("I had an allergic reaction to the fabric", "medical"),
        ("The stove exploded", "safety"),
        ("Wo ist mein Paket? Ich habe es nicht", "language"),
    ],
)
def test_words_that_need_a_person_hand_over(agent: ServiceAgent, message: str, reason: str) -> None:
    reply = agent.reply(message, customer="ann")
    assert (reply.status, reply.reason) == ("handover", reason)
    packet = agent.queue.get(reply.handover or 0)["packet"]
    assert packet["transcript"][-1]["text"] == message
    assert {"summary", "intent", "slots", "tried", "sentiment", "language"} <= packet.keys()


def test_a_request_for_a_person_wins_within_a_flow(agent: ServiceAgent) -> None:
    assert talk(agent, "I want a refund", "QM-20481", "no, I want to talk to a human")[-1].reason == "request"
    assert RAN == []


def test_the_second_message_without_an_answer_hands_over(agent: ServiceAgent) -> None:
    first, second = talk(agent, "What is the capital of Mongolia?", "Who painted the Mona Lisa?")
    assert (first.status, second.status, second.reason) == ("unsure", "handover", "unsure")


def test_vips_and_failed_tools_go_to_people(agent: ServiceAgent) -> None:
    assert agent.reply("Where is my order?", customer="holt").reason == "vip"
    failed = talk(agent, "Where is my order QM-99999?")[0]
    assert (failed.status, failed.reason) == ("handover", "tool")
    assert failed.action is not None
    assert "KeyError" in failed.action["error"]


def test_the_agent_is_silent_while_a_person_holds_the_thread(agent: ServiceAgent) -> None:
    reply = agent.reply("I need a human agent")
    session, number = reply.session, reply.handover or 0
    assert agent.reply("hello?", session=session).status == "queued"
    agent.queue.take(number, "maren")
    with pytest.raises(InputError, match="held by maren"):
        agent.queue.take(number, "otto")
    held = agent.reply("are you there?", session=session)
    assert (held.reply, held.status) == ("", "held")
    agent.queue.say(number, "maren", "Your parcel comes tomorrow.")
    agent.queue.release(number, "maren", note="told the date")
    back = agent.reply("When do students get a discount?", session=session)
    assert back.reply.startswith("I am back to help you.")
    assert "Wednesday" in back.reply
    assert [row for row in agent.queue.waiting() if row["number"] == number] == []


def test_the_queue_is_in_order_of_its_clock(agent: ServiceAgent) -> None:
    agent.reply("I want a human")
    agent.reply("There is a gas leak in my tent")
    rows = agent.queue.waiting()
    assert [row["reason"] for row in rows] == ["safety", "request"]
    assert 0 < rows[0]["seconds_left"] <= 60
    assert agent.queue.waiting(time.time() + 120)[0]["overdue"]


def test_a_webhook_is_signed_and_tried_again(tmp_path: Path) -> None:
    got: list[tuple[bytes, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        answers: ClassVar = [500, 200]

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((body, self.headers[SIGNATURE]))
            self.send_response(self.answers[len(got) - 1])
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    state = State(tmp_path)
    state.open("s", "ann")
    Queue(state).add("s", "request", {"summary": "help"})
    queue = Queue(state, Desk(webhook=Webhook(f"http://127.0.0.1:{server.server_port}", "secret")))
    assert queue.deliver() == 0
    assert queue.deliver() == 0
    assert queue.deliver(time.time() + 60) == 1
    assert queue.deliver(time.time() + 6000) == 0
    server.shutdown()
    server.server_close()
    assert len(got) == 2
    assert verified(got[1][0], got[1][1], secret="secret")
    assert not verified(got[1][0] + b" ", got[1][1], secret="secret")
    assert json.loads(got[1][0])["packet"] == {"summary": "help"}
    state.close()


def test_personal_data_never_reaches_the_disk(agent: ServiceAgent, tmp_path: Path) -> None:
    talk(
        agent,
        "My mail is ann.lee@mail.example and my card 4111 1111 1111 1111",
        "我的手机是13812345678",
        customer="ann",
    )
    kept = json.dumps(agent.export("ann"), ensure_ascii=False)
    assert "[EMAIL]" in kept
    assert "[PHONE]" in kept
    written = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert not [secret for secret in (b"ann.lee", b"4111 1111", b"13812345678") if secret in written]


def test_a_customer_is_exported_and_erased(agent: ServiceAgent, tmp_path: Path) -> None:
    session = talk(agent, "Where is my zanzibar order QM-20481?", customer="ann")[0].session
    talk(agent, "hello", customer="bob")
    (exported,) = agent.export("ann")["sessions"]
    assert [turn["role"] for turn in exported["turns"]] == ["customer", "agent"]
    with pytest.raises(InputError, match="another customer"):
        agent.reply("hello", session=session, customer="bob")
    with pytest.raises(InputError, match="another customer"):
        agent.reply("hello", session=session)
    assert agent.erase("ann") == 1
    assert agent.export("ann")["sessions"] == []
    assert len(agent.export("bob")["sessions"]) == 1
    assert not [file for file in (tmp_path / "state").iterdir() if b"zanzibar" in file.read_bytes()]


def test_silent_sessions_expire(agent: ServiceAgent) -> None:
    talk(agent, "hello", customer="ann")
    assert agent.state.expire(1) == 0
    assert agent.state.expire(-1) == 1


def test_replies_delete_what_was_silent_for_long(agent: ServiceAgent) -> None:
    old = talk(agent, "hello", customer="ann")[0].session
    with agent.state.writing():
        agent.state.connection.execute("UPDATE sessions SET seen = seen - 91 * 86400")
    agent._tidied -= 2 * TIDY
    talk(agent, "hello", customer="bob")
    assert agent.export("ann")["sessions"] == []
    assert agent.reply("hello", session=old).session == old  # it begins anew, and belongs to nobody


def test_strange_messages_are_met_with_words(agent: ServiceAgent) -> None:
    for message in ("", "   ", "?!", "🙂" * 30, "\x00", "a" * 5000, "1234"):
        assert agent.reply(message).reply
    with pytest.raises(InputError, match="a session is named by"):
        agent.reply("hello", session="../../etc")
    with pytest.raises(InputError, match="Audio or Image, not int"):
        agent.reply([3])  # type: ignore[list-item]


def test_stale_documents_are_marked(bundled: Runtime, tmp_path: Path) -> None:
    with Collection.open(tmp_path / "old", create=True, settings=bundled.settings) as old:
        old.add_texts(["Parking costs three euros a day."], metadata={"updated": "2019-05-01"})
        options = Options(stale_days=365)
        with ServiceAgent(old, state=tmp_path / "state", options=options, runtime=bundled) as agent:
            reply = agent.reply("What does parking cost?")
    assert reply.stale == "2019-05-01"
    assert reply.reply == "Parking costs three euros a day. (This document is from 2019-05-01.)"


def test_flows_with_effects_need_a_phrase_to_confirm(tmp_path: Path) -> None:
    flow = Flow("refund", ("refund",), (Slot("order", r"\d+", {"en": "Which?"}),), "refund", {"en": "Done."})
    with pytest.raises(ValueError, match="without a phrase to confirm"):
        ServiceAgent(None, state=tmp_path, playbook=Playbook(flows=(flow,)), options=Options(tools=TOOLS))
    with pytest.raises(InputError, match="no tool is called 'refund'"):
        ServiceAgent(None, state=tmp_path, playbook=Playbook(flows=(flow,)))


def test_a_wrong_playbook_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("flows:\n  - {name: x, intents: [a], tool: t, done: {en: y}, slotz: []}\n")
    with pytest.raises(InputError, match=r"flows\.0\.slotz"):
        Playbook.read(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text(
        "flows: [{name: x, intents: [a], tool: t, done: {}, slots: [{name: o, pattern: '(', ask: {}}]}]\n"
    )
    with pytest.raises(InputError, match="no regular expression"):
        Playbook.read(tmp_path / "p.yaml")


def test_words_hand_over_for_what_is_reported_not_for_what_is_supposed() -> None:
    with (ROOT / "benchmarks" / "service_triggers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = [row["text"] for row in rows if triggered(row["text"]) != row["reason"]]
    assert wrong == ["Your face cream burned my skin"]  # as a matter of safety: handed over too


def test_a_number_in_words_is_a_value_when_the_flow_waits_for_it() -> None:
    tool = Tool("rent", lambda given: {"for": given.days}, Days, effects=True)
    slot = Slot("days", r"\d{1,2}", {"en": "How many days?", "zh": "几天？"})
    flow = Flow("rent", ("rent",), (slot,), "rent", {"en": "{for} days."}, {"en": "For {days} days?"})
    engine = Engine([flow], Toolbox([tool]))
    asked = engine.begin(flow, "I want the one in red", language="en", customer="", known={}).standing
    assert asked is not None
    assert asked.slots == {}
    for said, text in (
        ("three days", "For 3 days?"),
        ("十二天", "For 12 days?"),
        ("for two days please", "For 2 days?"),
    ):
        assert engine.go_on(asked, said, language="en", customer="").text == text
    assert engine.go_on(asked, "the red one", language="en", customer="").text == "How many days?"


def test_a_price_begins_no_flow_with_effects(shop: Collection, bundled: Runtime, tmp_path: Path) -> None:
    texts = [
        "我要续租一天",
        "续租一天",
        "我想延长租期",
        "租期延长一天",
        "你们有团购吗",
        "公司团体租车",
        "我们公司想租二十辆车",
    ]
    kinds = ["refund"] * 4 + ["group"] * 3
    model = IntentClassifier(bundled.encoder("text:all-MiniLM-L6-v2")).fit(texts, kinds)
    with ServiceAgent(
        shop,
        model,
        playbook=SERVICE / "playbook.yaml",
        state=tmp_path / "prices",
        options=Options(tools=TOOLS),
        runtime=bundled,
    ) as agent:
        assert agent.reply("我想续租一天").status == "flow"
        assert agent.reply("续租一天多少钱？").status != "flow"


def test_chinese_hours_and_places_are_found_by_their_titles(bundled: Runtime, tmp_path: Path) -> None:
    (tmp_path / "须知.md").write_text(
        "# 须知\n\n## 营业时间\n\n周二至周日 8:30 至 19:00，周一休息。\n\n"
        "## 送车\n\n老城区内的酒店可以送车，费用10欧元。\n\n"
        "## 地址\n\n我们在湖滨路7号，火车站旁边。\n",
        "utf-8",
    )
    with Collection.open(tmp_path / "docs", create=True, settings=bundled.settings) as documents:
        documents.add(tmp_path / "须知.md")
        with ServiceAgent(documents, None, state=tmp_path / "hours", runtime=bundled) as agent:
            for asked in ("你们几点开门？", "请问你们几点关门", "周一开门吗？", "你们开到几点？"):
                assert "周二至周日 8:30 至 19:00" in agent.reply(asked).reply, asked
            for asked in ("你们店在哪？", "怎么去你们店？"):
                assert "湖滨路7号" in agent.reply(asked).reply, asked
            assert "费用10欧元" in agent.reply("可以送车到酒店吗？").reply


def test_words() -> None:
    assert critical("我在5月3日付了200元，订单QM-20481") == ("5月3日", "200元", "QM-20481")
    assert segments("Where is it? And how much is a tent and how do I wash it?")[1:] == [
        "how much is a tent",
        "how do I wash it?",
    ]
    assert segments("How much is a cargo bike and can dogs ride in it?")[1:] == ["can dogs ride in it?"]
    assert [triggered(text) for text in ("My agent booked it", "I want to return a person-sized tent")] == ["", ""]
    assert [
        language_of(text) for text in ("退货", "こんにちは、荷物は？", "¿Dónde está mi paquete? No puedo", "OK")
    ] == [
        "zh",
        "other",
        "other",
        "en",
    ]
    assert refused("See https://evil.example/x", frozenset())
    assert refused("Go to www.evil-shop.com now", frozenset({"shop.com"}))
    assert not refused("See https://www.shop.com/returns", frozenset({"shop.com"}))
    assert not refused("Write to returns@shop.com within 30 days.", frozenset())


# A dentist's practice, that has nothing to do with the examples: intents in CSV, a price list, a table of questions.

PRACTICE = """# Harrow Lane Dental

## Check-ups
A check-up costs £48 and takes 20 minutes. Children under 12 pay nothing for a check-up.

## Business accounts
For business accounts, check-ups cost £40 per employee and are booked by the company's coordinator.

## Whitening
Whitening costs £320 and needs two visits. We do not whiten teeth during pregnancy.

## Parking
There are six parking spaces behind the building. Parking is free for 90 minutes.
"""
ROWS = """question,answer
Can I pay in instalments?,Treatments above £300 can be paid in up to six instalments without interest.
How long does an implant take?,An implant takes four to six months from the first visit to the crown.
"""
WISHES = {
    "book": (
        "I'd like to book an appointment",
        "make me an appointment please",
        "I need a check-up",
        "我想预约",
        "帮我约个牙医",
    ),
    "move": (
        "can I move my appointment to another day",
        "change my appointment",
        "put my appointment a week later",
        "改约时间",
    ),
    "cancel": (
        "cancel my appointment",
        "please delete my booking",
        "I don't need the appointment",
        "取消我的预约",
        "我不去看牙了",
    ),
    "when": (
        "when is my appointment",
        "what time do I have to come",
        "which day was my appointment again",
        "我约的是哪天",
    ),
}
BOOKING = Slot("booking", r"A-\d{4}", {"en": "Which booking number?", "zh": "预约号是多少？"})
DAY = Slot("day", r"\d{1,2} (?:April|May|June)|\d{1,2}月\d{1,2}日", {"en": "To which day?", "zh": "改到哪天？"})


class Visit(BaseModel):
    booking: str
    day: str = ""


def practise(given: Visit) -> dict[str, Any]:
    RAN.append(f"{given.booking} {given.day}".strip())
    return {"when": "3 May"}


@pytest.fixture(scope="module")
def practice(bundled: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("practice")
    (folder / "prices.md").write_text(PRACTICE, "utf-8")
    (folder / "faq.csv").write_text(ROWS, "utf-8")
    with Collection.open(folder / "collection", create=True, settings=bundled.settings) as collection:
        collection.add([folder / "prices.md", folder / "faq.csv"])
        yield collection


@pytest.fixture
def dentist(practice: Collection, bundled: Runtime, tmp_path: Path) -> Iterator[ServiceAgent]:
    RAN.clear()
    flows = (
        Flow("when", ("when",), (BOOKING,), "when", {"en": "It is on {when}.", "zh": "是{when}。"}),
        Flow(
            "cancel",
            ("cancel",),
            (BOOKING,),
            "cancel",
            {"en": "Cancelled."},
            {"en": "Cancel {booking}?", "zh": "取消{booking}？"},
        ),
        Flow("move", ("move",), (BOOKING, DAY), "move", {"en": "Moved to {day}."}, {"en": "Move {booking} to {day}?"}),
    )
    titles = {"book": {"en": "booking", "zh": "预约"}, "cancel": {"en": "cancelling", "zh": "取消预约"}}
    playbook = Playbook({"book": {"en": "Please book online.", "zh": "请在线预约。"}}, titles, flows=flows)
    tools = [Tool(name, practise, Visit, effects=name != "when") for name in ("when", "cancel", "move")]
    pairs = [(text, name) for name, texts in WISHES.items() for text in texts]
    model = IntentClassifier(bundled.encoder("text:all-MiniLM-L6-v2")).fit(*map(list, zip(*pairs, strict=True)))
    options = Options(tools=tuple(tools))
    with ServiceAgent(
        practice, model, playbook=playbook, state=tmp_path / "s", options=options, runtime=bundled
    ) as made:
        yield made


def test_a_follow_up_is_put_behind_its_question(dentist: ServiceAgent) -> None:
    _, business, children = talk(dentist, "How much is a check-up?", "and for business accounts?", "and for children?")
    assert "£40 per employee" in business.reply
    assert "Children under 12" in children.reply
    _, alone = talk(
        dentist, "You don't whiten teeth in pregnancy, do you?", "A check-up is free for children, isn't it?"
    )
    assert alone.reply == "Children under 12 pay nothing for a check-up."


def test_a_row_of_questions_and_answers_is_answered_by_its_answer(dentist: ServiceAgent) -> None:
    both = talk(dentist, "How much is a check-up? And can I pay in instalments?")[0]
    assert both.reply.endswith("Treatments above £300 can be paid in up to six instalments without interest.")
    assert "question:" not in both.reply
    done = talk(dentist, "cancel my appointment A-1234 and tell me how long an implant takes")[0]
    assert done.reply.endswith("Cancel A-1234?")
    assert "four to six months" in done.reply


def test_a_wish_that_is_like_two_intents_is_asked_about() -> None:
    torn = Meaning("我想取消预约", (("book", 0.56), ("cancel", 0.44)), 0.14, "close")
    assert torn.torn
    assert not replace(torn, outside=0.6).torn
    assert not replace(torn, text="取消预约要收费吗？").torn


def test_a_chinese_number_is_corrected(dentist: ServiceAgent) -> None:
    asked, waiting, other, done = talk(dentist, "取消我的预约", "A-1234", "不对，是A-1235", "是的，没错")
    assert asked.reply == "预约号是多少？"
    assert (waiting.reply, other.reply) == ("取消A-1234？", "取消A-1235？")
    assert done.action is not None
    assert RAN == ["A-1235"]


def test_a_flow_that_only_tells_is_answered_in_between(dentist: ServiceAgent) -> None:
    _, told, day, done = talk(
        dentist, "change my appointment", "When is my appointment A-1234?", "3 may", "yes, that's correct, go ahead"
    )
    assert told.reply == "It is on 3 May. To which day?"
    assert told.action is not None
    assert told.action["tool"] == "when"
    assert day.reply == "Move A-1234 to 3 may?"
    assert done.reply == "Moved to 3 may."


def test_a_no_with_something_else_behind_it_stops_the_flow_and_is_heard(dentist: ServiceAgent) -> None:
    _, other = talk(dentist, "cancel my appointment A-1234", "No, is parking free?")
    assert other.reply.endswith("Parking is free for 90 minutes.")
    _, moved, *_ = talk(dentist, "cancel my appointment A-1234", "no, change my appointment", "never mind")
    assert moved.reply == "All right, I have stopped that. To which day?"
    _, stopped = talk(dentist, "cancel my appointment A-1234", "no")
    assert stopped.action is None
    assert RAN == []


def test_a_flow_that_the_company_took_away_is_forgotten(dentist: ServiceAgent) -> None:
    first = dentist.reply("change my appointment")
    del dentist.engine.flows["move"]
    assert "free" in dentist.reply("Is parking free?", session=first.session).reply


@pytest.mark.parametrize("text", ["thanks, bye", "Thank you! Goodbye.", "好的谢谢", "谢谢，再见", "that's all, thanks"])
def test_thanks_with_a_goodbye_are_small_talk(text: str) -> None:
    with ServiceAgent(None) as agent:
        assert agent.reply(text).status == "small_talk"
        assert agent.reply("thanks, when do you open?").status != "small_talk"
