#!/bin/sh
# Ends the command (SIGTERM, --grace SECONDS, SIGKILL) and the agent; returns when both are gone.
exec sh "$(dirname "$0")/start.sh" --stop "$@"
