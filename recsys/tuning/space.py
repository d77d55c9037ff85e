"""Search spaces: Hydra's sweep syntax as Optuna distributions; `settings.py` holds the rest of a sweep's settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from recsys.errors import UserError

VARIANT = "variant"  # the parameter that chooses among `Space.variants`
SEED = "seed"  # the parameter that repeats a configuration rather than making another one

Value = None | bool | int | float | str
Params = dict[str, Value]


@dataclass(frozen=True)
class Parameter:
    """One thing that a sweep varies.

    Attributes:
        key: what is overridden, such as `model.heads` or the group `model`; or `variant`.
        text: its values in Hydra's syntax.
        distribution: the same for Optuna.
        when: the parameter only exists if these earlier parameters have one of these values.
    """

    key: str
    text: str
    distribution: BaseDistribution
    when: Mapping[str, tuple[Value, ...]]

    def exists(self, params: Mapping[str, Value]) -> bool:
        """Whether the parameter exists beside the earlier `params`."""
        return all(key in params and params[key] in values for key, values in self.when.items())

    def values(self) -> list[Value]:
        """All values, in order.

        Raises:
            UserError: if there are infinitely many.
        """
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return list(choices)
            case IntDistribution(low=low, high=high, step=step, log=False):
                return list(range(low, high + 1, step))
            case FloatDistribution(low=low, high=high, step=float(step)):
                return [round(low + place * step, 12) for place in range(round((high - low) / step) + 1)]
        raise UserError(f"{self.key}={self.text} cannot be tried value by value: use choice(...) or range(...).")


@dataclass(frozen=True)
class Space:
    """What a sweep varies, in order.

    Attributes:
        parameters: one for each key.
        variants: name -> overrides that the value `name` of the parameter `variant` stands for.
    """

    parameters: tuple[Parameter, ...]
    variants: Mapping[str, tuple[str, ...]]

    def suggest(self, trial: Trial) -> Params:
        """Let the trial's sampler choose a value of every parameter that exists beside those before it."""
        params: Params = {}
        for parameter in self.parameters:
            if parameter.exists(params):
                params[parameter.key] = suggested(trial, parameter)
        return params

    def points(self) -> Iterator[Params]:
        """Every point of the space once, the last parameter running fastest.

        Raises:
            UserError: if a parameter has infinitely many values.
        """
        values = {parameter.key: parameter.values() for parameter in self.parameters}

        def extended(points: Iterable[Params], parameter: Parameter) -> Iterator[Params]:
            for point in points:
                if parameter.exists(point):
                    yield from ({**point, parameter.key: value} for value in values[parameter.key])
                else:
                    yield point

        points: Iterable[Params] = [{}]
        for parameter in self.parameters:
            points = extended(points, parameter)
        return iter(points)

    def representatives(self) -> Iterator[Params]:
        """Points that show together every choice of every parameter, and one value of each number."""
        first: Params = {}
        for parameter in self.parameters:
            if parameter.exists(first):
                first[parameter.key] = first_value(parameter)
        yield first
        for parameter in self.parameters:
            if not isinstance(parameter.distribution, CategoricalDistribution):
                continue
            for value in parameter.distribution.choices:
                point: Params = {key: values[0] for key, values in parameter.when.items()}
                for other in self.parameters:
                    if other.key == parameter.key:
                        point[other.key] = value
                    elif other.key not in point and other.exists(point):
                        point[other.key] = first_value(other)
                if point != first:
                    yield point

    def overrides(self, params: Mapping[str, Value]) -> list[str]:
        """The command-line overrides that set `params`."""
        plain = [f"{key}={as_text(value)}" for key, value in params.items() if key != VARIANT]
        return [*self.variants.get(str(params.get(VARIANT)), ()), *plain]

    def texts(self) -> dict[str, str]:
        """Key -> values in Hydra's syntax."""
        return {parameter.key: parameter.text for parameter in self.parameters}


def parse_space(
    space: Mapping[str, object],
    when: Mapping[str, Mapping[str, object]],
    variants: Mapping[str, Sequence[str]],
    overrides: Sequence[str] = (),
    config_loader: ConfigLoader | None = None,
) -> Space:
    """The space of a sweep file and a command line.

    Args:
        space: key -> values in Hydra's syntax: `choice(1, 2, 4)`, `1,2,4`, `range(1, 4)`, `interval(0, 0.5)`,
            `tag(log, interval(1e-4, 1e-2))`, `int(interval(1, 8))`, `glob(*)`.
        when: key -> the values (one or a list) that earlier parameters must have for it to exist.
        variants: name -> overrides; a parameter `variant` chooses among the names.
        overrides: of the command line; one that sweeps replaces or adds a key, one that does not removes it.
        config_loader: looks up what `glob` matches.

    Raises:
        UserError: if a text is no sweep, nothing varies, or a condition names no earlier parameter.
    """
    parser = OverridesParser.create(config_loader=config_loader)
    texts = {key: str(text) for key, text in space.items()}
    for override in parser.parse_overrides(list(overrides)):
        key = override.get_key_element().lstrip("+")
        if override.is_sweep_override():
            texts[key] = str(override.input_line).partition("=")[2]
        else:
            texts.pop(key, None)

    parameters: list[Parameter] = []
    if variants:
        parameters.append(Parameter(VARIANT, ", ".join(variants), CategoricalDistribution(tuple(variants)), {}))
    for key, text in texts.items():
        (override,) = parser.parse_overrides([f"{key}={text}"])
        conditions = {}
        for parent, values in when.get(key, {}).items():
            if parent not in [earlier.key for earlier in parameters]:
                if parent not in texts:
                    continue  # fixed on the command line, or left at its default: the condition says nothing
                raise UserError(f"sweeps.when.{key} waits for {parent}, which must come before {key} in sweeps.space.")
            conditions[parent] = tuple(values) if isinstance(values, (list, tuple)) else (values,)
        parameters.append(Parameter(key, text, distribution_of(override), conditions))
    if not parameters:
        raise UserError("the sweep varies nothing: give it values such as model.heads=1,2,4.")
    return Space(tuple(parameters), {name: tuple(given) for name, given in variants.items()})


def distribution_of(override: Override) -> BaseDistribution:
    """An override's sweep for Optuna.

    Raises:
        UserError: if the override is no sweep, or an empty one.
    """
    sweep: Any = override._value  # Hydra offers the parsed sweep nowhere else
    try:
        match sweep:
            case RangeSweep(start=int(start), stop=int(stop), step=int(step)) if not sweep.tags:
                values = range(start, stop, step)
                low, high = min(values), max(values)
                return IntDistribution(low, high, step=abs(step))
            case RangeSweep():
                numbers = [float(str(value)) for value in sweep.range()]
                return FloatDistribution(min(numbers), max(numbers), step=abs(float(sweep.step)))
            case IntervalSweep():
                whole = {type(sweep.start), type(sweep.end)} == {int}  # int(interval(...)) casts both
                kind = IntDistribution if whole else FloatDistribution
                return kind(sweep.start, sweep.end, log="log" in sweep.tags)
        if override.is_choice_sweep():
            return CategoricalDistribution(tuple(override.sweep_iterator(transformer=encoded)))
    except ValueError as error:
        raise UserError(f"the sweep {override.input_line} is not possible: {error}.") from error
    raise UserError(
        f"{override.input_line} is no sweep: write choice(1, 2), range(1, 4), interval(0, 0.5), "
        "tag(log, interval(1e-4, 1e-2)) or int(interval(1, 8))."
    )


def encoded(value: Any) -> Value:
    """A choice as Optuna can keep it: what is no plain value stays as it was written, quotes included."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return value if isinstance(value, str) else str(Transformer.str(value))


def suggested(trial: Trial, parameter: Parameter) -> Value:
    """The value that the trial's sampler chooses, or the one that the trial already has."""
    match parameter.distribution:
        case IntDistribution(low=low, high=high, step=step, log=log):
            return int(trial.suggest_int(parameter.key, low, high, step=step, log=log))
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return float(trial.suggest_float(parameter.key, low, high, step=step, log=log))
        case CategoricalDistribution(choices=choices):
            value: Value = trial.suggest_categorical(parameter.key, choices)
            return value
    raise TypeError(parameter.distribution)


def first_value(parameter: Parameter) -> Value:
    """The least value, or the first choice."""
    match parameter.distribution:
        case CategoricalDistribution(choices=choices):
            value: Value = choices[0]
            return value
        case IntDistribution(low=least) | FloatDistribution(low=least):
            return float(least) if isinstance(least, float) else int(least)
    raise TypeError(parameter.distribution)


def as_text(value: Value) -> str:
    """A value as it stands in an override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def configuration(params: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """What a trial tried, whichever seed it was tried with."""
    return tuple(sorted(((key, value) for key, value in params.items() if key != SEED), key=lambda pair: pair[0]))


def summary(params: Mapping[str, Value]) -> str:
    """Params in a few words: the last part of each key and its value."""
    return " ".join(f"{key.rpartition('.')[2]}={shortened(value)}" for key, value in params.items())


def shortened(value: Value) -> str:
    """A value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)
