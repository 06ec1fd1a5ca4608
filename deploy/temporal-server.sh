#!/bin/sh
# The server takes the password of its database from the environment only.
set -eu
POSTGRES_PWD=$(cat /run/secrets/database_password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
