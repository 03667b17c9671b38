"""The facts of a report: candidate and current model on the same photos, kept for every training."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snaplabel import labels, people, registry, reports
from snaplabel.database import now
from snaplabel.registry import Card
from snaplabel.reports import Report
from snaplabel.tables import Chat, Message, Photo
from trainer import candidate, dataset
from trainer.dataset import Dataset
from trainer.recipe import Recipe


def _train(planted: Any, reason: str = "corrections") -> Report:
    """Refit, and read the report of what came of it."""
    found = reports.load(planted.store, planted.refit(reason).id)
    assert found is not None
    return found


def _data(planted: Any) -> tuple[Dataset, Any]:
    with planted.database.read() as session:
        data = dataset.read(session, planted.classifier_id)
        return data, dataset.embeddings(session, data, planted.classifier_id, planted.current().backbone)[0]


def _plant(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")


def test_a_refit_after_a_correction_has_its_facts_and_no_picture(planted: Any) -> None:
    _plant(planted)

    found = _train(planted)

    assert found.new is not None
    assert (found.by, found.new.photos, found.new.error) == ("exam", 12, 0.0)
    assert [(one.name, one.right, one.asked, one.lessons) for one in found.labels] == [
        ("ant", 6, 6, 12),
        ("bee", 6, 6, 12),
    ]
    assert (found.old, found.parent, found.change) == (None, None, None)
    assert not planted.store.has(reports.picture_key(found.run))


def test_what_came_right_is_named_with_what_was_answered_before(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(12, "wasp")
    asked = planted.photos(4, "wasp", split="exam")

    found = _train(planted)

    assert found.change is not None
    assert found.old is not None
    assert sorted(photo for photo, _, _ in found.change.fixed) == asked
    assert all(found.labels[truth].name == "wasp" for _, truth, _ in found.change.fixed)
    assert all(found.labels[before].name in ("ant", "bee") for _, _, before in found.change.fixed)
    assert found.change.gain == pytest.approx(4 / 16)
    assert found.parent == 1
    assert [one.was_right for one in found.labels] == [6, 6, 0]
    assert found.old.error == pytest.approx(4 / 16)


def test_what_went_wrong_is_named_with_what_is_answered_now(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")

    found = _train(planted)

    assert found.change is not None
    assert not found.publish
    assert len(found.change.broken) == 6
    assert {found.labels[now_].name for _, _, now_ in found.change.broken} == {"ant"}
    assert found.pairs()[0][:2] == (1, 0)
    assert sorted(found.pairs()[0][2]) == sorted(photo for photo, _, _ in found.change.broken)


def test_a_refused_candidate_keeps_its_report_when_an_admin_publishes_or_discards_it(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")
    refused = _train(planted)
    with planted.database.begin() as session:
        model = registry.find(session, planted.classifier_id, 2)
        assert model.state == "candidate"

        registry.publish(session, model)
        published = reports.of(session, planted.store, model)
        registry.rollback(session, planted.classifier_id, 1)
        registry.discard(session, planted.classifier_id, 2)
        discarded = reports.of(session, planted.store, model)

        assert (model.state, published, discarded) == ("discarded", refused, refused)


def test_a_report_comes_back_from_json_as_it_was(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")
    found = _train(planted)

    again = Report.from_json(json.loads(json.dumps(found.to_json())))

    assert again == found


def test_without_an_exam_the_lessons_are_cross_validated_and_named(planted: Any) -> None:
    ids = [*planted.photos(10, "ant"), *planted.photos(10, "bee"), planted.photo("ant", looks="bee")]

    found = _train(planted)

    assert found.new is not None
    assert (found.by, found.new.photos, found.old) == ("cross-validation", 21, None)
    assert [photo for photo, *_ in found.wrong] == [ids[-1]]


def test_two_photos_make_a_report_of_nothing(planted: Any) -> None:
    planted.photo("ant")
    planted.photo("bee")

    found = _train(planted, "command")

    assert (found.new, found.wrong, found.change) == (None, (), None)
    assert not planted.store.has(reports.picture_key(found.run))


def test_an_answer_of_an_archived_label_counts_as_wrong(planted: Any) -> None:
    _plant(planted)
    planted.photos(12, "wasp")
    planted.photos(6, "wasp", split="exam")
    odd = planted.photo("ant", split="exam", looks="wasp")
    _train(planted)
    with planted.database.begin() as session:
        labels.make(session, planted.classifier_id, "wasp").archived_at = now()

    data, vectors = _data(planted)
    said = candidate.answers_of(planted.store, planted.current(), data, vectors)

    assert said is not None
    assert said[data.photo_ids == odd].tolist() == [reports.UNKNOWN]
    assert [name for _, name in data.labels] == ["ant", "bee"]


def test_an_answer_of_a_merged_label_counts_as_the_one_it_was_merged_into(planted: Any) -> None:
    _plant(planted)
    planted.photos(12, "bumblebee")
    asked = planted.photos(6, "bumblebee", split="exam")
    _train(planted)
    with planted.database.begin() as session:
        bee = labels.make(session, planted.classifier_id, "bee")
        bumblebee = labels.make(session, planted.classifier_id, "bumblebee")
        for photo in session.query(Photo).filter(Photo.label_id == bumblebee.id):
            photo.label_id, photo.labelled_at = bee.id, now()
        bumblebee.archived_at, bumblebee.merged_into_id = now(), bee.id

    data, vectors = _data(planted)
    said = candidate.answers_of(planted.store, planted.current(), data, vectors)
    found = _train(planted)

    assert said is not None
    is_asked = np.isin(data.photo_ids, asked)
    assert (said[is_asked] == data.truth[is_asked]).all()
    assert found.change is not None
    assert (found.change.fixed, found.change.broken) == ((), ())


def test_the_same_photos_and_seed_give_the_same_head_to_the_last_byte(planted: Any) -> None:
    _plant(planted)
    extra = planted.photo("ant")
    _train(planted)
    planted.relabel(extra, "bee")
    _train(planted)
    planted.relabel(extra, "ant")
    _train(planted)

    models = [model for model in reversed(planted.models()) if model.kind != "backbone"]
    first, other, again = (Card.from_json(model.card) for model in models)
    heads = [planted.store.get(f"{model.key}/head.safetensors") for model in models]

    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert heads[0] == heads[2] != heads[1]
    assert first.exam == again.exam


def test_another_seed_is_another_cross_validation(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    data, vectors = _data(planted)

    one, same, other = (candidate.make(data, vectors, Recipe(seed=seed)) for seed in (7, 7, 8))

    assert (one.calibrated, one.exam) == (same.calibrated, same.exam)
    assert one.calibrated != other.calibrated


def test_the_card_says_what_a_model_is_made_of(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photo("bee")
    _train(planted)

    card = Card.from_json(planted.current().card)

    assert [name for _, name in card.labels] == ["ant", "bee"]
    assert card.recipe["refit"]["folds"] == 5
    assert card.recipe["chosen_weight_decay"] in Recipe().refit.weight_decays
    assert (card.seed, card.parent, len(card.fingerprint)) == (7, 1, 64)
    assert card.exam.error == 0.0
    assert card.exam.ece is not None
    assert 0 < card.sure_at <= 1
    assert 0 < card.shortlist <= 1
    assert card.stranger_at is not None
    assert card.temperature > 0
    assert {"numpy", "scipy"} <= card.libraries.keys()


def test_a_card_from_before_calibration_was_kept_can_be_read() -> None:
    card = Card("default", 1, "refit", "tiny").to_json()
    for name in ("ece", "ece_by_chance"):
        del card["exam"][name]

    assert Card.from_json(card).exam.ece is None


def test_a_version_without_a_stored_report_is_told_by_its_card(planted: Any) -> None:
    _plant(planted)
    planted.photo("ant", split="exam", looks="bee")
    made = _train(planted)
    planted.store.delete(reports.key(made.run))

    with planted.database.read() as session:
        found = reports.of(session, planted.store, planted.current())

    assert made.new is not None
    assert found.new == replace(made.new, calibration=None)
    assert [(one.name, one.right, one.asked) for one in found.labels] == [("ant", 6, 7), ("bee", 6, 6)]
    assert found.pairs() == [(0, 1, [0])]
    assert found.photo_ids() == set()


def test_a_backbone_has_an_empty_report(planted: Any) -> None:
    with planted.database.read() as session:
        found = reports.of(session, planted.store, planted.current())

    assert (found.new, found.labels, found.run) == (None, (), 0)


def test_a_training_that_learnt_nothing_new_leaves_the_report_of_its_version(planted: Any) -> None:
    _plant(planted)
    made = _train(planted)
    idle = planted.refit("command").id

    with planted.database.read() as session:
        assert reports.of(session, planted.store, planted.current()) == made
    assert reports.load(planted.store, idle) is None


def test_the_curve_goes_through_what_was_published_and_ends_at_the_asked_version(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photo("ant")
    _train(planted)
    planted.photos(80, "ant", looks="bee")
    _train(planted)
    planted.photos(80, "bee")
    _train(planted)

    with planted.database.read() as session:
        whole, refused = (reports.curve(session, planted.classifier_id, n) for n in (4, 3))

    assert [point.version for point in whole] == [1, 2, 4]
    assert [point.version for point in refused] == [1, 2, 3]
    assert refused[-1].error == pytest.approx(0.5)
    assert whole[0].low == 0.0
    assert whole[0].lessons == 24


def test_photos_sent_in_private_erased_or_taken_out_are_not_shown(planted: Any) -> None:
    imported, in_group, in_private, in_both, removed = planted.photos(5, "ant")
    with planted.database.begin() as session:
        anna = people.person(session, "test", "1")
        group, private = (
            Chat(platform="test", platform_id=name, is_private=name == "private", classifier_id=planted.classifier_id)
            for name in ("group", "private")
        )
        session.add_all((group, private))
        session.flush()
        for photo, chat in ((in_group, group), (in_private, private), (in_both, private), (in_both, group)):
            session.add(
                Message(
                    platform="test",
                    chat_id=chat.id,
                    platform_id=f"{photo}",
                    person_id=anna.id,
                    photo_id=photo,
                    state="answered",
                )
            )
        session.get_one(Photo, removed).removed_at = now()

    with planted.database.read() as session:
        found = reports.visible(session, planted.classifier_id, [imported, in_group, in_private, in_both, removed, 999])
        elsewhere = reports.visible(session, planted.classifier_id + 1, [imported])

    assert set(found) == {imported, in_group, in_both}
    assert elsewhere == {}


def test_a_damaged_report_is_named(planted: Any) -> None:
    planted.store.put(reports.key(5), b'{"run": 5}')

    with pytest.raises(Exception, match=r"reports/5\.json is damaged"):
        reports.load(planted.store, 5)


def test_importing_the_report_loads_no_matplotlib() -> None:
    code = "import sys, trainer.run, trainer.report; print('matplotlib' in sys.modules)"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "False"
