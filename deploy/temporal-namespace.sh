#!/bin/sh
# Same id, same lease holds for the retention: 30 days.
set -eu
namespace=${1:-default}

# Both take a moment: a server that starts, and a namespace that is new to it.
within_a_minute() {
  for _ in $(seq 60); do
    if "$@"; then return; fi
    sleep 1
  done
  return 1
}

within_a_minute temporal operator cluster health > /dev/null
temporal operator namespace describe --namespace "$namespace" > /dev/null 2>&1 ||
  temporal operator namespace create --namespace "$namespace" --retention 720h

known=$(within_a_minute temporal operator search-attribute list --namespace "$namespace")
for name in SlipwayState SlipwayBundle SlipwayProvider SlipwayLease SlipwayOwner; do
  case $known in *"$name"*) continue ;; esac
  temporal operator search-attribute create --namespace "$namespace" --name "$name" --type Keyword
done
