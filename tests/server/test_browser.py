"""The UI in a real browser: ask, upload, open the place that is cited, log in; what is hostile does nothing."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mmsdk.runtime import Runtime
from mmsdk.server.service import Service
from mmsdk_finance.items import Item
from mmsdk_finance.monitor import Options, SentimentMonitor
from mmsdk_finance.watchlist import Name, Watchlist

from .conftest import DATA
from .hostile import XSS
from .running import Running, running
from .test_overload import ASK, FACT, Endless, until

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; CHROMIUM names one"),
    pytest.mark.filterwarnings("ignore"),
]
SIZES = {"phone": (390, 780), "small": (640, 900), "tablet": (820, 1180), "laptop": (1280, 800), "wide": (1920, 1080)}
SHOTS = Path(os.environ.get("SCREENSHOTS", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[Running]:
    states = {"finance": "state", "graph": "graph", "recommend": "state", "service": "state"}
    place = tmp_path_factory.mktemp("states")
    plugins = {name: {key: str(place / name)} for name, key in states.items()}
    settings = bundled.settings.model_copy(update={"plugins": plugins})
    with running(tmp_path_factory.mktemp("data"), settings, ui=True) as made:
        texts = [
            "The Quillmoor lighthouse opens at six in the morning.",
            *(f"Note {n}: {text}" for n, text in enumerate(XSS)),
        ]
        made.service.folder.create("shop").add_texts(texts)
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """A page, with every dialog and every request to another host noted."""

    def __init__(self, browser: Any, site: Running, size: str = "laptop", **options: Any) -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page = self.context.new_page()
        self.dialogs: list[str] = []
        self.foreign: list[str] = []
        self.url = site.url
        self.page.set_default_timeout(60_000)
        self.page.on("dialog", self._dismiss)
        self.context.on("request", self._note)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def shot(self, name: str) -> None:
        if SHOTS.name:
            SHOTS.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def open(self) -> Any:
        self.page.goto(f"{self.url}/ui/")
        self.page.wait_for_selector("#question textarea")
        self.page.wait_for_function("document.querySelector('#collection input').value !== ''")
        return self.page

    def ask(self, question: str) -> None:
        told = "#talk [data-testid=bot]"
        before = self.page.locator(told).count()
        self.page.fill("#question textarea", question)
        for _ in range(60):  # while an answer is being given, Enter does nothing
            self.page.press("#question textarea", "Enter")
            self.page.wait_for_timeout(500)
            if not self.page.input_value("#question textarea"):
                break
        self.page.wait_for_function(f"document.querySelectorAll('{told}').length > {before}")
        self.page.wait_for_selector("#sources a")
        self.address = str(self.page.get_attribute("#sources a", "href"))

    def close(self) -> None:
        self.context.close()
        assert not self.dialogs
        assert not self.foreign


@pytest.fixture
def visit(browser: Any, site: Running) -> Iterator[Any]:
    opened: list[Watched] = []

    def start(size: str = "laptop", **options: Any) -> Watched:
        opened.append(Watched(browser, site, size, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_a_pdf_is_uploaded_asked_and_its_citation_opened(visit: Any, shop_pdf: Path) -> None:
    there = visit()
    page = there.open()
    page.get_by_role("tab", name="Collections").click()
    page.set_input_files("#files input[type=file]", [str(shop_pdf), str(DATA / "recordings" / "tip-boots.mp3")])
    page.get_by_text("lamp.pdf").first.wait_for()
    page.click("#add")
    page.wait_for_function("document.querySelector('#report textarea').value.includes('2 documents')")
    there.shot("collections")
    page.get_by_role("tab", name="Ask", exact=True).click()
    there.ask("What is the voltage of the Quillmoor lamp?")
    assert "12 volts" in page.inner_text("#talk")
    there.shot("answer")
    address = page.get_attribute("#sources a", "href")
    page.goto(there.url + address)
    picture = page.wait_for_selector("img")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
    assert "12 volts" in page.inner_text("mark")
    there.shot("place")


def _opened(there: Watched, name: str) -> list[str]:
    """Open every citation of the answer and give what each page shows: the text of its passage."""
    page = there.page
    addresses = [link.get_attribute("href") for link in page.query_selector_all("#sources a")]
    assert addresses
    texts = []
    for number, address in enumerate(addresses):
        opened = there.context.new_page()
        answer = opened.goto(there.url + address)
        assert answer is not None
        assert answer.status == 200
        for picture in opened.query_selector_all("img"):
            assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
        for sound in opened.query_selector_all("audio"):
            sound.evaluate("sound => sound.readyState || new Promise(done => sound.onloadedmetadata = done)")
            assert sound.evaluate("sound => sound.duration > 1")
            wanted = float(str(sound.get_attribute("src")).partition("#t=")[2])
            assert abs(sound.evaluate("sound => sound.currentTime") - wanted) < 0.5
        texts.append(opened.inner_text(".cited"))
        if SHOTS.name and number == 0:
            opened.screenshot(path=SHOTS / f"place-{name}.png", full_page=True)
        opened.close()
    return texts


def test_a_picture_and_a_recording_are_uploaded_asked_by_and_opened(visit: Any) -> None:
    there = visit()
    page = there.open()
    page.get_by_role("tab", name="Collections").click()
    given = [DATA / "pictures" / "store-map.png", DATA / "recordings" / "tip-boots.mp3"]
    page.set_input_files("#files input[type=file]", [str(file) for file in given])
    page.get_by_text("store-map.png").first.wait_for()
    page.click("#add")
    page.wait_for_function("/2 documents|unchanged/.test(document.querySelector('#report textarea').value)")
    page.get_by_role("tab", name="Ask", exact=True).click()
    there.ask("May I dry my wet boots next to a heater?")
    there.shot("answer-recording")
    assert any("boots" in text.lower() for text in _opened(there, "recording"))
    page.set_input_files("#question input[type=file]", str(given[0]))
    page.wait_for_selector("#question button[aria-label*='emove'], #question .thumbnail-item")
    there.ask("Which floor is the repair workshop on?")
    there.shot("answer-picture")
    assert _opened(there, "picture")


def test_a_spoken_question_is_answered(visit: Any) -> None:
    there = visit()
    page = there.open()
    page.set_input_files("#question input[type=file]", str(DATA / "recordings" / "tip-boots.mp3"))
    page.wait_for_selector("#question button[aria-label*='emove'], #question .thumbnail-item")
    page.press("#question textarea", "Enter")
    page.wait_for_function("document.querySelector('#talk [data-testid=bot]')?.innerText.length > 20")
    there.shot("answer-spoken")
    assert page.eval_on_selector("#talk .minimal-audio-player", "player => player.offsetHeight < 100")
    assert not page.locator("#talk button[aria-label=Share]:visible").count()
    if page.query_selector("#sources a"):  # the recording was taken in by another test of this module
        assert all(_opened(there, "spoken"))
    page.get_by_role("tab", name="Collections").click()
    page.fill("#search textarea, #search input", "boots")
    page.press("#search textarea, #search input", "Enter")
    page.wait_for_selector("#hits a")
    there.shot("search")


def test_the_pages_of_plugins_open_behind_the_server(visit: Any, site: Running) -> None:
    watched = Watchlist([Name("QLM", ("Quillmoor Lamps",), "Lamps", 1.0)])
    days = [datetime(2025, 1, day, tzinfo=UTC) for day in range(1, 29)]
    said = "Quillmoor Lamps beats forecasts and raises its dividend, report {0}."
    with SentimentMonitor(
        Path(site.service.settings.plugins["finance"]["state"]), watched, options=Options(meaning=False)
    ) as opened:
        opened.take([Item(str(day.day), said.format(day.day), "Wire", day, day) for day in days])
    there = visit()
    page = there.open()
    page.get_by_role("tab", name="Pages", exact=True).click()
    links = [link.get_attribute("href") for link in page.query_selector_all("a[href$='/']") if link.is_visible()]
    assert {"/finance/dashboard/", "/graph/graph/", "/recommend/explorer/", "/service/console/"} <= set(links)
    errors: list[str] = []
    for link in links:
        for scheme, size in (("light", "laptop"), ("dark", "phone")):
            one = visit(size, color_scheme=scheme)
            one.page.on("pageerror", lambda error: errors.append(str(error)))
            answer = one.page.goto(one.url + link)
            assert answer.status in (200, 404), link  # 404: nothing was made yet, and the page says what to do
            one.page.wait_for_timeout(1500)
            assert one.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), link
            one.shot(f"page-{link.strip('/').replace('/', '-')}-{scheme}")
    assert not errors
    page.goto(f"{there.url}/finance/dashboard/")
    page.wait_for_selector("#evidence li")
    page.wait_for_selector("#chart .main-svg")
    assert "raises its dividend" in page.inner_text("#evidence")


def test_everything_is_reached_by_the_keyboard(visit: Any) -> None:
    there = visit()
    page = there.open()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.role === 'tab' && document.activeElement.innerText") == "Collections":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#files")
    there.shot("keyboard")
    page.get_by_role("tab", name="Ask", exact=True).press("Enter")
    page.locator("#question textarea").focus()
    page.keyboard.type("When does the Quillmoor lighthouse open?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sources a")
    page.locator("#sources a").first.focus()
    assert page.evaluate("document.activeElement.matches('#sources a')")


def test_a_task_is_run_by_its_form(visit: Any) -> None:
    there = visit()
    page = there.open()
    page.get_by_role("tab", name="Tasks", exact=True).click()
    page.get_by_role("button", name=re.compile("^finance.score")).click()
    there.shot("task-form")
    page.locator("textarea:visible").first.fill("Acme shares fell sharply after it warned of losses.")
    page.locator("button:visible", has_text="Run").first.click()
    page.wait_for_function(r"/\bresults\b/.test(document.body.innerText)")  # a key of the response
    there.shot("task-result")
    page.get_by_role("button", name=re.compile("^finance.score")).click()
    page.get_by_role("button", name=re.compile("^finance.index")).click()
    page.locator("textarea:visible, input[type=text]:visible").first.fill("/etc")
    page.locator("button:visible", has_text="Run").first.click()
    page.get_by_text("is not in the data folder").first.wait_for()
    there.shot("task-error")


def test_what_is_hostile_is_shown_and_does_nothing(visit: Any, site: Running, tmp_path: Path) -> None:
    there = visit()
    page = there.open()
    page.evaluate("alert('control')")
    assert there.dialogs == ["control"]
    there.dialogs.clear()
    name = "<img src=x onerror=alert(1)>.txt"
    (tmp_path / name).write_text(
        "The harbour master is called Vera. <script>alert(2)</script>\n![x](http://evil.example/x.png)"
    )
    page.get_by_role("tab", name="Collections").click()
    page.set_input_files("#files input[type=file]", str(tmp_path / name))
    page.click("#add")
    page.wait_for_function("document.querySelector('#report textarea').value.includes('1 documents')")
    for text in ("Note", "alert", "harbour master"):
        page.fill("#search textarea, #search input", text)
        page.press("#search textarea, #search input", "Enter")
        page.wait_for_timeout(700)
    page.wait_for_selector("#hits a")
    page.get_by_role("tab", name="Ask", exact=True).click()
    for question in ("Who is the harbour master?", XSS[0] + " Who is the harbour master?"):
        there.ask(question)
    page.wait_for_function("text => document.querySelector('#talk').innerText.includes(text)", arg=XSS[0])
    there.shot("hostile")
    hits = site.service.folder.open("shop").search("alert", k=40)
    for hit in hits[:25]:
        page.goto(f"{there.url}/collections/shop/chunks/{hit.chunk.id}/view")
    page.wait_for_timeout(500)


def test_every_hostile_string_is_escaped_where_html_is_written(site: Running) -> None:
    from mmsdk.server.ui.asking import found

    every = site.service.folder.open("shop").search("Note", k=len(XSS) + 20)
    hits = [hit for hit in every if hit.chunk.source.startswith("text:")]
    assert len(hits) > 200
    link = r'<a href="/collections/[^"<>]*" target="_blank" rel="noopener">|</a>'
    allowed = re.compile(r'</?(?:div|strong|ol|li|q|span)(?: class="\w+")?>|' + link)
    assert "<" not in allowed.sub("", found("shop", hits))
    with site.client() as client:
        allowed = re.compile(
            r"<(?:/?\w+|!doctype html)(?: (?:class|lang|charset|name|content|rel|href)=\"[^\"<>]*\")*>"
        )
        for hit in hits:
            page = client.get(f"/collections/shop/chunks/{hit.chunk.id}/view").text
            assert "<" not in allowed.sub("", page)
            assert not re.search(r"<(?:script|img|svg|iframe|a)\b", page.replace('<a href="/collections/', ""))


@pytest.mark.parametrize(
    ("size", "scheme"), [*((size, "light") for size in SIZES), ("phone", "dark"), ("laptop", "dark")]
)
def test_every_page_fits_every_screen(visit: Any, size: str, scheme: str) -> None:
    there = visit(size, color_scheme=scheme)
    page = there.open()
    there.ask("When does the Quillmoor lighthouse open?")
    for name in ("Ask", "Collections", "Tasks", "Pages"):
        tab = page.get_by_role("tab", name=name, exact=True)
        if not tab.is_visible():
            page.locator(".overflow-menu > button").first.click()
            page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
        else:
            tab.click()
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        there.shot(f"{size}-{scheme}-{name.lower()}")
    page.goto(there.url + there.address)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    there.shot(f"{size}-{scheme}-place")


def test_a_wrong_key_is_told_and_a_right_one_lets_in(browser: Any, tmp_path: Path, bundled: Runtime) -> None:
    with running(tmp_path, bundled.settings, ui=True) as site:
        secret = site.service.keys.create("reader", "read")[1]
        there = Watched(browser, site)
        page = there.page
        page.goto(f"{site.url}/ui/")
        assert page.url.endswith("/login")
        page.fill("input[name=key]", "mmsdk_wrong")
        page.keyboard.press("Enter")
        page.get_by_text("This key is not valid.").wait_for()
        there.shot("login")
        page.fill("input[name=key]", secret)
        page.keyboard.press("Enter")
        page.wait_for_selector("#question textarea")
        there.close()


def test_a_tab_that_is_closed_stops_its_answer(browser: Any, tmp_path: Path, bundled: Runtime) -> None:
    service, llm = Service(tmp_path, bundled.settings), Endless()
    service.runtime.llm = lambda name=None: llm  # type: ignore[method-assign]
    service.folder.create("shop").add_texts([FACT])
    with running(tmp_path, bundled.settings, ui=True, service=service) as site:
        there = Watched(browser, site)
        page = there.open()
        page.fill("#question textarea", ASK["question"])
        page.press("#question textarea", "Enter")
        until(lambda: llm.running, 60)
        left = time.monotonic()
        page.close()
        until(lambda: not llm.running, 5)
        assert llm.last - left < 0.5
        there.close()


def test_two_quick_messages_in_the_chat_are_one_conversation(visit: Any) -> None:
    there = visit("phone", locale="zh-CN")
    there.page.goto(f"{there.url}/service/chat/")
    for text in ("你好", "I want a human"):
        there.page.fill("#text", text)
        there.page.press("#text", "Enter")
    there.page.wait_for_function("document.querySelectorAll('.agent').length === 2")
    said = there.page.locator(".turn").all_inner_texts()
    assert said[0] == "你好"
    assert "I want a human" in said[1:3]  # before the first reply or, where that is quick, behind it
    assert said[3] == "I am passing you to a colleague, who will answer here."
    assert there.page.locator(".wait").count() == 0
    assert there.page.inner_text("button") == "发送"
    there.page.goto(f"{there.url}/service/console/")
    assert there.page.locator("article p:has(b:text-is('customer'))").count() == 2  # both in one thread
