"""Data sets that PyPI packages carry; one file per set."""
