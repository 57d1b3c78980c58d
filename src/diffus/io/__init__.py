"""Files in and out; the only place where other conventions (LPS, DICOM) are converted."""
