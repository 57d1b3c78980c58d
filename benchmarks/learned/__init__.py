"""What `training.py` needs: the real pair in halves, and pairs made here whose medium is known."""
