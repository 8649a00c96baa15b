"""What the tasks and commands of the plugin take and give."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

Name = str | int
Asked = Annotated[str, Field(coerce_numbers_to_str=True)]
"""A name from outside: text, which ``known`` turns into a number where the data has numbers."""


class Source(BaseModel, extra="forbid"):
    """Where interactions and items are."""

    interactions: str = Field(
        description=".csv, .tsv or .parquet file, a folder with a journal, or an SQLAlchemy address with --query"
    )
    catalogue: Path | None = Field(None, description=".csv, .parquet or .jsonl file with a column item, and others")
    columns: str = Field("", description="which column is what, such as user=userId,item=movieId")
    query: str | None = Field(None, description="SQL, when the interactions are in a database")


class FitRequest(Source, extra="forbid"):
    """What to fit, and where to keep it."""

    interactions: str = Field(
        description=".csv, .tsv or .parquet file, an SQLAlchemy address with --query, or the folder of a recommender: "
        "its current version learns what was pushed since"
    )
    model: str | None = Field(
        None,
        description="hybrid (also without this option), ease, item_knn, ials, sasrec, popularity or content; "
        "for a folder, without it, as before, with the parameters it was made with",
    )
    index: str | None = Field(
        None,
        description="for ials, sasrec, content: auto or FAISS's name of an index for candidates; else exact, or for a "
        "folder, with the model it has, as before",
    )
    state: Path | None = Field(None, description="folder of the recommender; else the setting's")


class EvaluateRequest(Source, extra="forbid"):
    """What to measure, and how."""

    split: str = Field("global_time", description="global_time, user_time, leave_last_out or random")
    models: str = Field("ease,hybrid", description="names joined by commas; popularity and item_knn always join")
    k: int = Field(10, ge=1, le=100, description="length of the lists")
    labels: str | None = Field(None, description="metadata key for calibration, such as genres")
    tune: bool = Field(False, description="choose hyper-parameters on a split of the training part")
    report: Path = Field(Path("recommendation.html"), description=".html file for tables and plots; an older one goes")
    write: bool = Field(True, description="write the report, or only print the table")


class PushRequest(BaseModel, extra="forbid"):
    """What a user did."""

    user: Asked = Field(description="name of the user")
    item: Asked = Field(description="name of the item")
    kind: str = Field("take", description="such as view, buy or click")
    weight: float = Field(1.0, gt=0, description="how much it counts")
    time: float | None = Field(None, description="seconds since 1970; else now")
    shown: int | None = Field(None, description="number of the list that showed the item: counts as a click on it")
    state: Path | None = Field(None, description="folder of the recommender; else the setting's")


class PushResponse(BaseModel):
    """How many events the journal holds."""

    events: int


class MonitorResponse(BaseModel):
    """Requests, showings, click-through and coverage by version, of the lists that were kept."""

    current: str
    versions: dict[str, dict[str, float]]


class EraseRequest(BaseModel, extra="forbid"):
    """Who wants to be forgotten."""

    user: str = Field(description="name of the user")
    state: Path | None = Field(None, description="folder of the recommender; else the setting's")


class RollbackRequest(BaseModel, extra="forbid"):
    """Which version."""

    version: str | None = Field(None, description="such as v0003; else the one before the current")
    state: Path | None = Field(None, description="folder of the recommender; else the setting's")


class StateRequest(BaseModel, extra="forbid"):
    """A recommender."""

    state: Path | None = Field(None, description="folder of the recommender; else the setting's")


class ListRequest(StateRequest, extra="forbid"):
    """How long a list, of what."""

    k: int = Field(10, ge=1, le=1000, description="items at most")
    where: dict[str, Any] | None = Field(None, description='filter by metadata, such as {"price": {"$lt": 50}}')


class UserRequest(ListRequest, extra="forbid"):
    """For whom, and how the list is made."""

    user: Asked = Field(description="name of the user")
    exclude_seen: bool = Field(True, description="leave out what the user has")
    diversity: float = Field(0.0, ge=0, le=1, description="0: by score alone, 1: by difference alone")
    exploration: float = Field(0.0, ge=0, le=1, description="chance that a slot shows another item of the pool")
    keep: bool = Field(False, description="keep the list in the journal, to count clicks and judge other policies")


class SimilarRequest(ListRequest, extra="forbid"):
    """Like what."""

    item: Asked = Field(description="name of the item")


class SessionRequest(ListRequest, extra="forbid"):
    """For somebody of whom only some items are known."""

    items: list[Asked] = Field(description="what was taken or clicked, oldest first; none: what is popular")


class TasteRequest(ListRequest, extra="forbid"):
    """For somebody who says or shows what they like."""

    text: str | None = Field(None, description="what is liked")
    image: str | None = Field(None, description="a picture of what is liked, in base64")


class RerankRequest(StateRequest, extra="forbid"):
    """Which candidates, for whom."""

    user: Asked = Field(description="name of the user")
    candidates: list[Asked] = Field(min_length=1, description="items to order")


class ExplainRequest(StateRequest, extra="forbid"):
    """What to explain."""

    user: Asked = Field(description="name of the user")
    item: Asked = Field(description="name of the item")


class Recommendation(BaseModel):
    """An item of a list."""

    item: Name
    score: float
    rank: int
    metadata: dict[str, Any] = Field(default_factory=dict)


class ListResponse(BaseModel):
    """A list, best first; ``request`` is its number in the journal, when it was kept."""

    request: int | None = None
    recommendations: list[Recommendation]


class Contribution(BaseModel):
    """What an item of the history adds to a score."""

    item: Name
    value: float


class ExplainResponse(BaseModel):
    """What a score is made of: contributions and rest sum to it."""

    item: Name
    score: float
    contributions: list[Contribution]
    rest: dict[str, float]
    by_content: float
    text: str
