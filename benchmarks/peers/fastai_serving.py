"""fastai's side of `benchmarks/serving.py`: `learn.predict` in a loop; one line of JSON at the end.

Its cnn learner on the same MobileNetV2 and 60 JPEGs in a folder, with the transforms of its documentation.
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
    PILImage,
    Resize,
    get_image_files,
    imagenet_stats,
    vision_learner,
)
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("weights", type=Path)
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--side", type=int, default=256)
    args = asked.parse_args()
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=lambda path: f"label {int(path.stem) % 9}",
        item_tfms=Resize(args.side),
        batch_tfms=[Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(args.folder, bs=16, num_workers=0)

    def network(pretrained: bool = False) -> nn.Module:
        # fastai cuts a network off at its pooling layer, which torchvision's mobilenet_v2 has not as a layer.
        known = mobilenet_v2()
        known.load_state_dict({name: tensor.float() for name, tensor in load_file(args.weights).items()})
        return nn.Sequential(known.features, nn.AdaptiveAvgPool2d(1))

    learner = vision_learner(loaders, network, pretrained=False)
    photos = [path.read_bytes() for path in sorted(get_image_files(args.folder))]
    took: list[float] = []
    with learner.no_bar(), learner.no_logging(), torch.inference_mode():
        learner.predict(PILImage.create(photos[0]))
        began = time.perf_counter()
        while (started := time.perf_counter()) - began < args.seconds:
            learner.predict(PILImage.create(photos[len(took) % len(photos)]))
            took.append(time.perf_counter() - started)
        seconds = time.perf_counter() - began
    took.sort()
    print(
        json.dumps(
            {
                "photos_per_s": round(len(took) / seconds, 2),
                "p50_ms": round(took[len(took) // 2] * 1000, 2),
                "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
