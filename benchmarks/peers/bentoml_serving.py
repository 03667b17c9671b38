"""BentoML's side of `benchmarks/serving.py`: the same MobileNetV2 with torch as a service of its own, until ended.

    SNAPLABEL_PEER_WEIGHTS=… SNAPLABEL_PEER_SIDE=256 bentoml serve bentoml_serving:Classify --port 8000

Batches of up to 16 by its own adaptive batching; photos are decoded where a batch is put together.
"""

import os
from pathlib import Path

import bentoml
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import mobilenet_v2
from torchvision.transforms import v2


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 256})
class Classify:
    """Photos in, the five highest probabilities of each out."""

    def __init__(self) -> None:
        side = int(os.environ["SNAPLABEL_PEER_SIDE"])
        self.network = mobilenet_v2()
        known = load_file(os.environ["SNAPLABEL_PEER_WEIGHTS"])
        self.network.load_state_dict({name: one.float() for name, one in known.items()})
        self.network.eval()
        self.prepare = v2.Compose(
            [
                v2.Resize(side),
                v2.CenterCrop(side),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=10_000)
    def classify(self, photos: list[Path]) -> list[list[float]]:
        batch = torch.stack([self.prepare(Image.open(path).convert("RGB")) for path in photos])
        with torch.inference_mode():
            found: list[list[float]] = self.network(batch).softmax(1).topk(5).values.tolist()
        return found
