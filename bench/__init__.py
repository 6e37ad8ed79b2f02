"""Measurements, one module each: `python -m bench.<name>` prints JSON: the figure, its limit or peer, the ratio."""
