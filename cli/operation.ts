/**
 * What `up`, `destroy`, `refresh` and `preview` have in common: the stack, its recovery after a kill, one run of the
 * engine, and its failures in our words.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { messageOf, UserError } from "../common/errors.ts";
import { parseConfig, type StackConfig } from "../infra/config.ts";
import { environmentOf, findProjectRoot, stateFolder } from "../infra/project.ts";
import { operationLog } from "../infra/vast/handler-context.ts";
import type { Io } from "./command.ts";
import { type Engine, ensureLocalStack, pulumiEnv, resolveEngine } from "./engine.ts";
import { type EngineResult, runEngine } from "./engine-run.ts";
import { recoverStack } from "./recovery.ts";

export interface Operation {
  root: string;
  stateDir: string;
  stack: string;
  config: StackConfig;
  engine: Engine;
  env: Record<string, string>;
  io: Io;
}

/** The stack that a command without --stack means. */
export function defaultStack(env: Io["env"]): string {
  return env.VASTLANE_STACK ?? env.PULUMI_STACK ?? "local";
}

/** The stack's configuration as its file says. @throws UserError VL_BAD_CONFIG, VL_NOT_FOUND */
export function readStackConfig(root: string, stack: string): StackConfig {
  const prefix = "vastlane:";
  const entries = Object.entries(readStackFile(root, stack)).filter(([key]) => key.startsWith(prefix));
  return parseConfig(
    Object.fromEntries(entries.map(([key, value]) => [key.slice(prefix.length), value])),
    `Pulumi.${stack}.yaml`,
  );
}

/** The stack's configuration as the engine hands it to the program: every value a text. */
export function configTexts(root: string, stack: string): Record<string, string> {
  const entries = Object.entries(readStackFile(root, stack));
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}

function readStackFile(root: string, stack: string): Record<string, unknown> {
  const file = `Pulumi.${stack}.yaml`;
  let text: string;
  try {
    text = readFileSync(join(root, file), "utf8");
  } catch (cause) {
    throw new UserError("VL_NOT_FOUND", {
      what: `there is no stack ${stack}`,
      why: `${file} does not exist in ${root}`,
      hint: "copy Pulumi.dev.yaml to it, or name another stack with --stack",
      cause,
    });
  }
  try {
    return (parse(text) as { config?: Record<string, unknown> } | null)?.config ?? {};
  } catch (cause) {
    throw new UserError("VL_BAD_CONFIG", { what: `${file} is not valid YAML`, why: messageOf(cause), cause });
  }
}

/**
 * Everything that must be true before the engine may run: the configuration is right, the engine is there, nobody
 * else holds the stack, and nothing of a killed run is left that could still rent.
 */
export async function openOperation(stack: string, io: Io): Promise<Operation> {
  const root = findProjectRoot(io.cwd);
  const config = readStackConfig(root, stack);
  const options = { env: io.env, root };
  const note = (line: string) => io.stderr(`${line}\n`);
  const [engine] = await Promise.all([
    resolveEngine({ ...options, log: note, signal: io.signal }),
    recoverStack(stack, root, io, note),
  ]);
  if (config.market === "emulator") await ensureLocalStack({ ...options, stack });
  const forPlugins = config.checkpoint.store === "aws" ? awsVariables(root, io.env) : {};
  const all = { ...forPlugins, ...pulumiEnv(stack, options) };
  return { root, stateDir: stateFolder(root), stack, config, engine, env: all, io };
}

/** The plugin of `@pulumi/aws` knows nothing of `.env`. */
function awsVariables(root: string, env: Io["env"]): Record<string, string> {
  const entries = Object.entries(environmentOf(root, env as NodeJS.ProcessEnv));
  return Object.fromEntries(entries.filter(([name]) => name.startsWith("AWS_"))) as Record<string, string>;
}

/**
 * Makes the stack in the person's back end where it is not there yet, so that the first `up` is one command.
 * @throws UserError VL_PULUMI_FAILED when the person has to log in or to give a passphrase first.
 */
export async function makeStack({ engine, env, root, stack }: Operation): Promise<void> {
  const { execa } = await import("execa");
  const { failed, all } = await execa(engine.path, ["stack", "init", stack, "--no-select", "--non-interactive"], {
    cwd: root,
    env,
    extendEnv: false,
    stdin: "ignore",
    all: true,
    reject: false,
  });
  // That it is there already is fine, and whatever else is wrong the operation that follows meets, too.
  if (failed && hintFor(all, stack)) throw failureOf({ errors: [], output: all }, "stack init", stack);
}

/** Machines are waited for, not computed: the engine's default (four per core) would make ten of them queue. */
const PARALLEL = "64";

/** Brings the stack to what its configuration says: `up`, the watcher and the demo do the same. */
export function bringUp(operation: Operation, onProgress?: (line: string) => void): Promise<EngineResult> {
  return operate(operation, ["up", "--yes", "--skip-preview", "--parallel", PARALLEL], onProgress);
}

/** Runs `pulumi VERB` and prints progress to stderr. @throws UserError VL_PULUMI_FAILED, VL_CANCELLED or the provider's own. */
export async function operate(
  operation: Operation,
  args: string[],
  onProgress = defaultProgress(operation.io),
): Promise<EngineResult> {
  const { stack, io, root, env, engine } = operation;
  const logFile = operationLog(operation.stateDir, stack);
  const run = (verbAndFlags: string[]) =>
    runEngine({
      program: engine.path,
      args: [...verbAndFlags, "--stack", stack],
      env,
      cwd: root,
      logFile,
      io,
      onProgress,
    });
  const result = await run(args);
  // Half-done creates of a killed run: what they rented was adopted or swept by label, so the note in the state goes.
  if (result.hasPendingOperations && result.code === 0 && args[0] !== "preview") {
    await run(["refresh", "--yes", "--skip-preview", "--clear-pending-creates"]);
  }
  if (result.isInterrupted) throw interrupted(args[0] ?? "pulumi", stack);
  if (result.code !== 0) throw failureOf(result, args[0] ?? "pulumi", stack);
  return result;
}

function defaultProgress(io: Io): (line: string) => void {
  return (line) => io.stderr(`  ${line}\n`);
}

/** What Ctrl-C left, and how to go on from there. */
export function interrupted(verb: string, stack: string): UserError {
  const up = `\`vastlane up --stack ${stack}\``;
  const destroy = `\`vastlane destroy --stack ${stack}\``;
  const left: Record<string, [why: string, hint: string]> = {
    up: ["whatever was rented so far is recorded and bills", `${up} goes on, ${destroy} ends it`],
    destroy: ["whatever is not destroyed yet still bills", `${destroy} goes on`],
  };
  const [why, hint] = left[verb] ?? ["nothing was rented or destroyed", "run the command again"];
  return new UserError("VL_CANCELLED", { what: `${verb} was interrupted`, why, hint });
}

/** Our own error, where the engine carries one, else what the engine said. */
export function failureOf(result: Pick<EngineResult, "errors" | "output">, verb: string, stack: string): UserError {
  const errors = result.errors.filter((text) => !/^update failed|^\s*$/.test(text));
  const ours = new Map(errors.flatMap((text) => parseOurs(text) ?? []).map((error) => [error.message, error]));
  const [first, ...others] = ours.values();
  if (first) return others.length === 0 ? first : withOthers(first, others);
  const said = errors.length > 0 ? errors : [result.output.trim().split("\n").slice(-15).join("\n")];
  const text = said.map((it) => it.trim()).join("\n");
  return new UserError("VL_PULUMI_FAILED", {
    what: `pulumi ${verb} failed`,
    why: text,
    hint: hintFor(text, stack) ?? "run the command again; nothing is rented twice",
  });
}

/** Each machine of a stack can fail in its own way, and each may have left one that bills. */
function withOthers(first: UserError, others: readonly UserError[]): UserError {
  const lines = [first.why, ...others.map(({ code, what }) => `also ${code}: ${what}`)];
  return new UserError(first.code, {
    what: first.what,
    why: lines.filter((line) => line !== undefined).join("\n"),
    ...(first.hint !== undefined && { hint: first.hint }),
  });
}

function hintFor(text: string, stack: string): string | undefined {
  return BACK_END_HINTS.find(([sign]) => sign.test(text))?.[1](stack);
}

/** Refusals before anything was done, in the engine's own words (3.259.0). Nothing but the hint hangs on them. */
const BACK_END_HINTS: [RegExp, (stack: string) => string][] = [
  [
    /PULUMI_ACCESS_TOKEN must be set/,
    () => "choose where Pulumi keeps its state: npx pulumi login (Pulumi Cloud), or npx pulumi login --local",
  ],
  [/no stack named/, (stack) => `make it, once: npx pulumi stack init ${stack}`],
  [
    /passphrase must be set/,
    () => "export PULUMI_CONFIG_PASSPHRASE=... (a text of your choice; keep it: it protects secrets in the state)",
  ],
  [
    /install resource plugin 'pulumi-resource-aws'/,
    () =>
      "connect to the network, once: Pulumi fetches that plugin; or set vastlane:checkpoint.store to s3, which makes the same bucket on AWS without it",
  ],
  [/incorrect passphrase/, () => "export PULUMI_CONFIG_PASSPHRASE=... as it was when the stack was made"],
];

/** Reads the text of a UserError back out of an engine message. */
export function parseOurs(text: string): UserError | undefined {
  const start = text.search(/\bVL_[A-Z_]+: /);
  if (start < 0) return undefined;
  const [, code = "", rest = ""] = /^(VL_[A-Z_]+): ([\s\S]*)$/.exec(text.slice(start)) ?? [];
  const [, what = rest, why, hint] =
    /^([\s\S]*?)(?:\n {2}why: ([\s\S]*?))?(?:\n {2}do: {2}([\s\S]*?))?$/.exec(rest.trim()) ?? [];
  return new UserError(code as UserError["code"], {
    what: what.trim(),
    ...(why && { why: why.replaceAll("\n       ", "\n") }),
    ...(hint && { hint: hint.split("\n")[0] ?? hint }),
  });
}
