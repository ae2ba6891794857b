#!/bin/sh
# Every SSH session of a plain-mode machine passes through here (sshd's ForceCommand), as sshd itself
# takes HOME from the computer's user: gives the session the machine's home, workspace and PATH.

machine=$(dirname "$(dirname "$0")")
. "$machine/bin/.session.conf"
export HOME PATH VASTLANE_WORKSPACE VASTLANE_MACHINE VASTLANE_PLAIN VASTLANE_PID1_ENVIRON
cd "$HOME" || exit 1
# Stand-in for a full disk (emulator/machine/plain.ts): no file may be written.
[ ! -e "$machine/disk-full" ] || ulimit -S -f 0

shell=${SHELL:-/bin/sh}
if [ -n "${SSH_ORIGINAL_COMMAND:-}" ]; then
  command=$SSH_ORIGINAL_COMMAND
  unset SSH_ORIGINAL_COMMAND
  exec "$shell" -c "$command"
fi
exec "$shell" -l
