"""Every error that snaplabel raises on purpose.

    SnaplabelError
    ├── SettingsError         a setting is missing, a placeholder or not understood
    ├── ImageError            these bytes are no photo we can use; `reason` says which kind of trouble
    ├── LabelError            this text can't be a label
    ├── ReviewError           a photo can't be reviewed like this
    ├── StoreError            the photo and model store can't be read or written
    │   └── NotStored         the store has nothing under this key
    ├── DatabaseError         the database can't be reached or is not migrated
    ├── QueueError            the broker can't be reached
    ├── ModelError            a model can't be loaded, trained or published
    │   ├── WeightsError      pretrained weights are not to be had
    │   └── NothingToLearn    there are too few labelled photos to train on
    ├── TrainingError         a training can't start or go on
    │   ├── AlreadyTraining   this classifier is being trained right now
    │   ├── Cancelled         somebody asked this training to stop
    │   ├── Died              the process that taught ended in the middle
    │   ├── Overtaken         another version became current in the middle
    │   └── Interrupted       the process is about to end; the training is taken up again
    └── PlatformError         a chat platform refused or could not be reached; `permanent` says which

A class's docstring is its default message.
"""


class SnaplabelError(Exception):
    """Something went wrong in snaplabel."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class SettingsError(SnaplabelError):
    """A setting is missing or not understood."""


class ImageError(SnaplabelError):
    """This file is not a photo that can be used.

    reason: one of `images.REASONS`, for the sentence that a person reads.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class LabelError(SnaplabelError):
    """This text can't be a label."""


class ReviewError(SnaplabelError):
    """This photo can't be reviewed like this."""


class StoreError(SnaplabelError):
    """The store for photos and models can't be read or written."""


class NotStored(StoreError):
    """The store has nothing under this key."""


class DatabaseError(SnaplabelError):
    """The database can't be reached, or `snaplabel migrate` has not been run."""


class QueueError(SnaplabelError):
    """The broker can't be reached."""


class ModelError(SnaplabelError):
    """A model can't be loaded, trained or published."""


class WeightsError(ModelError):
    """Pretrained weights can't be had."""


class NothingToLearn(ModelError):
    """There are not enough labelled photos to train on: at least two labels with one photo each."""


class TrainingError(SnaplabelError):
    """A training can't start or go on."""


class AlreadyTraining(TrainingError):
    """This classifier is being trained right now; a training that was killed can be taken up a minute later."""


class Cancelled(TrainingError):
    """The training was cancelled."""


class Died(TrainingError):
    """The training process died."""


class Overtaken(TrainingError):
    """Other versions became current again and again while this one was trained."""


class Interrupted(TrainingError):
    """The process is about to end; this training is taken up again by the next one."""


class PlatformError(SnaplabelError):
    """A chat platform refused or could not be reached.

    permanent: trying again can't help (blocked, deleted, forbidden).
    retry_after_s: the platform's own wish, None where it said nothing.
    """

    def __init__(
        self, message: str | None = None, *, permanent: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_s = retry_after_s
