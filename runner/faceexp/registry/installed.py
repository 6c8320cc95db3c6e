"""The installed plugins: entry points of the four groups, discovered through the ``entrypoints`` package."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import entrypoints
from pydantic import ValidationError

from faceexp.contract import GROUPS, RESERVED, DatasetPlugin, LossPlugin, ModelPlugin, Plugin, SamplerPlugin
from faceexp.errors import InputError, Problem, did_you_mean

BASES: dict[str, type[Plugin]] = {
    "loss": LossPlugin,
    "model": ModelPlugin,
    "dataset": DatasetPlugin,
    "sampler": SamplerPlugin,
}


@dataclass(frozen=True)
class InstalledPlugin:
    """A plugin as the metadata of its distribution name it; its module is imported by :meth:`load` only."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    attribute: str

    def load(self) -> type[Plugin]:
        """Import the plugin's class.

        Raises:
            BrokenPluginError: It cannot be imported, or is no plugin of its kind.
        """
        try:
            # SystemExit as well: a module that exits while it is imported must not end the whole program.
            loaded = entrypoints.EntryPoint(self.name, self.module, self.attribute).load()
        except (Exception, SystemExit) as error:
            raise BrokenPluginError(self, f"{type(error).__name__}: {error}") from error
        base = BASES[self.kind]
        if not (isinstance(loaded, type) and issubclass(loaded, base)):
            raise BrokenPluginError(self, f"{self.module}:{self.attribute} is not a {base.__name__}")
        if inspect.isabstract(loaded):
            lacks = ", ".join(sorted(loaded.__abstractmethods__))
            raise BrokenPluginError(self, f"{self.module}:{self.attribute} lacks {lacks}")
        try:
            # Classes build their validators when first used; an annotation that means nothing shows only then.
            loaded.model_rebuild()
        except Exception as error:
            raise BrokenPluginError(self, f"{type(error).__name__}: {error}") from error
        silent = [name for name in sorted(base.__class_vars__) if not hasattr(loaded, name)]
        if silent:
            raise BrokenPluginError(self, f"{self.module}:{self.attribute} does not declare {', '.join(silent)}")
        taken = sorted((RESERVED if self.kind == "loss" else {"plugin"}) & set(loaded.model_fields))
        if taken:
            raise BrokenPluginError(self, f"its option {taken[0]!r} has a name that experiment files use themselves")
        return loaded

    @property
    def file(self) -> Path | None:
        """The module's file, without importing it."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return None
        return Path(spec.origin) if spec and spec.origin else None

    @cached_property
    def digest(self) -> str:
        """Digest of the module's source, or of the whole package around it: edited code counts as other code."""
        spec = importlib.util.find_spec(self.module.partition(".")[0])
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
        files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
        if not folders and self.file:
            files = [self.file]
        sources = [hashlib.sha256(file.read_bytes()).digest() for file in files]
        return hashlib.sha256(b"".join(sources)).hexdigest()[:16] if sources else "unknown"

    def __str__(self) -> str:
        """Return ``loss 'contrastive' (faceexp-loss-contrastive 0.1.0)``."""
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"


class BrokenPluginError(Exception):
    """A plugin is installed but cannot be used; only experiments that name it are affected."""

    def __init__(self, plugin: InstalledPlugin, reason: str) -> None:
        self.plugin, self.reason = plugin, " ".join(reason.split())
        super().__init__(f"{plugin} is broken: {self.reason}")


@dataclass(frozen=True)
class ConfiguredPlugin:
    """A plugin with the options an experiment gives it."""

    installed: InstalledPlugin
    plugin: Plugin

    @property
    def identity(self) -> dict[str, Any]:
        """Everything about the plugin that determines a result."""
        return {
            "kind": self.installed.kind,
            "name": self.installed.name,
            "distribution": self.installed.distribution,
            "version": self.installed.version,
            "digest": self.installed.digest,
            "options": self.plugin.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Registry:
    """Every plugin that is installed."""

    plugins: tuple[InstalledPlugin, ...]

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind, sorted."""
        return sorted({plugin.name for plugin in self.plugins if plugin.kind == kind})

    def find(self, kind: str, name: str) -> InstalledPlugin:
        """Return the plugin of that kind and name.

        Raises:
            InputError: There is none (near names are listed), or two distributions offer it (both are named).
        """
        matches = [plugin for plugin in self.plugins if (plugin.kind, plugin.name) == (kind, name)]
        if not matches:
            hint = did_you_mean(name, self.names(kind))
            raise InputError(f"no {kind} plugin {name!r} is installed; {hint or f'there is no {kind} plugin at all'}")
        if len(matches) > 1:
            offers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in matches)
            raise InputError(f"{kind} {name!r} is offered by {offers}; uninstall one of them")
        return matches[0]

    def configure(self, kind: str, name: str, options: Mapping[str, Any]) -> ConfiguredPlugin:
        """Return the plugin with options as a TOML file gives them.

        Raises:
            InputError: See :meth:`find`; or the plugin is broken.
            pydantic.ValidationError: The options are wrong.
        """
        installed = self.find(kind, name)
        try:
            return ConfiguredPlugin(installed, installed.load().from_toml(options))
        except ValidationError:
            raise
        except BrokenPluginError as error:
            raise InputError(f"{error}; reinstall or remove {installed.distribution}") from error


def discover() -> Registry:
    """Return every installed plugin, from metadata alone, which is read once for all kinds."""
    plugins = set()
    for config, distribution in entrypoints.iter_files_distros():
        for kind, group in GROUPS.items():
            for name, target in config[group].items() if group in config else ():
                with entrypoints.BadEntryPoint.err_to_warnings():
                    entry = entrypoints.EntryPoint.from_string(target, name)
                    plugins.add(
                        InstalledPlugin(
                            kind=kind,
                            name=name,
                            distribution=distribution.name.replace("_", "-"),
                            version=distribution.version or "unknown",
                            module=entry.module_name,
                            attribute=entry.object_name or "",
                        )
                    )
    return Registry(tuple(sorted(plugins, key=_order)))


def _order(plugin: InstalledPlugin) -> tuple[int, str, str, str]:
    return list(GROUPS).index(plugin.kind), plugin.name, plugin.distribution, plugin.version


# Each kind has its own `build`: these say which one a caller gets.
@overload
def plugin(kind: Literal["loss"], name: str, /, **options: Any) -> LossPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["model"], name: str, /, **options: Any) -> ModelPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["dataset"], name: str, /, **options: Any) -> DatasetPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["sampler"], name: str, /, **options: Any) -> SamplerPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: str, name: str, /, **options: Any) -> Plugin: ...  # noqa: ANN401
def plugin(kind: str, name: str, /, **options: Any) -> Plugin:
    """Return an installed plugin by kind and name, its options checked.

    >>> plugin("loss", "contrastive", margin=1.0).build(LossContext(num_classes=40, embedding_dim=128))

    Raises:
        InputError: No such plugin (near names are listed), or a broken one.
        pydantic.ValidationError: An option is unknown, ill-typed or out of bounds.
    """
    if kind not in GROUPS:
        raise InputError(Problem(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, GROUPS)}"))
    installed = discover().find(kind, name)
    try:
        return installed.load()(**options)
    except BrokenPluginError as error:
        raise InputError(f"{error}; reinstall or remove {installed.distribution}") from error
