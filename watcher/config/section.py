"""What all sections of the settings have in common."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from watcher.config.values import check_plain


class Model(BaseModel):
    """Values that are never changed, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class Section(Model):
    """A section of keys."""

    @field_validator("*", mode="before")
    @classmethod
    def _plain_value(cls, value: object, info: ValidationInfo) -> object:
        return check_plain(cls, info.field_name or "", value)
