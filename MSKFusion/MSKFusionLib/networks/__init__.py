"""Networks given by the user: MONAI bundles read as data, never as code; nnU-Net and TotalSegmentator where installed."""

from .bundle import Bundle, read_bundle
from .choose import segment_with_network
from .segment import segment_with_bundle

__all__ = ["Bundle", "read_bundle", "segment_with_bundle", "segment_with_network"]
