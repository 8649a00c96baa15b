from pathlib import Path

import pytest
from pydantic import ValidationError

from mmsdk.errors import SettingsError
from mmsdk.settings import Settings


def _written(folder: Path, text: str) -> Path:
    file = folder / "mmsdk.toml"
    file.write_text(text, "utf-8")
    return file


def test_defaults_need_no_file() -> None:
    settings = Settings.load(environment={})
    assert settings.preset == "bundled"
    assert settings.offline is False
    assert settings == Settings()


def test_the_file_in_the_working_directory_is_read(tmp_path: Path) -> None:
    _written(tmp_path, 'preset = "standard"\n[limits]\nseconds = 5\n[plugins.finance]\nfeeds = ["日报"]\n')
    settings = Settings.load(environment={})
    assert settings.preset == "standard"
    assert settings.limits.seconds == 5
    assert settings.plugins["finance"]["feeds"] == ["日报"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('device = "cpu"\n[limits]\nseconds = 5\npages = 7\n', "utf-8")
    settings = Settings.load(environment={"MMSDK_CONFIG": str(file), "MMSDK_LIMITS__SECONDS": "9.5"})
    assert (settings.device, settings.limits.seconds, settings.limits.pages) == ("cpu", 9.5, 7)


def test_the_environment_takes_json_for_tables() -> None:
    settings = Settings.load(environment={"MMSDK_PINS": '{"finance": "acme"}', "MMSDK_OFFLINE": "true"})
    assert settings.pins == {"finance": "acme"}
    assert settings.offline is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour: unknown setting"),
        ("[limits]\nsecond = 1", "limits.second: unknown setting"),
        ("[limits]\nseconds = -1", "limits.seconds: Input should be greater than 0"),
        ('offline = "perhaps"', "offline: Input should be a valid boolean"),
        ("= 3", "cannot read the settings file"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    _written(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        Settings.load(environment={})
    assert said in str(error.value)
    assert "mmsdk.toml" in str(error.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(SettingsError, match=r"limits\.minutes: unknown setting"):
        Settings.load(environment={"MMSDK_LIMITS__MINUTES": "1"})
    with pytest.raises(SettingsError, match="MMSDK_DEVICE__NAME names a table inside 'device'"):
        Settings.load(environment={"MMSDK_DEVICE": "cpu", "MMSDK_DEVICE__NAME": "x"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        Settings.load(tmp_path / "absent.toml", environment={})


def test_the_folder_of_evaluation_data_is_no_setting() -> None:
    assert Settings.load(environment={"MMSDK_SHARED_DATA": "anywhere"}) == Settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().preset = "server"  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    for model in (Settings, *(field.annotation for field in Settings.model_fields.values())):
        if isinstance(model, type) and hasattr(model, "model_fields"):
            for name, field in model.model_fields.items():
                nested = isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields")
                assert nested or field.description, f"{model.__name__}.{name}"
