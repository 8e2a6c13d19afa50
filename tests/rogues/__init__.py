"""Kinds of work that no product has: one that is instant, one that is slow, one that kills."""
