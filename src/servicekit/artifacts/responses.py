"""The responses of the artifact routes: their models, for the OpenAPI document, and their bytes."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_ULID: Final = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class ArtifactSummary(BaseModel):
    """An artifact as lists show it: all that is known of it, without its content."""

    id: str = Field(
        description="The artifact's ULID. One that a job has promised has the id of the job.", examples=[_ULID]
    )
    parent_id: str | None = Field(description="The artifact from which it was made.", examples=[None])
    level: int = Field(description="How many artifacts are above it.", examples=[0])
    level_label: str | None = Field(description="Its place in its hierarchy, if it has one.", examples=["model"])
    kind: str = Field(description="What it is, in a word of the service.", examples=["model"])
    name: str | None = Field(description="The name of the file.", examples=["model.skops"])
    media_type: str = Field(description="The type of the content.", examples=["application/json"])
    size: int = Field(description="How many bytes the content has.", examples=[1_024])
    sha256: str = Field(description="The hash of the content, in hexadecimal digits.", examples=[_SHA256])
    metadata: dict[str, Any] = Field(description="A JSON object that is kept with it.", examples=[{"customer": "c-17"}])
    tags: list[str] = Field(description="Words by which it is found.", examples=[["nightly"]])
    job_id: str | None = Field(description="The job that has made it.", examples=[_ULID])
    attempt: int | None = Field(description="Which attempt of the job that was.", examples=[1])
    origin: str = Field(description="Who has made it: `job`, `upload` or `code`.", examples=["job"])
    keep: str | None = Field(
        description="`job`: it goes with its job. `always`: no retention drops it. `null`: retention decides.",
        examples=[None],
    )
    owner: str | None = Field(
        description="Whose artifact it is; `null` if it is nobody's. See the page on access.", examples=["ana"]
    )
    created_at: datetime = Field(description="When it was made (UTC).")
    updated_at: datetime = Field(description="When its metadata or tags were changed last (UTC).")


class ArtifactRecord(ArtifactSummary):
    """One artifact, with its content if that is JSON."""

    data: Any = Field(description="The content, if it is JSON that is not too large; else `null`: download it.")


class ArtifactNode(ArtifactSummary):
    """An artifact and what is below it."""

    children: "list[ArtifactNode]" = Field(description="The artifacts that were made from it, the oldest first.")


class ArtifactKindStats(BaseModel):
    """How many artifacts of a kind there are, and how large they are."""

    count: int = Field(description="How many.", examples=[12])
    bytes: int = Field(description="The sum of their sizes.", examples=[1_048_576])


class ArtifactStats(BaseModel):
    """How many artifacts there are, and how large they are."""

    count: int = Field(description="How many.", examples=[12])
    bytes: int = Field(description="The sum of their sizes.", examples=[1_048_576])
    by_kind: dict[str, ArtifactKindStats] = Field(description="The same for each kind.")


class ArtifactChanges(BaseModel):
    """What can be changed of an artifact. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any] | None = Field(default=None, description="Instead of the old metadata.")
    tags: list[str] | None = Field(default=None, description="Instead of the old tags.")


class ArtifactFields(BaseModel):
    """What a client says of what it sends."""

    model_config = ConfigDict(extra="forbid")

    parent_id: str | None = Field(default=None, description="The artifact from which it was made.", examples=[_ULID])
    kind: str = Field(default="artifact", description="What it is, in a word of the service.", examples=["upload"])
    name: str | None = Field(default=None, description="The name of the file.", examples=["sales.csv"])
    media_type: str | None = Field(default=None, description="The type of the content.", examples=["text/csv"])
    metadata: dict[str, Any] = Field(default={}, description="A JSON object that is kept with it.")
    tags: list[str] = Field(default=[], description="Words by which it is found.", examples=[["nightly"]])


class ArtifactEnvelope(ArtifactFields):
    """JSON to be kept, and what is said of it."""

    data: Any = Field(description="Any JSON value: the content.", examples=[{"loss": 0.02}])
