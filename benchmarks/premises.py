"""What benchmarks of the worker run in: a home with a backbone and a head, a private Redis, real workers."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sqlalchemy import select

from snaplabel import backbones, heads, labels, people, queue, redis_server, registry
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database
from snaplabel.heads import Head
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model

LABELS = 9
SIDE = 32


def prepare(settings: Settings, database: Database) -> Model:
    """The first version: a pretrained backbone that knows no labels yet."""
    with database.begin() as session:
        people.make_classifier(session)
    environment = {**os.environ, **settings.environment()}
    subprocess.run([sys.executable, "-P", "-m", "trainer.prepare"], env=environment, check=True)
    with database.read() as session:
        made = session.scalar(select(Model))
    if made is None:
        sys.exit("The backbone could not be made.")
    return made


def teach(settings: Settings, database: Database, store: Store) -> str:
    """A version with the pretrained backbone and a drawn head of LABELS labels; the backbone's version.

    Answering with a drawn head costs what it costs with a fitted one.
    """
    backbone = prepare(settings, database)
    with database.begin() as session:
        size = 1280
        known = [labels.make(session, backbone.classifier_id, f"label {n}") for n in range(LABELS)]
        weight = np.random.default_rng(0).standard_normal((LABELS, size), np.float32)
        unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
        version = registry.next_version(session, backbone.classifier_id)
        named = tuple((label.id, label.name) for label in known)
        card, key = Card("default", version, "refit", backbone.backbone, named), f"models/1/{version}"
        card = heads.save(store, key, Head(weight, np.zeros(LABELS, np.float32), unit), card)
        model = Model(
            classifier_id=backbone.classifier_id,
            version=version,
            kind="refit",
            backbone=backbone.backbone,
            key=key,
            card=card.to_json(),
        )
        session.add(model)
        session.flush()
        registry.publish(session, model)
        return backbone.backbone


def draw_backbone(store: Store, folder: Path, version: str, dimension: int) -> None:
    """Put a network into a store that makes so many numbers of a photo's mean brightness; folder: for its files."""
    import openvino as ov
    from openvino import opset8 as ops

    pixels = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, "f32"), ops.constant(np.array([1, 2, 3])), False)
    drawn = np.random.default_rng(0).standard_normal((1, dimension), np.float32)
    embedding = ops.multiply(ops.unsqueeze(mean, ops.constant(np.array([1]))), ops.constant(drawn))
    ov.save_model(ov.Model([embedding], [pixels]), f"{folder}/graph.xml", compress_to_fp16=False)
    for name in ("graph.xml", "graph.bin"):
        store.put(f"{backbones.folder(version)}/{name}", (folder / name).read_bytes())
    backbones.save_card(store, BackboneCard(version, "drawn", dimension, Preparation(SIDE, SIDE), True, "drawn"))


@contextlib.contextmanager
def redis(settings: Settings) -> Iterator[int]:
    """The private Redis as `snaplabel up` starts it; its process id."""
    server = subprocess.Popen(redis_server.command(settings), env={})
    while not redis_server.answers(queue.socket_path(settings)):
        time.sleep(0.02)
    try:
        yield server.pid
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def workers(settings: Settings, count: int = 1) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """So many `snaplabel worker`, as somebody starts them."""
    program = (sys.executable, "-P", "-m", "snaplabel", "worker")
    environment = {**os.environ, **settings.environment(), "SNAPLABEL_LOG_LEVEL": "WARNING"}
    started = [subprocess.Popen(program, env=environment) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def resident_mb(pid: int) -> float:
    """Megabytes that a process holds; 0 when it is gone."""
    said = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return int(said) / 1024 if said.strip().isdecimal() else 0.0


def cpu_s(pid: int) -> float:
    """Seconds that a process has spent on a processor so far (Linux; elsewhere 0)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
