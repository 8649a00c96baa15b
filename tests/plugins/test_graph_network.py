"""The network: sentences and pairs read together or apart, trained or packed, give the same."""

import pytest
import torch

from mmsdk.settings import Settings
from mmsdk_graph.annotations import Entity, Relation, Sentence
from mmsdk_graph.features import Lexicon, hashed
from mmsdk_graph.network import Batch, Network, Pair, Pairs, Row
from mmsdk_graph.tagger import Labels, Reading, blank

pytestmark = pytest.mark.usefixtures("bundled")
TEXTS = ("Ada Wong lives in Bern .", "Tom moved", "In Oslo , Eva Lind of Antananarivo met Max Roth and his sister .")
PAIRS: tuple[list[Pair], ...] = (
    [Pair((0, 2), (4, 5), (1, 0)), Pair((4, 5), (0, 2), (0, 1))],
    [],
    [Pair((3, 5), (1, 2), (1, 0)), Pair((3, 5), (6, 7), (1, 0)), Pair((8, 10), (6, 7), (1, 0))],
)


@pytest.fixture(scope="module")
def read(bundled: None) -> tuple[Network, list[Row]]:
    example = Sentence(tuple(TEXTS[0].split()), (Entity(0, 2, "Who"), Entity(4, 5, "Town")), (Relation("lives", 0, 1),))
    labels, settings = Labels.of([example], ["O"]), Settings.load()
    torch.manual_seed(0)
    network = blank(labels, settings).eval()
    rows = Reading(labels, Lexicon.of([example]), settings).rows([Sentence(tuple(text.split())) for text in TEXTS])
    return network, rows


@torch.inference_mode()
def test_a_batch_gives_what_its_rows_and_pairs_give_alone(read: tuple[Network, list[Row]]) -> None:
    network, rows = read
    tags, relations = network(Batch.of(rows), Pairs.of(rows, PAIRS))
    assert tags.shape == (sum(len(text.split()) for text in TEXTS), 9)
    alone = [network(Batch.of([row]), Pairs.of([row], [[]]))[0] for row in rows]
    assert torch.allclose(tags, torch.cat(alone), atol=1e-4)
    singles = [
        network(Batch.of([row]), Pairs.of([row], [[pair]]))[1]
        for row, some in zip(rows, PAIRS, strict=True)
        for pair in some
    ]
    assert torch.allclose(relations, torch.cat(singles), atol=1e-4)


@torch.inference_mode()
def test_packed_layers_give_what_trained_ones_give(
    read: tuple[Network, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, rows = read
    batch, pairs = Batch.of(rows), Pairs.of(rows, PAIRS)
    expected = network(batch, pairs)
    for half, close in ((None, 1e-4), (torch.bfloat16, 0.1)):
        monkeypatch.setattr("mmsdk_graph.network.native_half", lambda _, half=half: half)
        for found, right in zip(network.pack()(batch, pairs), expected, strict=True):
            assert torch.allclose(found, right, atol=close)
    network.unpack()


def test_training_reaches_the_upper_layers_and_no_lower_one(read: tuple[Network, list[Row]]) -> None:
    network, rows = read
    tags, relations = network(Batch.of(rows), Pairs.of(rows, PAIRS))
    (tags.logsumexp(1).sum() + relations.sum()).backward()
    touched = {name for name, value in network.named_parameters() if value.grad is not None}
    assert {"layers.4.query.weight", "layers.5.down.bias", "markers.weight", "sparse.weight"} <= touched
    assert not any(name.startswith(("layers.3", "words", "places")) for name in touched)
    assert all(bool(value.grad.isfinite().all()) for value in network.parameters() if value.grad is not None)


def test_features_of_a_word_are_its_own_and_its_neighbours() -> None:
    first, second = hashed(("Ada", "left"), [["B-Who", "B-Who"], []], ["O", "O"])
    assert len(first) == len(set(first)) == 21
    assert hashed(("Ada", "left"), [["B-Who"], []], ["O", "O"]) == [first, second]
    assert set(first) != set(hashed(("Ada", "came"), [["B-Who"], []], ["O", "O"])[0])
