"""What networks a classifier may start from, by torchvision's names, and whether a file can hold weights; no torch."""

import difflib
import json
from pathlib import Path

from snaplabel.errors import SettingsError

# Every classification network of torchvision since 0.14; a test compares.
NAMES = (
    "alexnet",
    *(f"convnext_{size}" for size in ("base", "large", "small", "tiny")),
    *(f"densenet{layers}" for layers in (121, 161, 169, 201)),
    *(f"efficientnet_b{size}" for size in range(8)),
    *(f"efficientnet_v2_{size}" for size in "lms"),
    *("googlenet", "inception_v3", "maxvit_t"),
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *(f"regnet_x_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    *(f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf", "128gf")),
    *(f"resnet{layers}" for layers in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *("squeezenet1_0", "squeezenet1_1"),
    *(f"swin_{kind}{size}" for kind in ("", "v2_") for size in "bst"),
    *(f"vgg{layers}{kind}" for layers in (11, 13, 16, 19) for kind in ("", "_bn")),
    *("vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
# A zip, as torch.save writes it since 1.6, or the pickle protocol 2 of before.
PTH_BEGINS = (b"PK\x03\x04", b"\x80\x02")
# The format's own limit: https://github.com/huggingface/safetensors#format
LONGEST_HEADER = 100_000_000


def check(name: str, given_by: str) -> None:
    """Raise SettingsError, with names that are near, unless torchvision has a network of this name.

    given_by: what the person wrote it after, as in "--backbone".
    """
    if name.lower() in NAMES:
        return
    near = difflib.get_close_matches(name.lower(), NAMES, n=3)
    hint = (
        f"Did you mean {', '.join(near)}?" if near else "There are mobilenet_v2, resnet18, efficientnet_b0 and others."
    )
    raise SettingsError(f"{given_by}: torchvision has no classification network {name!r}. {hint}")


def trouble(weights: Path) -> str | None:
    """What speaks against a file as SNAPLABEL_WEIGHTS, by its beginning; None: nothing that can be seen there."""
    if weights.suffix not in (".safetensors", ".pth"):
        return f"{weights.name} ends neither in .safetensors nor in .pth"
    try:
        with weights.open("rb") as file:
            begin = file.read(8)
            if weights.suffix == ".pth":
                return None if begin.startswith(PTH_BEGINS) else f"{weights.name} is no file that torch saved"
            length = int.from_bytes(begin, "little")
            is_one = len(begin) == 8 and length <= min(LONGEST_HEADER, weights.stat().st_size - 8)
            header = json.loads(file.read(length)) if is_one else None
    except ValueError:
        header = None
    except OSError as error:
        return f"{weights} can't be read: {error.strerror}"
    if not isinstance(header, dict) or not header:
        return f"{weights.name} is no safetensors file"
    ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    if weights.stat().st_size < 8 + length + max(ends, default=0):
        return f"{weights.name} is cut off; fetch it once more"
    return None
