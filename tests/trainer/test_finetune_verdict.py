"""What becomes of a taught network: it answers only if it is proven better on photos that neither was taught with."""

from typing import Any

import numpy as np
import pytest

from snaplabel import backbones, trainings
from snaplabel.backbones import BackboneCard, Preparation
from tests.trainer.conftest import BACKBONE, DIMENSION
from trainer import dataset, finetune
from trainer.finetune import Made
from trainer.job import Job, Outcome
from trainer.material import gather
from trainer.progress import Progress
from trainer.publish import Step

TAUGHT = "tiny-111111111111"


def _step(planted: Any) -> Step:
    """The verdict on a taught network that sees of every photo what its label is."""
    with planted.database.begin() as session:
        asked = trainings.ask(session, planted.classifier_id, "fine_tune", "command")
        session.flush()
        session.expunge(asked)
    context, progress = planted.context(), Progress(planted.database, asked.id)
    backbones.save_card(planted.store, BackboneCard(TAUGHT, "tiny", DIMENSION, Preparation(32, 32), True, "planted"))
    here = gather(context, progress, planted.classifier_id)
    data = here.data
    directions = 4 * np.eye(len(data.labels), DIMENSION, dtype=np.float32)
    seen = directions[data.truth] + 0.3 * np.random.default_rng(1).normal(size=(len(data), DIMENSION))
    lesson = np.flatnonzero(~data.is_exam)
    outcome = Outcome(
        TAUGHT, np.arange(len(data)), seen.astype(np.float32), lesson[::2], lesson[1::2], seen.astype(np.float32)
    )
    dataset.store_by_bytes(planted.database, planted.classifier_id, TAUGHT, data.sha256s, outcome.served)
    return finetune.step(context, asked, progress, here, Made(Job("teach", BACKBONE, data, context.recipe), outcome))


@pytest.mark.parametrize(("mistaken", "publish"), [(10, True), (2, False), (0, False)])
def test_a_taught_network_must_be_proven_better_than_the_one_that_answers(
    planted: Any, mistaken: int, publish: bool
) -> None:
    for label in ("ant", "bee"):
        planted.photos(20, label)
        planted.photos(5, label, split="exam")
    planted.photos(mistaken, "bee", split="exam", looks="ant")  # To the network as it was.
    planted.refit()

    decision = _step(planted).decision

    assert decision.publish is publish
    if not publish:
        assert decision.verdict == (
            f"Not better beyond chance: of {30 + mistaken} photos that neither was taught with, the network as it was "
            f"gets {mistaken} wrong, the newly taught one 0."
        )


def test_a_network_that_was_never_taught_has_nothing_to_defend(planted: Any) -> None:
    backbones.save_card(
        planted.store, BackboneCard(BACKBONE, "tiny", DIMENSION, Preparation(32, 32), False, "drawn at random")
    )
    for label in ("ant", "bee"):
        planted.photos(20, label)
        planted.photos(5, label, split="exam")
    planted.refit()

    assert _step(planted).decision.publish
