from collections.abc import Callable

import pytest

from mmsdk import registry
from mmsdk.errors import MissingDependencyError, PluginConflictError, PluginLoadError, PluginNotFoundError

Offer = Callable[..., None]


def test_own_names_are_found_like_any_other() -> None:
    assert registry.find("llms", "echo").value == "mmsdk.llms.echo:Echo"
    assert {"text", "image", "open_clip", "speech"} <= set(registry.offers("encoders"))


def test_what_follows_the_colon_goes_to_the_factory() -> None:
    llm = registry.create("llms", "echo:with: colons", settings=None)
    assert llm.replies == ["with: colons"]
    assert registry.create("llms", "echo", settings=None).replies == []


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(PluginNotFoundError, match=r"'ecko'.*echo"):
        registry.find("llms", "ecko")


def test_another_distribution_registers_by_entry_point_alone(offer: Offer) -> None:
    offer(
        "acme", "mmsdk.llms", "parrot = acme_parrot:Parrot", acme_parrot="class Parrot:\n  def __init__(s, m): s.m = m"
    )
    assert registry.create("llms", "parrot:red").m == "red"


def test_a_name_offered_twice_must_be_pinned(offer: Offer) -> None:
    offer("acme-one", "mmsdk.llms", "parrot = one:NAME", one="NAME = 'one'")
    offer("Acme_Two", "mmsdk.llms", "parrot = two:NAME", two="NAME = 'two'")
    with pytest.raises(PluginConflictError, match=r"acme-one, acme-two.*\[pins\] parrot = "):
        registry.load("llms", "parrot")
    assert registry.load("llms", "parrot", pins={"parrot": "acme_two"}) == "two"
    assert registry.load("llms", "parrot", pins={"parrot": "Acme-One"}) == "one"
    with pytest.raises(PluginNotFoundError, match="pinned to 'acme-three'"):
        registry.load("llms", "parrot", pins={"parrot": "acme-three"})


def test_an_own_name_can_be_taken_over_by_a_pin(offer: Offer) -> None:
    offer("acme", "mmsdk.llms", "echo = acme_echo:NAME", acme_echo="NAME = 'mine'")
    with pytest.raises(PluginConflictError, match="acme, mmsdk"):
        registry.load("llms", "echo")
    assert registry.load("llms", "echo", pins={"echo": "acme"}) == "mine"


def test_a_missing_extra_is_named_with_its_pip_line(offer: Offer) -> None:
    offer("acme", "mmsdk.llms", "big = acme_big:Big [models]", acme_big="import no_such_library")
    with pytest.raises(MissingDependencyError, match=r"'no_such_library'.*pip install 'mmsdk\[models\]'"):
        registry.load("llms", "big")


@pytest.mark.parametrize("source", ["1 / 0", "import acme_sub.nothing", "def (", "Other = 1"])
def test_a_module_that_does_not_import_is_a_load_error(offer: Offer, source: str) -> None:
    offer("acme", "mmsdk.llms", "broken = acme_broken:Broken", acme_broken=source)
    with pytest.raises(PluginLoadError, match=r"'broken' \(acme_broken:Broken\) does not import"):
        registry.load("llms", "broken")
