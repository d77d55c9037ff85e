"""Classical peers behind the same scoring interface."""
