"""Train the demo network on scikit-learn's handwritten digits and write it as float ONNX, with the test split.

    pip install -e '.[train]' && python workloads/train_digits.py

A small residual network with depthwise and pointwise convolutions, 8 x 8 inputs, 10 classes.  The seed is fixed and training runs
on one thread, so the same torch gives the same files.  The split is by row: the last quarter of a fixed permutation is the test set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from hwsim.io.onnx_model import write_onnx
from hwsim.topologies._net import Net

FOLDER = Path(__file__).resolve().parent
SEED, EPOCHS, BATCH = 7, 60, 64


class ConvBn(nn.Sequential):
    """Convolution and batch normalization, with ReLU or without."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU()] if relu else []))
        self.spec = (outputs, kernel, stride, groups, relu)


class Residual(nn.Module):
    """Depthwise, pointwise, and a shortcut (a pointwise convolution when the shape changes)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = ConvBn(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = ConvBn(inputs, outputs, 1, relu=False)
        self.shortcut = ConvBn(inputs, outputs, 1, stride, relu=False) if stride != 1 or inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pointwise(self.depthwise(x)) + self.shortcut(x))


class DigitsNet(nn.Module):
    """Stem, four residual blocks, global average, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBn(1, 16, 3)
        self.blocks = nn.Sequential(Residual(16, 32, 1), Residual(32, 32, 1), Residual(32, 64, 2), Residual(64, 64, 1))
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test images (N, 1, 8, 8) in 0 ... 1, and labels."""
    data = load_digits()
    order = np.random.default_rng(SEED).permutation(len(data.images))
    images, labels = (data.images[order] / 16).astype(np.float32)[:, None], data.target[order].astype(np.int64)
    cut = len(images) * 3 // 4
    return images[:cut], labels[:cut], images[cut:], labels[cut:]


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Augmentation: each image moved by up to one pixel."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    moves = torch.randint(0, 3, (len(images), 2))
    return torch.stack([p[:, i : i + 8, j : j + 8] for p, (i, j) in zip(padded, moves.tolist(), strict=True)])


def train(images: np.ndarray, labels: np.ndarray) -> DigitsNet:
    """Cross-entropy with label smoothing, AdamW, cosine schedule."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net, x, y = DigitsNet(), torch.from_numpy(images), torch.from_numpy(labels)
    steps = EPOCHS * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(shifted(x[rows])), y[rows], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


class Exporter(Net):
    """Writes the trained layers with the vocabulary of the topologies, so that the file looks like the built networks."""

    def take(self, name: str, values: torch.Tensor) -> str:
        return self.constant(name, values.detach().numpy().astype(np.float32))

    def conv_bn_of(self, x: str, layer: ConvBn, name: str) -> str:
        outputs, kernel, stride, groups, relu = layer.spec
        y = self.conv(x, outputs, kernel, stride, groups=groups, name=name)
        self.take(f"{name}.weight", layer[0].weight)
        norm = layer[1]
        parts = [
            self.take(f"{name}.bn.{k}", v)
            for k, v in (("scale", norm.weight), ("shift", norm.bias), ("mean", norm.running_mean), ("variance", norm.running_var))
        ]
        y = self.node("BatchNormalization", [y, *parts], self.shapes[y], f"{name}.bn", epsilon=norm.eps)
        return self.relu(y) if relu else y


def export(net: DigitsNet, path: Path) -> None:
    """The float network as ONNX."""
    e = Exporter("digits_resnet")
    x = e.conv_bn_of(e.input("input", (1, 1, 8, 8)), net.stem, "stem")
    for i, block in enumerate(net.blocks):
        y = e.conv_bn_of(x, block.depthwise, f"block{i}.depthwise")
        y = e.conv_bn_of(y, block.pointwise, f"block{i}.pointwise")
        short = x if isinstance(block.shortcut, nn.Identity) else e.conv_bn_of(x, block.shortcut, f"block{i}.shortcut")
        x = e.relu(e.node("Add", [y, short], e.shapes[y], f"block{i}.add"))
    x = e.flatten(e.global_pool(x))
    y = e.linear(x, 10, name="head")
    e.take("head.weight", net.head.weight)
    e.take("head.bias", net.head.bias)
    write_onnx(e.finish(y), path)


def main() -> None:
    train_x, train_y, test_x, test_y = split()
    net = train(train_x, train_y)
    with torch.no_grad():
        right = (net(torch.from_numpy(test_x)).argmax(1).numpy() == test_y).mean()
    export(net, FOLDER / "digits_resnet_float.onnx")
    np.savez_compressed(FOLDER / "digits_test.npz", x=test_x, y=test_y.astype(np.int64))
    np.savez_compressed(FOLDER / "digits_calibration.npz", x=train_x[:128], y=train_y[:128])
    print(f"test accuracy in float {right:.4f} on {len(test_y)} images")


if __name__ == "__main__":
    main()
