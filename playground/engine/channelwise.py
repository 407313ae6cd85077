"""The same diffusion network with nothing between its convolutions that would turn its memory around.

OpenVINO's convolutions want the channels of a pixel beside one another. A group norm that is taken over a reshaped
picture, and a time embedding that is added to a whole picture, each make it change to the other order and back; written
as below they do not, and the network takes about two thirds of the time (half of it in bfloat16 on AMX).
"""

from __future__ import annotations

import copy

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models import Diffusion


def pixel_mean(x: Tensor) -> Tensor:
    """[batch, channels, height, width] -> [batch, channels, 1, 1]."""
    return F.avg_pool2d(x, (int(x.shape[2]), int(x.shape[3])))


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x) by way of tanh, which takes no division: a twentieth of the network's time less."""
    half = 0.5 * x
    return half * torch.tanh(half) + half


class ChannelwiseNorm(nn.Module):
    """Group norm (Wu and He 2018) as a scale and a shift for each channel of each picture.

    A mean over a group is the mean over pixels, then a product with a matrix that averages the group's channels.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        size = norm.num_channels // norm.num_groups
        block = torch.full((size, size), 1 / size)
        average = torch.block_diag(*[block] * norm.num_groups)[:, :, None, None]  # a 1x1 convolution
        self.register_buffer("average", average)
        self.register_buffer("weighted_average", average * norm.weight.detach()[:, None, None, None])
        self.register_buffer("eps", torch.full((norm.num_channels,), norm.eps))
        self.register_buffer("bias", norm.bias.detach()[:, None, None])

    def forward(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        """The norm of x + offset; x [batch, channels, height, width] or [batch, channels, n], offset [batch, channels,
        1, 1]."""
        if x.dim() == 3:
            return self(x.unsqueeze(3), offset).squeeze(3)
        if offset is None:
            shift = F.conv2d(pixel_mean(x), -self.average)
        else:
            shift = F.conv2d(pixel_mean(x) + offset, -self.average) + offset
        variance = F.conv2d(pixel_mean((x + shift).square()), self.average, self.eps)
        # equal within a group, so averaging it there changes nothing: a product with the weights that no fusion of
        # operations can repeat for every pixel
        scale = F.conv2d(variance.rsqrt(), self.weighted_average)
        return x * scale + (shift * scale + self.bias)


class ChannelwiseBlock(nn.Module):
    """A residual block of a UNet2DModel; its time embedding goes into the second norm instead of into every pixel."""

    def __init__(self, block: ResnetBlock2D) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelwiseNorm(block.norm1), ChannelwiseNorm(block.norm2)
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.shortcut = block.conv_shortcut or nn.Identity()
        self.time_emb_proj = block.time_emb_proj

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        weight = self.time_emb_proj.weight[:, :, None, None]
        offset = F.conv2d(F.silu(temb)[:, :, None, None], weight, self.time_emb_proj.bias)
        hidden = self.conv1(silu(self.norm1(x)))
        hidden = self.conv2(silu(self.norm2(hidden, offset)))
        return self.shortcut(x) + hidden


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


def channelwise(network: Diffusion) -> Diffusion:
    """A copy of the network that calculates the same, up to rounding; for inference alone."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(network.unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ResnetBlock2D) and is_plain(child):
                setattr(parent, name, ChannelwiseBlock(child))
            elif isinstance(child, nn.GroupNorm) and not isinstance(parent, ResnetBlock2D):
                setattr(parent, name, ChannelwiseNorm(child))
    return network
