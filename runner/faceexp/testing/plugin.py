"""What plugins of every kind have to keep, and what the suites of the kinds share."""

from __future__ import annotations

import functools
import inspect
import json
import math
import random
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import tomli_w
from pydantic import ValidationError

from faceexp.contract import RESERVED_OF_KIND, LossPlugin, ModelPlugin, Plugin
from faceexp.experiment.search import Between, suggestion
from faceexp.registry.bases import base_of, kind_of
from faceexp.registry.guard import process_settings, undisturbed
from faceexp.registry.path_options import option_names
from faceexp.registry.reasons import HEAVY, mistyped

Array = np.ndarray[Any, np.dtype[Any]]

# Run in a Python of its own; a module that cannot be found by name, a test's own for instance, is loaded from its file.
_IMPORT = """
import importlib, importlib.util, json, sys
sys.path[:], name, file = json.loads(sys.argv[1])
try:
    has_name = importlib.util.find_spec(name) or file is None
except ImportError:
    has_name = file is None
if has_name:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(json.dumps(sorted(sys.modules)))
"""


# Where the numbers end that a bound of a JSON schema cuts off.
_ENDS = {"minimum": -math.inf, "maximum": math.inf}


# Options of a plugin, and what their JSON schema says of them.
JsonData = Mapping[str, Any]


class PluginContract:
    """What plugins of every kind have to keep; subclass the suite of a kind instead.

    Class variables:
        skips: Checks that the plugin cannot keep, by name of the method, each with the reason that pytest shows.
    """

    skips: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Refuse to skip what is no check: it would be a check that silently runs."""
        unknown = sorted(name for name in cls.skips if not (name.startswith("test_") and hasattr(cls, name)))
        if unknown:
            raise TypeError(f"{cls.__name__}.skips names {unknown[0]!r}, which is no check of this suite")

    @pytest.fixture(autouse=True)
    def _skip(self, request: pytest.FixtureRequest) -> None:
        reason = self.skips.get(request.function.__name__)
        if reason is not None:
            pytest.skip(reason)

    @pytest.fixture(autouse=True)
    def _stays(self, plugin: Plugin) -> Iterator[None]:
        """Put back what a check changes, so that each begins with the same settings."""
        with settings_kept(plugin):
            yield

    @pytest.fixture
    def plugin(self) -> Any:  # noqa: ANN401 - the kind's own class
        """Return the plugin under test."""
        raise NotImplementedError("give your suite a fixture `plugin`")

    def test_importing_it_leaves_tensorflow_alone(self, plugin: Plugin) -> None:
        """Import the plugin's module in a fresh Python: neither TensorFlow nor Keras nor PyTorch may come along."""
        module = type(plugin).__module__
        try:
            file = inspect.getsourcefile(type(plugin))
        except (OSError, TypeError):
            file = None
        heavy = _imported_by(module, file)
        assert not heavy, f"importing {module} imports {' and '.join(heavy)}; import them inside build"

    def test_options_survive_a_toml_file(self, plugin: Plugin) -> None:
        """Write the options as TOML and read them back: the plugin must be the same."""
        # TOML has no null; an option that is None must be None when it is left out.
        text = tomli_w.dumps(plugin.model_dump(mode="json", exclude_none=True))
        again = type(plugin).from_toml(tomllib.loads(text))
        assert again == plugin, f"became {again!r} by way of\n{text}"

    def test_option_names_are_free(self, plugin: Plugin) -> None:
        """Find no option that has the name of one of an experiment file's own keys."""
        taken = RESERVED_OF_KIND[kind_of(plugin)] & option_names(type(plugin))
        assert not taken, f"experiment files use {', '.join(sorted(taken))} themselves"

    def test_options_are_documented(self, plugin: Plugin) -> None:
        """Find a description and a unit at every option, as ``option(...)`` asks for them."""
        for name, declared in type(plugin).model_fields.items():
            assert (declared.description or "").strip(), f"the option {name} has no description"
            extra = declared.json_schema_extra
            assert isinstance(extra, dict), f"the option {name} has no unit"
            assert extra.get("unit"), f"the option {name} has no unit"

    def test_options_out_of_bounds_are_refused(self, plugin: Plugin) -> None:
        """Try TOML tables that are wrong in one option: the message has to name it.

        Wrong are an option that there is not, one left out that has to be given, and values just beyond what an option
        declares: the nearest number outside a bound, what is no number, another word than those of a choice, a text for
        a number, nothing where something is asked for.
        """
        cls, options = type(plugin), plugin.model_dump(mode="json", exclude_none=True)
        schema = cls.model_json_schema()
        tables = [(name, {**options, name: value}) for name, value in [("no_such_option", 1), *_beyond(schema)]]
        required = schema.get("required", [])
        tables += [(name, {other: options[other] for other in options if other != name}) for name in required]
        for name, table in tables:
            # A validator of the whole plugin may refuse too, for a reason that has nothing to do with this option.
            refused = f"{name} = {table[name]!r}" if name in table else f"a table without {name}"
            assert name in _blamed(cls, table), f"{refused} is accepted, or refused without naming the option"

    def test_suggested_ranges_can_be_searched(self, plugin: Plugin) -> None:
        """Read what ``search=`` suggests: ranges or choices that hold the default, and that the plugin accepts.

        Of a range, both ends and the middle are tried, of choices each one, while other options keep their defaults.
        """
        cls, fields = type(plugin), type(plugin).model_fields
        dumped = plugin.model_dump(mode="json")
        needed = {name: dumped[name] for name, declared in fields.items() if declared.is_required()}
        for name, declared in fields.items():
            extra = declared.json_schema_extra
            if not isinstance(extra, dict) or "search" not in extra:
                continue
            try:
                space = suggestion(extra["search"])
            except ValidationError:
                pytest.fail(f"search = {extra['search']!r} of the option {name} is neither a range nor two choices")
            values = space.points(3) if isinstance(space, Between) else space.choices
            if name not in needed:
                default = cls.from_toml(needed).model_dump(mode="json")[name]
                is_held = space.holds(default) if isinstance(space, Between) else default in values
                assert is_held, f"the default of {name}, {default!r}, is not among what is searched: {space}"
            for value in values:
                try:
                    cls.from_toml({**needed, name: value})
                except ValidationError as error:
                    pytest.fail(f"it suggests to search {name} = {value!r}, and refuses it: {error}")

    def test_attributes_are_those_of_the_contract(self, plugin: Plugin) -> None:
        """Find no attribute that is nearly one of the contract: nobody would read it."""
        said = list(mistyped(type(plugin), base_of(type(plugin), kind_of(plugin))))
        assert not said, f"it {' and '.join(said)}"

    def test_says_what_it_is(self, plugin: Plugin) -> None:
        """Find a summary line, and every class variable that the plugin's kind asks for."""
        # The class's own docstring: an inherited one describes something else.
        summary = (type(plugin).__dict__.get("__doc__") or "").strip().partition("\n")[0]
        assert summary, f"{type(plugin).__name__} has no docstring; its first line is the summary"
        for name in sorted(type(plugin).__class_vars__):
            assert hasattr(type(plugin), name), f"{type(plugin).__name__} does not declare {name}"
            value = getattr(type(plugin), name)
            assert not isinstance(value, str) or value.strip(), f"{name} is empty"


def _blamed(cls: type[Plugin], options: JsonData) -> set[str]:
    """Return the names of the options for which a TOML table is refused, none where it is accepted."""
    try:
        cls.from_toml(options)
    except ValidationError as error:
        return {str(place["loc"][0]) for place in error.errors() if place["loc"]}
    return set()


def _beyond(schema: JsonData) -> Iterator[tuple[str, Any]]:
    """Yield (option, value) for values just beyond what the JSON schema of a plugin's options allows."""
    for name, declared in schema.get("properties", {}).items():
        types = [part for part in declared.get("anyOf", [declared]) if part.get("type") != "null"]
        if len(types) == 1:  # What one of several types refuses, another may allow.
            for value in _values_beyond(types[0]):
                yield name, value


def _values_beyond(allowed: JsonData) -> list[Any]:
    choices = allowed.get("enum", [allowed["const"]] if "const" in allowed else [])
    if choices:
        numbers = all(isinstance(choice, int | float) for choice in choices)
        return [max(choices) + 1 if numbers else "".join(map(str, choices)) + "?"]
    excluded = [allowed[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in allowed]
    values: list[Any] = []
    match allowed.get("type"):
        case "number":
            outside = [math.nextafter(allowed[key], end) for key, end in _ENDS.items() if key in allowed]
            values = [*outside, *excluded, math.nan, math.inf, "a text"]
        case "integer":
            # The nearest number beyond a bound that is a whole one: a fraction is refused for being a fraction.
            outside = [allowed[key] + math.copysign(1, end) for key, end in _ENDS.items() if key in allowed]
            values = [*map(int, outside), *excluded, 0.5, math.inf, "a text"]
        case "boolean":
            values = [1, "a text"]
        case "string":
            values = [1, *([""] if allowed.get("minLength") else [])]
        case "array":
            values = ["a text", *([[]] if allowed.get("minItems") else [])]
    return values


@functools.cache
def _imported_by(module: str, file: str | None) -> list[str]:
    """Return which heavy libraries a module imports in a fresh Python, by name or else from its file."""
    argument = json.dumps([sys.path, module, file])
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", _IMPORT, argument], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"importing {module} fails:\n{done.stderr}"
    return sorted(HEAVY & set(json.loads(done.stdout.splitlines()[-1])))


@dataclass(frozen=True)
class PluginKey:
    """A plugin as a key: equal options, equal key, also where an option cannot be hashed."""

    cls: type[Plugin]
    options: str
    plugin: Any = field(compare=False)

    @classmethod
    def of(cls, plugin: Plugin) -> PluginKey:
        """Return the key of a plugin."""
        return cls(type(plugin), plugin.model_dump_json(), plugin)


def assert_same(
    what: str,
    here: Any,  # noqa: ANN401 - arrays or numbers
    there: Any,  # noqa: ANN401
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Assert that two results are equal but for rounding, whose absolute part grows with the largest of the numbers."""
    scale = max(1.0, float(np.max(np.abs(there), initial=0)))
    np.testing.assert_allclose(here, there, rtol=rtol, atol=atol * scale, err_msg=f"{what} differs")


# A plugin has numbers of its own, with a seed. That it leaves these alone is what other checks are about.
RANDOM = frozenset({"Python's random numbers", "NumPy's random numbers"})


def assert_process_stays(act: Callable[[], object], but: AbstractSet[str] = frozenset()) -> None:
    """Assert that building and using a plugin changes nothing that belongs to the whole process.

    It is done twice: the first time, it may import libraries that have habits of their own.

    Args:
        act: Builds the plugin, and uses what it has built.
        but: Names of settings that may change.
    """
    keras_before = keras_settings()
    with undisturbed():
        act()
    with undisturbed():
        before = process_settings()
        act()
        after = process_settings()
    keras_after = keras_settings()
    changed = [name for name in before if before[name] != after[name] and name not in but]
    changed += [name for name in keras_before if keras_before[name] != keras_after[name]]
    assert not changed, f"it changes {', '.join(changed)}, which belong to the whole process"


@contextmanager
def settings_kept(plugin: Plugin) -> Iterator[None]:
    """Put back the settings of the process at the end, and those of Keras where the plugin may use it."""
    if isinstance(plugin, LossPlugin | ModelPlugin):
        import tensorflow as tf  # noqa: F401 - its settings can be put back only if they were read before
    before = keras_settings()
    with undisturbed():
        try:
            yield
        finally:
            restore_keras(before)


def keras_settings() -> dict[str, Any]:
    """Return the settings of Keras and TensorFlow that hold for all layers; nothing where they are not imported."""
    if "tensorflow" not in sys.modules:
        return {}
    import keras
    import tensorflow as tf

    return {
        "keras.config.floatx": keras.config.floatx(),
        "keras.config.image_data_format": keras.config.image_data_format(),
        "keras.config.epsilon": keras.config.epsilon(),
        "keras.config.dtype_policy": keras.config.dtype_policy().name,
        "tf.executing_eagerly": tf.executing_eagerly(),
        "tf.config.run_functions_eagerly": tf.config.functions_run_eagerly(),
        "tf.random.set_seed": tf.compat.v1.get_seed(0)[0],
    }


def restore_keras(settings: Mapping[str, Any]) -> None:
    """Put back what :func:`keras_settings` has returned, as far as it can be put back."""
    if settings:
        import keras
        import tensorflow as tf

        keras.config.set_floatx(settings["keras.config.floatx"])
        keras.config.set_image_data_format(settings["keras.config.image_data_format"])
        keras.config.set_epsilon(settings["keras.config.epsilon"])
        keras.config.set_dtype_policy(settings["keras.config.dtype_policy"])
        tf.config.run_functions_eagerly(settings["tf.config.run_functions_eagerly"])


def random_state() -> dict[str, Any]:
    """Return the states of Python's and NumPy's global random numbers."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - it is about this state
    return {"Python": random.getstate(), "NumPy": (name, np.asarray(keys).tolist(), *rest)}


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put the states of Python's and NumPy's global random numbers back at the end."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is about this state
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
