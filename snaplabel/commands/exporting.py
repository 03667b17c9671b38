"""`snaplabel export`: everything that was learnt, in files that any other tool can read."""

import argparse
import csv
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import acts, backbones, home, labels, output, photos, registry
from snaplabel.errors import NotStored, SnaplabelError
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Label, Photo

COLUMNS = ("file", "label", "split", "group", "sha256", "width", "height", "sent_at")
BACKBONE_FILES = ("graph.xml", "graph.bin", "weights.safetensors", "card.json")
MODEL_FILES = ("head.safetensors", "card.json")


def export(settings: Settings, args: argparse.Namespace) -> int:
    """photos/<label>/…, manifest.csv, labels.txt, model/ and backbone/; all of it appears at once, or nothing."""
    target: Path = args.folder
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SnaplabelError(f"{target} is not empty; name a new folder.")
    aside = target.absolute().with_name(f".{target.absolute().name}.{secrets.token_hex(4)}")
    try:
        with home.opened(settings) as (database, store), database.read() as session:
            classifier_id = home.classifier(session, args.classifier).id
            aside.mkdir(parents=True)
            count = _photos(session, store, classifier_id, aside)
            version = _model(session, store, classifier_id, aside)
            with database.begin() as writing:
                acts.record(writing, "export", classifier_id=classifier_id, person_id=None, photos=count)
        os.replace(aside, target)
    except OSError as error:
        raise SnaplabelError(f"Can't write to {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    output.say(
        f"{count} labelled photos are in {target}" + (f", with model v{version}." if version is not None else ".")
    )
    if version is None:
        output.say("There is no model yet.")
    return 0


def _photos(session: Session, store: Store, classifier_id: int, target: Path) -> int:
    names = labels.every(session, classifier_id)
    (target / "labels.txt").write_text("".join(f"{label.name}\n" for label in names))
    folders = _folders(names)
    query = select(Photo).where(Photo.classifier_id == classifier_id, Photo.label_id.is_not(None))
    query = query.where(Photo.removed_at.is_(None), Photo.expired_at.is_(None))
    count = 0
    with (target / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for photo in session.scalars(query.order_by(Photo.id)).yield_per(500):
            label = session.get(Label, photo.label_id)
            if label is None or label.id not in folders:
                continue
            try:
                data = photos.read(store, photo)
            except NotStored:
                output.say(f"Photo {photo.id} is missing from the store and was left out.")
                continue
            inside = f"photos/{folders[label.id]}/{photo.sha256}.jpg"
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            (target / inside).write_bytes(data)
            sent_at = photo.created_at.isoformat(timespec="seconds")
            side = (photo.split, photo.group_id, photo.sha256, photo.width, photo.height, sent_at)
            rows.writerow((inside, _harmless(label.name), *side))
            count += 1
    return count


def _model(session: Session, store: Store, classifier_id: int, target: Path) -> int | None:
    """Write the current model, its labels in the order of its head's rows; its version, None: there is none."""
    model = registry.current(session, classifier_id)
    if model is None:
        return None
    card = Card.from_json(model.card)
    if card.labels:
        (target / "labels.txt").write_text("".join(f"{name}\n" for _, name in card.labels))
    _copy(store, model.key, MODEL_FILES, target / "model")
    _copy(store, backbones.folder(model.backbone), BACKBONE_FILES, target / "backbone")
    return model.version


def _copy(store: Store, folder: str, names: Sequence[str], target: Path) -> None:
    target.mkdir()
    for name in names:
        try:
            (target / name).write_bytes(store.get(f"{folder}/{name}"))
        except NotStored:
            output.say(f"{folder}/{name} is missing from the store and was left out.")


def _folders(names: Sequence[Label]) -> dict[int, str]:
    """A folder's name for each label: its own, as far as any file system can hold it, and no two the same."""
    found: dict[int, str] = {}
    taken: set[str] = set()
    for label in names:
        plain = "".join("_" if ch in '/\\:*?"<>|' else ch for ch in label.name).strip(" .") or "label"
        name = plain
        while name.casefold() in taken:
            name = f"{plain} ({len(taken)})"
        taken.add(name.casefold())
        found[label.id] = name
    return found


def _harmless(text: str) -> str:
    """A label that a spreadsheet will not run as a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text
