"""The store: all or nothing, and an error that names the cause."""

from pathlib import Path

import pytest

from snaplabel.errors import NotStored, StoreError
from snaplabel.store import Store, photo_key


def test_what_is_put_comes_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))

    store.put(photo_key("ab12"), b"bytes")

    assert store.get("photos/ab/ab12.jpg") == b"bytes"
    assert store.has("photos/ab/ab12.jpg")


def test_a_store_on_another_filesystem_does_the_same(tmp_path: Path) -> None:
    store = Store("memory://snaplabel-test")

    store.put("models/1/card.json", b"{}")
    path = store.local("models/1/card.json", tmp_path)

    assert path.read_bytes() == b"{}"
    store.delete("models/1/card.json")
    assert not store.has("models/1/card.json")
    with pytest.raises(NotStored):
        store.get("models/1/card.json")


def test_nothing_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NotStored, match=r"has no photos/x\.jpg"):
        Store(str(tmp_path)).get("photos/x.jpg")


def test_no_key_leads_out_of_the_store(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))

    for key in ("../outside", "/etc/passwd", "a/../../b"):
        with pytest.raises(StoreError, match="no key"):
            store.put(key, b"")


def test_writing_leaves_no_half_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.put("a/b", b"old")

    (tmp_path / "store" / "a" / "c").mkdir()
    with pytest.raises(StoreError, match="Can't write a/c"):
        store.put("a/c", b"new")

    assert sorted(path.name for path in (tmp_path / "store" / "a").iterdir()) == ["b", "c"]


def test_an_unknown_kind_of_store_is_named() -> None:
    with pytest.raises(StoreError, match="ftpx"):
        Store("ftpx://somewhere")


@pytest.mark.parametrize("url", ["", "memory://snaplabel-keys"])
def test_keys_of_a_folder_are_listed(tmp_path: Path, url: str) -> None:
    store = Store(url or str(tmp_path / "store"))
    store.put("inbox/1-a", b"")
    store.put("inbox/2-b", b"")

    assert sorted(store.keys("inbox")) == ["inbox/1-a", "inbox/2-b"]
    assert store.keys("nothing") == []
