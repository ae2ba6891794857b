#!/bin/sh
# Every SSH session of a plain-mode machine passes through here (sshd's ForceCommand): sshd itself starts
# sessions in the home of the computer's user. HOME, PATH and the rest come from sshd's SetEnv.

cd "$HOME" || exit 1
# Stand-in for a full disk (emulator/machine/plain.ts): no file may be written.
[ ! -e "$(dirname "$0")/../disk-full" ] || ulimit -S -f 0

shell=${SHELL:-/bin/sh}
if [ -n "${SSH_ORIGINAL_COMMAND:-}" ]; then
  command=$SSH_ORIGINAL_COMMAND
  unset SSH_ORIGINAL_COMMAND
  exec "$shell" -c "$command"
fi
exec "$shell" -l
