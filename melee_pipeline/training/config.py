"""A training run's settings: frozen, whole, readable as JSON, and overridden knob by knob."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from melee_pipeline.errors import ConfigError
from melee_pipeline.models.config import MODEL_CONFIGS, ModelConfig
from melee_pipeline.schema.encoding import encoding, hash_of
from melee_pipeline.schema.field import Predict

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes a folder's name
MANY_GAMES = 2_000  # from here on the default batch is twice as large
MOST_SEED = 2**63 - 1  # what random generators take
PRECISIONS = ("float32", "bfloat16")
CONTINUOUS, BINARY = "continuous", "binary"  # parts of the loss beside one for each class


def loss_parts(version: str) -> tuple[str, ...]:
    """The parts of an encoding's loss: of changes, of flags, and of each predicted category."""
    classes = encoding(version).predicted(Predict.CLASS)
    return (CONTINUOUS, BINARY, *(slot.name for slot in classes))


_WEIGHTS = {CONTINUOUS: 1.0, BINARY: 0.5, "action_state": 2.0, "jumps_left": 0.5}
_SMALL = 0.1  # of every other class: they matter in a rollout, and must not drown the rest


def loss_weights(version: str) -> dict[str, float]:
    """The weights of an encoding's loss that recipes begin with."""
    return {part: _WEIGHTS.get(part, _SMALL) for part in loss_parts(version)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run's result, apart from the training set and the code."""

    experiment: str
    model: ModelConfig
    epochs: int = 20
    batch_size: int | None = None  # windows a step; None: 256, and 512 from 2,000 games on
    lr: float = 1e-3  # of AdamW, annealed towards 0 along a half cosine, epoch by epoch
    weight_decay: float = 1e-5
    loss_weights: dict[str, float] = field(default_factory=lambda: loss_weights("v1"))
    grad_clip: float | None = None  # largest norm of the gradient; None: as it comes
    warmup: int = 0  # steps over which lr rises to its first value
    ema: float | None = (
        None  # weights are averaged, each step's counting 1 − ema; None: they are not
    )
    patience: int | None = None  # epochs without a better validation loss that end a run
    precision: str = "float32"  # of the layers' products: float32 or bfloat16
    compile: bool = False  # the model by torch.compile: the same numbers but for rounding
    max_games: int | None = None  # of both splits together; None: all
    seed: int = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.experiment):
            raise ConfigError(
                f"experiment is {self.experiment!r}; a name is letters, digits, dashes, underscores"
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; it is {' or '.join(PRECISIONS)}")
        if self.lr <= 0:
            raise ConfigError(f"lr is {self.lr}; it is above 0, such as 1e-3")
        if self.grad_clip is not None and self.grad_clip <= 0:
            raise ConfigError(f"grad_clip is {self.grad_clip}; it is above 0, or none")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; it lies between 0 and 1, such as 0.999")
        parts = loss_parts(self.model.encoding)
        if set(self.loss_weights) != set(parts):
            raise ConfigError(
                f"loss_weights has {', '.join(self.loss_weights)}; "
                f"encoding {self.model.encoding} needs {', '.join(parts)}"
            )
        for name, low in _AT_LEAST.items():
            values = _values_of(self, name)
            if values and min(values) < low:
                raise ConfigError(f"{name} is {min(values)}; at least {low} is possible")
        if self.seed > MOST_SEED:
            raise ConfigError(f"seed is {self.seed}; expected 0 to {MOST_SEED}")
        if any(not 0 <= share < 1 for share in _values_of(self, "dropout")):
            raise ConfigError("dropout must be at least 0 and below 1")

    def batch(self, games: int) -> int:
        """Windows a step when a run uses so many games, those that validate included."""
        return self.batch_size or (512 if games >= MANY_GAMES else 256)

    def validation_games(self, share: float) -> int | None:
        """How many of max_games may validate: at least one of two, none of one; None: all."""
        if self.max_games is None:
            return None
        return max(self.max_games > 1, round(self.max_games * share))

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {**asdict(self), "model": {"kind": self.model.kind, **asdict(self.model)}}

    @property
    def hash(self) -> str:
        """Twelve hex digits of all settings."""
        return hash_of(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """The config that was written. Raises ConfigError for what it does not know."""
        rest = dict(data)
        model = dict(rest.pop("model"))
        kind = MODEL_CONFIGS.get(model.pop("kind", ""))
        if kind is None:
            raise ConfigError(f"model {data['model']!r} is of no kind in {list(MODEL_CONFIGS)}")
        return _make(cls, {**rest, "model": _make(kind, model)})


_AT_LEAST = {
    "epochs": 1, "batch_size": 1, "max_games": 1, "context": 1, "hidden": 1,
    "width": 1, "layers": 1, "state": 1, "expand": 1, "conv": 1, "chunk": 1,
    "weight_decay": 0, "loss_weights": 0, "seed": 0,
    "warmup": 0, "patience": 1,
}  # fmt: skip


def _values_of(config: TrainConfig, knob: str) -> list[Any]:
    """A knob's numbers: of the run or of its model, one or several, none when it is not set."""
    owner = config if hasattr(config, knob) else config.model
    value = getattr(owner, knob, None)
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else [] if value is None else [value]


def _make(kind: type[T], data: Mapping[str, Any]) -> T:
    hints = get_type_hints(kind)
    names = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(names)):
        raise ConfigError(f"{kind.__name__} has no {', '.join(unknown)}")
    required = {n for n, f in names.items() if f.default is f.default_factory is MISSING}
    if missing := sorted(required - set(data)):
        raise ConfigError(f"{kind.__name__} needs {', '.join(missing)}")
    return kind(**{name: _checked(name, value, hints[name]) for name, value in data.items()})


def knobs(config: TrainConfig) -> dict[str, Any]:
    """All that `override` can change, with today's values; loss weights one by one."""
    run = {f.name: getattr(config, f.name) for f in fields(config)}
    weights = run.pop("loss_weights")
    model = {f.name: getattr(config.model, f.name) for f in fields(run.pop("model"))}
    return {**run, **model, **{f"loss_weights.{name}": value for name, value in weights.items()}}


def override(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """The config with some knobs changed; values may be text, as from a command line.

    Raises ConfigError naming the knob when there is none of that name, or when the value is not
    of its type.
    """
    known = knobs(config)
    run: dict[str, Any] = {}
    model: dict[str, Any] = {}
    weights = dict(config.loss_weights)
    run_hints = get_type_hints(TrainConfig)
    model_hints = get_type_hints(type(config.model))
    for knob, given in changes.items():
        value = _from_text(given) if isinstance(given, str) else given
        if knob not in known:
            near = difflib.get_close_matches(knob, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"knob {knob!r} is unknown; {hint}")
        if knob.startswith("loss_weights."):
            weights[knob.removeprefix("loss_weights.")] = _checked(knob, value, float)
        elif knob in run_hints:
            run[knob] = _checked(knob, value, run_hints[knob])
        else:
            model[knob] = _checked(knob, value, model_hints[knob])
    version = model.get("encoding", config.model.encoding)
    if version != config.model.encoding:  # its loss has parts of its own
        known_parts = loss_weights(version)
        weights = known_parts | {k: v for k, v in weights.items() if k in known_parts}
    return replace(config, **run, model=replace(config.model, **model), loss_weights=weights)


def _from_text(text: str) -> Any:  # noqa: ANN401 - whatever the text stands for
    """`3e-4` is a number, `512,256` two of them, `none` nothing, and all else text."""
    if text.lower() == "none":
        return None
    for candidate in (text, f"[{text}]"):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text


def _checked(knob: str, value: Any, hint: Any) -> Any:  # noqa: ANN401, PLR0911
    """The value as the type hint wants it. Raises ConfigError naming the knob."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        if value is None and NoneType in arguments:
            return None
        return _checked(knob, value, next(a for a in arguments if a is not NoneType))
    if origin is tuple and isinstance(value, (list, tuple, int)):
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_checked(knob, item, arguments[0]) for item in items)
    if origin is dict and isinstance(value, Mapping):
        return {key: _checked(f"{knob}.{key}", item, arguments[1]) for key, item in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is float and is_number and math.isfinite(value):
        return float(value)
    if hint is int and is_number and (isinstance(value, int) or value.is_integer()):
        return int(value)
    if isinstance(hint, type) and hint not in (int, float) and isinstance(value, hint):
        return value
    wanted = "whole numbers, such as 512,256" if origin is tuple else _WORDS.get(hint, str(hint))
    raise ConfigError(f"knob {knob!r} is {value!r}; expected {wanted}")


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
