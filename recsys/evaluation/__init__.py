"""The protocol, metrics, slices, significance and the run report."""
