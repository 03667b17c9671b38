"""What schemathesis can't know: what a photo is, and that photos and decisions are numbered from 1."""

import io
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image


def _photo(colour: tuple[int, int, int], kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, kind)
    return out.getvalue()


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
PHOTOS = st.builds(_photo, COLOURS, st.sampled_from(["JPEG", "PNG", "WEBP"]))

schemathesis.openapi.format("binary", st.one_of(PHOTOS, st.binary(max_size=2000)))


def _near(number: Any) -> Any:
    """Of every two numbers that could be an id one that is: the other half asks for what there is not."""
    return 1 + number % 20 if type(number) is int and number > 0 and number % 2 else number


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: Any) -> Any:
    if path_parameters and "photo_id" in path_parameters:
        path_parameters["photo_id"] = _near(path_parameters["photo_id"])
    return path_parameters


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    if isinstance(body, dict) and "act" in body:
        body["act"] = _near(body["act"])
    return body
