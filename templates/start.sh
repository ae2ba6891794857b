#!/bin/sh
# Starts the vastlane agent of this workspace, unless it runs already. Returns as soon as the agent is really up.
#   start.sh            at every machine start, and by hand
#   start.sh --restart  after a deploy: ends the old agent gracefully, then starts the new one
#   start.sh --stop [--grace SECONDS]
# The agent gets a session of its own, so it does not end with the SSH session that started it.
state=$(cd "$(dirname "$0")" && pwd) || exit 1
record=$state/agent.json
retry=

# The number behind a key of agent.json.
field() { sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p" "$record" 2>/dev/null; }

# Whether the recorded agent, and not a later process with its id, is alive; sets $pid.
alive() {
  pid=$(field pid)
  [ -n "$pid" ] || return 1
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || { [ ! -d /proc/self ] && kill -0 "$pid" 2>/dev/null; return; }
  ticks=$(field startTicks)
  set -- ${stat##*) }
  [ "$1" != Z ] && [ "${20}" = "$ticks" ] && grep -qs agent.mjs "/proc/$pid/cmdline"
}

# SIGTERM to the agent, which ends the command with its grace. If it does not come to an end, SIGKILL to all.
stop() {
  : >"$state/stopped"
  alive || return 0
  if [ -n "$1" ]; then echo "$1" >"$state/stop-grace"; else rm -f "$state/stop-grace"; fi
  limit=${1:-$(sed -n 's/.*"graceSeconds": *\([0-9][0-9]*\).*/\1/p' "$state/run.json" 2>/dev/null)}
  limit=${limit%%.*}
  tenths=$(((${limit:-60} + 8) * 10)) # the agent itself needs at most 7 s longer than the grace
  kill -TERM "$pid" 2>/dev/null
  while alive; do
    if [ $tenths -le 0 ]; then
      command=$(field commandPid)
      [ -z "$command" ] || kill -KILL "-$command" 2>/dev/null
      kill -KILL "$pid" 2>/dev/null
      echo "vastlane: the agent did not end in time and was killed" >&2
      return 0
    fi
    if sleep 0.1 2>/dev/null; then tenths=$((tenths - 1)); else sleep 1; tenths=$((tenths - 10)); fi
  done
  echo "vastlane: agent stopped"
}

case ${1:-} in
--stop)
  [ "${2:-}" = --grace ] && grace=${3:-} || grace=
  stop "$grace"
  exit 0
  ;;
--restart)
  stop ""
  retry=--retry-failed
  ;;
"") ;;
*)
  echo "usage: start.sh [--restart | --stop [--grace SECONDS]]" >&2
  exit 2
  ;;
esac

rm -f "$state/stopped"
if alive; then
  echo "vastlane: agent runs already (process $pid)"
  exit 0
fi

for node in "${VASTLANE_NODE:-}" "$state/node" "$(command -v node)" /opt/vastlane/node/bin/node /usr/local/bin/node; do
  [ -n "$node" ] && [ -x "$node" ] && break
  node=
done
if [ -z "$node" ]; then
  echo "vastlane: no node on this machine; deploy installs it (npx vastlane up)" >&2
  exit 1
fi

touch "$state/agent.log"
[ "$(wc -c <"$state/agent.log")" -lt 1000000 ] || mv -f "$state/agent.log" "$state/agent.log.1"
VASTLANE_WORKSPACE=$(dirname "$state")
VASTLANE_READY_FD=3
export VASTLANE_WORKSPACE VASTLANE_READY_FD
unset VASTLANE_SUPERVISED_IN
detach=nohup
command -v setsid >/dev/null && detach=setsid
# Descriptor 3 is the pipe of this substitution: it ends when the agent has answered, or has died.
answer=$($detach "$node" "$state/agent.mjs" $retry 3>&1 </dev/null >>"$state/agent.log" 2>&1 &)
case $answer in
started*) echo "vastlane: agent started (process ${answer#started })" ;;
running*) echo "vastlane: agent runs already" ;;
*)
  echo "vastlane: the agent did not start; its last words:" >&2
  tail -n 15 "$state/agent.log" >&2
  exit 1
  ;;
esac
