"""Electronic noise of the receiver: the floor below which no echo is seen.

White complex Gaussian noise through the receive filter, which is matched to the pulse. Unlike speckle it
does not belong to the tissue: it comes from the seed and the pose of a frame, so that frames differ, and the
same frame has the same bits on every device and in every batch.
"""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor

from diffus.imaging.blur import blur_depth
from diffus.scalars import Scalar, as_scalar


def noise_power(noise_db: Scalar | None, like: Tensor) -> Float[Tensor, ""] | None:
    """Mean power of the noise in units of a perfect plane reflector's echo, or None where there is none."""
    return None if noise_db is None else 10 ** (as_scalar(noise_db, like) / 10)


def electronic_noise(
    like: Float[Tensor, "B S N"],
    world_from_probe: Float64[Tensor, "B 4 4"],
    axial_sigma_samples: Float[Tensor, ""],
    seed: int,
    backend: str = "auto",
) -> Complex[Tensor, "B S N"]:
    """Complex noise of mean power one, as wide along depth as the pulse.

    Args:
        like: gives shape, type and device.
        world_from_probe: pose of each frame.
        axial_sigma_samples: width of the pulse.
        seed: another seed is another noise.
        backend: of the filter, see `blur.blur_depth`.
    """
    parts = torch.stack([_white(pose, seed, like) for pose in world_from_probe])
    filtered = blur_depth(parts.flatten(0, 1), axial_sigma_samples, "energy", backend)
    real, imaginary = filtered.reshape(parts.shape).unbind(1)
    return torch.complex(real.contiguous(), imaginary.contiguous())


def _white(pose: Float64[Tensor, "4 4"], seed: int, like: Tensor) -> Float[Tensor, "2 S N"]:
    """Real and imaginary part, of power one together; drawn on the CPU for the same bits anywhere."""
    content = pose.detach().cpu().contiguous().numpy().tobytes() + seed.to_bytes(16, "little", signed=True)
    key = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1
    generator = torch.Generator().manual_seed(key)
    noise = torch.randn(2, *like.shape[1:], generator=generator, dtype=torch.float32)
    return noise.to(like) * 0.5**0.5
