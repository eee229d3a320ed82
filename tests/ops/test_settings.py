"""Settings: where they come from, what is refused, and that the page about them is current."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from weft.settings import OTHER_VARIABLES, Settings, SettingsInvalid, describe, load_settings
from weft.settings_reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def load(directory: Path, **environ: str) -> Settings:
    return load_settings({"HOME": "/home/ann", **environ}, directory=directory)


def refusal(directory: Path, **environ: str) -> str:
    with pytest.raises(SettingsInvalid) as refused:
        load(directory, **environ)
    return refused.value.message


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.home == Path("/home/ann/.local/share/weft")
    assert settings.api.address == "http://127.0.0.1:8080"
    assert settings.database.url is None
    assert settings.http.allow == ()


def test_the_home_follows_the_desktop_convention(tmp_path: Path) -> None:
    assert load(tmp_path, XDG_DATA_HOME="/data").home == Path("/data/weft")
    assert load(tmp_path, XDG_DATA_HOME="/data", WEFT_HOME="/srv/weft").home == Path("/srv/weft")
    assert load(tmp_path, WEFT_HOME="here").home.is_absolute()


def test_values_have_their_types(tmp_path: Path) -> None:
    settings = load(
        tmp_path, WEFT_PORT="0", WEFT_WORKER_POLL_SECONDS="0.5", WEFT_HTTP_ALLOW="127.0.0.1:80, 10.0.0.0/8,"
    )
    assert settings.api.port == 0
    assert settings.worker.poll_seconds == 0.5
    assert settings.http.allow == ("127.0.0.1:80", "10.0.0.0/8")


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, WEFT_DATABASE_URL="", WEFT_PORT="").database.url is None


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text('profile = "staging"\n[api]\nport = 1234\nhost = "0.0.0.0"\n')
    settings = load(tmp_path, WEFT_PORT="99")
    assert (settings.profile, settings.api.port, settings.api.host) == ("staging", 99, "0.0.0.0")
    assert settings.api.address == "http://127.0.0.1:99"


def test_weft_config_names_another_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[http]\nallow = ['10.0.0.0/8']\n")
    assert load(tmp_path, WEFT_CONFIG=str(tmp_path / "other.toml")).http.allow == ("10.0.0.0/8",)
    assert "absent.toml cannot be read" in refusal(tmp_path, WEFT_CONFIG="absent.toml")


DOTENV = r"""
# one file for several programs
DATABASE_URL="postgresql://somebody:else@h/d"
export WEFT_DATABASE_URL='postgresql://a:p$w#d@h/d'  # the quotes keep it whole
WEFT_PORT = 1234 # not the usual one
WEFT_HOST="::1"
WEFT_PROFILE=
WEFT_SMTP_PASSWORD="a \"b\" \\ c"
not a line
"""


def test_a_dotenv_in_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(DOTENV)
    settings = load(tmp_path, WEFT_SMTP_HOST="mail", WEFT_SMTP_SENDER="a@b.test", WEFT_SMTP_USER="u")
    assert settings.database.url == "postgresql://a:p$w#d@h/d"
    assert (settings.api.port, settings.api.host, settings.profile) == (1234, "::1", "development")
    assert settings.smtp.password == r'a "b" \ c'


def test_the_environment_wins_over_a_dotenv_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('profile = "staging"\n[api]\nport = 1\nhost = "0.0.0.0"\n')
    (tmp_path / ".env").write_text("WEFT_PORT=2\nWEFT_HOST=::1\nWEFT_CONFIG=other.toml\nWEFT_MASTER_KEY_FILE=key\n")
    (tmp_path / "key").write_text("b")
    settings = load(tmp_path, WEFT_PORT="3", WEFT_MASTER_KEY="a")
    assert (settings.profile, settings.api.host, settings.api.port, settings.master_key) == ("staging", "::1", 3, "a")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("WEFT_PROT=1", "weft does not know the setting WEFT_PROT in {}. Did you mean WEFT_PORT?"),
        ("WEFT_PORT=many", "WEFT_PORT in {} is not valid"),
        ("WEFT_PORT", "{}, line 2: write WEFT_PORT=value"),
        ("WEFT_PORT='1", "{}, line 2: write WEFT_PORT=value, in quotes that are closed"),
    ],
)
def test_what_is_wrong_in_a_dotenv_is_said_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / ".env").write_text(f"\n{line}\n")
    assert said.format(tmp_path / ".env") in refusal(tmp_path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql://u:p@h:5432/d?schema=public", "postgresql://u:p@h:5432/d"),
        ("postgresql://u:p@h/d?sslmode=require&schema=weft", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql://u:p@h/d?schema=public&host=%2Ftmp", "postgresql://u:p@h/d?host=%2Ftmp"),
        ("postgresql://u:p@h/d?", "postgresql://u:p@h/d"),
    ],
)
def test_the_usual_schema_of_other_tools_is_left_out_of_an_address(tmp_path: Path, written: str, read: str) -> None:
    assert load(tmp_path, WEFT_DATABASE_URL=written).database.url == read


def test_an_address_with_another_schema_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, WEFT_DATABASE_URL="postgresql://u:p@h/d?schema=second")
    assert "WEFT_DATABASE_URL is not valid: has schema=second, but weft keeps its tables in the schema weft." in message
    assert "name another database" in message


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("c2VjcmV0\n")
    assert load(tmp_path, WEFT_MASTER_KEY_FILE=str(tmp_path / "key")).master_key == "c2VjcmV0"
    (tmp_path / "weft.toml").write_text('master_key_file = "key"\n')
    assert load(tmp_path).master_key == "c2VjcmV0"
    both = refusal(tmp_path, WEFT_MASTER_KEY="a", WEFT_MASTER_KEY_FILE=str(tmp_path / "key"))
    assert "Both WEFT_MASTER_KEY and WEFT_MASTER_KEY_FILE are set" in both
    assert "WEFT_MASTER_KEY_FILE names" in refusal(tmp_path, WEFT_MASTER_KEY_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WEFT_DATABSE_URL", "WEFT_DATABASE_URL"),
        ("WEFT_WORKER_CONCURENCY", "WEFT_WORKER_CONCURRENCY"),
        ("WEFT_MASTERKEY_FILE", "WEFT_MASTER_KEY_FILE"),
        ("WEFT_APIKEY", "WEFT_API_KEY"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(tmp_path: Path, name: str, meant: str) -> None:
    assert f"does not know the setting {name}. Did you mean {meant}?" in refusal(tmp_path, **{name: "1"})


def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text("[worker]\nlease = 3\n[nonsense]\nx = 1\n")
    message = refusal(tmp_path)
    assert "'worker.lease' that weft does not know. Did you mean worker.lease_seconds?" in message
    assert "'nonsense.x' that weft does not know." in message


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text("[api\n")
    assert "weft.toml cannot be read" in refusal(tmp_path)


def test_everything_wrong_is_said_at_once_by_the_name_it_was_set_with(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text("[worker]\nbatch = 0\n")
    message = refusal(tmp_path, WEFT_PORT="99999", WEFT_DATABASE_URL="mysql://x", WEFT_HTTP_ALLOW="a:b")
    assert "WEFT_PORT is not valid" in message
    assert "WEFT_DATABASE_URL is not valid: must look like postgresql://" in message
    assert "WEFT_HTTP_ALLOW is not valid: 'a:b' is neither" in message
    assert f"'worker.batch' in {tmp_path / 'weft.toml'} is not valid" in message


def test_other_variables_are_let_through(tmp_path: Path) -> None:
    load(tmp_path, **dict.fromkeys(OTHER_VARIABLES.keys() - {"WEFT_CONFIG"}, "x"))


def test_settings_are_frozen_and_keep_their_secrets_out_of_logs(tmp_path: Path) -> None:
    settings = load(tmp_path, WEFT_DATABASE_URL="postgresql://a:hush@h/d", WEFT_MASTER_KEY="hush")
    assert "hush" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.profile = "production"


def test_the_address_others_use(tmp_path: Path) -> None:
    assert load(tmp_path, WEFT_PUBLIC_URL="https://weft.example/").api.address == "https://weft.example"
    assert load(tmp_path, WEFT_HOST="::1").api.address == "http://[::1]:8080"


def test_every_setting_says_what_it_is_for() -> None:
    for setting in describe():
        assert setting.sentence.endswith("."), setting.name
        assert setting.type, setting.name


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "python -m weft.settings_reference > docs/reference/settings.md"
