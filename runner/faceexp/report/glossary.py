"""What every word of the page means."""

from __future__ import annotations

from faceexp.evaluation.catalogue import COLUMNS

TERMS = {
    "identity": "a person; every image shows one",
    "embedding": "the vector a network makes of an image; images of one person should lie close together",
    "trunk": "the network below the embedding layer; every loss starts from the same one",
    "phase 1, phase 2": (
        "classification that trains the trunk, once for all losses of a seed and fold; then each loss by itself"
    ),
    "pair": "two different images of one part of the data",
    "similar, different pair": "a pair of one person; a pair of two people",
    "distance": "between the two embeddings of a pair, Euclidean or cosine, whichever the loss is made for",
    "threshold": (
        "the distance up to which a pair is accepted as similar; chosen on validation pairs, never on test pairs"
    ),
    "seed, fold": "what a trial draws its split, weights and batches from; a part of a split into several",
    "trial": "one loss or baseline, trained and tested with one seed and fold",
    "label": "the name of a row: a loss with the options that distinguish it, or a baseline",
    "baseline": (
        "what a loss has to beat: raw pixels, principal components, the untrained trunk, the embedding after phase 1"
    ),
    "FAR, false accept rate": "share of different pairs that are accepted",
    "FRR, false reject rate": "share of similar pairs that are rejected; FRR and TAR add up to 100 %",
    "TAR, true accept rate": "share of similar pairs that are accepted",
    "ROC": "TAR over FAR for every threshold",
    "DET": "FRR over FAR for every threshold, on axes on which normally distributed distances give straight lines",
    "vertical averaging": "the mean of several ROC curves at the same FAR (Fawcett, 2006)",
    "R": "in retrieval: how many other images show the person of the query",
    "open set": "nobody in the test was seen in training",
    "closed set": "the people of the test were seen in training, in other images",
    "95 % interval": "a procedure that covers the true mean in 95 % of runs, if trials vary normally",
    "Nadeau-Bengio": "correction of the variance of a mean over trials that share training images (2003)",
    "paired t-test": "compares two rows by their differences within the same seed and fold",
    "corrected p (Holm)": (
        "of the paired t-test, after Holm (1979) over all pairs of rows of a metric: the chance of even one false "
        "claim stays below 5 %"
    ),
    "effect size": (
        "mean difference over the standard deviation of the differences (Cohen's d_z); 0.2 small, 0.5 medium, 0.8 large"
    ),
    "minimum detectable difference": (
        "what the test, before correction, finds in 80 % of repetitions, given the spread that was seen"
    ),
    "letters": "rows that share a letter cannot be told apart; rows that share none differ at 5 %",
    "points": "a difference of two percentages",
}


def glossary() -> list[tuple[str, str]]:
    """Return terms and meanings, those of the metrics among them, by alphabet."""
    metrics = {column.heading: f"{column.meaning}; {column.better} is better" for column in COLUMNS}
    return sorted((TERMS | metrics).items(), key=lambda item: item[0].lower())
