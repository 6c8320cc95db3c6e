"""Whether the metric that an experiment file wants to be judged is one that its trials will have."""

from __future__ import annotations

from faceexp.errors import Problem, did_you_mean
from faceexp.evaluation.catalogue import FOLD_ACCURACY, IDENTIFICATION, METRIC_OF, USUAL_FARS
from faceexp.evaluation.named import metric_of
from faceexp.experiment.messages import short
from faceexp.experiment.toml import Document


def metric_problems(document: Document) -> list[Problem]:
    """Return what is wrong with the metric that a file wants to be judged: there may be no such one, or none here."""
    tables = {name: document.data.get(name) for name in ("verdict", "protocol", "evaluation")}
    verdict, protocol, evaluation = (table if isinstance(table, dict) else {} for table in tables.values())
    metric, kind = verdict.get("metric"), protocol.get("kind")
    if not isinstance(metric, str):
        return []
    known = metric_of(metric)
    message = ""
    if metric == "rank_1" and kind != "closed_set":
        message = (
            "is measured under closed_set alone, where the people who are tested are enrolled; name another metric"
        )
    elif metric == FOLD_ACCURACY.key and kind != "pairs_file":
        message = "is measured under pairs_file alone, where a list has folds; name another metric"
    elif metric in IDENTIFICATION and evaluation.get("identification") is not True:
        message = "is measured with `identification = true` in [evaluation]; add it, or name another metric"
    elif known and known.key.startswith("tar@far=") and known.key != metric:
        message = f"is written {known.key}"
    elif known and known.key == metric:
        fars = evaluation.get("fars")
        given = fars if isinstance(fars, list) else list(USUAL_FARS)
        if metric.startswith("tar@far=") and known.guessing not in given:
            message = f"is measured where fars in [evaluation] has {known.guessing}; it has {short(given)}"
    else:
        message = f"there is no metric {short(metric)}; {did_you_mean(metric, METRIC_OF)}"
    return [document.problem(("verdict", "metric"), message)] if message else []
