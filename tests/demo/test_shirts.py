"""The demo's drawn photos: always the same for a seed, always readable, never twice the same."""

import io
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from demo.shirts import CLUBS, Club, draw, draw_folder


def test_club_names_are_unique_and_usable_as_folder_names() -> None:
    names = [club.name for club in CLUBS]

    assert len(set(names)) == len(names)
    assert all(name == name.strip() and name.replace(" ", "").isalpha() for name in names)


@pytest.mark.parametrize("club", CLUBS, ids=lambda club: club.name)
def test_every_club_decodes_to_upright_rgb_of_the_asked_size(club: Club) -> None:
    photo = draw(club, seed=3, size=160)

    with Image.open(io.BytesIO(photo)) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (160, 160))
        assert not image.getexif()


def test_a_photo_is_about_as_large_as_one_from_a_chat_unless_asked_otherwise() -> None:
    photo = draw(CLUBS[0], seed=0)

    with Image.open(io.BytesIO(photo)) as image:
        assert image.size == (480, 480)
    assert 5_000 < len(photo) < 200_000


def test_the_same_club_and_seed_give_the_same_bytes() -> None:
    once = draw(CLUBS[1], seed=7, size=160)
    draw(CLUBS[1], seed=8, size=160)

    assert draw(CLUBS[1], seed=7, size=160) == once


def test_another_process_draws_the_same_photo() -> None:
    here = sha256(draw(CLUBS[2], seed=11, size=96)).hexdigest()
    program = "import hashlib, demo.shirts as s; print(hashlib.sha256(s.draw(s.CLUBS[2], 11, 96)).hexdigest())"

    there = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=_root())

    assert there.stdout.strip() == here


def test_different_seeds_give_different_photos() -> None:
    photos = {draw(CLUBS[3], seed, size=96) for seed in range(20)}

    assert len(photos) == 20


def test_different_clubs_give_different_photos_for_the_same_seed() -> None:
    photos = {draw(club, 0, size=96) for club in CLUBS}

    assert len(photos) == len(CLUBS)


def test_a_drawn_folder_holds_one_folder_a_club_with_the_photos_of_the_asked_seeds(tmp_path: Path) -> None:
    written = draw_folder(tmp_path, per_club=2, seed=40)

    assert written == 2 * len(CLUBS)
    assert {folder.name for folder in tmp_path.iterdir()} == {club.name for club in CLUBS}
    for club in CLUBS:
        photos = sorted((tmp_path / club.name).iterdir())
        assert [photo.read_bytes() for photo in photos] == [draw(club, 40), draw(club, 41)]


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
