#!/bin/bash
# First process of an emulated machine, in the place of the image's own entry point (as on Vast.ai): starts sshd,
# runs /root/onstart.sh at every start, and stays whatever becomes of either. bash reaps orphans, as init must.
# Argument: path of sshd.
# Its environment holds the injected variables: sessions read them from /proc/1/environ.

mkdir -p /run/sshd
"$1" -D -e -f /etc/ssh/sshd_config &

# The marker of a first boot; set late, because onstart scripts ask for it to do things once.
[ ! -e /var/lib/vast-first-start ] || touch /root/hasbooted
touch /var/lib/vast-first-start
(
  cd /root || exit 0
  [ ! -s /root/onstart.sh ] || bash /root/onstart.sh
  touch /root/hasbooted
) &

while :; do
  sleep infinity &
  wait $!
done
