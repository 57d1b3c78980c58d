"""The live viewer: a local web page in which a probe is moved by hand and the picture follows.

`ViewerScene` is what is shown, `ViewerServer` shows it to browsers on this machine. ``diffus view`` is both.
Needs the extra ``[view]``.
"""

from diffus.viewer.real import RealFrame, RealUltrasound, RealVolume
from diffus.viewer.scene import ViewerScene
from diffus.viewer.server import ViewerServer

__all__ = ["RealFrame", "RealUltrasound", "RealVolume", "ViewerScene", "ViewerServer"]
