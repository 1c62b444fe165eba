"""Small real networks as ONNX files with cards, and the same architectures in torch and Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from astroclean.inference.cards.card import NetworkCard
from astroclean.inference.cards.verify import write_example
from astroclean.inference.cards.weights import digest_of

if TYPE_CHECKING:
    from pathlib import Path

Shape = tuple[int, ...]
F32 = TensorProto.FLOAT


def kernel(seed: int, *shape: int) -> np.ndarray:
    """A kernel whose output is about as large as its input."""
    values = np.random.default_rng(seed).normal(size=shape)
    return (values / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def conv(source: str, target: str, name: str, *, pad: int = 1, **more: Any) -> Any:
    """A convolution whose kernel is `<name>.weight`."""
    inputs = [source, f"{name}.weight", f"{name}.bias"]
    return helper.make_node("Conv", inputs, [target], pads=[pad] * 4, **more)


def graph(nodes: list[Any], tensors: dict[str, np.ndarray], *, channels: int = 1) -> Any:
    """A model from `image` to `answer`, with free batch and grid."""
    free: list[Any] = ["n", 1, "ny", "nx"]
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", F32, free)],
        [helper.make_tensor_value_info("answer", F32, ["n", channels, "my", "mx"])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def three_convolutions(seed: int = 1) -> Any:
    """Receptive field of 3 pixels each way: three kernels of 3 x 3."""
    tensors = {
        "0.weight": kernel(seed, 4, 1, 3, 3),
        "0.bias": kernel(seed + 1, 4),
        "2.weight": kernel(seed + 2, 4, 4, 3, 3),
        "2.bias": kernel(seed + 3, 4),
        "4.weight": kernel(seed + 4, 1, 4, 3, 3),
        "4.bias": kernel(seed + 5, 1),
    }
    nodes = [
        conv("image", "a", "0"),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "c", "2"),
        helper.make_node("Relu", ["c"], ["d"]),
        conv("d", "answer", "4"),
    ]
    return graph(nodes, tensors)


def pooled(seed: int = 11) -> Any:
    """Pooling by 4 and back: sides are multiples of 4; it sees at most 10 pixels each way."""
    tensors = {
        "down.weight": kernel(seed, 3, 1, 3, 3),
        "down.bias": kernel(seed + 1, 3),
        "deep.weight": kernel(seed + 2, 3, 3, 3, 3),
        "deep.bias": kernel(seed + 3, 3),
        "up.weight": kernel(seed + 4, 1, 3, 3, 3),
        "up.bias": kernel(seed + 5, 1),
        "factors": np.array([1, 1, 4, 4], dtype=np.float32),
    }
    nodes = [
        conv("image", "a", "down"),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[4, 4], strides=[4, 4]),
        conv("b", "c", "deep"),
        helper.make_node(
            "Resize",
            ["c", "", "factors"],
            ["d"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        conv("d", "answer", "up"),
    ]
    return graph(nodes, tensors)


def doubled(seed: int = 21) -> Any:
    """Twice as fine a grid: convolution to four channels, then depth to space."""
    tensors = {
        "0.weight": kernel(seed, 4, 1, 3, 3),
        "0.bias": kernel(seed + 1, 4),
    }
    nodes = [
        conv("image", "a", "0"),
        helper.make_node("DepthToSpace", ["a"], ["answer"], blocksize=2, mode="CRD"),
    ]
    return graph(nodes, tensors)


def classes(seed: int = 61) -> Any:
    """Five probabilities of each pixel."""
    tensors = {"0.weight": kernel(seed, 5, 1, 3, 3), "0.bias": kernel(seed + 1, 5)}
    nodes = [conv("image", "a", "0"), helper.make_node("Sigmoid", ["a"], ["answer"])]
    return graph(nodes, tensors, channels=5)


def identity() -> Any:
    """The image itself."""
    return graph([helper.make_node("Identity", ["image"], ["answer"])], {})


def unpooled() -> Any:
    """Arg-max unpooling by the operator that ONNX has for it, and OpenVINO has not."""
    both = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("MaxPool", ["image"], ["pool", "where"], **both),
        helper.make_node("MaxUnpool", ["pool", "where"], ["answer"], **both),
    ]
    return graph(nodes, {})


def every_layer(seed: int = 31) -> Any:
    """Every kind of layer that the papers need.

    Max pooling with arg-max unpooling (as a scatter), transposed and partial convolution, batch
    normalization, attention products.
    """
    tensors = {
        "conv.weight": kernel(seed, 4, 1, 3, 3),
        "conv.bias": kernel(seed + 1, 4),
        "norm.weight": 1 + 0.1 * kernel(seed + 2, 4),
        "norm.bias": kernel(seed + 3, 4),
        "norm.running_mean": kernel(seed + 4, 4),
        "norm.running_var": 1 + np.abs(kernel(seed + 5, 4)),
        "query.weight": kernel(seed + 6, 4, 4, 1, 1),
        "query.bias": kernel(seed + 7, 4),
        "key.weight": kernel(seed + 8, 4, 4, 1, 1),
        "key.bias": kernel(seed + 9, 4),
        "value.weight": kernel(seed + 10, 4, 4, 1, 1),
        "value.bias": kernel(seed + 11, 4),
        "up.weight": kernel(seed + 12, 4, 4, 2, 2),
        "up.bias": kernel(seed + 13, 4),
        "last.weight": kernel(seed + 14, 1, 4, 3, 3),
        "last.bias": kernel(seed + 15, 1),
        "ones": np.ones((1, 1, 3, 3), dtype=np.float32),
        "flat": np.array([0, 0, -1], dtype=np.int64),
        "zero": np.array(0, dtype=np.float32),
        "half": np.array(0.5, dtype=np.float32),
        "nine": np.array(9, dtype=np.float32),
        "tiny": np.array(1e-6, dtype=np.float32),
    }
    n = helper.make_node
    nodes = [
        # Partial convolution: pixels below zero are holes.
        n("Greater", ["image", "zero"], ["seen"]),
        n("Cast", ["seen"], ["mask"], to=F32),
        n("Mul", ["image", "mask"], ["masked"]),
        n("Conv", ["masked", "conv.weight"], ["raw"], pads=[1] * 4),
        n("Conv", ["mask", "ones"], ["count"], pads=[1] * 4),
        n("Max", ["count", "tiny"], ["least"]),
        n("Div", ["nine", "least"], ["ratio"]),
        n("Mul", ["raw", "ratio"], ["full"]),
        n("Unsqueeze", ["conv.bias", "axes"], ["bias"]),
        n("Add", ["full", "bias"], ["partial"]),
        n(
            "BatchNormalization",
            ["partial", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"],
            ["normal"],
            epsilon=1e-5,
        ),
        n("Relu", ["normal"], ["bent"]),
        n("MaxPool", ["bent"], ["pool", "where"], kernel_shape=[2, 2], strides=[2, 2]),
        # Attention over the pooled grid.
        conv("pool", "q", "query", pad=0),
        conv("pool", "k", "key", pad=0),
        conv("pool", "v", "value", pad=0),
        n("Reshape", ["q", "flat"], ["q3"]),
        n("Reshape", ["k", "flat"], ["k3"]),
        n("Reshape", ["v", "flat"], ["v3"]),
        n("Transpose", ["q3"], ["qt"], perm=[0, 2, 1]),
        n("MatMul", ["qt", "k3"], ["scores"]),
        n("Mul", ["scores", "half"], ["scaled"]),
        n("Softmax", ["scaled"], ["weights"], axis=-1),
        n("Transpose", ["v3"], ["vt"], perm=[0, 2, 1]),
        n("MatMul", ["weights", "vt"], ["mixed"]),
        n("Transpose", ["mixed"], ["m3"], perm=[0, 2, 1]),
        n("Shape", ["pool"], ["grid"]),
        n("Reshape", ["m3", "grid"], ["attended"]),
        # Arg-max unpooling: to the place from which the maximum came. ONNX counts it through
        # all of the batch, so the scatter is flat.
        n("Mul", ["bent", "zero"], ["empty"]),
        n("Reshape", ["empty", "line"], ["canvas"]),
        n("Reshape", ["where", "line"], ["places"]),
        n("Reshape", ["attended", "line"], ["updates"]),
        n("ScatterElements", ["canvas", "places", "updates"], ["sown"], axis=0),
        n("Shape", ["bent"], ["full_grid"]),
        n("Reshape", ["sown", "full_grid"], ["unpooled"]),
        n("ConvTranspose", ["pool", "up.weight", "up.bias"], ["up"], strides=[2, 2]),
        n("Add", ["unpooled", "up"], ["sum"]),
        conv("sum", "answer", "last"),
    ]
    tensors["axes"] = np.array([0, 2, 3], dtype=np.int64)
    tensors["line"] = np.array([-1], dtype=np.int64)
    return graph(nodes, tensors)


def torch_three_convolutions() -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 1, 3, padding=1),
    )


def torch_classes() -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.Sigmoid())


def torch_wider() -> Any:
    """Not the architecture of the weights."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 1, 3, padding=1))


def torch_every_layer() -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class EveryLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.query, self.key, self.value = (nn.Conv2d(4, 4, 1) for _ in range(3))
            self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
            self.last = nn.Conv2d(4, 1, 3, padding=1)

        def forward(self, image: Any) -> Any:
            mask = (image > 0).to(image.dtype)
            raw = functional.conv2d(image * mask, self.conv.weight, padding=1)
            count = functional.conv2d(mask, torch.ones(1, 1, 3, 3), padding=1)
            partial = raw * 9 / count.clamp(min=1e-6) + self.conv.bias[None, :, None, None]
            bent = functional.relu(self.norm(partial))
            pool, where = functional.max_pool2d(bent, 2, return_indices=True)
            q, k, v = (part(pool).flatten(2) for part in (self.query, self.key, self.value))
            weights = torch.softmax(0.5 * q.transpose(1, 2) @ k, dim=-1)
            mixed = (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(pool.shape)
            return self.last(functional.max_unpool2d(mixed, where, 2) + self.up(pool))

    return EveryLayer()


def keras_mixed() -> Any:
    """Convolution, batch normalization, pooling, transposed convolution; channels last."""
    import keras

    layers = keras.layers
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization(name="norm", epsilon=1e-3)(x)
    x = layers.MaxPooling2D(2)(layers.ReLU()(x))
    x = layers.Conv2DTranspose(3, 2, strides=2, name="up")(x)
    return keras.Model(image, layers.Conv2D(1, 3, padding="same", name="last")(x))


def mixed(seed: int = 51) -> Any:
    """The network of `keras_mixed`, parameters named as Keras names them."""
    tensors = {
        "conv/kernel": kernel(seed, 4, 1, 3, 3),
        "conv/bias": kernel(seed + 1, 4),
        "norm/gamma": 1 + 0.1 * kernel(seed + 2, 4),
        "norm/beta": kernel(seed + 3, 4),
        "norm/moving_mean": kernel(seed + 4, 4),
        "norm/moving_variance": 1 + np.abs(kernel(seed + 5, 4)),
        "up/kernel": kernel(seed + 6, 4, 3, 2, 2),
        "up/bias": kernel(seed + 7, 3),
        "last/kernel": kernel(seed + 8, 1, 3, 3, 3),
        "last/bias": kernel(seed + 9, 1),
    }
    n = helper.make_node
    norm = ["a", *(f"norm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance"))]
    nodes = [
        n("Conv", ["image", "conv/kernel", "conv/bias"], ["a"], pads=[1] * 4),
        n("BatchNormalization", norm, ["b"], epsilon=1e-3),
        n("Relu", ["b"], ["c"]),
        n("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        n("ConvTranspose", ["d", "up/kernel", "up/bias"], ["e"], strides=[2, 2]),
        n("Conv", ["e", "last/kernel", "last/bias"], ["answer"], pads=[1] * 4),
    ]
    return graph(nodes, tensors)


STAMP_PLANES = ("data", "valid", "psf", "noise", "others")
_STAMP_LAYERS = {
    "first": (6, 5, 3),
    "mixed": (6, 6, 1),
    "deep": (6, 6, 3),
    "up": (6, 6, 2),
    "light": (2, 6, 3),
    "weight": (1, 6, 1),
}


def stamps(seed: int = 71, *, keras: bool = False) -> Any:
    """Five planes of a stamp to the light of two sources, and a weight.

    It pools, and mixes in what it sees of all of the stamp. Parameters are named as torch or Keras
    names them.
    """
    kinds = ("kernel", "bias") if keras else ("weight", "bias")
    names = {
        layer: [f"{layer}{'/' if keras else '.'}{kind}" for kind in kinds]
        for layer in _STAMP_LAYERS
    }
    tensors = {}
    for number, (layer, (into, out_of, side)) in enumerate(_STAMP_LAYERS.items()):
        tensors[names[layer][0]] = kernel(seed + 2 * number, into, out_of, side, side)
        tensors[names[layer][1]] = kernel(seed + 2 * number + 1, into)
    n = helper.make_node

    def layer(source: str, target: str, name: str, *, pad: int = 0) -> Any:
        return n("Conv", [source, *names[name]], [target], pads=[pad] * 4)

    nodes = [
        layer("stamp", "a", "first", pad=1),
        n("Relu", ["a"], ["b"]),
        n("GlobalAveragePool", ["b"], ["c"]),
        layer("c", "d", "mixed"),
        n("Add", ["b", "d"], ["e"]),
        n("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        layer("f", "g", "deep", pad=1),
        n("Relu", ["g"], ["h"]),
        n("ConvTranspose", ["h", *names["up"]], ["i"], strides=[2, 2]),
        n("Add", ["e", "i"], ["j"]),
        layer("j", "light", "light", pad=1),
        layer("j", "k", "weight"),
        n("Sigmoid", ["k"], ["weight"]),
    ]
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "stamps",
        [info("stamp", F32, ["n", len(STAMP_PLANES), "ny", "nx"])],
        [info("light", F32, ["n", 2, "ny", "nx"]), info("weight", F32, ["n", 1, "ny", "nx"])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def torch_stamps() -> Any:
    """The architecture of `stamps`."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Stamps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, (into, out_of, side) in _STAMP_LAYERS.items():
                kind = nn.ConvTranspose2d if name == "up" else nn.Conv2d
                more = {"stride": 2} if name == "up" else {"padding": side // 2}
                setattr(self, name, kind(out_of, into, side, **more))

        def forward(self, stamp: Any) -> Any:
            first = functional.relu(self.first(stamp))
            mixed = first + self.mixed(first.mean((2, 3), keepdim=True))
            deep = functional.relu(self.deep(functional.max_pool2d(mixed, 2)))
            last = mixed + self.up(deep)
            return self.light(last), torch.sigmoid(self.weight(last))

    return Stamps()


def keras_stamps() -> Any:
    """The architecture of `stamps`."""
    import keras

    layers = keras.layers

    def conv(name: str) -> Any:
        into, _, side = _STAMP_LAYERS[name]
        return layers.Conv2D(into, side, padding="same", name=name)

    stamp = keras.Input((None, None, len(STAMP_PLANES)))
    first = layers.ReLU()(conv("first")(stamp))
    mixed = first + conv("mixed")(layers.GlobalAveragePooling2D(keepdims=True)(first))
    deep = layers.ReLU()(conv("deep")(layers.MaxPooling2D(2)(mixed)))
    last = mixed + layers.Conv2DTranspose(6, 2, strides=2, name="up")(deep)
    weight = layers.Activation("sigmoid")(conv("weight")(last))
    return keras.Model(stamp, [conv("light")(last), weight])


def stamp_card(**more: Any) -> dict[str, Any]:
    """What the card of `stamps` says."""
    stamp = {"side": 24, "batch": 4, "scaling": "matched_filter", "intensities": ["others"]}
    return {
        "halo": 12,
        "multiple": 2,
        "inputs": [{"name": "stamp", "planes": STAMP_PLANES}],
        "outputs": [
            {"name": "light", "channels": ["own", "next"], "content": "intensity"},
            {"name": "weight", "channels": ["own"], "at_invalid": "keep"},
        ],
        **more,
        "stamp": {**stamp, **more.get("stamp", {})},
    }


def save(model: Any, folder: Path, **card: Any) -> tuple[NetworkCard, Path]:
    """Write a network into a folder; return its card and its file."""
    path = folder / "toy.onnx"
    onnx.save(model, path)
    content: dict[str, Any] = {
        "schema": 1,
        "name": "toy",
        "architecture": "a few layers",
        "paper": "none",
        "license": "BSD-3-Clause",
        "unit": "any",
        "halo": 3,
        "inputs": [{"name": "image"}],
        "outputs": [{"name": "answer", "content": "intensity"}],
        "precision": {"f32": {}},
        "weights": {
            "file": path.name,
            "sha256": digest_of(path),
            "size": path.stat().st_size,
        },
        "folder": folder,
        **card,
    }
    return NetworkCard.model_validate(content), path


CARD = """\
schema = 1
name = "toy"
architecture = "three convolutions"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = 3
inputs = [{{ name = "image" }}]
outputs = [{{ name = "answer", content = "intensity" }}]
normalization = {{ name = "asinh", softening = 2.0 }}

[weights]
file = "toy.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 1e-5

[domain]
instruments = ["acs-wfc"]

[example]
file = "toy.npz"
"""


def write_package(folder: Path) -> Path:
    """Write a plugin package with a network and its stored answer; return its folder."""
    import onnxruntime

    package = folder / "toy_network_plugin"
    (package / "weights").mkdir(parents=True)
    weights = package / "weights" / "toy.onnx"
    onnx.save(three_convolutions(), weights)
    card = CARD.format(sha256=digest_of(weights), size=weights.stat().st_size)
    (package / "card.toml").write_text(card, encoding="utf-8")
    image = np.random.default_rng(7).normal(size=(2, 1, 16, 20)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["answer"], {"image": image})
    write_example(package / "toy.npz", {"image": image}, {"answer": answer})
    return package
