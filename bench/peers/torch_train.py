# Training steps in PyTorch, on the networks of models/: forward, cross entropy (detectors: torch_yolo.py), backward, and SGD
# with momentum. The work comes as JSON in the first line of stdin: {"model", "batch", "threads", "learningRate", "detection"}.
# It answers {"version"} once ready; then, for every line with a number n, takes n steps and answers {"ms": [of each]}. So its
# rounds can alternate with another's.
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """y = relu(shortcut(x) + norm2(conv2(relu(norm1(conv1(x)))))), with the shortcut without parameters (option A)."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.stride = stride
        self.added = filters - channels

    def forward(self, x):
        hidden = torch.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(hidden))
        if self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return torch.relu(residual + x)


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


def resnet(depth):
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        for index in range((depth - 2) // 6):
            layers.append(Block(channels, filters, stride if index == 0 else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def subject(job):
    """The network, its loss and an input."""
    name, batch = job["model"], job["batch"]
    if "detection" in job:
        import torch_yolo

        network, loss = torch_yolo.detector(name, job["detection"], batch)
        return network, loss, torch.rand(batch, 3, job["detection"]["size"], job["detection"]["size"])
    y = torch.arange(batch) % 10
    loss = lambda logits: functional.cross_entropy(logits, y)
    if name == "lenet5":
        return lenet5(), loss, torch.rand(batch, 1, 28, 28)
    return resnet(int(name[len("resnet") :])), loss, torch.rand(batch, 3, 32, 32)


def main():
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    model, loss_of, x = subject(job)
    optimizer = torch.optim.SGD(model.parameters(), lr=job["learningRate"], momentum=0.9)
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            optimizer.zero_grad()
            loss = loss_of(model(x))
            loss.backward()
            optimizer.step()
            loss.item()
            times.append(1000 * (time.perf_counter() - begin))
        print(json.dumps({"ms": times}), flush=True)


main()
