"""A dispatcher on plain Temporal: one job on a machine of its own, its output as it comes, its exit code.

    pip install temporalio
    python3 examples/dispatcher.py nightly-7 hello sh -c 'uname -a; exit 3'

It relies on the published contract only (schemas/, docs/dispatching.md). Kill it and start it again with the same id: it
gets the same lease, and goes on.
"""

import asyncio
import os
import sys

from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def ask(client: Client, lease_id: str, bundle: str, command: list[str]) -> WorkflowHandle:
    """The same id is the same lease, also for a dispatcher that died and asks again."""
    try:
        handle = await client.start_workflow(
            "lease",
            {"leaseId": lease_id, "bundle": bundle, "job": {"command": command}},
            id=f"lease/{lease_id}",
            task_queue="slipway",
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        say(f"lease {lease_id} asked for")
        return handle
    except WorkflowAlreadyStartedError:
        say(f"lease {lease_id} is there already")
        return client.get_workflow_handle(f"lease/{lease_id}")


async def result_of(handle: WorkflowHandle) -> dict:
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        # A lease that failed has its whole result in the details.
        if isinstance(error.cause, ApplicationError) and error.cause.details:
            return error.cause.details[0]
        raise


async def wait_ready(handle: WorkflowHandle) -> dict:
    """May be answered early, when the workflow is just going on in a new run."""
    status = {"state": "acquiring"}
    while status["state"] == "acquiring":
        try:
            status = await handle.execute_update("waitReady", {})
        except WorkflowUpdateFailedError:
            break  # it ends in this moment: its result says how
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            break  # it has ended already
    return status


async def follow(client: Client, lease_id: str, over: asyncio.Task) -> None:
    """What `output` knows is the end of each stream: of a job that writes faster than we look, some is passed over."""
    task = client.get_workflow_handle(f"task/{lease_id}/job")
    seen = {"stdout": 0, "stderr": 0}
    while True:
        ended = over.done()
        try:
            output = await task.query("output")
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            output = {}  # it has not begun
        for name, stream in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
            now = output.get(name, {"bytes": 0, "tail": ""})
            fresh = max(0, now["bytes"] - seen[name])
            if fresh:
                stream.write(now["tail"].encode()[-fresh:])
                stream.flush()
            seen[name] = max(now["bytes"], seen[name])
        if ended:
            return
        await asyncio.wait([over], timeout=0.5)


async def main(lease_id: str, bundle: str, *command: str) -> int:
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    handle = await ask(client, lease_id, bundle, list(command))
    over = asyncio.create_task(result_of(handle))
    access = (await wait_ready(handle)).get("access")
    if access:
        say(f"ready: {access['user']}@{access['address']}:{access['port']} {access['fingerprint']}")
    await follow(client, lease_id, over)
    result = await over
    reason = result.get("reason")
    say(f"lease {lease_id} {result['state']}" + (f": {reason['message']}" if reason else ""))
    code = (result.get("job") or {}).get("exitCode")
    return 125 if code is None else code


if __name__ == "__main__":
    if len(sys.argv) < 4:
        say("dispatcher.py LEASE-ID BUNDLE COMMAND [WORDS…]")
        sys.exit(2)
    code = asyncio.run(main(*sys.argv[1:]))
    # The SDK's own threads may not survive the interpreter's teardown, and then the exit code is a crash's.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
