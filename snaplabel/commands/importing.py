"""`snaplabel import`: labelled photos from a folder or a zip, with a report of what was odd about them."""

import argparse
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from snaplabel import acts, corrections, home, images, labels, people, photos
from snaplabel.commands import sources
from snaplabel.commands.sources import Found
from snaplabel.database import Database
from snaplabel.errors import ImageError, LabelError, SnaplabelError
from snaplabel.images import Prepared
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from snaplabel.tables import Act, Label, Photo

BATCH = 50


@dataclass
class Report:
    """What became of each file, by its path.

    near: (path, what it looks like). conflicts, relabelled: (path, its folder's label, the label it is, or was, here
    under).
    unreadable: (path, reason). alike: labels that may be the same, whoever made them. parts: train, test and their
    like, all of which were taken in. labels: what the folders are called. is_only: the classifier has one label.
    taught: files that changed something, by a new photo or by a label.
    """

    added: int = 0
    taught: int = 0
    known: int = 0
    others: int = 0
    near: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)
    relabelled: list[tuple[str, str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    alike: list[labels.Duplicate] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    is_only: bool = False


@dataclass(frozen=True)
class _Read:
    """A file after its photo was stored. prepared None: these very bytes were here before the import began."""

    found: Found
    label: str
    sha256: str
    prepared: Prepared | None


def import_(settings: Settings, args: argparse.Namespace) -> int:
    """Exit code 1 when not one photo is here afterwards."""
    from snaplabel.commands import importing_report

    with home.opened(settings) as (database, store), sources.opened(args.source) as (found, others):
        if found and not any(one.label for one in found):
            raise SnaplabelError(_without_labels(args.source))
        with database.begin() as session:
            # Before the first photo: an import that is cut off has taken some in all the same.
            classifier_id = people.make_classifier(session, args.classifier).id
            act_id = acts.record(session, "import", classifier_id=classifier_id, person_id=None, files=0).id
        with importing_report.progress(len(found)) as advance:
            report = take_in(
                database,
                store,
                found,
                classifier_name=args.classifier,
                votes_needed=settings.votes_needed,
                relabel=args.relabel,
                act_id=act_id,
                advance=advance,
            )
        report.others, report.parts = others, sources.parts(found)
        report.labels = sorted({one.label for one in found if one.label})
        with database.read() as session:
            report.alike = labels.duplicates(session, classifier_id)
            report.is_only = len(labels.every(session, classifier_id)) == 1
    importing_report.show(report, args.classifier)
    return 0 if report.added or report.known else 1


def _without_labels(source: Path) -> str:
    """What to say of photos of which none lies in a label's folder."""
    parent = f"; did you mean its parent, {source.resolve().parent}?" if source.is_dir() else "."
    return f"{source} holds photos and no label folders{parent} {sources.LIKE_THIS}"


def take_in(
    database: Database,
    store: Store,
    found: Iterable[Found],
    *,
    classifier_name: str = people.DEFAULT,
    votes_needed: float = 0.5,
    relabel: bool = False,
    act_id: int | None = None,
    advance: Callable[[int], None] = lambda files: None,
) -> Report:
    """Store photos and record them with their labels, as votes of the admin "local:import".

    Bytes first, then rows, in batches: an import that is cut off can be run again and goes on where it was.
    relabel: a photo that is here under another label gets its folder's; else it keeps its own and is reported.
    act_id: the act that counts the files that change something.
    """
    with database.begin() as session:
        classifier_id = people.make_classifier(session, classifier_name).id
        known = session.execute(
            select(Photo.sha256, Photo.expired_at).where(Photo.classifier_id == classifier_id)
        ).all()
        # Of an expired photo only the row is here: its picture is taken in again.
        here = {sha256 for sha256, expired_at in known if expired_at is None}
    report = Report()
    recorded = _Recorded(classifier_id, {sha256 for sha256, _ in known}, votes_needed, relabel)

    def write(batch: list[_Read]) -> None:
        for last_try in (False, False, True):
            try:
                with database.begin() as session, session.no_autoflush:
                    part = _record(session, recorded, batch)
                    if act_id is not None:
                        act = session.get_one(Act, act_id)
                        act.facts = {**act.facts, "files": act.facts["files"] + part.taught}
                break
            except IntegrityError:  # Somebody else sent the same photo or made the same label at the same moment.
                recorded.is_alone = False
                if last_try:
                    raise
        report.added += part.added
        report.taught += part.taught
        report.known += part.known
        report.near += part.near
        report.conflicts += part.conflicts
        report.relabelled += part.relabelled

    batch: list[_Read] = []
    for one in _stored(store, found, here, report):
        if isinstance(one, _Read):
            batch.append(one)
        advance(1)
        if len(batch) >= BATCH:
            write(batch)
            batch = []
    if batch:
        write(batch)
    return report


def _stored(store: Store, found: Iterable[Found], here: set[str], report: Report) -> Iterator[_Read | None]:
    """Every file, in order: read, prepared and stored by a few threads that run a little ahead; None: unreadable."""

    def job(one: Found) -> _Read:
        label = labels.clean(one.label) if one.label else ""
        if not label:
            raise LabelError("it lies in no folder that names its label")
        data = one.read()
        sha256 = sha256_of(data)
        if sha256 in here:
            return _Read(one, label, sha256, None)
        prepared = images.prepare(data)
        key = photo_key(sha256)
        if not store.has(key):
            store.put(key, prepared.data)
        return _Read(one, label, sha256, replace(prepared, data=b""))

    waiting: deque[tuple[Found, Future[_Read]]] = deque()
    remaining = iter(found)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1)) as pool:
        try:
            while True:
                for one in islice(remaining, BATCH - len(waiting)):
                    waiting.append((one, pool.submit(job, one)))
                if not waiting:
                    return
                one, future = waiting.popleft()
                try:
                    yield future.result()
                except (ImageError, LabelError) as error:
                    report.unreadable.append((one.path, str(error)))
                    yield None
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Recorded:
    """What an import has to know of the database while it writes. here: sha256 of the photos that are there.

    is_alone: nobody else was seen to write meanwhile, so that a photo that was not there is not there now.
    """

    classifier_id: int
    here: set[str]
    votes_needed: float
    relabel: bool
    is_alone: bool = True


def _record(session: Session, recorded: _Recorded, batch: list[_Read]) -> Report:
    report, sides = Report(), photos.Sides()
    importer = people.person(session, "local", "import", "import")
    made: dict[str, Label] = {}
    for one in batch:
        label = made.setdefault(
            one.label, made.get(one.label) or labels.make(session, recorded.classifier_id, one.label)
        )
        if label.id not in sides:
            sides[label.id] = photos.count_sides(session, recorded.classifier_id, label.id)
        if one.prepared is None:
            photo, near = photos.known(session, recorded.classifier_id, one.sha256), None
            is_new = False
        else:
            added = photos.add(
                session,
                recorded.classifier_id,
                one.prepared,
                label_id=label.id,
                person_id=importer.id,
                sides=sides,
                may_be_known=one.sha256 in recorded.here or not recorded.is_alone,
            )
            photo, is_new, near = added.photo, added.is_new, added.near
        recorded.here.add(one.sha256)
        if photo is None:  # Erased since the import began.
            report.unreadable.append((one.found.path, "it was erased a moment ago"))
            continue
        there = session.get(Label, photo.label_id) if photo.label_id else None
        report.added, report.known = report.added + is_new, report.known + (not is_new)
        if there is not None and there.id != label.id:
            differing = report.relabelled if recorded.relabel else report.conflicts
            differing.append((one.found.path, label.name, there.name))
        if is_new:
            report.taught += 1
            corrections.first(session, photo, importer, label)
        elif there is None or (recorded.relabel and there.id != label.id):
            report.taught += 1
            session.flush()
            corrections.vote(session, photo, importer, label, is_admin=True, votes_needed=recorded.votes_needed)
        if near is not None:
            twin = session.get(Label, near.label_id) if near.label_id else None
            report.near.append((one.found.path, f"a photo of {twin.name}" if twin else "a photo without a label"))
    return report
