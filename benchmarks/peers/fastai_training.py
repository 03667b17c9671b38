"""fastai's side of `benchmarks/training.py`, run by an environment of its own: one line of JSON at the end.

Its defaults as its documentation shows them: random resized crops, `aug_transforms`, a fifth held out, batches of 64.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    Normalize,
    RandomResizedCrop,
    RandomSplitter,
    aug_transforms,
    error_rate,
    get_image_files,
    imagenet_stats,
    parent_label,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("weights", type=Path)
    asked.add_argument("--epochs", type=int, default=4)
    asked.add_argument("--seed", type=int, default=0)
    args = asked.parse_args()
    set_seed(args.seed, reproducible=True)
    started = time.perf_counter()
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        splitter=RandomSplitter(0.2, seed=args.seed),
        get_y=parent_label,
        item_tfms=RandomResizedCrop(224, min_scale=0.5),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(args.folder / "train", bs=64)

    def network(pretrained: bool = False) -> nn.Module:
        # fastai cuts a network off at its pooling layer, which torchvision's mobilenet_v2 has not as a layer.
        known = mobilenet_v2()
        known.load_state_dict({name: tensor.float() for name, tensor in load_file(args.weights).items()})
        return nn.Sequential(known.features, nn.AdaptiveAvgPool2d(1))

    learner = vision_learner(loaders, network, pretrained=False, metrics=error_rate)
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(args.epochs)
        seconds = time.perf_counter() - started
        files = get_image_files(args.folder / "test")
        chances, truth = learner.get_preds(dl=learner.dls.test_dl(files, with_labels=True))
    error = float((chances.argmax(dim=1) != torch.as_tensor(truth)).float().mean())
    print(json.dumps({"seconds": seconds, "error": error, "photos": len(files)}))


if __name__ == "__main__":
    main()
