"""A web service over a repository: the store opens and closes with the application, and each request gets its repository.

    pip install fastapi uvicorn
    CROSSFADE_STORE=sqlite:///notes.db uvicorn examples.fastapi_service.app:app

CROSSFADE_STORE says where the notes lie: sqlite:///notes.db, file:notes, postgresql://...
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import crossfade
from crossfade import Repository

__all__ = ["Note", "Notes", "app"]

# What is stored: a pydantic model, which is the body of requests and responses as well ------------


@crossfade.entity("notes", key="id", search=("text",))
class Note(BaseModel):
    id: str = Field(default_factory=crossfade.new_id)
    text: str = Field(min_length=1, max_length=10_000)
    tags: list[str] = []
    written_at: datetime = Field(default_factory=crossfade.now)


class Notes(Repository[Note]):
    async def tag(self, key: str, tag: str) -> Note:
        """Add a tag, also when somebody else adds one at the same moment."""
        return await self.mutate(key, lambda note: note.model_copy(update={"tags": sorted({*note.tags, tag})}))


# The application ------------------------------------------------------------------------------------


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One store for the life of the process; the loop that serves is the loop that opened it."""
    async with crossfade.open(entities=[Notes]) as store:
        app.state.store = store
        yield


app = FastAPI(title="Notes", lifespan=lifespan)


def repository(request: Request) -> Notes:
    store: crossfade.Store = request.app.state.store
    return store.repository(Notes)


NotesHere = Annotated[Notes, Depends(repository)]

ANSWERS: dict[type[crossfade.CrossfadeError], int] = {
    crossfade.Missing: 404,
    crossfade.Duplicate: 409,
    crossfade.Conflict: 412,
    crossfade.InvalidRecord: 422,
    crossfade.InvalidQuery: 422,
    crossfade.BadCursor: 422,
    crossfade.Unavailable: 503,
}


@app.exception_handler(crossfade.CrossfadeError)
async def refuse(request: Request, error: crossfade.CrossfadeError) -> JSONResponse:
    """Each error of a store is an answer of its own. No message shows a value, so it may go out as it is."""
    status = next((code for kind, code in ANSWERS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)


@app.post("/notes", status_code=201)
async def write(note: Note, notes: NotesHere) -> Note:
    return await notes.add(note)


@app.get("/notes")
async def listed(notes: NotesHere, limit: int = 20, cursor: str | None = None) -> dict[str, Any]:
    n = crossfade.fields(Note)
    page = await notes.page(order=[n.written_at.desc(), n.id], limit=limit, cursor=cursor)
    return {"notes": page.items, "cursor": page.cursor}


@app.get("/notes/search")
async def found(notes: NotesHere, words: str) -> list[Note]:
    return await notes.search(words)


@app.get("/notes/{key}")
async def read(key: str, notes: NotesHere, response: Response) -> Note:
    """The version is the answer's ETag: whoever changes the note may send it back as If-Match."""
    seen = await notes.get_versioned(key)
    response.headers["ETag"] = f'"{seen.version}"'
    return seen.record


@app.put("/notes/{key}")
async def rewrite(key: str, note: Note, notes: NotesHere, if_match: Annotated[str | None, Header()] = None) -> Note:
    changed = note.model_copy(update={"id": key})
    return await notes.update(changed, expect=if_match.strip('"') if if_match else None)


@app.post("/notes/{key}/tags/{tag}")
async def tag(key: str, tag: str, notes: NotesHere) -> Note:
    return await notes.tag(key, tag)


@app.delete("/notes/{key}", status_code=204)
async def remove(key: str, notes: NotesHere) -> None:
    if not await notes.delete(key):
        raise crossfade.Missing("notes", key)
