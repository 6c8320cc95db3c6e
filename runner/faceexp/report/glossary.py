"""What every word of the page means."""

from __future__ import annotations

from faceexp.evaluation.catalogue import METRICS

# Other fields have other names for the same things, and a reader may know only those: each is given beside ours.
TERMS = {
    "identity": "a person; every image shows exactly one",
    "embedding": "the vector that a network makes of an image; images of one person should lie close together",
    "trunk": "the network below the embedding layer; every loss starts from the same one",
    "phase 1, phase 2": (
        "phase 1 trains the trunk by classification, once per seed and fold for all losses; phase 2 then trains each "
        "loss by itself"
    ),
    "pair": "two different images from one part of the data",
    "similar pair": "a pair that shows one person; elsewhere called genuine pair, mated pair or positive pair",
    "different pair": "a pair that shows two people; elsewhere called impostor pair, non-mated pair or negative pair",
    "genuine pair, impostor pair": "the words of biometrics for a similar pair and a different pair",
    "person-averaged": (
        "a rate or a mean that is taken within each person, or pair of people, first, and then over people: everybody "
        "counts alike, however many images they have"
    ),
    "pooled": "a rate or a mean over all pairs or all images alike, in which a person with many images counts most",
    "positive, negative": (
        "the words of metric learning: seen from an image, the anchor, an image of the same person and one of another; "
        "with it they make a similar and a different pair"
    ),
    "distance": "between the two embeddings of a pair: Euclidean or cosine, whichever the loss is made for",
    "threshold": (
        "the distance up to which a pair is accepted as similar; chosen on validation pairs, never on test pairs"
    ),
    "seed": "the number from which a trial draws its split, its weights and its batches",
    "fold": "one of several ways to cut the data of a seed, each with its own test part",
    "trial": "one loss or baseline, trained and tested with one seed and one fold",
    "label": "the name of a row: a loss with the options that distinguish it, or a baseline",
    "baseline": (
        "what a loss has to beat: raw pixels, principal components, the untrained trunk, the embedding after phase 1"
    ),
    "FAR, false accept rate": "share of different pairs that are accepted; also called FMR, false match rate",
    "FRR, false reject rate": (
        "share of similar pairs that are rejected; also called FNMR, false non-match rate; FRR and TAR add up to 100 %"
    ),
    "FMR, FNMR": "false match rate and false non-match rate: other names for FAR and FRR",
    "TAR, true accept rate": "share of similar pairs that are accepted",
    "FPIR, TPIR": (
        "false and true positive identification rate: share of photos of strangers that lead to anybody in a gallery, "
        "and of photos of people in it that lead to the right one; 1 - TPIR is also called FNIR"
    ),
    "CMC": "cumulative match characteristic: how often the right person is among the 1, 2, 3, ... nearest of a gallery",
    "ROC": "a curve of TAR over FAR, with one point per threshold",
    "DET": (
        "a curve of FRR over FAR, with one point per threshold, on axes on which normally distributed distances give a "
        "straight line"
    ),
    "vertical averaging": "the mean of several ROC curves, taken at the same values of FAR (Fawcett, 2006)",
    "R": "in retrieval: how many other images show the person of the query",
    "open set": "nobody in the test was seen in training",
    "closed set": "the people of the test were seen in training, in other images",
    "95 % interval": (
        "an interval made by a procedure that covers the true mean in 95 % of runs, if trials vary normally"
    ),
    "Nadeau-Bengio": "a correction of the variance of a mean over trials that share training images (2003)",
    "paired t-test": "a test that compares two rows by their differences within the same seed and fold",
    "corrected p (Holm)": (
        "the p-value of the paired t-test, corrected for the number of pairs of rows of a metric (Holm, 1979): the "
        "chance of even one false claim stays below 5 %"
    ),
    "effect size": (
        "mean difference over the standard deviation of the differences (Cohen's d_z); 0.2 small, 0.5 medium, 0.8 large"
    ),
    "minimum detectable difference": (
        "the difference that the test, before correction, finds in 80 % of repetitions, given the spread that was seen"
    ),
    "letters": "rows that share a letter cannot be told apart; rows that share none differ at 5 %; where more than "
    "six letters would be needed, there are none",
    "points": "the unit of a difference between two percentages",
}


def glossary() -> list[tuple[str, str]]:
    """Return all terms with their meanings, those of the metrics among them, in alphabetical order."""
    metrics = {metric.heading: f"{metric.meaning}; {metric.better} is better. {metric.explained}" for metric in METRICS}
    return sorted((TERMS | metrics).items(), key=lambda entry: entry[0].lower())
