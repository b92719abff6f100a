"""Saves and deletions of few contents, against a model."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from servicekit.artifacts import Artifact, Artifacts
from servicekit.errors import ArtifactConflict, ArtifactNotFound
from tests.artifacts.files import check_files, list_staged

CONTENTS: list[object] = [b"a", b"b", "a", {"a": 1}, ["x" * 70_000], b"x" * 100_000]


class Lives(RuleBasedStateMachine):
    """The model is a dictionary of contents and parents."""

    saved: Bundle[Artifact] = Bundle("saved")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.artifacts = [Artifacts(Path(self.folder, "a")), Artifacts(Path(self.folder, "a"))]
        self.contents: dict[str, object] = {}
        self.parents: dict[str, str | None] = {}

    def teardown(self) -> None:
        for each in self.artifacts:
            each.close()
        shutil.rmtree(self.folder)

    @rule(target=saved, which=st.integers(0, 1), content=st.sampled_from(CONTENTS))
    def save(self, which: int, content: object) -> Artifact:
        return self._note(self.artifacts[which].save(content), content, None)

    @rule(target=saved, which=st.integers(0, 1), content=st.sampled_from(CONTENTS), parent=saved)
    def save_below(self, which: int, content: object, parent: Artifact) -> Artifact | MultipleResults[Artifact]:
        if parent.id in self.contents:
            return self._note(self.artifacts[which].save(content, parent=parent), content, parent.id)
        with pytest.raises(ArtifactNotFound):
            self.artifacts[which].save(content, parent=parent)
        return multiple()

    @rule(which=st.integers(0, 1), artifact=saved, content=st.sampled_from(CONTENTS))
    def save_again(self, which: int, artifact: Artifact, content: object) -> None:
        if artifact.id in self.contents:
            with pytest.raises(ArtifactConflict):
                self.artifacts[which].save(content, id=artifact.id)

    @rule(which=st.integers(0, 1), artifact=consumes(saved), recursive=st.booleans())
    def delete(self, which: int, artifact: Artifact, recursive: bool) -> None:
        below = self._below(artifact.id)
        if artifact.id not in self.contents:
            with pytest.raises(ArtifactNotFound):
                self.artifacts[which].delete(artifact.id, recursive=recursive)
        elif len(below) > 1 and not recursive:
            with pytest.raises(ArtifactConflict):
                self.artifacts[which].delete(artifact.id)
        else:
            assert self.artifacts[which].delete(artifact.id, recursive=recursive) == len(below)
            for each in below:
                del self.contents[each], self.parents[each]

    @rule(which=st.integers(0, 1))
    def sweep(self, which: int) -> None:
        swept = self.artifacts[which].sweep()
        assert (swept.blobs, swept.temporary_files) == (0, 0)

    @invariant()
    def every_content_is_there_and_nothing_else(self) -> None:
        if not Path(self.artifacts[0].address).exists():
            return
        for each in self.artifacts:
            assert {found.id: found.parent_id for found in each.list(limit=1_000).artifacts} == self.parents
            assert {id_: each.load(id_) for id_ in self.contents} == self.contents
        check_files(self.artifacts[0])
        assert list_staged(self.artifacts[0]) == []

    def _note(self, artifact: Artifact, content: object, parent: str | None) -> Artifact:
        self.contents[artifact.id], self.parents[artifact.id] = content, parent
        return artifact

    def _below(self, artifact_id: str) -> list[str]:
        below = [artifact_id]
        for each in below:
            below += [child for child, parent in self.parents.items() if parent == each]
        return below


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
