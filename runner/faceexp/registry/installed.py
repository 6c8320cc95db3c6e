"""The installed plugins: entry points of the groups of the contract, discovered through the ``entrypoints`` package."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import entrypoints
from pydantic import ValidationError

from faceexp.contract import (
    GROUPS,
    RESERVED_OF_KIND,
    BatchSupply,
    DatasetPlugin,
    DetectorPlugin,
    ExecutorPlugin,
    FixedModelPlugin,
    LossPlugin,
    LossTraits,
    ModelPlugin,
    Plugin,
    SamplerPlugin,
    TrackerPlugin,
)
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.registry.bases import BASES, base_of
from faceexp.registry.code import code_digest
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.metadata import offers
from faceexp.registry.path_options import option_names
from faceexp.registry.reasons import CORRECT, how_to_install, lacks_attribute, mistyped, reason_of, slowness

T = TypeVar("T")


@dataclass(frozen=True)
class InstalledPlugin:
    """A plugin as the metadata of its distribution name it; its module is imported by :meth:`load` only.

    Attributes:
        kind: loss, model, dataset, sampler, detector, tracker or executor.
        name: Its name in experiment files.
        distribution: The package that brings it.
        version: That package's version.
        module: The module that it is imported from.
        attribute: Its class in that module.
        damage: Why the metadata cannot be used; empty where they can.
    """

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    attribute: str
    damage: str = ""

    def load(self) -> type[Plugin]:
        """Import the plugin's class.

        Raises:
            BrokenPluginError: It cannot be imported, or is no plugin of its kind.
        """
        if isinstance(self._loaded, BrokenPluginError):
            raise self._loaded
        return self._loaded[0]

    @property
    def slow(self) -> str:
        """Why importing it has taken long; empty where it has not."""
        return "" if isinstance(self._loaded, BrokenPluginError) else self._loaded[1]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What its author should know of it, although it works: each is a sentence of which it is the subject."""
        if isinstance(self._loaded, BrokenPluginError):
            return ()
        cls, slow = self._loaded
        return (*([slow] if slow else []), *mistyped(cls, base_of(cls, self.kind)))

    @cached_property
    def _loaded(self) -> tuple[type[Plugin], str] | BrokenPluginError:
        if self.damage:
            return BrokenPluginError(self, self.damage)
        before, began = set(sys.modules), time.monotonic()
        try:
            cls = ask(self._import)
        except PluginFaultError as fault:
            return BrokenPluginError.by(self, fault)
        return cls, slowness(self.module, before, time.monotonic() - began)

    def _import(self) -> type[Plugin]:
        bases, where = BASES[self.kind], f"{self.module}:{self.attribute}"
        module = importlib.import_module(self.module)
        try:
            loaded = entrypoints.EntryPoint(self.name, self.module, self.attribute).load()
        except AttributeError as error:
            raise _BreachError(lacks_attribute(module, self.attribute, bases), CORRECT) from error
        if not (isinstance(loaded, type) and issubclass(loaded, bases)):
            raise _BreachError(f"{where} is not a {' or a '.join(base.__name__ for base in bases)}")
        base = base_of(loaded, self.kind)
        if inspect.isabstract(loaded):
            lacking = [f"{where} lacks {', '.join(sorted(loaded.__abstractmethods__))}", *mistyped(loaded, base)]
            raise _BreachError("; ".join(lacking))
        # Classes build their validators when first used; an annotation that means nothing shows only then.
        loaded.model_rebuild()
        silent = [name for name in sorted(base.__class_vars__) if not hasattr(loaded, name)]
        if silent:
            raise _BreachError("; ".join([f"{where} does not declare {', '.join(silent)}", *mistyped(loaded, base)]))
        taken = sorted(RESERVED_OF_KIND[self.kind] & option_names(loaded))
        if taken:
            raise _BreachError(f"its option {taken[0]!r} has a name that experiment files use themselves")
        if issubclass(loaded, LossPlugin):
            LossTraits(loaded.distance, loaded.needs, loaded.xla)  # refuses what no loss can be made for
        return loaded

    @property
    def file(self) -> Path | None:
        """The module's file, without importing it."""
        try:
            spec = ask(lambda: importlib.util.find_spec(self.module))  # imports the package around it
        except PluginFaultError:
            return None
        return Path(spec.origin) if spec and spec.origin else None

    @cached_property
    def digest(self) -> str:
        """Digest of all its code: edited code counts as other code."""
        return code_digest(self.module, self.distribution)

    def __str__(self) -> str:
        """Return ``loss 'contrastive' (faceexp-loss-contrastive 0.1.0)``."""
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"


class BrokenPluginError(Exception):
    """A plugin is installed but cannot be used; only experiments that name it are affected."""

    def __init__(self, plugin: InstalledPlugin, reason: str, mend: str = "reinstall") -> None:
        self.plugin, self.reason, self._mend = plugin, " ".join(reason.split()), mend
        super().__init__(f"{plugin} is broken: {self.reason}")

    @classmethod
    def by(cls, plugin: InstalledPlugin, fault: PluginFaultError, before: str = "") -> Self:
        """Return what a fault of a plugin's code makes of it.

        Args:
            plugin: The plugin.
            fault: What its code has raised.
            before: What comes before the reason, such as which question it has failed at.
        """
        if isinstance(fault.__cause__, _BreachError):
            return cls(plugin, *fault.__cause__.args)
        reason, mend = reason_of(fault, plugin.module, plugin.file)
        return cls(plugin, f"{before}{reason}", mend)

    def as_input_error(self) -> InputError:
        """Return what a person is told who has named the plugin."""
        return InputError(f"{self}; {self._mend} or remove {self.plugin.distribution}" if self._mend else str(self))


class _BreachError(Exception):
    """A class is no plugin that can be used; it holds why, and what to do."""

    def __init__(self, reason: str, mend: str = "mend it there") -> None:
        super().__init__(reason, mend)


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

    @property
    def parts(self) -> tuple[ConfiguredPlugin, ...]:
        """Itself alone; a weighted sum of losses, which may stand in the place of one, has several."""
        return (self,)

    def traits(self) -> LossTraits:
        """Return what a loss, with its options, says that it is made for.

        Raises:
            BrokenPluginError: It cannot say.
        """
        return self._answer("traits", LossTraits)

    def supply(self) -> BatchSupply:
        """Return what a sampler, with its options, promises of every batch.

        Raises:
            BrokenPluginError: It cannot say.
        """
        return self._answer("supply", BatchSupply)

    def gives(self) -> str:
        """Return what a detector, with its options, gives beside boxes; see :meth:`supply`."""
        return self._answer("gives", str)

    def _answer(self, question: str, kind: type[T]) -> T:
        def call() -> object:
            return getattr(self.plugin, question)()

        try:
            answer = ask(call)
        except PluginFaultError as fault:
            raise BrokenPluginError.by(self.installed, fault, f"{question}() raises ") from fault
        if not isinstance(answer, kind):
            said = f"{question}() gives a {type(answer).__name__}, not {kind.__name__}(...)"
            raise BrokenPluginError(self.installed, said)
        return answer


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
            InputError: There is none (near names are listed, or how one is installed), or two distributions offer it
                (both are named).
        """
        matches = [plugin for plugin in self.plugins if (plugin.kind, plugin.name) == (kind, name)]
        if not matches:
            hint = did_you_mean(name, self.names(kind), always_list=False) or how_to_install(kind, name)
            raise InputError(f"no {kind} plugin {name!r} is installed; {hint}")
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
        return ConfiguredPlugin(installed, _made(installed, lambda cls: cls.from_toml(options)))


def _made(installed: InstalledPlugin, make: Callable[[type[Plugin]], Plugin]) -> Plugin:
    """Return a plugin with options.

    Raises:
        InputError: The plugin is broken.
        pydantic.ValidationError: The options are wrong.
    """

    def checked(cls: type[Plugin]) -> Plugin:
        made = make(cls)
        made.model_dump(mode="json")  # as store keys need it
        return made

    try:
        cls = installed.load()
        return ask(lambda: checked(cls))
    except BrokenPluginError as error:
        raise error.as_input_error() from error
    except PluginFaultError as fault:
        if isinstance(fault.__cause__, ValidationError):
            raise fault.__cause__ from None
        raise BrokenPluginError.by(installed, fault).as_input_error() from fault


def discover() -> Registry:
    """Return every installed plugin, from metadata alone, which is read once for all kinds."""
    kinds = {group: kind for kind, group in GROUPS.items()}
    plugins = set()
    for offer in offers(kinds):
        damage, module, attribute = offer.damage, "", ""
        try:
            entry = entrypoints.EntryPoint.from_string(offer.target, offer.name)
            module, attribute = entry.module_name, entry.object_name or ""
        except entrypoints.BadEntryPoint:
            damage = damage or f"its entry point {offer.target!r} is not of the form module:class"
        kind, of = kinds[offer.group], (offer.distribution, offer.version)
        plugins.add(InstalledPlugin(kind, offer.name, *of, module=module, attribute=attribute, damage=damage))
    return Registry(tuple(sorted(plugins, key=_order)))


def _order(plugin: InstalledPlugin) -> tuple[int, str, str, str]:
    return list(GROUPS).index(plugin.kind), plugin.name, plugin.distribution, plugin.version


# Each kind has its own `build`: these say which one a caller gets.
@overload
def plugin(kind: Literal["loss"], name: str, /, **options: Any) -> LossPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["model"], name: str, /, **options: Any) -> ModelPlugin | FixedModelPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["dataset"], name: str, /, **options: Any) -> DatasetPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["sampler"], name: str, /, **options: Any) -> SamplerPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["detector"], name: str, /, **options: Any) -> DetectorPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["tracker"], name: str, /, **options: Any) -> TrackerPlugin: ...  # noqa: ANN401
@overload
def plugin(kind: Literal["executor"], name: str, /, **options: Any) -> ExecutorPlugin: ...  # noqa: ANN401
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
    return _made(discover().find(kind, name), lambda cls: cls(**options))
