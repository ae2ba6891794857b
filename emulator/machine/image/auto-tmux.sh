# Interactive SSH logins share one tmux session, unless ~/.no_auto_tmux exists (as on Vast.ai).
case $- in
  *i*)
    if [ -n "$SSH_CONNECTION" ] && [ -z "$TMUX" ] && [ ! -e "$HOME/.no_auto_tmux" ] && [ -t 0 ] &&
      command -v tmux >/dev/null 2>&1; then
      exec tmux -u new-session -A -s ssh_tmux
    fi
    ;;
esac
