"""The name and the description of a service."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ServiceInfo(BaseModel):
    """A service's name and description, which the page at `/docs` shows. Only `display_name` is required."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display_name: Annotated[str, Field(min_length=1, description="The name for people.")]
    id: Annotated[str, Field(description="The name for programs; made from `display_name` if not given.")] = ""
    version: str = "1.0.0"
    summary: str | None = None
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _derive_id(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("id"):
            slug = re.sub(r"[^a-z0-9]+", "-", str(values.get("display_name")).lower()).strip("-")
            return {**values, "id": slug or "service"}
        return values
