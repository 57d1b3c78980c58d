"""Parts of the study against real ultrasound (`benchmarks/against_real.py`), one idea a file."""
