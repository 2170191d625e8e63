"""Data sets that are downloaded from their official source; one file per set."""
