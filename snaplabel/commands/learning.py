"""`snaplabel train` and `classify`: the trainer's and the worker's rooms, joined here since neither knows the other."""

import argparse
from dataclasses import replace

from snaplabel import architectures, home
from snaplabel.errors import SettingsError
from snaplabel.settings import Settings


def train(settings: Settings, args: argparse.Namespace) -> int:
    """What can be seen to be wrong is said before torch is loaded, and before any photo is read."""
    backbone = args.backbone or settings.backbone
    architectures.check(backbone, "--backbone" if args.backbone else "SNAPLABEL_BACKBONE")
    if (
        settings.weights is not None
        and settings.weights.is_file()
        and (found := architectures.trouble(settings.weights))
    ):
        raise SettingsError(f"SNAPLABEL_WEIGHTS: {found}.")
    from trainer.command import train as train_now
    from trainer.recipe import taught_by
    from worker.embed import fill

    if not args.full and any((args.backbone, args.epochs, args.rate, args.batch_size)):
        raise SettingsError("--backbone, --epochs, --rate and --batch-size are of the whole network: add --full.")
    home.prepare(settings)
    settings = replace(settings, backbone=backbone)
    recipe = taught_by(epochs=args.epochs, learning_rate=args.rate, batch_size=args.batch_size)
    return train_now(settings, args.classifier, args.full, fill, recipe=recipe)


def classify(settings: Settings, args: argparse.Namespace) -> int:
    from worker.files import classify as classify_files

    home.prepare(settings)
    return classify_files(settings, args.classifier, args.files, args.json)
