# Part of the task protocol (task-protocol.sh): freeing what is stored, cleaning, and the choice of the verb; the last part.

release() { # OUT_OFFSET ERR_OFFSET: gives stored blocks back to the disk; sizes and offsets stay
  for f in out err; do
    n=$(($1 / 4096 * 4096))
    shift
    [ $n -gt 0 ] && [ -e "$D/$f" ] || continue
    fallocate -p -o 0 -l $n "$D/$f" 2>/dev/null || refuse unsupported 'no hole punching here'
  done
  reply released
}

clean() {
  look
  case $ST in running | orphan) refuse busy "the task still runs" ;; esac
  mkdir -p "$BASE/gone" || refuse disk "cannot write to $BASE"
  # A rename makes the tombstone on a full disk too.
  if [ $ST != gone ]; then
    mv -f "$D/start" "$BASE/gone/$ID" 2>/dev/null || true >"$BASE/gone/$ID" || refuse disk "cannot write to $BASE"
    touch "$BASE/gone/$ID"
  fi
  rm -rf "$D" "$BASE/active/$ID"
  forget_old
  reply cleaned
}
# By their number and not by their age: a clock that is set, as many are after a boot, would make them all old at once.
forget_old() {
  set -- "$BASE"/gone/*
  [ $# -gt 2000 ] || return 0
  (cd "$BASE/gone" && ls -t | tail -n +1001 | xargs rm -f)
}

case $VERB in
  run) run "$@" ;;
  keep) keep "$@" ;;
  *)
    IFS= read -r NONCE || exit 64
    case $VERB in
      launch | follow | release | clean) $VERB "$@" ;;
      poll)
        look
        reply "$ANSWER"
        ;;
      kill) kill_task "$@" ;;
      *) exit 64 ;;
    esac
    ;;
esac
