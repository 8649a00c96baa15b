from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmsdk import App, Settings
from mmsdk.app import PluginStatus
from mmsdk.errors import (
    InputError,
    MissingDependencyError,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)

Offer = Callable[..., None]

SHOUT = """
from pydantic import BaseModel
from mmsdk import Plugin, task

BUILT = []

class Line(BaseModel, extra="forbid"):
    text: str
    times: int = 1

class Shout(Plugin):
    name = "shout"

    class Config(BaseModel, extra="forbid", frozen=True):
        mark: str = "!"

    def __init__(self, runtime, config):
        super().__init__(runtime, config)
        BUILT.append(self)

    @task
    def upper(self, request: Line) -> Line:
        "Write it in capitals."
        return Line(text=request.text.upper() * request.times + self.config.mark)
"""


def _status(app: App, name: str) -> PluginStatus:
    """Give the status of one plugin, whichever others are installed."""
    return next(status for status in app.plugins if status.name == name)


def _of(tasks: Iterable[str], plugin: str) -> list[str]:
    return [name for name in tasks if name.startswith(f"{plugin}.")]


@pytest.fixture
def shout(offer: Offer) -> None:
    offer("acme-shout", "mmsdk.plugins", "shout = acme_shout:Shout", acme_shout=SHOUT)


@pytest.mark.usefixtures("shout")
def test_a_task_runs_by_its_name_with_a_mapping_or_its_model() -> None:
    with App(Settings()) as app:
        assert app.run("shout.upper", {"text": "早 hi"}).text == "早 HI!"
        request = app.task("shout.upper").request(text="a", times=2)
        assert app.run("shout.upper", request).text == "AA!"
        assert _of(app.tasks, "shout") == ["shout.upper"]


@pytest.mark.usefixtures("shout")
def test_a_wrong_request_names_every_wrong_field() -> None:
    with App(Settings()) as app, pytest.raises(InputError) as error:
        app.run("shout.upper", {"times": "many", "colour": 1})
    for said in ("shout.upper", "text: Field required", "times: Input should be a valid integer", "colour: unknown"):
        assert said in str(error.value)


@pytest.mark.usefixtures("shout")
def test_a_request_of_another_kind_is_a_type_error() -> None:
    with App(Settings()) as app, pytest.raises(TypeError, match="takes a Line, not str"):
        app.run("shout.upper", "text")  # type: ignore[arg-type]


@pytest.mark.usefixtures("shout")
def test_the_table_of_a_plugin_reaches_it_and_is_checked() -> None:
    assert App(Settings(plugins={"shout": {"mark": "?"}})).run("shout.upper", {"text": "a"}).text == "A?"
    app = App(Settings(plugins={"shout": {"volume": 11}}))
    with pytest.raises(SettingsError, match=r"\[plugins\.shout\] is wrong: volume: unknown"):
        app.run("shout.upper", {"text": "a"})
    status = _status(app, "shout")
    assert (status.state, "volume" in status.reason) == ("failed", True)


@pytest.mark.usefixtures("shout")
def test_a_table_for_a_plugin_that_is_not_there_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match=r"\[plugins\.shouts\].*there are: .*shout"):
        App(Settings(plugins={"shouts": {}}))


@pytest.mark.usefixtures("shout")
def test_unknown_names_suggest_near_ones() -> None:
    with App(Settings()) as app:
        with pytest.raises(PluginNotFoundError, match=r"'shot'.*shout"):
            app.run("shot.upper", {})
        with pytest.raises(PluginNotFoundError, match=r"plugin 'shout' has no task 'uper'; there are: upper"):
            app.run("shout.uper", {})
        with pytest.raises(PluginNotFoundError, match="has no task ''"):
            app.run("shout", {})


@pytest.mark.usefixtures("shout")
def test_threads_share_one_plugin() -> None:
    with App(Settings()) as app, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: app.plugin("shout"), range(32)))
    assert len({id(plugin) for plugin in found}) == 1
    assert len(__import__("acme_shout").BUILT) == 1


@pytest.mark.parametrize(
    ("entry", "source", "kind", "said"),
    [
        ("bad = acme_bad:Bad", "1 / 0", PluginLoadError, "ZeroDivisionError"),
        ("bad = acme_bad:Bad", "import sys; sys.exit(3)", PluginLoadError, "tries to exit with 3"),
        ("bad = acme_bad:Bad", "Bad = 7", PluginLoadError, "not a subclass of mmsdk.Plugin"),
        ("bad = acme_bad:Bad", "class Bad: name = 'bad'", PluginLoadError, "not a subclass of mmsdk.Plugin"),
        (
            "bad = acme_bad:Bad",
            "import mmsdk\nclass Bad(mmsdk.Plugin): name = 'good'",
            PluginLoadError,
            "itself 'good'",
        ),
        ("bad = acme_bad:Bad", "import mmsdk\nclass Bad(mmsdk.Plugin): pass", PluginLoadError, "calls itself None"),
        ("bad = acme_bad:Bad [extra]", "import absent_library", MissingDependencyError, "absent_library"),
        (
            "bad = acme_bad:Bad",
            "import mmsdk\nclass Bad(mmsdk.Plugin):\n  name = 'bad'\n  def __init__(self, *a): raise OSError('full')",
            PluginLoadError,
            "does not start: OSError: full",
        ),
    ],
)
@pytest.mark.usefixtures("shout")
def test_a_failing_plugin_is_listed_and_leaves_the_others_alone(
    offer: Offer, entry: str, source: str, kind: type[Exception], said: str
) -> None:
    offer("acme-bad", "mmsdk.plugins", entry, acme_bad=source)
    with App(Settings()) as app:
        with pytest.raises(kind, match=said):
            app.plugin("bad")
        bad, good = _status(app, "bad"), _status(app, "shout")
        assert (bad.name, bad.state, bad.distributions) == ("bad", "failed", ("acme-bad",))
        assert said in bad.reason
        assert (good.name, good.state, good.tasks) == ("shout", "ready", ("upper",))
        assert _of(app.tasks, "bad") == []
        assert _of(app.tasks, "shout") == ["shout.upper"]
        assert app.run("shout.upper", {"text": "a"}).text == "A!"


@pytest.mark.usefixtures("shout")
def test_a_name_offered_twice_is_a_conflict_until_it_is_pinned(offer: Offer) -> None:
    other = SHOUT.replace('"!"', '" (other)"')
    offer("other-shout", "mmsdk.plugins", "shout = other_shout:Shout", other_shout=other)
    app = App(Settings())
    with pytest.raises(PluginConflictError, match=r"acme-shout, other-shout.*\[pins\]"):
        app.run("shout.upper", {"text": "a"})
    assert _status(app, "shout").distributions == ("acme-shout", "other-shout")
    assert App(Settings(pins={"shout": "other-shout"})).run("shout.upper", {"text": "a"}).text == "A (other)"
    assert App(Settings(pins={"shout": "acme-shout"})).run("shout.upper", {"text": "a"}).text == "A!"


def test_the_names_of_the_core_are_reserved(offer: Offer) -> None:
    offer("acme", "mmsdk.plugins", "search = acme_search:Search", acme_search=SHOUT)
    app = App(Settings())
    with pytest.raises(PluginConflictError, match="'search': it is a command of mmsdk itself"):
        app.plugin("search")
    assert _status(app, "search").state == "failed"


@pytest.mark.usefixtures("shout")
def test_a_plugin_gets_the_runtime_and_never_the_app() -> None:
    with App(Settings()) as app:
        plugin = app.plugin("shout")
        assert plugin.runtime is app.runtime
        assert app not in vars(plugin).values()
        assert app not in vars(plugin.runtime).values()


@pytest.mark.usefixtures("shout")
def test_nothing_of_a_plugin_is_imported_before_it_is_needed() -> None:
    import sys

    app = App(Settings())
    assert "acme_shout" not in sys.modules
    app.plugin("shout")
    assert "acme_shout" in sys.modules
