"""The same diffusion network with nothing between its convolutions that would turn its memory around.

OpenVINO's convolutions want the channels of a pixel beside one another. A group norm that is taken over a reshaped
picture, and a time embedding that is added to a whole picture, each make it change to the other order and back; written
as below they do not, and the network takes about two thirds of the time (half of it in bfloat16 on AMX). For one
picture the number of operations counts as much as their size, so what can be one operation is one.
"""

from __future__ import annotations

import copy

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models import Diffusion

FEW_PIXELS = 64  # of which dividing each takes less time than two operations more


def pixel_mean(x: Tensor) -> Tensor:
    """[batch, channels, height, width] -> [batch, channels, 1, 1]."""
    return F.avg_pool2d(x, (int(x.shape[2]), int(x.shape[3])))


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x) by way of tanh, which takes no division: a twentieth of the network's time less."""
    half = 0.5 * x
    return half * torch.tanh(half) + half


class ChannelwiseNorm(nn.Module):
    """Group norm (Wu and He 2018) as a scale and a shift for each channel of each picture.

    A mean over a group is the mean over pixels, then a grouped 1x1 convolution that averages the group's channels.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, size = norm.num_groups, norm.num_channels // norm.num_groups
        self.register_buffer("average", torch.full((norm.num_channels, size, 1, 1), 1 / size))
        self.register_buffer("minus_average", -self.average)
        self.register_buffer("eps", torch.full((norm.num_channels,), norm.eps))
        weight = norm.weight.detach()[:, None, None]
        self.register_buffer("weight", weight)
        self.register_buffer("weighted_average", self.average * weight[..., None])
        self.register_buffer("bias", norm.bias.detach()[:, None, None])

    def centred(self, rows: Tensor) -> Tensor:
        """Rows [channels, ...] less the mean row of their group."""
        grouped = rows.unflatten(0, (self.groups, -1))
        return (grouped - grouped.mean(1, keepdim=True)).flatten(0, 1)

    def forward(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        """The norm of x, [batch, channels, height, width] or [batch, channels, n].

        `offset`, [batch, channels, 1, 1], is added to x first; it must be centred, which makes no difference here.
        """
        if x.dim() == 3:
            return self(x.unsqueeze(3), offset).squeeze(3)
        shift = F.conv2d(pixel_mean(x), self.minus_average, groups=self.groups)
        if offset is not None:
            shift = shift + offset
        variance = F.conv2d(pixel_mean((x + shift).square()), self.average, self.eps, groups=self.groups)
        if x.shape[2] * x.shape[3] <= FEW_PIXELS:
            scale = variance.pow(-0.5) * self.weight
        else:
            # equal within a group, so averaging it there changes nothing: a product with the weights that no fusion
            # of operations can repeat for every pixel
            scale = F.conv2d(variance.rsqrt(), self.weighted_average, groups=self.groups)
        return x * scale + (shift * scale + self.bias)


class TimeOffsets:
    """What the time embedding adds in every block, by one product for all of them."""

    def __init__(self) -> None:
        self._weights: list[Tensor] = []  # [channels, embedding] of each block
        self._biases: list[Tensor] = []
        self._seen: Tensor | None = None
        self._parts: tuple[Tensor, ...] = ()

    def add(self, projection: nn.Linear, norm: ChannelwiseNorm) -> int:
        """Take up a block whose embedding goes into `norm`; returns its number."""
        self._weights.append(norm.centred(projection.weight.detach()))
        self._biases.append(norm.centred(projection.bias.detach()))
        return len(self._biases) - 1

    def of(self, block: int, temb: Tensor) -> Tensor:
        """The block's own, [batch, channels, 1, 1], worked out when the first block asks for this embedding's."""
        if self._seen is not temb:
            weight, bias = torch.cat(self._weights)[:, :, None, None], torch.cat(self._biases)
            offsets = F.conv2d(F.silu(temb)[:, :, None, None], weight, bias)
            self._seen, self._parts = temb, offsets.split([len(bias) for bias in self._biases], 1)
        return self._parts[block]


class ChannelwiseBlock(nn.Module):
    """A residual block of a UNet2DModel; its time embedding goes into the second norm instead of into every pixel."""

    def __init__(self, block: ResnetBlock2D, offsets: TimeOffsets) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelwiseNorm(block.norm1), ChannelwiseNorm(block.norm2)
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.shortcut = block.conv_shortcut or nn.Identity()
        self.offsets, self.number = offsets, offsets.add(block.time_emb_proj, self.norm2)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        hidden = self.conv1(silu(self.norm1(x)))
        hidden = self.conv2(silu(self.norm2(hidden, self.offsets.of(self.number, temb))))
        return self.shortcut(x) + hidden


class TransposedUpsample(nn.Module):
    """Every pixel doubled in both directions, then a 3x3 convolution: together a transposed one with a 4x4 kernel.

    It takes 4 products for each pixel and pair of channels where the two in turn take 9, and writes no large picture in
    between.
    """

    def __init__(self, upsample: Upsample2D) -> None:
        super().__init__()
        weight = upsample.conv.weight.detach()  # [out, in, 3, 3]
        doubled = F.conv2d(weight.flip(2, 3).flatten(0, 1)[:, None], torch.ones(1, 1, 2, 2), padding=1)
        self.register_buffer("weight", doubled.view(*weight.shape[:2], 4, 4).transpose(0, 1).contiguous())
        self.register_buffer("bias", upsample.conv.bias.detach())

    def forward(self, x: Tensor, _output_size: None = None) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


def is_plain(block: ResnetBlock2D) -> bool:
    """Whether the block is all that `ChannelwiseBlock` knows."""
    return (
        block.time_emb_proj is not None
        and block.time_embedding_norm == "default"
        and not block.skip_time_act
        and block.output_scale_factor == 1.0
        and isinstance(block.nonlinearity, nn.SiLU)
        and block.upsample is None
        and block.downsample is None
    )


def is_plain_upsample(upsample: Upsample2D) -> bool:
    """Whether it is all that `TransposedUpsample` knows."""
    convolution = getattr(upsample, "conv", None)
    return (
        upsample.use_conv
        and upsample.interpolate
        and upsample.norm is None
        and isinstance(convolution, nn.Conv2d)
        and (convolution.kernel_size, convolution.padding) == ((3, 3), (1, 1))
        and convolution.bias is not None
    )


def channelwise(network: Diffusion) -> Diffusion:
    """A copy of the network that calculates the same, up to rounding; for inference alone."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    offsets = TimeOffsets()
    for parent in list(network.unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ResnetBlock2D) and is_plain(child):
                setattr(parent, name, ChannelwiseBlock(child, offsets))
            elif isinstance(child, Upsample2D) and is_plain_upsample(child):
                setattr(parent, name, TransposedUpsample(child))
            elif isinstance(child, nn.GroupNorm) and not isinstance(parent, ResnetBlock2D):
                setattr(parent, name, ChannelwiseNorm(child))
    return network
