/** `vastlane logs`: what the training command prints, read from the machine; `-f` follows it through reconnects. */
import { UserError } from "../../common/errors.ts";
import { runSsh } from "../../infra/ssh/shell.ts";
import { type Command, EXIT } from "../command.ts";
import { defaultStack } from "../operation.ts";
import { readOptions } from "../options.ts";
import { resolveTarget } from "../session.ts";

export const command: Command = {
  name: "logs",
  summary: "show the training command's output; -f follows it",
  usage: `vastlane logs [--stack NAME] [--node NAME] [-f] [-n LINES] [--agent]

  -f, --follow  keep printing; ends when the command has ended, or with Ctrl-C
  -n LINES      how many lines to begin with (default 100)
  --agent       the agent's own log instead`,
  async run(args, io) {
    const { values } = readOptions("logs", args, {
      stack: { type: "string" },
      node: { type: "string" },
      follow: { type: "boolean", short: "f" },
      lines: { type: "string", short: "n" },
      agent: { type: "boolean" },
    });
    const lines = Number(values.lines ?? 100);
    if (!Number.isInteger(lines) || lines < 0)
      throw new UserError("VL_USAGE", {
        what: `-n wants a number of lines, not ${values.lines}`,
        hint: "vastlane logs -n 50",
      });
    const stack = values.stack ?? defaultStack(io.env);
    const target = await resolveTarget(stack, values.node ?? "main", io);
    const file = values.agent ? ".vastlane/agent.log" : "logs/output.log";
    const first = await runSsh(target, readLog(file, lines), { timeoutMs: 30_000, signal: io.signal });
    const { text, position, state } = parse(first.stdout);
    if (text === "" && first.code !== 0)
      throw new UserError("VL_NOT_FOUND", {
        what: `stack ${stack} has no ${file} yet`,
        hint: "has the command been started? see `vastlane status`",
      });
    io.stdout(text);
    if (!values.follow) return EXIT.done;
    return follow(position, state);

    async function follow(from: number, firstState: string): Promise<number> {
      let at = from;
      let last = firstState;
      while (!io.signal.aborted) {
        if (last === "done" || last === "failed" || last === "stopped")
          return last === "failed" ? EXIT.failure : EXIT.done;
        await io.clock.sleep(700, io.signal).catch(() => undefined);
        if (io.signal.aborted) break;
        const next = await runSsh(target, readFrom(file, at), { timeoutMs: 30_000, signal: io.signal });
        const part = parse(next.stdout);
        io.stdout(part.text);
        [at, last] = [part.position, part.state];
      }
      return EXIT.interrupted;
    }
  },
};

const ROOT = `w="\${VASTLANE_WORKSPACE:-/workspace}"`;
/** After the text: a line with the file's size and the agent's state, so that one connection answers everything. */
const TRAILER = `; printf '\\n\\036%s %s\\n' "$size" "$(sed -n 's/.*"state": *"\\([a-z]*\\)".*/\\1/p' "$w/.vastlane/heartbeat.json" 2>/dev/null)"`;

function readLog(file: string, lines: number): string {
  return `${ROOT}; f="$w/${file}"; [ -f "$f" ] || exit 3; size=$(wc -c < "$f"); head -c "$size" "$f" | tail -n ${lines}${TRAILER}`;
}

function readFrom(file: string, position: number): string {
  // Smaller than before: the log was rotated, begin again.
  return `${ROOT}; f="$w/${file}"; size=$(wc -c < "$f"); p=${position}; [ "$size" -ge "$p" ] || p=0; tail -c +$((p+1)) "$f" | head -c $((size-p))${TRAILER}`;
}

function parse(output: string): { text: string; position: number; state: string } {
  const end = output.lastIndexOf("\n\u001e");
  if (end < 0) return { text: "", position: 0, state: "" };
  const [size = "0", state = ""] = output
    .slice(end + 2)
    .trim()
    .split(" ");
  return { text: output.slice(0, end), position: Number(size), state };
}
