"""What the caller of a request sees of artifacts: those of its owner, or all.

What is another's is answered as what does not exist, by `ArtifactNotFound`, with the same body and headers.
"""

from typing import Final

from fastapi import Request

from servicekit.api.admission import check_may_act, find_access

_NOBODY: Final = "\n"  # which owns nothing, since owners have no line breaks


def find_seer(request: Request) -> str | None:
    """The owner whose artifacts are all that the caller sees; `None` if it sees everything."""
    access = find_access(request)
    return None if access.everything else access.owner


def find_acting_seer(request: Request) -> str | None:
    """The same for a request that is to change something: 403 for who may only look."""
    check_may_act(find_access(request))
    return find_seer(request)


def narrow_owner(request: Request, wanted: str | None) -> str | None:
    """The owner whose artifacts are listed, of whom the caller wants those of `wanted`."""
    seer = find_seer(request)
    if seer is None:
        return wanted
    return seer if wanted in (None, seer) else _NOBODY
