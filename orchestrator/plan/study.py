"""A study: arms under one cap, frozen, and written so that it can be run again.

A study file and the command line fill the same structures; the command line wins. What
identifies a study (what was asked of whom, and how) is told apart from what may change on
resume (where servers are, how fast, how much money) in `identity.py`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from budgets.given import read_given_text
from orchestrator.errors import ConfigError
from orchestrator.schedule import estimators_of


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way of buying attempts: a model at a provider, on a task."""

    provider: str
    task: str
    model: str = ""
    """Empty: the bundled model of provider `local`."""
    name: str = ""
    """What reports call the arm; empty: its model, and what tells it from the others."""
    samples: int = 0
    """Attempts per problem; 0: the task's default."""
    policy: str = "uniform"
    n_per_request: int | str = "auto"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    """None in any of these four: the task's default."""
    budget: str = ""
    """A cap of this arm's own, in dollars, under the study's."""
    base_url: str = ""
    """Where its server is; several with commas between are one fleet."""
    servers: str = ""
    """A file of addresses, one a line, read again when it changes."""
    launch: str = ""
    """How many servers to start here: auto, or a number; empty: none."""
    gpu_ids: str = ""
    """GPUs for them, such as 0,1,2,3; empty: all."""
    tensor_parallel: int = 1
    data_parallel: int = 1
    gpu_hour: str = ""
    """Dollars per hour that the arm's server costs; empty: priced per token."""
    gpus: int = 1
    batch: bool = False
    """Bought through the provider's batch API: within a day, at its batch price."""
    prompt_style: str = ""
    system: str = ""
    """A system prompt before every problem's messages."""
    reasoning_effort: str = ""
    """How much a reasoning model thinks, in its API's own words."""
    extra_body: str = ""
    """A JSON object of further body fields."""
    headers: list[str] = []
    """Further headers, each as `Name: value`; none that carries a key."""
    data: str = ""
    subset: str = ""
    """Which problems of the task's data: paper, released or all; empty: the task's default."""
    verifier: str = ""
    few_shot_file: str = ""
    few_shot_count: int | None = None
    """Examples in a prompt; None: the task's own count."""
    lean_project: str = ""
    agent: str = ""
    """The command whose run is one attempt: see orchestrator/plan/agents.py; "": plain sampling."""
    agent_image: str = ""
    """The container image in which it runs; "": the cell."""
    agent_paths: list[str] = []
    """Paths of this machine that it may read."""
    agent_time_s: float = 1800.0
    harbor_python: str = ""
    """An interpreter that has Harbor, for agents named harbor:NAME."""
    harbor_args: list[str] = []
    """Arguments of that agent, each NAME=JSON."""
    call_budget: str = ""
    """Dollars that one of its calls may cost at worst."""
    attempt_budget: str = ""
    """Dollars of one attempt."""
    attempt_calls: int = 0
    """Calls of one attempt; 0: any number."""
    problem_budget: str = ""
    """Dollars of all attempts at one problem."""
    exclude: list[str] = []
    """Ids of problems left out, for example those whose reference fails its own verifier."""


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Arms under one cap."""

    arms: list[Arm]
    name: str = ""
    budget: str = ""
    """The cap in dollars; empty: none."""
    seed: int = 0
    limit: int = 0
    """Only the first so many problems; 0: all."""
    filter: str = ""
    """Only problems whose id matches this regular expression."""
    shuffle: int | None = None
    """Shuffle the problems with this seed before `limit`."""
    max_concurrent: str = "auto"
    max_retries: int = 5
    timeout_s: float = 600.0
    server_patience: float = 600.0
    """Seconds for which a server that cannot be asked is waited for."""
    limits: str = ""
    prices: str = ""
    target_coverage: float = 0.0
    """Stop an arm once this share of its problems is solved; 0: never."""
    judge_jobs: int = 0
    agent_jobs: int = 0
    """Agents at work at once; 0: one per core."""
    sandbox: str = ""
    max_file_mb: int = 512
    """The largest task file that is read, in MiB."""


def read_study(path: Path) -> dict[str, Any]:
    """A study file as `{"study": {...}, "arms": [...]}`; raises ConfigError."""
    try:
        text = read_given_text(path)
    except OSError as error:
        raise ConfigError(f"The study file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The study file {path} is not UTF-8 text.") from None
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"The study file {path} is nested too deeply.") from None
    except ValueError as error:  # also a number of thousands of digits
        raise ConfigError(f"The study file {path} is not valid TOML: {error}.") from None
    for name, value in document.items():
        if name in {"study", "arms"}:
            continue
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, dict):
            raise ConfigError(
                f"The study file {path} has an unknown table [{name}]; "
                "it may hold [study] and [[arms]]."
            )
        table = "[study]" if name in Study.__struct_fields__ else "[[arms]]"
        raise ConfigError(
            f"The study file {path} has {name} outside of any table; write {table} above it "
            "(docs/study.md)."
        )
    return {"study": document.get("study", {}), "arms": document.get("arms", [])}


ARM_PATHS = ("data", "servers", "few_shot_file", "lean_project")
STUDY_PATHS = ("prices",)


def refuse_odd_path(text: str) -> None:
    """Raise ConfigError for what cannot be the path of a file on any disk."""
    # Surrogates stand for the bytes of a name that is no UTF-8.
    parts = [len(part.encode("utf-8", "surrogatepass")) for part in text.split("/")]
    why = ""
    if "\0" in text:
        why = "holds a NUL character"
    elif sum(parts) + len(parts) > 4095 or max(parts) > 255:
        why = f"is longer than a path can be ({len(text):,} characters)"
    if why:
        raise ConfigError(f"The path {text[:60]!a}... {why}; correct it.")


def whole_paths(document: dict[str, Any], study_file: Path | None) -> None:
    """Make every relative path in `document` absolute, so that a run can be resumed anywhere.

    A path is taken from the working directory; one that is not there, but is beside the study
    file, is that one.
    """

    def whole(value: object) -> object:
        if not isinstance(value, str) or not value:
            return value
        refuse_odd_path(value)
        try:
            path = Path(value).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"The path {value!a} leads nowhere: {error}.") from None
        if study_file is not None and not path.exists() and (study_file.parent / path).exists():
            path = study_file.parent / path
        return str(path.absolute())

    for arm in document["arms"]:
        arm.update({key: whole(arm[key]) for key in ARM_PATHS if key in arm})
        if isinstance(arm.get("agent_paths"), list):
            arm["agent_paths"] = [whole(path) for path in arm["agent_paths"]]
        task = str(arm.get("task", ""))
        refuse_odd_path(task)
        if task.endswith(".jsonl"):
            arm["task"] = whole(task)
        elif task.startswith("harbor:"):
            place = str(whole(task.removeprefix("harbor:")))
            # What names a data set of Harbor's registry stays as it is.
            if Path(place).exists() or "@" not in task:
                arm["task"] = f"harbor:{place}"
    study = document["study"]
    study.update({key: whole(study[key]) for key in STUDY_PATHS if key in study})


MOST = {"samples": 10**9, "max_tokens": 10**8, "gpus": 10**5, "few_shot_count": 10**4,
        "n_per_request": 10**6}  # fmt: skip
"""Beyond these a number is a slip, and some of them could not be stored."""


def make_study(document: dict[str, Any], source: str) -> Study:
    """The study in `document`, checked; raises ConfigError naming the key that is wrong."""
    try:
        study = msgspec.convert({**document["study"], "arms": document["arms"]}, Study)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_plain(str(error))}.") from None
    if not study.arms:
        raise ConfigError(f"{source}: there is no arm; give --provider and --task.")
    for arm in study.arms:
        _check_arm(arm, source)
    for name in ("seed", "limit", "shuffle", "max_retries", "judge_jobs", "max_file_mb"):
        if not -(2**63) <= (getattr(study, name) or 0) < 2**63:
            raise ConfigError(f"{source}: {name} has more digits than can be stored.")
    if not 0 <= study.target_coverage <= 1:
        raise ConfigError(
            f"{source}: target_coverage is {study.target_coverage}; give a share such as 0.8."
        )
    if study.limit < 0:
        raise ConfigError(f"{source}: limit is {study.limit}; it must be at least 1.")
    if study.max_retries < 0:
        raise ConfigError(f"{source}: max_retries is {study.max_retries}; it must not be negative.")
    if not 0 <= study.server_patience < 1e9:
        raise ConfigError(
            f"{source}: server_patience is {study.server_patience}; it is in seconds and must not "
            "be negative."
        )
    if not 0 < study.timeout_s < 1e7:
        raise ConfigError(f"{source}: timeout_s is {study.timeout_s}; it must be above 0.")
    return study


def refuse_unknown_provider(name: object, source: str) -> None:
    """Raise ConfigError for a provider that orch does not have, naming those that it has."""
    from providers.known import find
    from providers.registry import provider_names

    # Entry points are read from every installed package's metadata.
    if find(str(name)) is None and name not in provider_names():
        raise ConfigError(
            f"{source}: unknown provider {name!r}; the known ones are "
            f"{', '.join(provider_names())}. Any OpenAI-compatible server works with "
            "--provider openai --base-url URL."
        )


def _check_arm(arm: Arm, source: str) -> None:
    for name, most in MOST.items():
        value = getattr(arm, name)
        if isinstance(value, int) and value > most:
            raise ConfigError(f"{source}: {name} may be at most {most:,}.")
    refuse_unknown_provider(arm.provider, source)
    if arm.samples < 0:
        raise ConfigError(f"{source}: samples is {arm.samples}; it must be at least 1.")
    try:
        estimators_of(arm.policy)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    n = arm.n_per_request
    if n != "auto" and not (isinstance(n, int) and n >= 1):
        raise ConfigError(
            f"{source}: n_per_request is {n!r}; it must be auto or a number of at least 1."
        )
    if arm.max_tokens is not None and arm.max_tokens < 1:
        raise ConfigError(f"{source}: max_tokens is {arm.max_tokens}; it must be at least 1.")
    if arm.temperature is not None and not 0 <= arm.temperature <= 100:
        raise ConfigError(f"{source}: temperature is {arm.temperature}; it must not be negative.")
    if arm.top_p is not None and not 0 < arm.top_p <= 1:
        raise ConfigError(f"{source}: top_p is {arm.top_p}; it must be above 0 and at most 1.")
    if arm.prompt_style not in ("", "chat", "completion"):
        raise ConfigError(
            f"{source}: prompt_style is {arm.prompt_style!r}; it may be chat or completion."
        )
    if arm.batch and arm.gpu_hour:
        raise ConfigError(
            f"{source}: batch and gpu_hour cannot be combined; a batch is priced per token at its "
            "provider, so leave out gpu_hour or batch."
        )
    if arm.subset not in ("", "paper", "released", "all"):
        raise ConfigError(f"{source}: subset is {arm.subset!r}; it may be paper, released or all.")
    if arm.few_shot_count is not None and arm.few_shot_count < 0:
        raise ConfigError(
            f"{source}: few_shot_count is {arm.few_shot_count}; it must not be negative."
        )
    for name in ("tensor_parallel", "data_parallel"):
        if getattr(arm, name) < 1:
            raise ConfigError(f"{source}: {name} is {getattr(arm, name)}; it must be at least 1.")
    if arm.gpus < 1:
        raise ConfigError(f"{source}: gpus is {arm.gpus}; it must be at least 1.")


def study_toml(study: Study) -> str:
    """The resolved study as a file that `orch run` accepts."""
    fields: dict[str, Any] = msgspec.to_builtins(study)
    arms = fields.pop("arms")
    return tomli_w.dumps({"study": fields, "arms": arms})


def _plain(message: str) -> str:
    """msgspec names a place as `$.arms[0].samples`; people know it as arms[0].samples."""
    return message.replace("`$.", "`").replace(" - at `", " at `")
