/** `vastlane logs`: what the training command prints, read from the machine; `-f` follows it through reconnects. */
import { UserError } from "../../common/errors.ts";
import { runSsh } from "../../infra/ssh/shell.ts";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { type Command, EXIT, type Io } from "../command.ts";
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
    const log: LogFile = {
      file: values.agent ? ".vastlane/agent.log" : "logs/output.log",
      find: () => resolveTarget(stack, values.node ?? "main", io),
      io,
    };
    try {
      const { text, position, state } = await readLog(log, lines);
      io.stdout(text);
      if (text === "" && state === "idle" && !values.agent) {
        io.stderr("Nothing was started on this machine: vastlane:experiment has no command.\n");
        return EXIT.done;
      }
      return values.follow ? await follow(log, position, state) : EXIT.done;
    } catch (error) {
      if (io.signal.aborted) return EXIT.interrupted; // Ctrl-C is how following ends
      throw error;
    }
  },
};

interface LogFile {
  /** Below the workspace. */
  file: string;
  find(): Promise<SshTarget>;
  io: Io;
}

interface Part {
  text: string;
  /** Bytes of the file that have been read. */
  position: number;
  /** The agent's, as its heartbeat says. */
  state: string;
}

const POLL_MS = 700;
const RETRY_MS = 5000;
/** What ends by itself: a machine that boots, is outbid or is being replaced, a market that has a bad minute. */
const PASSING = new Set(["VL_SSH_FAILED", "VL_NOT_FOUND", "VL_MARKET_DOWN", "VL_MARKET_UNREADABLE"]);

/** The last lines. @throws UserError VL_NOT_FOUND */
async function readLog({ file, find, io }: LogFile, lines: number): Promise<Part> {
  const first = await runSsh(await find(), lastLines(file, lines), { timeoutMs: 30_000, signal: io.signal });
  const part = parse(first.stdout);
  if (part) return part;
  throw new UserError("VL_NOT_FOUND", {
    what: `the machine has no ${file} yet`,
    hint: "has the command been started? see `vastlane logs --agent`",
  });
}

/** Prints what is new until the command has ended. A machine that is lost is looked up again: it may be another one. */
async function follow({ file, find, io }: LogFile, from: number, firstState: string): Promise<number> {
  let at = from;
  let state = firstState;
  let target = await find();
  let isLost = false;
  while (state !== "done" && state !== "failed" && state !== "stopped") {
    await io.clock.sleep(isLost ? RETRY_MS : POLL_MS, io.signal);
    try {
      if (isLost) {
        const found = await find();
        if (found.contractId !== target.contractId) at = 0; // its log begins anew
        target = found;
      }
      const next = await runSsh(target, newBytes(file, at), { timeoutMs: 30_000, signal: io.signal });
      const part = parse(next.stdout);
      if (isLost) io.stderr("connected again\n");
      isLost = false;
      if (!part) continue; // the file is not there yet
      io.stdout(part.text);
      [at, state] = [part.position, part.state];
    } catch (error) {
      if (io.signal.aborted || !(error instanceof UserError) || !PASSING.has(error.code)) throw error;
      if (!isLost) io.stderr(`${error.what}; trying again (Ctrl-C ends)\n`);
      isLost = true;
    }
  }
  return state === "failed" ? EXIT.failure : EXIT.done;
}

const ROOT = `w="\${VASTLANE_WORKSPACE:-/workspace}"`;
/** After the text: a line with the file's size and the agent's state, so that one connection answers everything. */
const TRAILER = `; printf '\\n\\036%s %s\\n' "$size" "$(sed -n 's/.*"state": *"\\([a-z]*\\)".*/\\1/p' "$w/.vastlane/heartbeat.json" 2>/dev/null)"`;

function lastLines(file: string, lines: number): string {
  return `${ROOT}; f="$w/${file}"; [ -f "$f" ] || exit 3; size=$(wc -c < "$f"); head -c "$size" "$f" | tail -n ${lines}${TRAILER}`;
}

function newBytes(file: string, position: number): string {
  // Smaller than before: the log was rotated, begin again.
  return `${ROOT}; f="$w/${file}"; [ -f "$f" ] || exit 3; size=$(wc -c < "$f"); p=${position}; [ "$size" -ge "$p" ] || p=0; tail -c +$((p+1)) "$f" | head -c $((size-p))${TRAILER}`;
}

/** Undefined when the file was not there. */
function parse(output: string): Part | undefined {
  const end = output.lastIndexOf("\n\u001e");
  if (end < 0) return undefined;
  const [size = "0", state = ""] = output
    .slice(end + 2)
    .trim()
    .split(" ");
  return { text: output.slice(0, end), position: Number(size), state };
}
