"""A generator as ONNX, for runtimes without torch: any batch and size, any number of bands where the net has it."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geofuse.errors import WeightsError
from geofuse.files import replacing
from geofuse.nets.weights import load_weights

OPSET = 17
"""Of 2022: what onnxruntime, OpenVINO and TensorRT all read."""


def export_onnx(weights: Path, out: Path) -> dict[str, Any]:
    """Write weights as ONNX with their card in its metadata; returns what was written, as JSON values.

    Inputs are those of the generators' `forward`: "common" and "own" (pan-gan-ms), or "planes" (pan-gan), float32,
    scaled as the card says, with the network's halo around. WeightsError where the exporter is not installed.
    """
    import torch

    from geofuse.nets.models import MsGenerator

    try:
        import onnx
    except ModuleNotFoundError as error:
        raise WeightsError(
            "an export needs onnx, which is not installed", do="pip install 'geofuse[onnx]'"
        ) from error
    net, card = load_weights(weights)
    if isinstance(net, MsGenerator):
        side, bands = 8 + 2 * net.halo, net.spec.bands or 3
        example: tuple[torch.Tensor, ...] = (
            torch.zeros(1, net.spec.common_channels, side, side),
            torch.zeros(1, bands, net.spec.own_channels, side, side),
        )
        names = ["common", "own"]
        free = {"common": {0: "n", 2: "h", 3: "w"}, "own": {0: "n", 1: "bands", 3: "h", 4: "w"}}
        if net.spec.bands:
            del free["own"][1]
    else:
        example = (torch.zeros(1, net.spec.bands + 1, 32, 32),)
        names, free = ["planes"], {"planes": {0: "n", 2: "h", 3: "w"}}
    free["fused"] = {0: "n", 2: "rows", 3: "cols"} | ({1: "bands"} if 1 in free.get("own", {}) else {})
    with replacing(out) as draft:
        with warnings.catch_warnings():
            # the exporter that needs nothing but torch; the new one wants a further library for the same file
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                net,
                example,
                str(draft),
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=["fused"],
                dynamic_axes=free,
            )
        model = onnx.load(str(draft))
        onnx.checker.check_model(model)
        onnx.helper.set_model_props(model, {"card": json.dumps(asdict(card), sort_keys=True)})
        data = model.SerializeToString()
        draft.write_bytes(data)
    return {"out": str(out), "bytes": len(data), "inputs": names, "opset": OPSET, "network": card.name}
