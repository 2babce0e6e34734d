"""Networks given by the user: MONAI bundles read as data, never as code; nnU-Net and TotalSegmentator where installed."""

from .bundle import Bundle, read_bundle
from .choose import segment_with_network
from .flow_bundle import FlowBundle, read_flow_bundle
from .segment import segment_with_bundle

__all__ = ["Bundle", "FlowBundle", "read_bundle", "read_flow_bundle", "segment_with_bundle", "segment_with_network"]
