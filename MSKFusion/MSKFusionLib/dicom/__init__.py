"""Read DICOM folders: list the series, choose one, and get it as a `Volume` or a refusal in words."""

from .read import read_series
from .series import SeriesInfo, list_series

__all__ = ["SeriesInfo", "list_series", "read_series"]
