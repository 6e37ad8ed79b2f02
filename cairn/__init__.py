"""Cairn: capture what people do, decide who they are like, act on it, measure what changed."""

__version__ = "0.1.0"
