"""`python -m benchmarks.changing_server`: a server whose number of workers changes under way.

GET /work takes a worker for WORK_SECONDS; who finds none waits, and who finds BACKLOG waiting is refused with 429.
POST /workers?number=N changes their number and answers with what happened since it was changed last (`Stretch`).
"""

import asyncio
import contextlib
import signal
import sys
from collections import deque

import msgspec
from aiohttp import web

WORK_SECONDS = 0.02
BACKLOG = 12
FEW = 5


class Stretch(msgspec.Struct):
    """What one number of workers got to see.

    `followed_after` counts the requests that came, once no more than these workers were at work, until all of them had
    work and at most FEW requests waited; None where that was never so. `waiting` adds up what each request found.
    """

    answered: int = 0
    refused: int = 0
    waiting: int = 0
    unfollowed: int = 0
    followed_after: int | None = None


class ChangingServer:
    """The workers, first come, first served."""

    def __init__(self) -> None:
        self._workers = 1
        self._at_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._stretch = Stretch()

    async def work(self, _: web.Request) -> web.Response:
        """One request that needs a worker."""
        if len(self._waiting) >= BACKLOG:
            self._stretch.refused += 1
            return web.json_response({"message": "too many requests"}, status=429)
        self._note_arrival()
        if self._at_work >= self._workers or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._at_work += 1
        await asyncio.sleep(WORK_SECONDS)
        self._at_work -= 1
        self._let_in()
        self._stretch.answered += 1
        return web.json_response({"rows": []})

    async def change(self, request: web.Request) -> web.Response:
        """Another number of workers; those who are at work finish first."""
        stretch, self._stretch = self._stretch, Stretch()
        self._workers = int(request.query["number"])
        self._let_in()
        return web.Response(body=msgspec.json.encode(stretch), content_type="application/json")

    def _let_in(self) -> None:
        while self._waiting and self._at_work < self._workers:
            self._at_work += 1
            self._waiting.popleft().set_result(None)

    def _note_arrival(self) -> None:
        waiting = len(self._waiting)
        self._stretch.waiting += waiting
        if self._stretch.followed_after is not None or self._at_work > self._workers:
            return
        if self._at_work + waiting + 1 >= self._workers and waiting <= FEW:
            self._stretch.followed_after = self._stretch.unfollowed
        else:
            self._stretch.unfollowed += 1


async def serve() -> None:
    """Serves on a free port, whose address is the first line of the output, until SIGTERM."""
    server, stop = ChangingServer(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = web.Application()
    app.router.add_get("/work", server.work)
    app.router.add_post("/workers", server.change)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    sys.stdout.write("http://{}:{}\n".format(*runner.addresses[0][:2]))
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
