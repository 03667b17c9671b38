"""A contact sheet: photos to look at as one page that needs nothing beside it, for `snaplabel review --html`."""

import base64
import io
import shlex
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from sqlalchemy.orm import Session

from snaplabel import images, photos
from snaplabel.errors import ImageError, NotStored, SnaplabelError
from snaplabel.reviews import Item
from snaplabel.store import Store
from snaplabel.tables import Photo

SIDE = 240
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 24px; color: #222; background: #fafafa }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 16px }
figure { margin: 0; padding: 8px; background: #fff; border: 1px solid #ddd; border-radius: 6px }
img, .none { width: 100%; height: 240px; object-fit: contain; background: #eee; display: grid; place-content: center }
code { font-size: 13px; user-select: all }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #111 } figure { background: #1c1c1c } }
"""


def write(session: Session, store: Store, items: Sequence[Item], path: Path, reason: Callable[[Item], str]) -> None:
    """Write the page. Raises SnaplabelError when it can't be written; a photo that can't be read is a grey field."""
    cards = "\n".join(_card(session, store, rank, item, reason(item)) for rank, item in enumerate(items, start=1))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Photos to review</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>Photos to review</h1><main>{cards}</main></html>\n"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SnaplabelError(f"Can't write {path}: {error.strerror or error}.") from error


def _card(session: Session, store: Store, rank: int, item: Item, why: str) -> str:
    label = escape(item.label.name) if item.label is not None else "no label"
    looks = f"<br>looks like <b>{escape(item.suggested.name)}</b>" if item.suggested is not None else ""
    ways = [f"keep {item.photo_id}", f"remove {item.photo_id}"]
    if item.suggested is not None:
        ways.insert(0, f"relabel {item.photo_id} {shlex.quote(item.suggested.name)}")
    commands = "<br>".join(f"<code>snaplabel review {escape(way)}</code>" for way in ways)
    return (
        f"<figure>{_picture(session, store, item)}<figcaption>{rank}. <b>{label}</b>, photo {item.photo_id}"
        f"{looks}<br>{escape(why)}<br>{commands}</figcaption></figure>"
    )


def _picture(session: Session, store: Store, item: Item) -> str:
    try:
        image = images.load(photos.read(store, session.get_one(Photo, item.photo_id)), at_least=SIDE)
    except (ImageError, NotStored):
        return '<div class="none">can\'t be read</div>'
    image.thumbnail((2 * SIDE, 2 * SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}">'
