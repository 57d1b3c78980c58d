"""Acquisition settings from an image: what a scanner's knobs and its probe were set to."""

from diffus.registration.acquisition.recovery import recover_settings
from diffus.registration.acquisition.result import SettingsResult

__all__ = ["SettingsResult", "recover_settings"]
