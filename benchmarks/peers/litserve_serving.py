"""LitServe's side of `benchmarks/serving.py`: the same MobileNetV2 with torch behind its HTTP server, until ended.

Batches of up to 16 as its documentation shows them; decoding is its `decode_request`.
"""

import argparse
from typing import Any

import litserve
import torch
from fastapi import Request
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import mobilenet_v2
from torchvision.transforms import v2


class Classify(litserve.LitAPI):  # type: ignore[misc]
    """A form with a JPEG in, the five most probable classes out."""

    def __init__(self, weights: str, side: int) -> None:
        super().__init__(max_batch_size=16, batch_timeout=0.01)
        self.weights, self.side = weights, side

    def setup(self, device: str) -> None:
        self.network = mobilenet_v2()
        self.network.load_state_dict({name: one.float() for name, one in load_file(self.weights).items()})
        self.network.eval()
        self.prepare = v2.Compose(
            [
                v2.Resize(self.side),
                v2.CenterCrop(self.side),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def decode_request(self, request: Request) -> torch.Tensor:
        return self.prepare(Image.open(request["photos"].file).convert("RGB"))

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> list[Any]:
        with torch.inference_mode():
            return list(self.network(batch).softmax(1).topk(5).values.tolist())

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"top": output}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("weights")
    asked.add_argument("port", type=int)
    asked.add_argument("--side", type=int, default=256)
    args = asked.parse_args()
    server = litserve.LitServer(Classify(args.weights, args.side), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=args.port, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
