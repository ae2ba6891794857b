# Takes a push: an archive on stdin with project/ (files), state/ (ours) and plan/ (what else to do). Every file is
# whole or as it was, at whatever moment this is killed: the archive is unpacked aside, then linked into place.
# Argument: restart, or keep (the agent goes on if it runs).
W=${VASTLANE_WORKSPACE:-/workspace}
S=$W/.vastlane
IN=$S/incoming
umask 022
step() { echo "@step $1"; }
die() { echo "$*" >&2; exit 1; }

step lock
exec 9>"$S/lock" || exit 1
# What has arrived goes on without the one who sent it: a lost connection must not stop an installation half-way.
if command -v flock >/dev/null && ! flock -n 9; then
  echo "an earlier push is still at work on this machine; waiting for it"
  flock -w 900 9 || die "it has not ended for 15 minutes (process $(cat "$S/push.pid"))"
fi
echo $$ >"$S/push.pid"

step receive
rm -rf "$IN" && mkdir -m 700 "$IN" || exit 1
tar -xzopf - -C "$IN" || die "the archive did not arrive whole"
[ -f "$IN/plan/complete" ] || die "the archive was cut"

step place
# From here on a file may be of either push; the next one must know both.
cp -f "$IN/plan/manifest" "$S/manifest.next" || exit 1
cd "$W/project" || exit 1
if [ -s "$IN/plan/aside" ]; then
  export aside="$S/replaced/$(date +%Y-%m-%dT%H-%M-%S)"
  xargs -0 sh -c 'for path; do mkdir -p "$aside/$(dirname "$path")" && cp -pP "$path" "$aside/$path" || exit 1; done' sh \
    <"$IN/plan/aside" || exit 1
  echo "@aside $aside"
fi
if [ -s "$IN/plan/remove" ]; then
  xargs -0 rm -f -- <"$IN/plan/remove" || exit 1
  xargs -0 sh -c 'for path; do rmdir -p "$(dirname "$path")" 2>/dev/null; done; :' sh <"$IN/plan/remove"
fi
# Links, not copies: nothing is written twice, and each name changes from the old file to the new one at once.
for from in "$IN/project" "$S/bulk"; do
  [ -d "$from" ] || continue
  cp -RlfP "$from/." . 2>/dev/null || cp -RpfP "$from/." . || exit 1
done
# A run that no longer has a store must not find the old one's keys.
[ -f "$IN/state/store.json" ] || rm -f "$S/store.json"
for path in "$IN"/state/* "$IN"/state/.[!.]*; do
  [ ! -f "$path" ] || mv -f "$path" "$S/" || exit 1
done
mv -f "$S/manifest.next" "$S/manifest" || exit 1
rm -rf "$IN" "$S/bulk"

step shell
touch "$HOME/.no_auto_tmux" 2>/dev/null
line="[ ! -r '$S/profile.sh' ] || . '$S/profile.sh' # vastlane"
# First in the file: many a .bashrc returns at once in a shell that is not interactive. Links and modes stay.
hook() {
  grep -qsF "$line" "$1" && return
  { echo "$line"; [ ! -f "$1" ] || cat "$1"; } >"$S/hook.new" && cat "$S/hook.new" >"$1"
  rm -f "$S/hook.new"
}
hook "$HOME/.bashrc"
hook "$HOME/.profile"
for file in "$HOME/.bash_profile" "$HOME/.bash_login"; do [ ! -f "$file" ] || hook "$file"; done
case ${SHELL:-} in *zsh) hook "$HOME/.zshenv" ;; esac
[ -n "${VASTLANE_PLAIN:-}" ] || [ ! -w /etc/profile.d ] || echo "$line" >/etc/profile.d/vastlane.sh
. "$S/profile.sh"

step dependencies
sh "$S/install_deps.sh" 9>&- || exit 1

step agent
if [ "$1" = restart ]; then sh "$S/start.sh" --restart 9>&-; else sh "$S/start.sh" 9>&-; fi || exit 1
step done
