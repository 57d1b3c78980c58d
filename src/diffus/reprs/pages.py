"""Objects in a notebook: a small table and a picture, in HTML that needs no other file."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffus.mixing import CHANNELS
from diffus.reprs import facts, pictures
from diffus.reprs.facts import Facts
from diffus.reprs.never_raising import never_raising

if TYPE_CHECKING:
    from diffus.frame import Frame
    from diffus.medium import Medium
    from diffus.probe import Probe
    from diffus.registration.acquisition.result import SettingsResult
    from diffus.registration.result import RegistrationResult
    from diffus.volume import Volume

_UNITS = ("MRayl", "dB/cm/MHz", "of a perfect reflector")
_TANGENT = ("turn x", "turn y", "turn z", "shift x", "shift y", "shift z")
_CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top"


def frame_page(frame: Frame) -> str:
    """A frame: its facts and its first image."""
    return page(frame, facts.frame_facts(frame), pictures.frame_picture(frame))


def volume_page(volume: Volume) -> str:
    """A volume: its facts, its range, and three slices through its middle."""
    rows = facts.volume_facts(volume) | {"most values": _usual(volume.data, "")}
    return page(volume, rows, pictures.volume_picture(volume))


def medium_page(medium: Medium) -> str:
    """A medium: its facts, the ranges of its maps, and the maps in a plane through its middle."""
    ranges = {name: _usual(getattr(medium, name), unit) for name, unit in zip(CHANNELS, _UNITS, strict=True)}
    return page(medium, facts.medium_facts(medium) | ranges, pictures.medium_picture(medium))


def probe_page(probe: Probe) -> str:
    """A probe: its facts, and a drawing of its scanlines."""
    return page(probe, facts.probe_facts(probe), pictures.probe_picture(probe))


def registration_page(result: RegistrationResult) -> str:
    """A registration: its verdict, the covariance in degrees and mm, and the way of the best descent."""
    rows = facts.registration_facts(result)
    return page(result, rows, pictures.registration_picture(result), _covariance(result.covariance))


def settings_page(result: SettingsResult) -> str:
    """Settings that were found: each with its standard deviation."""
    return page(result, facts.settings_facts(result), None)


def page(thing: Any, rows: Facts, picture: bytes | None, more: str = "") -> str:
    """HTML of a thing's name, its facts, further HTML and a picture.

    Args:
        thing: its type gives the name.
        rows: escaped here.
        picture: PNG; left out where there is none.
        more: HTML between the table and the picture.
    """
    name = escape(type(thing).__name__)
    body = "".join(_row(key, value) for key, value in rows.items() if value)
    image = ""
    if picture is not None:
        data = base64.b64encode(picture).decode("ascii")
        image = f'<img alt="{name}" style="max-width:100%" src="data:image/png;base64,{data}"/>'
    return f"<div><strong>{name}</strong><table><tbody>{body}</tbody></table>{more}{image}</div>"


def _row(key: str, value: str) -> str:
    """A line of the table; a value does not begin with the name that stands beside it."""
    alone = value.removeprefix(key).lstrip(" :") or value
    return (
        f'<tr><th scope="row" style="{_CELL}">{escape(key)}</th><td style="{_CELL}">{escape(alone)}</td></tr>'
    )


@never_raising(lambda error: f"unknown: {error}")
def _usual(values: Tensor, unit: str) -> str:
    return f"98 % of the voxels: {facts.usual_range(values, unit)}"


@never_raising(lambda _: "")
def _covariance(covariance: Tensor) -> str:
    """The matrix as a table, its first line naming the columns."""
    heads = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in _TANGENT)
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL}">{name}</th>'
        + "".join(f'<td style="{_CELL}">{value:.2g}</td>' for value in row)
        + "</tr>"
        for name, row in zip(_TANGENT, covariance.tolist(), strict=True)
    )
    caption = "covariance of turns in degrees and shifts in mm, about the middle of the sector"
    return (
        f"<details><summary>{caption}</summary>"
        f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{lines}</tbody></table></details>"
    )
