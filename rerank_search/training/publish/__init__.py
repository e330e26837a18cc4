"""The finished model: its directory, calibration, card, and upload."""
