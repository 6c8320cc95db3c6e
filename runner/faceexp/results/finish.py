"""What a run writes of a trial: its file, its model with the threshold, and pictures that are not written yet."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from faceexp.arrays import ByteArray
from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.seen_photos import count_of, packed, sha256
from faceexp.engine.networks import forget_network
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.results.folder import RunFolder
from faceexp.results.jsonable import to_json
from faceexp.results.judge import GUESSED_AUC
from faceexp.results.kept import Held, KeptModels, has_model
from faceexp.results.measure import measure
from faceexp.results.model_schema import MeasuredRecord, ModelRecord, SeenPhotosRecord, UsedPluginRecord
from faceexp.results.schema import TrialFile, TrialRecord
from faceexp.results.tidy import forget_model
from faceexp.results.verdict import VerdictRecord
from faceexp.store import Store, StoreError, link_or_copy, write_bytes, write_text
from faceexp.values import Plan, TrainedTrial


def finish(
    trained: TrainedTrial, folder: RunFolder, plan: Plan, store: Store, pictures: set[int], models: KeptModels
) -> TrialRecord:
    """Measure a trial, and write its file, its model if that is kept, and the pictures that are not written yet."""
    measured = measure(trained, plan, store)
    trial = _with_validation_auc(measured.trial, trained, plan)
    write_text(folder.trial(trial.id), to_json(trial))
    for image in set(measured.pictures) - pictures:
        write_bytes(folder.picture(image), _png(plan.images[image]))
    pictures.update(measured.pictures)
    if trial.status != "ok":
        forget_model(folder, trial.id)
    record = trial.alone()
    if has_model(record):
        held = Held(trained.trial, record, trained.key)
        dropped = models.add(held)
        if dropped is not held:
            held.lacks_network = not _write_model(trained, trial, folder, plan, store)
        if dropped:
            forget_model(folder, dropped.record.id)
            if dropped.key and not models.only_reads:
                forget_network(store, dropped.key)
    return record


def finish_again(trained: TrainedTrial, folder: RunFolder, plan: Plan, store: Store) -> None:
    """Write the model of a trial that was trained once more for the sake of its network."""
    trial = _with_validation_auc(measure(trained, plan, store).trial, trained, plan)
    if has_model(trial):
        _write_model(trained, trial, folder, plan, store)


def _write_model(trained: TrainedTrial, trial: TrialFile, folder: RunFolder, plan: Plan, store: Store) -> bool:
    """Write the model of a trial with its threshold, and return whether it is there: it is not without its network."""
    model = folder.model(trial.id)
    if trained.folder and not (trained.network and _is_linked(trained.network, model.network("keras"))):
        forget_model(folder, trial.id)
        return False
    seen = _seen_photos(trained, plan)
    if seen is not None:
        write_bytes(model.seen_photos, seen)
    # Whoever uses a model compares single photos, so its thresholds are for these and not for templates.
    photos = measure(trained, dataclasses.replace(plan, templates=None), store).trial if plan.templates else trial
    description = ModelRecord(
        label=trial.label,
        seed=trial.seed,
        fold=trial.fold,
        distance=trained.distance,
        threshold=photos.threshold,
        criterion="best balanced accuracy on the validation part",
        calibration=photos.calibration,
        validation_auc=trial.validation_auc,
        preprocess=plan.resolved.experiment.preprocess,
        flip=plan.resolved.experiment.evaluation.flip,
        existed=_existed(trained, plan),
        trunk=_trunk(trained, plan),
        seen_photos=None if seen is None else SeenPhotosRecord(count=count_of(seen), sha256=sha256(seen)),
    )
    write_text(model.record, to_json(description))
    return True


def _is_linked(network: Path, place: Path) -> bool:
    """Put a network of the store into the run, and return whether it is still there: another run may remove it."""
    try:
        link_or_copy(network, place)
    except StoreError:
        if network.exists():
            raise
        return False
    return True


def tell_models(folder: RunFolder, trials: Sequence[TrialRecord], verdict: VerdictRecord) -> None:
    """Write into the models of networks that are only measured what all trials show: they are one network."""
    claims = {claim.label: claim for claim in verdict.guessing if claim.people is not None}
    for trial in trials:
        claim = claims.get(trial.label)
        model = folder.model(trial.id)
        if claim is None or claim.difference is None or trial.kind != "pretrained" or not model.record.is_file():
            continue
        measured = MeasuredRecord(
            trials=claim.trials,
            people=claim.people or 0,
            auc=GUESSED_AUC + claim.difference,
            interval=claim.interval and (GUESSED_AUC + claim.interval[0], GUESSED_AUC + claim.interval[1]),
            beats_guessing=claim.verdict == "better",
        )
        write_text(model.record, to_json(model.read().model_copy(update={"measured": measured})))


def _with_validation_auc(trial: TrialFile, trained: TrainedTrial, plan: Plan) -> TrialFile:
    """Return a trial with the score by which models are chosen, if it has one."""
    score = _validation_auc(trained, plan) if has_model(trial) else None
    return trial.model_copy(update={"validation_auc": score})


def _validation_auc(trained: TrainedTrial, plan: Plan) -> float | None:
    """Return the AUC of a trial on its validation part: of a loss, that of the checkpoint that is kept."""
    if trained.trial.loss and plan.resolved.experiment.evaluation.choose_by == "auc":
        return next((point.validation for point in trained.curve if point.step == trained.best_step), None)
    people, pairs = plan.labels[trained.split.validation], trained.split.validation_pairs
    return ValidationAuc()(trained.embeddings["validation"], people, trained.distance, pairs)


def _network(trained: TrainedTrial, plan: Plan) -> ConfiguredPlugin | None:
    row = trained.trial.pretrained
    return row.network if row else plan.resolved.model


def _existed(trained: TrainedTrial, plan: Plan) -> bool:
    """Return whether the network of a trial had trained weights before, or its trunk: on whom is not known here."""
    network = _network(trained, plan)
    return network is not None and bool(cast("ModelPlugin | FixedModelPlugin", network.plugin).trained)


def _trunk(trained: TrainedTrial, plan: Plan) -> UsedPluginRecord | None:
    """Return the plugin that opens the network of a trial, where no file of Keras holds it."""
    row, network = trained.trial.pretrained, _network(trained, plan)
    if network is None or (row is None and not isinstance(network.plugin, FixedModelPlugin)):
        return None
    installed = network.installed
    return UsedPluginRecord(
        name=installed.name,
        options=network.plugin.model_dump(mode="json", exclude_none=True),
        distribution=installed.distribution,
        version=installed.version,
    )


def _seen_photos(trained: TrainedTrial, plan: Plan) -> bytes | None:
    """Return the digests of the photos that a trial has used before its test; nothing if they are no files.

    What trained an embedding that exists already is not known here.
    """
    if plan.file_digests is None or trained.trial.pretrained:
        return None
    used = np.concatenate([trained.split.train, trained.split.validation])
    return packed(digest.tobytes() for digest in plan.file_digests[used])


def _png(pixels: ByteArray) -> bytes:
    """Return an image as the networks see it, as the content of a file."""
    content = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(content, "png")
    return content.getvalue()
