"""What pages and programs send to the web platform, and what programs get back, as pydantic models."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

OWN_ID = "^[a-z0-9]{8,32}$"


class Said(BaseModel):
    """A text that the page posts. id: the page's own, so that sending it twice counts once."""

    text: str = Field(min_length=1, max_length=2000)
    reply_to: str | None = Field(None, max_length=64)
    id: str | None = Field(None, pattern=OWN_ID)


class Press(BaseModel):
    """A button that was pressed on the page."""

    answer: str = Field(max_length=64)
    data: str = Field(max_length=64)
    id: str | None = Field(None, pattern=OWN_ID)


class Named(BaseModel):
    """What somebody wants to be called; "" for nothing."""

    name: str = Field(max_length=200)


class Trouble(BaseModel):
    """Why a request was not fulfilled, as a sentence."""

    error: str


# What a request may be answered with by the API instead of what it asks for.
TROUBLES = {
    400: "The file is empty, damaged, tiny or too hard to read.",
    401: "The token is missing or wrong.",
    403: "No admin, or a post that did not come from the page.",
    408: "What was sent came too slowly.",
    409: "Somebody decided otherwise meanwhile; ask for the list again.",
    413: "What was sent is too large.",
    415: "The file is no photo.",
    422: "The request can't be understood.",
    429: "Too much within a minute, or too many wrong tokens. Try again after that minute.",
    500: "Something went wrong on our side.",
    503: "Nothing could be read or written down. Try again.",
}


def troubles(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as FastAPI documents them."""
    return {status: {"model": Trouble, "description": TROUBLES[status]} for status in statuses}


class UnknownLabel(Trouble):
    """The label is not known. near: the one that was perhaps meant; `"new": true` makes it."""

    labels: list[str]
    near: str | None = None


class Pending(BaseModel):
    """The photo is written down and waits to be looked at: ask again."""

    id: str
    state: Literal["received", "waiting"]


# A tuple's own schema has prefixItems, which several readers of OpenAPI 3.1 (schemathesis 4.32) take for an error.
Ranked = Annotated[
    tuple[str, float],
    WithJsonSchema(
        {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "minItems": 2,
            "maxItems": 2,
            "description": "A label and its probability.",
        }
    ),
]


class Result(BaseModel):
    """What a photo shows. voice "told": people said so; label None: the model knows nothing of the kind.

    top: (label, probability), most probable first, as the model sees it. model: its version, None if none looked.
    """

    id: str
    label: str | None
    confidence: float | None = Field(ge=0, le=1)
    voice: Literal["sure", "maybe", "unknown", "untaught", "told"]
    top: list[Ranked]
    model: int | None


class Lesson(BaseModel):
    """What a photo shows in truth. new: make the label when it is not known."""

    label: str
    new: bool = False


class Taught(BaseModel):
    """The label that counts now, and whether this correction changed it; the model is refitted within seconds."""

    id: str
    accepted: str | None
    changed: bool


class Score(BaseModel):
    """The exam: share of wrong answers with its 95 % confidence interval. error None: not examined yet."""

    error: float | None = None
    low: float | None = None
    high: float | None = None
    photos: int = 0
    by: str = "exam"


class ModelNow(BaseModel):
    """The model that answers now. version None: there is none yet. labels: names that it can say.

    waiting: a newer version that waits for an admin's word.
    """

    classifier: str
    version: int | None = None
    waiting: int | None = None
    kind: str | None = None
    backbone: str | None = None
    published_at: str | None = None
    labels: list[str] = []
    exam: Score = Score()
    photos: int = 0
    labelled: int = 0


class LabelRow(BaseModel):
    """A label and how many photos it has; exam: those that are never learnt from."""

    name: str
    photos: int
    exam: int


class Health(BaseModel):
    """Whether this process can do its work."""

    ok: bool
    database: Literal["ok", "unreachable"]
