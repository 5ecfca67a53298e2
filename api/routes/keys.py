"""API keys, for callers with the scope ``admin``."""

from fastapi import APIRouter

from api.deps import ServicesDep
from api.problems import problem_responses
from api.schemas.keys import ApiKey, KeyRequest, NewKey
from store import api_keys

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", summary="List all keys, newest first", responses=problem_responses())
def list_keys(services: ServicesDep) -> list[ApiKey]:
    """Returns all keys with their states, without their tokens, which the service does not have."""
    return [ApiKey.of(key) for key in services.database.query(api_keys.list)]


@router.post("", status_code=201, summary="Create a key", responses=problem_responses("invalid_request"))
def create_key(services: ServicesDep, wanted: KeyRequest) -> NewKey:
    """Creates a key and returns its token, which cannot be read again. Once the first key exists, every request needs
    one, also from the service's own machine."""
    with services.database.begin() as tx:
        key, token = api_keys.create(
            tx, wanted.owner, wanted.scopes, lives_s=wanted.lives_s, limits=wanted.limits.to_store()
        )
    return NewKey(token=token, **ApiKey.of(key).model_dump())


@router.post("/{prefix}/revoke", summary="Revoke a key", responses=problem_responses("key_not_found"))
def revoke_key(services: ServicesDep, prefix: str) -> ApiKey:
    """Revokes a key for good. Requests and sessions with it are refused after at most one second."""
    with services.database.begin() as tx:
        return ApiKey.of(api_keys.revoke(tx, prefix))
