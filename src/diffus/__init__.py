"""Differentiable B-mode ultrasound rendered from MRI, CT and label maps."""
