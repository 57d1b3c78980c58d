"""What `real_registration.py` needs: one real pair of MRI and 3D ultrasound, offsets, and the baseline."""
