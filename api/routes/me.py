"""The sender of a request."""

from fastapi import APIRouter

from api.deps import CallerDep
from api.problems import problem_responses
from api.schemas.keys import Me
from store.api_keys import Scope

router = APIRouter(prefix="/v1/me", tags=["keys"])


@router.get("", summary="Get the owner and the scopes of the request's key", responses=problem_responses())
async def get_me(caller: CallerDep) -> Me:
    """Returns the key's owner, scopes and expiry. A program on the service's machine that needs no key has all scopes
    and no owner."""
    key = caller.key
    if key is None:
        return Me(owner=None, scopes=list(Scope), key=None, expires_at=None)
    return Me(owner=key.owner, scopes=sorted(key.scopes), key=key.prefix, expires_at=key.expires_at)
