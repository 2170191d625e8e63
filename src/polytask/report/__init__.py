"""Reports: a run folder as one self-contained HTML page, and a comparison as tables on the terminal."""
