"""Programs of today that take the weights of a family: what each computes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.families.recordings import Recording

Arrays = Mapping[str, np.ndarray]


def _torch() -> Any:
    import torch

    return torch


def _tensor(array: np.ndarray) -> Any:
    return _torch().from_numpy(np.array(array))


def _loaded(module: Any, tensors: Arrays) -> Any:
    module.load_state_dict({name: _tensor(array) for name, array in tensors.items()})
    return module.eval()


# ---- slim's ResNets by torchvision's and timm's names ----
# With slim's strides: a block's last unit has them, in its 3x3 convolution.


def _bottleneck(torch: Any, is_v2: bool, inputs: int, width: int, outputs: int, stride: int) -> Any:
    nn = torch.nn

    class Bottleneck(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            norm = "norm" if is_v2 else "bn"
            for number, size in enumerate((inputs, width, width) if is_v2 else (width, width, outputs), 1):
                setattr(self, f"{norm}{number}", nn.BatchNorm2d(size, eps=1e-5))
            self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=is_v2)
            if inputs != outputs and is_v2:
                self.downsample = nn.Module()
                self.downsample.conv = nn.Conv2d(inputs, outputs, 1, stride)
            elif inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs, eps=1e-5)
                )
            else:
                self.downsample = None

        def forward(self, x: Any) -> Any:
            if is_v2:
                y = torch.relu(self.norm1(x))
                shortcut = x[:, :, ::stride, ::stride] if self.downsample is None else self.downsample.conv(y)
                y = torch.relu(self.norm2(self.conv1(y)))
                y = torch.relu(self.norm3(self.conv2(y)))
                return shortcut + self.conv3(y)
            shortcut = x[:, :, ::stride, ::stride] if self.downsample is None else self.downsample(x)
            y = torch.relu(self.bn1(self.conv1(x)))
            y = torch.relu(self.bn2(self.conv2(y)))
            return torch.relu(shortcut + self.bn3(self.conv3(y)))

    return Bottleneck()


# The recorded networks: width and number of units of each block, and the stride of the last unit.
BLOCKS = ((4, 2, 2), (6, 3, 2), (8, 2, 2), (10, 2, 1))


def resnet_pytorch(tensors: Arrays, recorded: Recording) -> dict[str, np.ndarray]:
    """The recorded ResNets in PyTorch."""
    torch = _torch()
    nn = torch.nn
    is_v2 = recorded.family == "resnet_v2"
    model = nn.Module()
    if is_v2:
        model.stem, model.head = nn.Module(), nn.Module()
        model.stem.conv = nn.Conv2d(3, 64, 7, 2, 3)
        model.norm = nn.BatchNorm2d(40, eps=1e-5)
        model.head.fc = nn.Conv2d(40, 7, 1)
        model.stages = nn.ModuleList()
    else:
        model.conv1, model.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64, eps=1e-5)
        model.fc = nn.Linear(40, 7)
    inputs, blocks = 64, []
    for number, (width, units, stride) in enumerate(BLOCKS, 1):
        made = []
        for unit in range(units):
            made.append(_bottleneck(torch, is_v2, inputs, width, 4 * width, stride if unit == units - 1 else 1))
            inputs = 4 * width
        block = nn.Sequential(*made)
        blocks.append(block)
        if is_v2:
            stage = nn.Module()
            stage.blocks = block
            model.stages.append(stage)
        else:
            setattr(model, f"layer{number}", block)
    _loaded(model, tensors)
    with torch.no_grad():
        x = _tensor(recorded.arrays["images"]).permute(0, 3, 1, 2)
        x = model.stem.conv(x) if is_v2 else torch.relu(model.bn1(model.conv1(x)))
        # 33 pixels: SAME pads one on each side.
        x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        for block in blocks:
            x = block(x)
        features = x
        if is_v2:
            x = torch.relu(model.norm(x))
        x = x.mean((2, 3), keepdim=True)
        logits = model.head.fc(x)[:, :, 0, 0] if is_v2 else model.fc(x[:, :, 0, 0])
    return {"logits": logits.numpy(), "features": features.permute(0, 2, 3, 1).numpy()}


# ---- Transformers for translation ----


def transformer_pytorch(tensors: Arrays, recorded: Recording) -> dict[str, np.ndarray]:
    """OpenNMT-tf's and tensor2tensor's Transformers as torch.nn's."""
    torch = _torch()
    nn = torch.nn
    is_opennmt = recorded.family == "opennmt"
    options = {"dropout": 0.0, "batch_first": True, "norm_first": True, "layer_norm_eps": 1e-12 if is_opennmt else 1e-6}
    model = nn.Module()
    norm = [nn.LayerNorm(8, eps=options["layer_norm_eps"]) for _ in range(2)]
    layer = nn.TransformerEncoderLayer(8, 2, 12, **options)
    model.encoder = nn.TransformerEncoder(layer, 2, norm[0], enable_nested_tensor=False)
    model.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12, **options), 2, norm[1])
    if is_opennmt:
        model.source_embedding, model.target_embedding = nn.Embedding(23, 8), nn.Embedding(19, 8)
        model.generator = nn.Linear(8, 19)
    else:
        names = {name.partition(".")[0] for name in tensors}
        for name in names & {"source_embedding", "target_embedding", "shared_embedding", "target_space_embedding"}:
            setattr(model, name, nn.Embedding(*tensors[f"{name}.weight"].shape))
        if "generator" in names:
            model.generator = nn.Linear(8, 26, bias=False)
    _loaded(model, tensors)
    arrays = recorded.arrays
    with torch.no_grad():
        source, target = (_tensor(arrays[f"{word}_entered"]).reshape(2, -1, 8) for word in ("source", "target"))
        memory = model.encoder(source)
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        left = model.decoder(target, memory, tgt_mask=mask)
        made = {}
        if is_opennmt:
            made["logits"] = model.generator(left)
            for word in ("source", "target"):
                embedding = getattr(model, f"{word}_embedding")
                made[f"{word}_scaled"] = embedding(_tensor(arrays[f"{word}_ids"])) * 8**0.5
        else:
            made["source_left"], made["target_left"] = memory, left
            matrix = model.generator.weight if hasattr(model, "generator") else model.shared_embedding.weight
            made["logits"] = left @ matrix.T
    return {name: array.numpy().reshape(arrays[name].shape) for name, array in made.items()}


# ---- Keras ----


def mobilenet_keras(recorded: Recording) -> Any:
    """keras.applications' MobileNets, of the sizes that were recorded."""
    import keras

    options: dict[str, Any] = {
        "input_shape": (64, 64, 3), "weights": None, "classes": 7, "classifier_activation": None
    }
    if recorded.family == "mobilenet_v1":
        return keras.applications.MobileNet(alpha=0.125, dropout=0.0, **options)
    return keras.applications.MobileNetV2(alpha=0.3, **options)


def resnet_keras(recorded: Recording) -> Any:
    """The recorded ResNets with the layers that keras.applications has, and slim's strides."""
    import keras

    layers = keras.layers
    is_v2 = recorded.family == "resnet_v2"

    def convolution(x: Any, name: str, filters: int, size: int = 1, stride: int = 1, bias: bool = True) -> Any:
        if size > 1:
            x = layers.ZeroPadding2D((size - 1) // 2)(x)
        return layers.Conv2D(filters, size, stride, use_bias=bias, name=f"{name}_conv")(x)

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn")(x)

    def relu(x: Any) -> Any:
        return layers.Activation("relu")(x)

    inputs = x = layers.Input((65, 65, 3))
    x = convolution(x, "conv1", 64, 7, 2)
    if not is_v2:
        x = relu(norm(x, "conv1"))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for number, (width, units, last) in enumerate(BLOCKS, 2):
        for unit in range(1, units + 1):
            name, stride = f"conv{number}_block{unit}", last if unit == units else 1
            y = relu(norm(x, f"{name}_preact")) if is_v2 else x
            if x.shape[-1] != 4 * width:
                shortcut = convolution(y, f"{name}_0", 4 * width, 1, stride)
                shortcut = shortcut if is_v2 else norm(shortcut, f"{name}_0")
            else:
                shortcut = layers.MaxPooling2D(1, stride)(x) if stride > 1 else x
            y = relu(norm(convolution(y, f"{name}_1", width, bias=not is_v2), f"{name}_1"))
            y = relu(norm(convolution(y, f"{name}_2", width, 3, stride, bias=not is_v2), f"{name}_2"))
            y = convolution(y, f"{name}_3", 4 * width)
            x = layers.Add()([shortcut, y]) if is_v2 else relu(layers.Add()([shortcut, norm(y, f"{name}_3")]))
    if is_v2:
        x = relu(norm(x, "post"))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(7, name="predictions")(x))


TORCH: dict[str, tuple[str, Callable[[Arrays, Recording], dict[str, np.ndarray]]]] = {
    "resnet_v1": ("slim-resnet-v1-to-pytorch", resnet_pytorch),
    "resnet_v2": ("slim-resnet-v2-to-pytorch", resnet_pytorch),
    "opennmt": ("opennmt-to-pytorch", transformer_pytorch),
    "t2t": ("t2t-to-pytorch", transformer_pytorch),
}
KERAS: dict[str, tuple[str, Callable[[Recording], Any]]] = {
    "mobilenet_v1": ("slim-mobilenet-v1-to-keras", mobilenet_keras),
    "mobilenet_v2": ("slim-mobilenet-v2-to-keras", mobilenet_keras),
    "resnet_v1": ("slim-resnet-v1-to-keras", resnet_keras),
    "resnet_v2": ("slim-resnet-v2-to-keras", resnet_keras),
}
TABLES = {
    "bert": "bert-to-pytorch",
    "albert": "albert-to-pytorch",
    "gpt2": "gpt2-to-pytorch",
    "t5": "t5-to-pytorch",
    "mobilenet_v1": "slim-mobilenet-v1-to-pytorch",
    "mobilenet_v2": "slim-mobilenet-v2-to-pytorch",
}
