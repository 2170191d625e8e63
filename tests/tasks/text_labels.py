"""A small treebank, made up: labels for every kind of task about words, spans and texts."""

import numpy as np
import polars as pl

LEXICON = {
    "DOG": ("dog", "NOUN", "Number=Sing", "nsubj"),
    "dogs": ("dog", "NOUN", "Number=Plur", "nsubj"),
    "cats": ("cat", "NOUN", "Number=Plur", "obj"),
    "Cats": ("cat", "NOUN", "Number=Plur", "nsubj"),
    "The": ("the", "DET", "Definite=Def|PronType=Art", "det"),
    "the": ("the", "DET", "Definite=Def|PronType=Art", "det"),
    "ran": ("run", "VERB", "Mood=Ind|Tense=Past|VerbForm=Fin", "conj"),
    "runs": ("run", "VERB", "Mood=Ind|Number=Sing|Tense=Pres|VerbForm=Fin", "conj"),
    "Paris": ("Paris", "PROPN", "Number=Sing", "nmod"),
    "Berlin": ("Berlin", "PROPN", "Number=Sing", "nmod:poss"),
    ".": (".", "PUNCT", "_", "punct"),
}


def gapped(values, rng, share=0.2):
    return [None if gone else value for value, gone in zip(values, rng.random(len(values)) < share, strict=True)]


def tree(n, rng):
    """The heads of a random tree with one word below the root."""
    order = rng.permutation(n) + 1
    heads = np.zeros(n, dtype=int)
    for i in range(1, n):
        heads[order[i] - 1] = order[rng.integers(0, i)]
    return heads.tolist()


def tags(n, rng, scheme="BIO"):
    """Random spans of two types, written in a scheme."""
    found = ["O"] * n
    start = 0
    while start < n:
        size = min(int(rng.integers(1, 4)), n - start)
        if rng.random() < 0.5:
            kind = rng.choice(["PER", "LOC"])
            inside = [f"I-{kind}"] * size
            inside[0] = f"B-{kind}"
            if scheme == "BIOES":
                inside[-1] = f"E-{kind}" if size > 1 else f"S-{kind}"
            found[start : start + size] = inside
            start += size
        start += 1
    return found


def nested(n, rng):
    """Random spans, some of them inside others."""
    found = set()
    for _ in range(int(rng.integers(0, 4)) if n else 0):
        start = int(rng.integers(0, n))
        found.add((start, int(rng.integers(start + 1, min(n, start + 4) + 1)), str(rng.choice(["PER", "ORG"]))))
    return [{"start": s, "end": e, "label": label} for s, e, label in sorted(found)]


def treebank(rows, seed=4):
    rng = np.random.default_rng(seed)
    sizes = [0, 1, 1, *rng.integers(1, 9, rows - 3).tolist()]
    words = [rng.choice(list(LEXICON), size).tolist() for size in sizes]
    columns = {
        name: [[LEXICON[word][i] for word in row] for row in words]
        for i, name in enumerate(("lemma", "upos", "feats", "deprel"))
    }
    return pl.DataFrame(
        {
            "words": words,
            **{name: gapped(column, rng) for name, column in columns.items() if name != "deprel"},
            "ner": gapped([tags(size, rng) for size in sizes], rng),
            "bioes": gapped([tags(size, rng, "BIOES") for size in sizes], rng),
            **{
                name: [None if i % 6 == 5 else row for i, row in enumerate(column)]
                for name, column in {"head": [tree(n, rng) for n in sizes], "deprel": columns["deprel"]}.items()
            },
            "spans": gapped([nested(size, rng) for size in sizes], rng),
            "entails": gapped(rng.choice(["yes", "no", "maybe"], rows).tolist(), rng),
            "summary": gapped([" ".join(rng.choice(row, 5)) if row else "" for row in words], rng),
        },
        schema_overrides={"head": pl.List(pl.Int64)},
    )
