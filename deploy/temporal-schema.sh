#!/bin/sh
# Makes the two databases, or brings them to the schema of this image.
set -eu
# temporal-sql-tool reads it from the environment, so that it never stands in an argument.
SQL_PASSWORD=$(cat /run/secrets/database_password)
export SQL_PASSWORD
schemas=/etc/temporal/schema/postgresql/v12

tool() {
  temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" --port "$DB_PORT" --user "$POSTGRES_USER" --db "$@"
}

prepare() {
  # A database that is there is only ever updated: setup-schema would set its version back.
  if tool "$1" update-schema --schema-dir "$schemas/$2/versioned"; then return; fi
  tool "$1" create
  tool "$1" setup-schema --version 0.0
  tool "$1" update-schema --schema-dir "$schemas/$2/versioned"
}

prepare temporal temporal
prepare temporal_visibility visibility
