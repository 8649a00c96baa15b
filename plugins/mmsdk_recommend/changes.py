"""What changes after fitting: new interactions, new items, and users who want to be forgotten.

Histories change at once, so every model serves them; item-kNN and content also learn at once, with the same result as
fitting again. All others learn at the next ``refit``.
"""

from collections.abc import Hashable

import numpy as np
import pandas as pd

from mmsdk.errors import InputError
from mmsdk_recommend.catalogue import Catalogue
from mmsdk_recommend.interactions import Histories, Interactions, check
from mmsdk_recommend.models.hybrid import Hybrid
from mmsdk_recommend.models.item_knn import ItemKNN
from mmsdk_recommend.recommender import Recommender


def update(recommender: Recommender, interactions: pd.DataFrame) -> None:
    """Take in new interactions of known and new users and items.

    Without a column time they count as later than all that is known.
    """
    new, old = check(interactions), recommender.data
    frame = old.frame()
    if frame["time"].isna().all() or new["time"].isna().all():
        new["time"] = frame["time"].max()
    whole = pd.concat([frame, new], ignore_index=True)
    if whole["time"].isna().all():
        whole = whole.drop(columns="time")
    order = old.items.append(pd.Index(pd.unique(new["item"])).difference(old.items, sort=False))
    _change(recommender, Interactions.from_frame(whole, order=order), list(pd.unique(new["user"])))


def add_items(recommender: Recommender, catalogue: pd.DataFrame) -> None:
    """Take in new items, and new metadata and content of known ones; they can be recommended at once by content."""
    old = recommender.catalogue
    projection = None if old is None else old.projection
    model = recommender.model
    uses = projection is not None and (isinstance(model, Hybrid) or recommender.name == "content")
    new = Catalogue.from_frame(catalogue, encoders=recommender.encoders, encode=uses, projection=projection)
    merged = new if old is None else _merged(old, new)
    data = recommender.data
    order = data.items.append(merged.items.difference(data.items, sort=False))
    width = len(order)
    histories = data.histories.kept(np.ones(len(data.histories.items), bool), width=width)
    content = merged.placed(order)
    if isinstance(model, Hybrid):
        model.extend(content, width)
        recommender.width = width
    elif recommender.name == "content" and content is not None:
        from mmsdk_recommend.models.protocol import Corpus

        model.fit(Corpus(histories, content))
        recommender.width = width
    recommender.adopt(Interactions(data.users, order, histories), merged)


def erase(recommender: Recommender, user: Hashable) -> bool:
    """Forget a user; tell whether the model holds nothing of theirs any more, or needs a refit for that.

    The interactions are gone at once. Counts of item-kNN lose them exactly; what other models learned from all users
    together stays until ``refit``. Raises ``InputError`` for an unknown user.
    """
    recommender.history_of(user)
    old = recommender.data
    frame = old.frame()
    kept = frame[frame["user"] != user]
    if kept.empty:
        raise InputError("this is the only user: delete the folder of the recommender instead")
    if kept["time"].isna().all():
        kept = kept.drop(columns="time")
    _change(recommender, Interactions.from_frame(kept, order=old.items), [user])
    return recommender.name in ("item_knn", "content")


def _change(recommender: Recommender, new: Interactions, users: list[Hashable]) -> None:
    """Serve from changed interactions, and let models that can learn how these users changed."""
    old, model = recommender.data, recommender.model
    before, after = (_of(data, users) for data in (old, new))
    if isinstance(model, Hybrid):
        model.extend(None, len(new.items))
        model.update(before, after)
        recommender.width = len(new.items)
    elif isinstance(model, ItemKNN):
        model.update(before, after)
        recommender.width = len(new.items)
    recommender.adopt(new, recommender.catalogue)


def _of(data: Interactions, users: list[Hashable]) -> Histories:
    places = data.users.get_indexer(pd.Index(users))
    whole = data.histories.take(np.maximum(places, 0))
    return whole.kept((places >= 0)[whole.rows])


def _merged(old: Catalogue, new: Catalogue) -> Catalogue:
    """Give both, the new where an item is in both."""
    kept = np.flatnonzero(~old.items.isin(new.items))
    records = [old.records[place] for place in kept.tolist()] + new.records
    content = None
    if old.content is not None:
        more = new.content if new.content is not None else np.zeros((len(new.items), old.content.shape[1]), np.float32)
        content = np.concatenate([old.content[kept], more])
    return Catalogue(old.items[kept].append(new.items), records, content, old.projection)
