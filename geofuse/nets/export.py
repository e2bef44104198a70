"""A generator as ONNX, for runtimes without torch: any batch and size, any number of bands where the net has it."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from geofuse.errors import WeightsError
from geofuse.files import replacing
from geofuse.nets.table import example_of
from geofuse.nets.weights import load_weights

OPSET = 17
"""Of 2022: what onnxruntime, OpenVINO and TensorRT all read."""


class Exported(TypedDict):
    """What was written."""

    out: str
    bytes: int
    inputs: list[str]
    opset: int
    network: str


def export_onnx(weights: Path, out: Path) -> Exported:
    """Write weights as ONNX with their card in its metadata; returns what was written.

    Inputs are those of the generators' `forward`: "common" and "own" on the coarse grid, "planes" on the fine one,
    float32, scaled as the card says, with the network's halo around. WeightsError where the exporter is not installed.
    """
    import torch

    try:
        import onnx
    except ModuleNotFoundError as error:
        raise WeightsError(
            "an export needs onnx, which is not installed", do="pip install 'geofuse[onnx]'"
        ) from error
    net, card = load_weights(weights)
    example = example_of(card.kind, net)
    with replacing(out) as draft:
        with warnings.catch_warnings():
            # the exporter that needs nothing but torch; the new one wants a further library for the same file
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                net,
                example.inputs,
                str(draft),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(example.names),
                output_names=["fused"],
                dynamic_axes=example.free,
            )
        model = onnx.load(str(draft))
        onnx.checker.check_model(model)
        onnx.helper.set_model_props(model, {"card": json.dumps(asdict(card), sort_keys=True)})
        data = model.SerializeToString()
        draft.write_bytes(data)
    return Exported(out=str(out), bytes=len(data), inputs=list(example.names), opset=OPSET, network=card.name)
