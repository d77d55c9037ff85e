"""A run's model for devices and other programs: C99 headers and ONNX graphs."""
