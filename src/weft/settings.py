"""Environment to values: read once by the command, the API or the worker, then handed down.

A setting comes from `WEFT_*` in the environment, else from `.env` in the working directory, else from `weft.toml`
(there, or where `WEFT_CONFIG` says), else from its default. A secret may stand in a file: `WEFT_MASTER_KEY_FILE`. A
name that weft does not know is refused, with the one that was probably meant: a misspelt limit must not silently be no
limit.

`python -m weft.settings_reference` prints `docs/reference/settings.md`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from weft.core.errors import Invalid, Issue
from weft.settings_backup import BackupSettings
from weft.settings_dotenv import Dotenv, read_dotenv
from weft.settings_migrating import MigrateSettings
from weft.settings_recovery import WalSettings
from weft.settings_scale import ScaledDatabaseSettings
from weft.settings_sections import (
    SECRET,
    ApiSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    RetentionSettings,
    Section,
    SmtpSettings,
    WorkerSettings,
)
from weft.settings_studio import StudioSettings
from weft.settings_upkeep import MaintainSettings, MonitorSettings

PREFIX = "WEFT_"
FILE = "weft.toml"

OTHER_VARIABLES = {
    "WEFT_CONFIG": "The settings file to read instead of `weft.toml` in the working directory.",
    "WEFT_DEBUG": "Any value but `0`: commands show the whole traceback of an error.",
    "WEFT_PYTHON": "The Python that `./weft` builds its environment with.",
    "WEFT_URL": "The address of the weft that commands talk to; default: the one that runs here.",
    "WEFT_API_KEY": "The API key that commands sign in with, instead of `weft login`.",
    "WEFT_TOKEN": "A session token that commands sign in with, instead of `weft login`.",
    "WEFT_TENANT": "The tenant that commands work in, when you belong to several.",
    "WEFT_TEST_CLUSTER": "A superuser's address of a server made for tests, instead of one that the tests start.",
}
"""Variables that are no settings of a server, but known all the same."""

OF_COMMANDS = ("WEFT_URL", "WEFT_API_KEY", "WEFT_TOKEN", "WEFT_TENANT")
"""Those that tell commands where to go and as whom: they count in the environment alone."""


class SettingsInvalid(Invalid):
    code = "settings_invalid"

    def __init__(self, issues: list[Issue]) -> None:
        lines = [issue.message for issue in issues]
        head = lines[0] if len(lines) == 1 else "These settings are wrong:\n  - " + "\n  - ".join(lines)
        super().__init__(head, issues=issues)


class Settings(Section):
    """Everything, frozen. Functions take values from it, not the whole."""

    profile: Literal["development", "staging", "production"] = Field(
        default="development",
        description="What this is for: `development` makes well-known sign-ins, and asks before little. The database "
        "remembers the strictest one that it was served as, and that counts (`weft db environments`).",
    )
    home: Path = Field(description="Where weft keeps the embedded database and its keys.")
    master_key: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="32 random bytes (base64 or hex) from which other keys are derived. Without it, "
        "one is made in the home; outside development an external database needs it set.",
    )

    archive_dir: Path | None = Field(
        default=None, description="Where archives of old executions are written; without it `archive` in the home."
    )

    database: ScaledDatabaseSettings = ScaledDatabaseSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    worker: WorkerSettings = WorkerSettings()
    http: HttpSettings = HttpSettings()
    smtp: SmtpSettings = SmtpSettings()
    retention: RetentionSettings = RetentionSettings()
    limits: LimitSettings = LimitSettings()
    maintain: MaintainSettings = MaintainSettings()
    monitor: MonitorSettings = MonitorSettings()
    migrate: MigrateSettings = MigrateSettings()
    backup: BackupSettings = BackupSettings()
    wal: WalSettings = WalSettings()
    studio: StudioSettings = StudioSettings()

    @property
    def archives(self) -> Path:
        """The archive directory."""
        return (self.archive_dir or self.home / "archive").expanduser().absolute()

    @field_validator("home")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


SECTIONS: dict[str, tuple[type[Section], str]] = {
    "database": (ScaledDatabaseSettings, "DATABASE_"),
    "api": (ApiSettings, ""),
    "log": (LogSettings, "LOG_"),
    "worker": (WorkerSettings, "WORKER_"),
    "http": (HttpSettings, "HTTP_"),
    "smtp": (SmtpSettings, "SMTP_"),
    "retention": (RetentionSettings, "RETENTION_"),
    "limits": (LimitSettings, ""),
    "maintain": (MaintainSettings, "MAINTAIN_"),
    "monitor": (MonitorSettings, "MONITOR_"),
    "migrate": (MigrateSettings, "MIGRATE_"),
    "backup": (BackupSettings, "BACKUP_"),
    "wal": (WalSettings, "WAL_"),
    "studio": (StudioSettings, "STUDIO_"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the reference."""

    name: str
    key: str
    type: str
    default: str
    sentence: str
    secret: bool
    section: str | None
    field: str


def describe() -> Iterator[Setting]:
    """Every setting: its variable, its key in `weft.toml`, type, default and meaning."""
    for field, information in Settings.model_fields.items():
        if field not in SECTIONS:
            yield _setting(None, "", field, information)
    for section, (model, prefix) in SECTIONS.items():
        for field, information in model.model_fields.items():
            yield _setting(section, prefix, field, information)


def load_settings(environ: Mapping[str, str], *, directory: Path | None = None) -> Settings:
    """Read, check and freeze all settings; raises one `SettingsInvalid` that names everything that is wrong.

    `directory` is where `.env` and `weft.toml` are looked for (default: the working directory).
    """
    directory = directory or Path.cwd()
    dotenv = read_dotenv(directory)
    issues: list[Issue] = [*dotenv.issues]
    known = {setting.name: setting for setting in describe()}
    values: dict[str, Any] = {"home": default_home(environ)}
    origins: dict[tuple[str, ...], str] = {}
    _take_file(_named_file(environ, dotenv), directory, known, values, origins, issues)
    _take_variables(dotenv.values, f" in {dotenv.path}", directory, known, values, origins, issues)
    _take_variables(environ, "", directory, known, values, origins, issues)
    if not issues:
        try:
            return Settings.model_validate(values)
        except ValidationError as error:
            issues += [_as_issue(detail, origins) for detail in error.errors()]
    raise SettingsInvalid(issues)


def files_read(environ: Mapping[str, str], directory: Path) -> list[Path]:
    """The files that `load_settings` reads there, the stronger one first."""
    dotenv = read_dotenv(directory)
    return [path for path in (dotenv.path, directory / (_named_file(environ, dotenv) or FILE)) if path.is_file()]


def _named_file(environ: Mapping[str, str], dotenv: Dotenv) -> str | None:
    return environ.get("WEFT_CONFIG") or dotenv.values.get("WEFT_CONFIG")


def default_home(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/weft`, else `~/.local/share/weft`."""
    if base := environ.get("XDG_DATA_HOME"):
        return Path(base) / "weft"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return home / ".local" / "share" / "weft"


def _setting(section: str | None, prefix: str, field: str, information: FieldInfo) -> Setting:
    extra = information.json_schema_extra
    return Setting(
        name=f"{PREFIX}{prefix}{field}".upper(),
        key=f"{section}.{field}" if section else field,
        type=_type_words(information.annotation),
        default=_default_words(field, information),
        sentence=information.description or "",
        secret=isinstance(extra, dict) and bool(extra.get("secret")),
        section=section,
        field=field,
    )


def _type_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list"
    if type(None) in get_args(annotation):
        return _type_words(next(part for part in get_args(annotation) if part is not type(None)))
    return {int: "integer", float: "number", str: "text", Path: "path", bool: "`true` or `false`"}[annotation]


def _default_words(field: str, information: FieldInfo) -> str:
    if field == "home":
        return "`~/.local/share/weft`"
    if information.default is None or information.default == ():
        return "—"
    return f"`{information.default}`"


def _take_file(
    named: str | None,
    directory: Path,
    known: Mapping[str, Setting],
    values: dict[str, Any],
    origins: dict[tuple[str, ...], str],
    issues: list[Issue],
) -> None:
    path = directory / (named or FILE)
    if not named and not path.is_file():
        return
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        issues.append(Issue(f"{path} cannot be read: {error}.", code="file_unreadable"))
        return
    keys = {setting.key: setting for setting in known.values()}
    keys |= {f"{setting.key}_file": setting for setting in known.values() if setting.secret}
    for key, value in _flat(document):
        setting = keys.get(key)
        if setting is None:
            issues.append(Issue(f"{path} has a key '{key}' that weft does not know.{_meant(key, keys)}", (key,)))
        elif key == setting.key:
            _put(values, setting, value)
            origins[_path(setting)] = f"'{key}' in {path}"
        else:
            _put_from_file(values, setting, path.parent / str(value), f"'{key}' in {path}", issues)


def _take_variables(
    environ: Mapping[str, str],
    place: str,
    directory: Path,
    known: Mapping[str, Setting],
    values: dict[str, Any],
    origins: dict[tuple[str, ...], str],
    issues: list[Issue],
) -> None:
    files = {f"{name}_FILE": setting for name, setting in known.items() if setting.secret}
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name in known:
            if value != "":  # an empty variable is how many tools say "not set"
                _put(values, known[name], value)
                origins[_path(known[name])] = f"{name}{place}"
        elif name in files:
            if environ.get(files[name].name):
                issues.append(Issue(f"Both {files[name].name} and {name} are set{place}; keep one of them.", (name,)))
            _put_from_file(values, files[name], directory / value, f"{name}{place}", issues)
        else:
            candidates = [*known, *files, *OTHER_VARIABLES]
            issues.append(Issue(f"weft does not know the setting {name}{place}.{_meant(name, candidates)}", (name,)))


def _put(values: dict[str, Any], setting: Setting, value: object) -> None:
    place = values if setting.section is None else values.setdefault(setting.section, {})
    place[setting.field] = value


def _put_from_file(values: dict[str, Any], setting: Setting, path: Path, origin: str, issues: list[Issue]) -> None:
    try:
        _put(values, setting, path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        issues.append(Issue(f"{origin} names {path}, which cannot be read: {error}.", (origin,)))


def _path(setting: Setting) -> tuple[str, ...]:
    return (setting.field,) if setting.section is None else (setting.section, setting.field)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict) and not prefix:
            yield from _flat(value, f"{key}.")
        else:
            yield prefix + key, value


def _meant(name: str, candidates: Mapping[str, object] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else " `docs/reference/settings.md` lists all of them."


def _as_issue(detail: Any, origins: Mapping[tuple[str, ...], str]) -> Issue:
    path = tuple(str(part) for part in detail["loc"][:2])
    origin = origins.get(path) or origins.get(path[:1]) or ".".join(path)
    message = str(detail["msg"]).removeprefix("Value error, ")
    return Issue(f"{origin} is not valid: {message[:1].lower()}{message[1:]}.", path)
