"""Photo and model bytes, by key, on any filesystem that fsspec knows (a folder, s3://…).

Keys: `photos/ab/abcd….jpg` (addressed by content), `backbones/<version>/…`, `models/<classifier>/<version>/…`,
`reports/…`.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snaplabel.errors import NotStored, StoreError


def photo_key(sha256: str) -> str:
    return f"photos/{sha256[:2]}/{sha256}.jpg"


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Store:
    """Bytes under keys. Writing is all or nothing: aside first, then renamed; a remote object appears when whole."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = Path(url.removeprefix("file://")) if "://" not in url or url.startswith("file://") else None
        self._remote: Any = None
        self._root = ""
        if self._folder is None:
            import fsspec

            try:
                self._remote, self._root = fsspec.core.url_to_fs(url)
            except (ImportError, ValueError, OSError) as error:
                raise StoreError(f"SNAPLABEL_STORE_URL {url!r} can't be opened: {error}") from error

    def put(self, key: str, data: bytes) -> None:
        """Keep data under key, replacing what was there. Raises StoreError with the cause (full, read-only, …)."""
        try:
            if self._folder is None:
                self._remote.pipe_file(f"{self._root}/{key}", data)
            else:
                _put(self._path(key), data)
        except OSError as error:
            raise StoreError(f"Can't write {key} to the store at {self.url}: {error.strerror or error}.") from error

    def get(self, key: str) -> bytes:
        """The bytes under key. Raises NotStored, or StoreError when the store itself fails."""
        try:
            if self._folder is not None:
                return self._path(key).read_bytes()
            data: bytes = self._remote.cat_file(f"{self._root}/{key}")
            return data
        except FileNotFoundError as error:
            raise NotStored(f"The store at {self.url} has no {key}.") from error
        except OSError as error:
            raise StoreError(f"Can't read {key} from the store at {self.url}: {error.strerror or error}.") from error

    def has(self, key: str) -> bool:
        if self._folder is not None:
            return self._path(key).is_file()
        return bool(self._remote.exists(f"{self._root}/{key}"))

    def delete(self, key: str) -> None:
        """Remove what is under key; nothing there is fine."""
        try:
            if self._folder is not None:
                self._path(key).unlink(missing_ok=True)
            elif self.has(key):
                self._remote.rm_file(f"{self._root}/{key}")
        except OSError as error:
            raise StoreError(f"Can't delete {key} from the store at {self.url}: {error.strerror or error}.") from error

    def keys(self, folder: str) -> list[str]:
        """The keys directly under a folder; none where there is no such folder."""
        try:
            if self._folder is not None:
                return [f"{folder}/{path.name}" for path in self._path(folder).iterdir() if path.is_file()]
            found = self._remote.ls(f"{self._root}/{folder}", detail=False)
            return [f"{folder}/{str(path).rpartition('/')[2]}" for path in found]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"Can't list {folder} in the store at {self.url}: {error.strerror or error}.") from error

    def walk(self) -> Iterator[str]:
        """Every key there is. Raises StoreError."""
        try:
            if self._folder is not None:
                for folder, _, names in os.walk(self._folder, onerror=_unless_gone):
                    inside = Path(folder).relative_to(self._folder)
                    yield from ((inside / name).as_posix() for name in names if not name.startswith("."))
            else:
                for found in self._remote.find(self._root):
                    yield str(found).removeprefix(self._root).lstrip("/")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"Can't list the store at {self.url}: {error.strerror or error}.") from error

    def local(self, key: str, cache: Path) -> Path:
        """A path of a file on this machine with the bytes under key; fetched into `cache` when the store is remote."""
        if self._folder is not None:
            path = self._path(key)
            if not path.is_file():
                raise NotStored(f"The store at {self.url} has no {key}.")
            return path
        path = cache / key
        if not path.is_file():
            Store(str(cache)).put(key, self.get(key))
        return path

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        path = self._folder / key
        if ".." in Path(key).parts or Path(key).is_absolute():
            raise StoreError(f"{key!r} is no key.")
        return path


def _put(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = aside.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = aside.open("wb")
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _unless_gone(error: OSError) -> None:
    """A folder that is gone holds nothing; one that can't be listed must not look as if it held nothing."""
    if not isinstance(error, FileNotFoundError):
        raise error
