"""The temporal heterogeneous graph: a view of the log as of any time t."""
