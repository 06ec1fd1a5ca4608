# Part of the reset protocol (reset-protocol.sh): the verbs; the last part.

# What a tenant must not find changed; copies of it as far as there is room.
baseline() {
  new=$B.new
  rm -rf "$new" "$WORK"
  mkdir -p "$new/files" "$WORK" 2>/dev/null || refuse disk "cannot write to $BASE"
  true >"$new/stamp"
  odd=$(odd_names -print | head -n 1)
  [ -z "$odd" ] || refuse odd "there are file names with control characters below ${odd%/*}"
  look >"$WORK/now"
  choose <"$WORK/now" | while IFS= read -r at; do
    mkdir -p "$new/files${at%/*}" && cp -a -- "$at" "$new/files${at%/*}/"
  done 2>/dev/null
  # A copy counts when it is whole.
  (cd "$new/files" && find . -type f -exec stat -c "%n$TAB%s$TAB%Y" {} + | sed 's/^\.//') >"$WORK/copied"
  export new
  awk -F"$TAB" 'FILENAME == ARGV[1] { if ($1 == "k") body[$2] = $6 FS $7; next }
    ($1 in body) && body[$1] == $2 FS $3 { print ENVIRON["new"] "/files" $1 }' "$WORK/now" "$WORK/copied" | digests |
    awk '{ print "c\t" substr($0, length(ENVIRON["new"] "/files") + 1) }' >"$WORK/sums"
  cat "$WORK/now" "$WORK/sums" >"$new/state" 2>/dev/null &&
    sum=$(sha256sum <"$new/state") && keep_room "$new" && rm -rf "$B" && mv "$new" "$B" ||
    refuse disk "no room for the baseline in $BASE"
  only_copies
  rm -rf "$WORK"
  reply "ok ${sum%% *} $(grep -c "^k$TAB" "$B/state") $(grep -c "^c$TAB" "$B/state")"
}
keep_room() { # BASELINE
  [ -e "$1/room" ] || head -c $(($(wc -c <"$1/state") * 8 + 65536)) /dev/zero >"$1/room"
} 2>/dev/null
# Nothing else may lie among the copies.
only_copies() {
  (cd "$B/files" && find . ! -type d -print | sed 's/^\.//' |
    awk -F"$TAB" 'FILENAME == ARGV[1] { if ($1 == "c") copy[$2]; next } !($0 in copy) { print "." $0 }' "$B/state" - |
    tr '\n' '\0' | xargs -0 -r rm -f --)
}
# Paths to copy, folders as a whole where they fit, in the order of the roots.
choose() {
  free=$(df -Pk "$BASE" | awk 'NR == 2 { print int($4 / 20) }')
  [ "${free:-0}" -lt $COPY_KIB ] || free=$COPY_KIB
  ROOTS=$KEPT WHOLE=$BASE$NL$LEFT_ALONE$NL$KEPT$NL$points awk -F"$TAB" -v left=$((${free:-0} * 1024)) \
    -v one=$COPY_FILE -v most=$COPY_TREES '
    function parent(path) { sub(/\/[^\/]*$/, "", path); return path }
    function take(path, n, i, kid) {
      if (!(path in size) || trees >= most) return
      if (!(path in blocked) && total[path] <= left && (folder[path] || size[path] <= one)) {
        left -= total[path]
        trees += 1
        print path
      } else {
        n = split(kids[path], kid, "\n")
        for (i = 2; i <= n; i++) take(kid[i])
      }
    }
    $1 == "k" {
      size[$2] = $6
      folder[$2] = $3 ~ /^4...$/
      kids[parent($2)] = kids[parent($2)] "\n" $2
      for (at = $2; at != ""; at = parent(at)) total[at] += $6
    }
    END {
      n = split(ENVIRON["WHOLE"], part, "\n")
      for (i = 1; i <= n; i++) for (at = parent(part[i]); at != ""; at = parent(at)) blocked[at]
      n = split(ENVIRON["ROOTS"], part, "\n")
      for (i = 1; i <= n; i++) take(part[i])
    }'
}

is_baseline() { # DIGEST
  sum=$(sha256sum <"$B/state") 2>/dev/null
  [ "${sum%% *}" = "$1" ]
}
# Everything that was found and stays so, some of each kind by name, and how many.
tell_left() {
  grep -q '^complete' "$WORK/found" || {
    reply "left unknown the differences could not be written to $BASE"
    reply 'end 1'
    return
  }
  {
    found added loose missing changed process socket mount unmounted ipc host unit
    look_newer | sed "s/^n/newer/"
    odd_names -print | head -n 5 | sed "s/^/odd$TAB/"
  } | tr -d '\000-\010\013-\037\177' | sort -u >"$WORK/left"
  awk -F"$TAB" '++n[$1] <= 8' "$WORK/left" | while IFS=$TAB read -r kind what more; do
    case $kind in process | socket | mount | ipc) what="$what $more" ;; esac
    reply "left $kind $(printf '%.200s' "$what")"
  done
  reply "end $(wc -l <"$WORK/left")"
}

# Our own: what tasks left, and scripts that a tenant may have written over.
clear_own() {
  find "$BASE" -mindepth 1 -maxdepth 1 ! -name bin ! -name baseline ! -name "${WORK##*/}" -exec rm -rf {} +
  find "$BASE/bin" -mindepth 1 -maxdepth 1 ! -name "${SELF##*/}" -exec rm -rf {} +
  find "$B" -mindepth 1 -maxdepth 1 ! -name state ! -name stamp ! -name files -exec rm -rf {} +
  only_copies
}
reset() {
  round=0
  while find_out; [ -n "$(found $UNDONE; odd_names -print)" ] && [ $round -lt 4 ]; do
    undo
    round=$((round + 1))
  done
  clear_own
  mkdir -p "$BASE/tasks" "$BASE/active" "$BASE/gone"
  # By sudo: they are the login user's.
  [ "$(id -u)" != 0 ] || chown "$(stat -c %u:%g "$BASE")" "$BASE/tasks" "$BASE/active" "$BASE/gone"
  keep_room "$B" || true
}

VERB=$1
IFS= read -r NONCE && IFS= read -r DIGEST || exit 64
LEFT_ALONE=$(cat)
for tool in awk find stat sort sed grep sha256sum xargs cp df; do
  command -v $tool >/dev/null || refuse tools "the guest has no $tool"
done
places
case $VERB in
  baseline) baseline ;;
  reset | compare)
    is_baseline "$DIGEST" || {
      reply 'left baseline what was remembered of this machine is not there any more, or was changed'
      reply 'end 1'
      exit
    }
    [ $VERB = compare ] || clear_own
    mkdir -p "$WORK" || refuse disk "cannot write to $BASE"
    if [ $VERB = reset ]; then reset; else find_out; fi
    tell_left
    rm -rf "$WORK"
    ;;
  *) exit 64 ;;
esac
