"""Pure functions: row scores, tails of distributions, multiplicity, optimisers. Letters of mathematics live here."""
