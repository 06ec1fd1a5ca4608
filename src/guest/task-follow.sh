# Part of the task protocol (task-protocol.sh): the output as it comes.

# Streams what comes, raw: the command's stdout on stdout, its stderr on stderr, each after a first answer line; "alive"
# lines at least every 2 s; last an "end" line with the answer. stdout's lines stand wherever they fall between its bytes.
follow() { # OUT_OFFSET ERR_OFFSET
  exec 4>&2 2>/dev/null
  look
  reply "now $ANSWER"
  printf '\036%s now\n' "$NONCE" >&4
  if [ -r "$D/out" ] && [ -r "$D/err" ]; then
    exec 5<"$D/out" 6<"$D/err"
    seek "$1" <&5
    seek "$2" <&6
    case $ST,$(tail --version) in
      running,*GNU*)
        stream
        look
        ;;
      *) copy "$1" "$2" ;;
    esac
  fi
  reply "end $ANSWER"
}
seek() { # moves the offset of stdin's description, which every holder shares
  [ "$1" -lt 65536 ] || dd bs=65536 skip=$(($1 / 65536)) count=0
  [ $(($1 % 65536)) = 0 ] || dd bs=$(($1 % 65536)) count=1 of=/dev/null
}
# GNU tail looks 50 times a second for 0.2 % of a core, and ends with a sleeper, which the wrapper ends (init may
# be slow to take the wrapper's own zombie away); cat is quicker for a backlog.
stream() {
  sleep 3600 >/dev/null 4>&- 5<&- 6<&- &
  sleeper=$! wake=''
  process $sleeper && wake=$D/wake.$sleeper.$STIME && true >"$wake"
  ! ended || kill $sleeper
  { cat && exec tail -c +1 -f -s 0.02 --pid=$sleeper 5<&- 6<&-; } <&5 &
  t1=$!
  { cat && exec tail -c +1 -f -s 0.02 --pid=$sleeper 5<&- 6<&-; } <&6 >&4 &
  t2=$!
  ( # A reader that went away must not leave the tails behind; a wrapper that was killed, or a child that writes on for
    # ever, must not hide the end.
    trap '' PIPE
    exec 4>&- 5<&- 6<&-
    said=alive
    while sleep 1.5 >/dev/null; do
      if [ "$said" = alive ]; then
        look
        [ $ST = running ] || said="end $ANSWER"
        [ $ST = running ] || kill $sleeper
      fi
      reply "$said" || kill $t1 $t2 || exit
    done
  ) &
  ticker=$!
  wait $t1
  wait $t2
  kill $ticker $sleeper
  rm -f "$wake"
}
# After the end, or without GNU tail: copy what is new, look again, slower while nothing comes (hundredths of a second).
copy() { # OUT_OFFSET ERR_OFFSET
  o=$1 e=$2 beat=3 quiet=0
  while :; do
    look
    if [ "$O" -gt "$o" ] || [ "$E" -gt "$e" ]; then
      take $((O - o)) <&5
      take $((E - e)) <&6 >&4
      o=$O e=$E beat=3
    fi
    [ $ST = running ] || break
    if [ $quiet -ge 120 ]; then
      reply alive || exit
      quiet=0
    fi
    if [ $beat -ge 10 ]; then nap $beat; else nap 0$beat; fi
    quiet=$((quiet + beat)) beat=$((beat * 3 / 2))
    [ $beat -le 50 ] || beat=50
  done
}
take() { # exactly so many bytes of stdin: head may read more than it hands on
  [ "$1" -lt 131072 ] || dd bs=131072 count=$(($1 / 131072))
  [ "$1" -le 0 ] || [ $(($1 % 131072)) = 0 ] || dd bs=$(($1 % 131072)) count=1
}
