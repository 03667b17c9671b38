"""A tiny backbone for tests: the mean colour of a photo's four quarters is its embedding (12 numbers)."""

import numpy as np
import openvino as ov
from openvino import opset8 as ops

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.store import Store

CROP = 32


def save_backbone(store: Store, folder: str, version: str = "tiny-1") -> BackboneCard:
    """Put the tiny backbone into a store; folder: where its graph is written on the way."""
    pixels = ops.parameter([-1, CROP, CROP, 3], np.uint8, name="pixels")
    scaled = ops.divide(ops.convert(pixels, "f32"), ops.constant(np.float32(255)))
    quarters = ops.reshape(scaled, ops.constant(np.array([-1, 2, CROP // 2, 2, CROP // 2, 3])), False)
    means = ops.reduce_mean(quarters, ops.constant(np.array([2, 4])), False)
    embedding = ops.reshape(means, ops.constant(np.array([-1, 12])), False)
    ov.save_model(ov.Model([embedding], [pixels]), f"{folder}/graph.xml", compress_to_fp16=False)
    for name in ("graph.xml", "graph.bin"):
        with open(f"{folder}/{name}", "rb") as file:
            store.put(f"{backbones.folder(version)}/{name}", file.read())
    card = BackboneCard(version, "tiny", 12, Preparation(CROP, CROP), is_pretrained=True, source="test")
    backbones.save_card(store, card)
    return card
