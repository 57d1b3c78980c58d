"""The parts of the capture-range study."""
