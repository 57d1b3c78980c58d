"""From echoes to an image: beam, envelope, gain, compression and scan conversion."""
