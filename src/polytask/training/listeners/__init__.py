"""Listeners: callables on the events of the loop, one per file."""
