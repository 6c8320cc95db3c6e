"""Networks that exist already are asked whether they take the images, before a single image is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import shape
from faceexp.errors import InputError
from faceexp.experiment.schema import Experiment
from faceexp.planning.issues import Issue
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.installed import ConfiguredPlugin


def image_issues(
    experiment: Experiment, model: ConfiguredPlugin | None, rows: Iterable[tuple[int, ConfiguredPlugin]]
) -> list[Issue]:
    """Return why networks do not take the images of an experiment, or give no features of them.

    What cannot be told at once, the engine tells when it opens or builds the network, still before anything trains.

    Args:
        experiment: Says what the images are.
        model: The trunk.
        rows: The networks that are only measured, by their place in the file.
    """
    places: list[tuple[tuple[str | int, ...], ConfiguredPlugin]] = [
        (("pretrained", index), network) for index, network in rows
    ]
    if model:
        places.insert(0, (("model",), model))
    images = shape(experiment.preprocess)
    issues = []
    for place, network in places:
        plugin = cast("ModelPlugin | FixedModelPlugin", network.plugin)
        try:
            ask(lambda plugin=plugin: plugin.check(images))  # type: ignore[misc]
        except PluginFaultError as fault:
            # Any other error is the plugin's own fault, and costs its row only: the engine will meet it again.
            if isinstance(fault.__cause__, InputError):
                issues.append(Issue(place, str(fault.__cause__)))
    return issues
