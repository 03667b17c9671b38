"""`snaplabel train`: one training in this very process, with a bar, a table and an honest last line."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from snaplabel import acts, home, people, trainings
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import TrainingRun
from trainer import backbone, run, weights
from trainer.recipe import Recipe
from trainer.run import Context

Fill = Callable[[Database, Store, Settings, Sequence[int], str, Callable[[int], None]], None]
# A step as long as many epochs, and without a line of the table; where there is no bar it is said once.
LONG_STEP = "teaching it the held-out photos"
HEADER = f"{'epoch':>5}  {'train_loss':>10}  {'valid_loss':>10}  {'error_rate':>10}  {'time':>5}"


def train(
    settings: Settings,
    classifier: str,
    full: bool,
    embed: Fill,
    console: Console | None = None,
    recipe: Recipe | None = None,
    program: str = "snaplabel",
) -> int:
    """Train a classifier and print what became of it; the command's exit code: 0 done, 1 failed.

    full: fine-tune the whole network; else only the head is refitted.
    embed(database, store, settings, photo ids, backbone version, on_done): makes and stores the embeddings of these
    photos, and tells on_done how many are done.
    program: how a person starts snaplabel, for the commands that are named at the end.
    A training whose process died in the middle is gone on with. Raises AlreadyTraining, StoreError, WeightsError, and
    SnaplabelError for a classifier that is not there.
    """
    out = console or Console()
    if settings.weights is not None:
        weights.find(settings)
    database, store = Database(settings.database), Store(settings.store)
    try:
        with database.read() as session:
            found = home.classifier(session, classifier)
        made = recipe or Recipe()

        def warn(sentence: str) -> None:
            out.print(sentence, style="yellow", soft_wrap=True)

        current = backbone.ensure(database, store, settings, found.id, warn, made)
        if full:
            backbone.check_weights(database, store, settings, found.id)
        unused = backbone.unused_weights(database, store, settings, current)
        if unused is not None and not full:
            full_training = f"`{program} train --full{people.option(classifier)}`"
            warn(f"{unused} was given after {classifier} was taught without it; {full_training} takes it up.")
        run_id = _ask(database, found.id, "fine_tune" if full else "refit")

        def embed_here(photo_ids: Sequence[int], backbone_version: str, on_done: Callable[[int], None]) -> None:
            embed(database, store, settings, photo_ids, backbone_version, on_done)

        with _bar(out) as bar:
            watch = _Watch(out, bar, bar.add_task("starting", total=1.0))
            context = Context(database, store, settings, embed_here, made, watch=watch.hear, say=out.print)
            run.execute(context, run_id)
        with database.read() as session:
            over = session.get_one(TrainingRun, run_id)
        return _tell(out, over, program, people.option(classifier))
    finally:
        database.close()


def _ask(database: Database, classifier_id: int, kind: str) -> int:
    """A new run's id, or that of one whose process died. Raises AlreadyTraining."""
    with database.read() as session:
        left = trainings.left_behind(session, classifier_id, kind)
    if left is not None:
        return left.id
    with database.begin() as session:
        run_id = trainings.ask(session, classifier_id, kind, "cli").id
        acts.record(session, "retrain", classifier_id=classifier_id, person_id=None, run_id=run_id, kind=kind)
    return run_id


def _bar(out: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)


class _Watch:
    """Turns what a run reports into a bar and, epoch by epoch, the table everybody knows."""

    def __init__(self, out: Console, bar: Progress, task: TaskID) -> None:
        self._out, self._bar, self._task = out, bar, task
        self._epoch = 0
        self._step = ""

    def hear(self, facts: dict[str, Any]) -> None:
        self._bar.update(self._task, completed=facts.get("done", 0.0), description=str(facts.get("step", "")))
        if facts.get("epoch", 0) > self._epoch:
            if not self._epoch:
                self._out.print(HEADER, highlight=False)
            self._epoch = facts["epoch"]
            self._out.print(_line(facts), highlight=False)
        step = str(facts.get("step", ""))
        if step != self._step and step.startswith(LONG_STEP) and not self._out.is_terminal:
            self._out.print(f"{step}…", highlight=False)
        self._step = step


def _line(facts: dict[str, Any]) -> str:
    minutes, seconds = divmod(round(facts["epoch_seconds"]), 60)
    losses = f"{facts['train_loss']:>10.4f}  {facts['valid_loss']:>10.4f}  {facts['error_rate']:>10.4f}"
    return f"{facts['epoch']:>5}  {losses}  {minutes:02d}:{seconds:02d}"


def _tell(out: Console, over: TrainingRun, program: str, of: str) -> int:
    """Print what became of a training. of: the option that names its classifier."""
    if over.state != "done":
        why = f". {over.failure}" if over.failure else f": {over.state}."
        out.print(f"Not trained{why}", style="red", highlight=False, soft_wrap=True)
        return 1
    for line in lines(over.progress):
        out.print(line, highlight=False, soft_wrap=True)
    is_candidate = "new_error" in over.progress and not over.progress["published"]
    version = f" {over.progress['version']}{of}" if is_candidate else of
    if over.picture:
        more = f"`{program} report{version}` says more; --out DIR takes its picture along."
        out.print(more, highlight=False, soft_wrap=True)
    if is_candidate:
        ways = f"`{program} promote{version}` lets it answer all the same, `{program} discard{version}` puts it aside."
        out.print(ways, highlight=False, soft_wrap=True)
    return 0


def lines(facts: dict[str, Any]) -> list[str]:
    """What a finished training says on the command line."""
    seconds = f"{facts['seconds']:.1f} s"
    if "new_error" not in facts:
        return [f"{facts['verdict']} v{facts['version']} stays. {seconds}"]
    state = f"published v{facts['version']}" if facts["published"] else f"v{facts['version']} kept as a candidate"
    return [f"{facts['photos']} photos: {score(facts)}; {state}. {seconds}", facts["verdict"]]


def score(facts: dict[str, Any]) -> str:
    """The error before and after, with its 95 % interval."""
    if facts["new_error"] is None:
        return "no exam photos yet"
    came, both = (f"{facts['old_error']:.1%} → ", "both asked these ") if facts["old_error"] is not None else ("", "")
    where = f"{facts['asked']} exam photos" if facts["by"] == "exam" else f"{facts['asked']} photos, cross-validated"
    return f"error {came}{facts['new_error']:.1%} ({facts['low']:.1%} to {facts['high']:.1%}, {both}{where})"
