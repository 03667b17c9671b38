"""Fine-tune: placeholder until the next commit."""

from snaplabel.heads import Floats
from snaplabel.tables import Model, TrainingRun
from trainer.dataset import Dataset
from trainer.progress import Progress
from trainer.publish import Step


def step(context: object, run: TrainingRun, progress: Progress, current: Model, data: Dataset, vectors: Floats) -> Step:
    raise NotImplementedError
