"""Polytask."""
