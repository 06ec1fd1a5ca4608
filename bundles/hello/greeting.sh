#!/bin/sh
# Says hello from this machine, slowly enough to be watched: a name a second, from names.txt beside it.
here=$(dirname "$0")
echo "hello from $(uname -n)"
while read -r name; do
  sleep 1
  echo "hello $name"
done <"$here/names.txt"
