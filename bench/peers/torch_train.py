# Training steps in PyTorch, on the networks of models/: forward, cross entropy, backward, and SGD with momentum. The work
# comes as JSON in argv[1]: {"model", "batch", "threads"}. It answers {"version"} once ready; then, for every line with a
# number n on stdin, takes n steps and answers {"ms": [of each]}. So its rounds can alternate with another's.
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


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    small = job["model"] == "lenet5"
    model = lenet5() if small else resnet(int(job["model"][len("resnet") :]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = torch.rand((job["batch"], 1, 28, 28) if small else (job["batch"], 3, 32, 32))
    y = torch.arange(job["batch"]) % 10
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            loss.item()
            times.append(1000 * (time.perf_counter() - begin))
        print(json.dumps({"ms": times}), flush=True)


main()
