/** `vastlane watch`: brings runs back after a preemption; looks at the market and the store, and runs `up` where needed. */
import { UserError } from "../../common/errors.ts";
import { findProjectRoot, stateFolder } from "../../infra/project.ts";
import { readScopes } from "../../infra/vast/scopes.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { projectName } from "../engine.ts";
import { readOptions } from "../options.ts";
import { type WatchEvent, watchStacks } from "../watch/loop.ts";
import { sharedListing, watchedStack } from "../watch/stack.ts";

export const command: Command = {
  name: "watch",
  summary: "keep runs alive: replace machines that were preempted, outbid or lost",
  usage: `vastlane watch [--stack NAME]... [--once] [--every SECONDS] [--json]

  --stack NAME  a stack to watch, may be repeated (default: every stack that this computer has brought up)
  --once        look once, repair what is lost, and end (for cron and CI; exit code 1: something is not right)
  --every S     seconds between two looks at the market (default 10, the market's documented limit)
  --json        one JSON object a line: { time, stack, event, machine, contractId, step, text }

A machine is replaced on two signs: the market says that it does not run, and its agent has fallen silent in the
store. It ends by itself when the runs have ended, and with Ctrl-C; what is rented then stays as it is.

Examples:
  vastlane watch --stack dev
  */5 * * * * cd ~/project && npx vastlane watch --once`,
  run: (args, io) => watch(args, io),
};

async function watch(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("watch", args, {
    stack: { type: "string", multiple: true },
    once: { type: "boolean" },
    every: { type: "string" },
    json: { type: "boolean" },
  });
  const seconds = Number(values.every ?? 10);
  if (!(seconds >= 1))
    throw new UserError("VL_USAGE", {
      what: `--every wants seconds, at least 1, not ${values.every}`,
      hint: "vastlane watch --every 10",
    });
  const stacks = values.stack ?? knownStacks(io);
  if (stacks.length === 0)
    throw new UserError("VL_NOT_FOUND", {
      what: "there is nothing to watch",
      why: "no stack of this project was brought up from this computer",
      hint: "name one with --stack, or bring one up: vastlane up",
    });
  const everyMs = seconds * 1000;
  const listing = sharedListing(io, everyMs);
  const progress = (stack: string, line: string) => io.stderr(`  ${stack}: ${line}\n`);
  if (!values.json && !values.once)
    io.stderr(`Watching ${stacks.join(", ")} (Ctrl-C ends the watch, not the machines).\n`);
  const isWell = await watchStacks(
    stacks.map((stack) => watchedStack(stack, io, listing, progress)),
    {
      clock: io.clock,
      signal: io.signal,
      everyMs,
      soonMs: 1000,
      once: values.once === true,
      tell: (event) => io.stdout(values.json ? `${JSON.stringify(event)}\n` : `${describe(event)}\n`),
    },
  );
  if (io.signal.aborted) return EXIT.interrupted;
  return isWell ? EXIT.done : EXIT.failure;
}

function knownStacks(io: Io): string[] {
  const root = findProjectRoot(io.cwd);
  const project = projectName(root);
  const ours = Object.values(readScopes(stateFolder(root))).filter((it) => it.project === project);
  return [...new Set(ours.map(({ stack }) => stack))].sort();
}

function describe({ time, stack, machine, contractId, step, text }: WatchEvent): string {
  const which = machine === null || machine === "main" ? stack : `${stack}/${machine}`;
  const contract = contractId === null ? "" : ` (contract ${contractId}${step === null ? "" : `, step ${step}`})`;
  return `${time.slice(11, 19)} ${which}${contract}: ${text}`;
}
