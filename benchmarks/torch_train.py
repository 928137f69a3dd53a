"""The training step in PyTorch: the same network, loss and optimiser, channels last.

A worker for `rectloc_tf.benchmarking.turns`; `compiled` asks for `torch.compile`.
"""

from collections.abc import Callable
from typing import Any

import torch
from input_peers import target_shape, torch_loader
from torch import nn

from rectloc_tf.benchmarking.turns import Measurement, serve
from rectloc_tf.benchmarking.workers import epoch_of, rate_of, seconds_of

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Bias-free convolution and batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A residual block of ResNet v1.5."""

    def __init__(self, inputs: int, filters: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = 4 * filters if bottleneck else filters
        if bottleneck:
            self.body = nn.Sequential(
                conv(inputs, filters, 1), nn.ReLU(inplace=True),
                conv(filters, filters, 3, stride), nn.ReLU(inplace=True),
                conv(filters, outputs, 1),
            )  # fmt: skip
        else:
            self.body = nn.Sequential(
                conv(inputs, filters, 3, stride), nn.ReLU(inplace=True), conv(filters, outputs, 3)
            )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride)

    def forward(self, x):
        """Returns relu(body(x) + shortcut(x))."""
        return torch.relu(self.body(x) + self.shortcut(x))


def coordinates(inputs: int, size: int) -> list[nn.Module]:
    """The xy head."""
    return [nn.Linear(inputs, 2)]


def heatmap(inputs: int, size: int) -> list[nn.Module]:
    """The deconv head."""
    stride = size // 50
    return [
        nn.Linear(inputs, 2500), nn.Unflatten(1, (1, 50, 50)),
        nn.ConvTranspose2d(1, 1, size - 49 * stride, stride),
    ]  # fmt: skip


HEADS = {"xy": coordinates, "deconv": heatmap}


def make_model(task: dict[str, Any]) -> nn.Module:
    """ResNet with one of HEADS; inputs uint8 [B, 1, S, S]."""
    depth, size = task["depth"], task["image_size"]
    bottleneck = depth == 50
    layers = [conv(1, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stack, (filters, blocks) in enumerate(zip((64, 128, 256, 512), BLOCKS[depth], strict=True)):
        for block in range(blocks):
            layers.append(Block(inputs, filters, 2 if stack and not block else 1, bottleneck))
            inputs = 4 * filters if bottleneck else filters
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = HEADS[task["arch"]](inputs, size)
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


def make_step(task: dict[str, Any]) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """The training step: images uint8 [B, S, S, 1] and targets as our pipeline makes them."""
    model = make_model(task)
    forward = torch.compile(model) if task["compiled"] else model
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    half = task["precision"] == "mixed_bfloat16"

    def step(images, targets):
        # Channels last in memory, as [B, S, S, 1] already is.
        images = images.permute(0, 3, 1, 2)
        targets = targets.permute(0, 3, 1, 2) if targets.ndim == 4 else targets
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = forward(images.float() / 255)
        loss = nn.functional.mse_loss(outputs.float(), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def prepare_train(task: dict[str, Any]) -> Callable[[], Measurement]:
    """One training step after the other on a fixed batch."""
    size, batch = task["image_size"], task["batch_size"]
    images = torch.randint(0, 2, (batch, size, size, 1), dtype=torch.uint8) * 255
    targets = torch.rand(batch, *target_shape(task))
    step = make_step(task)

    def steps():
        while True:
            yield step(images, targets)

    running = steps()
    compile_seconds = seconds_of(lambda: next(running))
    next(running)
    seconds = task["seconds"]
    return lambda: rate_of(running, batch, seconds) | {"compile_seconds": compile_seconds}


def prepare_epoch(task: dict[str, Any]) -> Callable[[], Measurement]:
    """Epochs of `task["images"]` images that a DataLoader draws with OpenCV as it goes."""
    step, loader = make_step(task), torch_loader(task)
    compile_seconds = seconds_of(lambda: step(*next(iter(loader))))
    return lambda: epoch_of(lambda: iter(loader), step, task) | {"compile_seconds": compile_seconds}


PREPARE = {"train": prepare_train, "epoch": prepare_epoch}

if __name__ == "__main__":
    serve(lambda task: PREPARE[task["kind"]](task))
