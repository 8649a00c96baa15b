"""The explorer: a page on which a user is chosen and the lists, their pictures and their reasons are seen.

Plain HTML without scripts; everything from the data is escaped, pictures come from this page only. It reads and never
writes.
"""

import io
from collections.abc import Callable
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmsdk.errors import MissingDependencyError, MmsdkError

if TYPE_CHECKING:
    from mmsdk_recommend.recommender import Recommender

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dde2e8;--ground:#fff;--panel:#f5f7f9;--link:#0b63c5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaef;--soft:#9aa5b1;--line:#343c46;--ground:#14181d;--panel:#1c2229;
--link:#7db7ff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1.5rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}.soft{color:var(--soft);font-size:.85rem}
form{display:flex;flex-wrap:wrap;gap:.6rem;align-items:end;background:var(--panel);padding:1rem;border-radius:.6rem}
label{flex:1 1 9rem;display:flex;flex-direction:column;font-size:.8rem;color:var(--soft);gap:.2rem}
input,button{font:inherit;padding:.4rem .6rem;border:1px solid var(--line);border-radius:.4rem;background:var(--ground);
color:var(--ink);width:100%}button{background:var(--link);color:var(--ground);border:0;padding:.5rem 1.2rem;width:auto}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.9rem}
.card{background:var(--panel);border-radius:.6rem;overflow:hidden;display:flex;flex-direction:column}
.card img,.blank{width:100%;aspect-ratio:4/3;object-fit:cover;background:var(--line)}.blank{display:flex;
align-items:center;justify-content:center;color:var(--soft);font-size:2rem}.card div.text{padding:.6rem .8rem}
.card p{margin:.3rem 0 0}.small img,.small .blank{aspect-ratio:3/2}.error{border-left:4px solid #c33;padding:.5rem 1rem}
"""
Get = Callable[[], "Recommender"]


def explorer(get: Get) -> Any:
    """Make the page as an ASGI application; ``get`` gives the recommender that is served. Needs starlette."""
    try:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import HTMLResponse, Response
        from starlette.routing import Route
    except ModuleNotFoundError as error:
        raise MissingDependencyError("starlette", "recommend") from error

    def index(request: Request) -> Response:
        asked = {name: request.query_params.get(name, "")[:500] for name in ("user", "item", "taste")}
        try:
            body = _body(get(), asked)
            status = 200
        except MmsdkError as error:
            body, status = f'{_form(asked)}<p class="error">{escape(str(error))}</p>', error.status
        return HTMLResponse(_page(body), status, headers={"Content-Security-Policy": _POLICY})

    def picture(request: Request) -> Response:
        found = _thumbnail(_path(get(), request.query_params.get("item", "")))
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(found, 200 if found else 404, headers=headers, media_type="image/jpeg")

    return Starlette(routes=[Route("/", index), Route("/picture", picture)])


def _body(recommender: "Recommender", asked: dict[str, str]) -> str:
    from mmsdk_recommend.names import known

    parts = [_form(asked)]
    data = recommender.data
    if asked["user"]:
        user = known(asked["user"], data.users)
        found = recommender.recommend([user], 12)
        parts.append(f"<h2>For {escape(str(user))}</h2>{_cards(recommender, found, user=user)}")
        own = data.items[recommender.history_of(user).items][::-1][:12]
        parts.append(f"<h2>Took last</h2>{_grid([_card(recommender, item, '') for item in own], 'small')}")
    if asked["item"]:
        item = known(asked["item"], data.items)
        parts.append(f"<h2>Like {_title(recommender, item)}</h2>{_cards(recommender, recommender.similar(item, 12))}")
    if asked["taste"]:
        found = recommender.for_taste(asked["taste"], 12)
        parts.append(f"<h2>For the taste “{escape(asked['taste'])}”</h2>{_cards(recommender, found)}")
    if not any(asked.values()):
        links = (f'<a href="?user={quote(str(user), safe="")}">{escape(str(user))}</a>' for user in data.users[:40])
        parts.append(f"<h2>{len(data.users):,} users, {len(data.items):,} items</h2><p>{' · '.join(links)}</p>")
    return "".join(parts)


def _cards(recommender: "Recommender", found: Any, *, user: Any = None) -> str:
    from mmsdk_recommend.explain import explain, shown

    cards = []
    for item, score in zip(found["item"], found["score"], strict=True):
        why = (
            ""
            if user is None
            else explain(recommender, user, item, most=2).text.removeprefix(shown(recommender, item))[2:]
        )
        cards.append(_card(recommender, item, f"{score:.3f}", why=why))
    return _grid(cards)


def _card(recommender: "Recommender", item: Any, score: str, *, why: str = "") -> str:
    name = quote(str(item), safe="")
    shown = f'<img src="picture?item={name}" alt="" loading="lazy">'
    if _path(recommender, str(item)) is None:
        shown = f'<span class="blank">{escape(str(item)[:2])}</span>'
    reason = f'<p class="soft">{escape(why)}</p>' if why else ""
    below = f'<p class="soft">{escape(score)}</p>' if score else ""
    title = _title(recommender, item)
    return f'<div class="card">{shown}<div class="text"><a href="?item={name}">{title}</a>{below}{reason}</div></div>'


def _grid(cards: list[str], kind: str = "") -> str:
    return f'<div class="grid {kind}">{"".join(cards) or "nothing"}</div>'


def _title(recommender: "Recommender", item: Any) -> str:
    from mmsdk_recommend.explain import shown

    return escape(shown(recommender, item))


def _path(recommender: "Recommender", item: str) -> str | None:
    """Give the file of an item's picture, when the catalogue names one that is on this machine."""
    from mmsdk_recommend.names import known

    place = int(recommender.data.items.get_indexer([known(item, recommender.data.items)])[0])
    named = recommender.metadata[place].get("image") if place >= 0 else None
    return named if isinstance(named, str) and "://" not in named and Path(named).is_file() else None


@lru_cache(maxsize=512)
def _thumbnail(path: str | None) -> bytes:
    from PIL import Image as Pillow

    from mmsdk import load
    from mmsdk.types import Image

    if path is None:
        return b""
    try:
        content = load(path)
    except MmsdkError:
        return b""
    if not isinstance(content, Image):
        return b""
    small = Pillow.fromarray(content.pixels)
    small.thumbnail((320, 320))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def _form(asked: dict[str, str]) -> str:
    fields = "".join(
        f'<label>{label}<input name="{name}" value="{escape(asked[name])}"></label>'
        for name, label in (("user", "User"), ("item", "Like item"), ("taste", "Taste in words"))
    )
    return f'<form method="get" action="">{fields}<button>Show</button></form>'


def _page(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Recommendations</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>Recommendations</h1>{body}</body></html>"
    )
