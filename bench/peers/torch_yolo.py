# YOLOv4 and YOLOv4-tiny in PyTorch as models/yolov4 builds them, with raw heads, finest first; and the loss of
# src/detection/loss.ts on them. Targets come in the work (src/cli/bench/detector.ts): none are assigned here.
import math

import torch
from torch import nn
from torch.nn import functional

MISH, LEAKY = "mish", "leaky"
BOUND = 8.0  # of logarithms of sizes
IGNORE = 0.7


class ConvBlock(nn.Sequential):
    def __init__(self, channels, filters, kernel, activation, stride=1):
        active = nn.Mish(inplace=True) if activation == MISH else nn.LeakyReLU(0.1, inplace=True)
        convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(filters), active)


class Residual(nn.Module):
    def __init__(self, channels, bottleneck):
        super().__init__()
        self.inner = nn.Sequential(ConvBlock(channels, bottleneck, 1, MISH), ConvBlock(bottleneck, channels, 3, MISH))

    def forward(self, x):
        return x + self.inner(x)


class CrossStage(nn.Module):
    def __init__(self, channels, filters, branch, bottleneck, blocks):
        super().__init__()
        self.down = ConvBlock(channels, filters, 3, MISH, 2)
        self.bypass = ConvBlock(filters, branch, 1, MISH)
        self.main = nn.Sequential(
            ConvBlock(filters, branch, 1, MISH),
            *[Residual(branch, bottleneck) for _ in range(blocks)],
            ConvBlock(branch, branch, 1, MISH),
        )
        self.merge = ConvBlock(2 * branch, filters, 1, MISH)

    def forward(self, x):
        x = self.down(x)
        return self.merge(torch.cat([self.main(x), self.bypass(x)], 1))


def alternating(channels, filters, count):
    """Convolutions of 1 x 1 to `filters` and of 3 x 3 to twice as many, in turn."""
    layers = []
    for index in range(count):
        wanted, kernel = (filters, 1) if index % 2 == 0 else (2 * filters, 3)
        layers.append(ConvBlock(channels, wanted, kernel, LEAKY))
        channels = wanted
    return nn.Sequential(*layers)


def head(channels, hidden, outputs):
    return nn.Sequential(ConvBlock(channels, hidden, 3, LEAKY), nn.Conv2d(hidden, outputs, 1))


class TopDown(nn.Module):
    def __init__(self, channels, lateral):
        super().__init__()
        filters = channels // 2
        self.reduce = ConvBlock(channels, filters, 1, LEAKY)
        self.lateral = ConvBlock(lateral, filters, 1, LEAKY)
        self.mix = alternating(2 * filters, filters, 5)

    def forward(self, coarse, fine):
        upsampled = functional.interpolate(self.reduce(coarse), scale_factor=2, mode="nearest")
        return self.mix(torch.cat([self.lateral(fine), upsampled], 1))


class BottomUp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down = ConvBlock(channels, 2 * channels, 3, LEAKY, 2)
        self.mix = alternating(4 * channels, 2 * channels, 5)

    def forward(self, fine, coarse):
        return self.mix(torch.cat([self.down(fine), coarse], 1))


class Yolov4(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.to8 = nn.Sequential(
            ConvBlock(3, 32, 3, MISH),
            CrossStage(32, 64, 64, 32, 1),
            CrossStage(64, 128, 64, 64, 2),
            CrossStage(128, 256, 128, 128, 8),
        )
        self.to16 = CrossStage(256, 512, 256, 256, 8)
        self.to32 = CrossStage(512, 1024, 512, 512, 4)
        self.before = alternating(1024, 512, 3)
        self.after = alternating(2048, 512, 3)
        self.down16, self.down8 = TopDown(512, 512), TopDown(256, 256)
        self.up16, self.up32 = BottomUp(128), BottomUp(256)
        self.heads = nn.ModuleList([head(128, 256, outputs), head(256, 512, outputs), head(512, 1024, outputs)])

    def forward(self, image):
        stride8 = self.to8(image)
        stride16 = self.to16(stride8)
        before = self.before(self.to32(stride16))
        pooled = [functional.max_pool2d(before, side, 1, side // 2) for side in (13, 9, 5)]
        coarse = self.after(torch.cat([*pooled, before], 1))
        medium = self.down16(coarse, stride16)
        fine = self.down8(medium, stride8)
        medium_up = self.up16(fine, medium)
        coarse_up = self.up32(medium_up, coarse)
        return [read(x) for read, x in zip(self.heads, (fine, medium_up, coarse_up))]


class SplitStage(nn.Module):
    """Only the second half of the channels goes through the inner convolutions."""

    def __init__(self, channels, filters):
        super().__init__()
        self.whole = ConvBlock(channels, filters, 3, LEAKY)
        self.inner1 = ConvBlock(filters // 2, filters // 2, 3, LEAKY)
        self.inner2 = ConvBlock(filters // 2, filters // 2, 3, LEAKY)
        self.merge = ConvBlock(filters, filters, 1, LEAKY)

    def forward(self, x):
        whole = self.whole(x)
        inner1 = self.inner1(whole.chunk(2, 1)[1])
        merged = self.merge(torch.cat([self.inner2(inner1), inner1], 1))
        return merged, functional.max_pool2d(torch.cat([whole, merged], 1), 2)


class Yolov4Tiny(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, 32, 3, LEAKY, 2), ConvBlock(32, 64, 3, LEAKY, 2))
        self.stages = nn.ModuleList([SplitStage(64, 64), SplitStage(128, 128), SplitStage(256, 256)])
        self.last = nn.Sequential(ConvBlock(512, 512, 3, LEAKY), ConvBlock(512, 256, 1, LEAKY))
        self.reduce = ConvBlock(256, 128, 1, LEAKY)
        self.heads = nn.ModuleList([head(384, 256, outputs), head(256, 512, outputs)])

    def forward(self, image):
        x = self.stem(image)
        for stage in self.stages:
            merged, x = stage(x)
        coarse = self.last(x)
        upsampled = functional.interpolate(self.reduce(coarse), scale_factor=2, mode="nearest")
        return [self.heads[0](torch.cat([upsampled, merged], 1)), self.heads[1](coarse)]


class Loss:
    """The mean over images of 5 (1 - CIoU) and cross entropies of classes over answering predictions, and of objectness."""

    def __init__(self, job, batch):
        self.batch = batch
        self.heads = job["heads"]
        self.channels = 5 + job["classes"]
        cells = [cell for one in self.heads for cell in cells_of(one, job["size"])]
        table = torch.tensor(cells)
        self.scale, self.offset, self.anchor = table[:, 0:1], table[:, 1:3], table[:, 3:5]
        self.truths = torch.tensor(job["truths"]).view(batch, -1, 4)
        self.positives = torch.tensor(job["positives"])
        boxes = torch.tensor(job["boxes"]).view(-1, 4)
        self.size = boxes[:, 2:4]
        self.centre = boxes[:, 0:2] + 0.5 * self.size
        self.categories = functional.one_hot(torch.tensor(job["categories"]), job["classes"]).float()
        self.wanted = torch.zeros(batch * len(cells))
        self.wanted[self.positives] = 1
        self.wanted = self.wanted.view(batch, -1)

    def __call__(self, outputs):
        rows = torch.cat([self.rows(raw, len(one["anchors"])) for raw, one in zip(outputs, self.heads)], 1)
        with torch.no_grad():
            ignored = self.overlaps(*decode(rows, self.scale, self.offset, self.anchor)) & (self.wanted == 0)
        entropy = functional.binary_cross_entropy_with_logits(rows[:, :, 4], self.wanted, reduction="none")
        objectness = (entropy * ~ignored).sum()
        raw = rows.reshape(-1, self.channels)[self.positives]
        cell = self.positives % rows.shape[1]
        centre, size = decode(raw, self.scale[cell], self.offset[cell], self.anchor[cell])
        boxes = (1 - complete_iou(centre, size, self.centre, self.size)).sum()
        classes = functional.binary_cross_entropy_with_logits(raw[:, 5:], self.categories, reduction="sum")
        return (5 * boxes + objectness + classes) / self.batch

    def rows(self, raw, anchors):
        split = raw.view(self.batch, anchors, self.channels, -1)
        return split.transpose(2, 3).reshape(self.batch, -1, self.channels)

    def overlaps(self, centre, size):
        """[N, K]: whether a predicted box overlaps one of its image's true ones by more than IGNORE."""
        low, high = (centre - size / 2).unsqueeze(2), (centre + size / 2).unsqueeze(2)
        first, side = self.truths[:, None, :, 0:2], self.truths[:, None, :, 2:4]
        common = (torch.minimum(high, first + side) - torch.maximum(low, first)).clamp(min=0).prod(3)
        union = size.prod(2).unsqueeze(2) + side.prod(3) - common
        return (common > IGNORE * union).any(2)


def cells_of(one, size):
    """For each prediction of a head: scale of the centre, its offset in x and y, and the anchor."""
    stride, scale = one["stride"], one["scaleXY"]
    beyond = stride * (scale - 1) / 2
    side = size // stride
    return [
        [stride * scale, column * stride - beyond, row * stride - beyond, *anchor]
        for anchor in one["anchors"]
        for row in range(side)
        for column in range(side)
    ]


def decode(raw, scale, offset, anchor):
    centre = raw[..., 0:2].sigmoid() * scale + offset
    return centre, raw[..., 2:4].clamp(-BOUND, BOUND).exp() * anchor


def complete_iou(centre, size, true_centre, true_size):
    low, high = centre - size / 2, centre + size / 2
    true_low, true_high = true_centre - true_size / 2, true_centre + true_size / 2
    common = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(1)
    iou = common / (size.prod(1) + true_size.prod(1) - common)
    hull = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    distance = (centre - true_centre).square().sum(1) / hull.square().sum(1)
    aspect = lambda sides: torch.atan(sides[:, 0] / sides[:, 1])
    shape = 4 / math.pi**2 * (aspect(true_size) - aspect(size)).square()
    alpha = (shape / (1 + 1e-7 - iou + shape)).detach()
    return iou - distance - alpha * shape


def detector(name, job, batch):
    """The network and its loss."""
    outputs = 3 * (5 + job["classes"])
    network = Yolov4Tiny(outputs) if name == "yolov4-tiny" else Yolov4(outputs)
    return network, Loss(job, batch)
