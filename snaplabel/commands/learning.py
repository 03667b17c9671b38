"""`snaplabel train` and `classify`: the trainer's and the worker's rooms, joined here since neither knows the other."""

import argparse

from snaplabel import home
from snaplabel.settings import Settings


def train(settings: Settings, args: argparse.Namespace) -> int:
    from trainer.command import train as train_now
    from worker.embed import fill

    home.prepare(settings)
    return train_now(settings, args.classifier, args.full, fill)


def classify(settings: Settings, args: argparse.Namespace) -> int:
    from worker.files import classify as classify_files

    home.prepare(settings)
    return classify_files(settings, args.classifier, args.files, args.json)
