# Tells a push what this machine is and what lies on it; then holds the connection open until stdin ends.
# The first line of stdin says how many bytes the list of paths has that follows (each path ended by a NUL).
W=${VASTLANE_WORKSPACE:-/workspace}
S=$W/.vastlane
echo "@probe"
read -r size || exit 1
mkdir -p "$W/project" "$W/logs" "$W/persistent/checkpoints" "$S" || exit 1
sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
stats() {
  # GNU and BusyBox, else BSD: mtime, size, mode in hexadecimal with the kind of file, name
  if stat -c %Y / >/dev/null 2>&1; then xargs -0 stat -c '%Y %s %f %n' --; else xargs -0 stat -f '%m %z %Xp %N' --; fi
}
echo "workspace $W"
echo "now $(date +%s)"
echo "free $(df -Pk "$W" | sed -n '2s/^.* \([0-9][0-9]*\)  *[0-9][0-9]*% .*$/\1/p')"
command -v rsync >/dev/null && echo "rsync $(rsync --version 2>/dev/null | sed -n '1s/.*version \([0-9][0-9.]*\).*/\1/p')"
echo "store ${VASTLANE_EMULATOR_S3:-}"
(cd "$S" && sums ./*.mjs env secrets.env store.json 2>/dev/null | sed 's|\./||; s/^/state /')
echo "@run"
cat "$S/run.json" 2>/dev/null && echo
echo "@manifest"
# The second is of a push that was cut off while it placed files.
cat "$S/manifest" "$S/manifest.next" 2>/dev/null
echo "@files"
cd "$W/project" || exit 1
{
  head -c "$size"
  cat "$S/manifest" "$S/manifest.next" 2>/dev/null | sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* //' | tr '\n' '\0'
} | stats 2>/dev/null
echo "@end"
exec cat >/dev/null
