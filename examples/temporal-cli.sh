#!/bin/sh
# A lease by Temporal's own command line: ask, wait, look, end. Each line stands for itself; TEMPORAL_ADDRESS says where.
#
#     examples/temporal-cli.sh LEASE-ID BUNDLE
set -eu
id=$1 bundle=$2
lease=lease/$id task=task/$id/job

# Ask. An id that is there already is refused, and the lines below go on with what is there.
temporal workflow start --type lease --workflow-id "$lease" --task-queue slipway --id-reuse-policy RejectDuplicate \
  --input '{"leaseId": "'"$id"'", "bundle": "'"$bundle"'", "job": {"command": ["sh", "-c", "uname -s; echo done >&2; exit 3"]}}' \
  || temporal workflow describe --workflow-id "$lease" >/dev/null

# Wait until it is ready; a lease that has ended takes no update. (Of a bundle with `ready: manual` a person says so:
#   temporal workflow signal --workflow-id lease/ID --name markReady --input '{"result": 0}')
temporal workflow update execute --workflow-id "$lease" --name waitReady --input '{}' || true

# How it stands. (To end it early:
#   temporal workflow signal --workflow-id lease/ID --name cancel --input '{"reason": "enough"}')
temporal workflow query --workflow-id "$lease" --name status

# Wait for its end; then what its job wrote last.
temporal workflow result --workflow-id "$lease"
temporal workflow query --workflow-id "$task" --name output
