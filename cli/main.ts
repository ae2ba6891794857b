/**
 * The CLI's entry: finds the command, gives it the world (`Io`), prints what it throws, and sets the exit code.
 * Commands are loaded when they are called, so that `ssh-proxy` starts as fast as Node does.
 */
import { systemClock } from "../common/clock.ts";
import { UserError } from "../common/errors.ts";
import { nearest } from "../common/nearest.ts";
import { findProjectRoot, stateFolder } from "../infra/project.ts";
import { type Command, EXIT, type Io } from "./command.ts";

/** Every command and the module that has it, in the order of the help text. */
const COMMANDS: Record<string, () => Promise<{ command: Command }>> = {
  demo: () => import("./commands/demo.ts"),
  up: () => import("./commands/up.ts"),
  preview: () => import("./commands/preview.ts"),
  destroy: () => import("./commands/destroy.ts"),
  refresh: () => import("./commands/refresh.ts"),
  status: () => import("./commands/status.ts"),
  ssh: () => import("./commands/ssh.ts"),
  logs: () => import("./commands/logs.ts"),
  checkpoints: () => import("./commands/checkpoints.ts"),
  offers: () => import("./commands/offers.ts"),
  doctor: () => import("./commands/doctor.ts"),
  env: () => import("./commands/env.ts"),
  watch: () => import("./commands/watch.ts"),
  emulator: () => import("./commands/emulator.ts"),
  "ssh-config": async () => ({ command: (await import("./commands/ssh-config.ts")).sshConfigCommand }),
  "ssh-proxy": async () => {
    const [{ sshProxyCommand }, { resolveHost }] = await Promise.all([
      import("./commands/ssh-proxy.ts"),
      import("./session.ts"),
    ]);
    return { command: sshProxyCommand({ resolveHost, stateDir }) };
  },
  "known-hosts": async () => ({ command: (await import("./commands/known-hosts.ts")).knownHostsCommand({ stateDir }) }),
};

/** The project's `.vastlane`, for the commands that OpenSSH calls from anywhere. */
const stateDir = (io: Io) => stateFolder(findProjectRoot(io.cwd));

/** Called by OpenSSH, not by people: left out of the help text. */
const HIDDEN = new Set(["ssh-proxy", "known-hosts"]);

export async function main(argv: readonly string[], world: Io): Promise<number> {
  const { io, rest } = globalFlags(argv, world);
  const [name, ...args] = rest;
  try {
    if (name === undefined || name === "help" || name === "--help" || name === "-h") return await help(args[0], io);
    const command = await load(name);
    if (ownFlags(args).some((arg) => arg === "--help" || arg === "-h")) {
      io.stdout(`${command.summary}\n\n${command.usage}\n`);
      return EXIT.done;
    }
    return await command.run(args, io);
  } catch (error) {
    return report(error, name, args, io);
  }
}

/** What stands behind `--` is for the program that the command starts. */
function ownFlags(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end < 0 ? args : args.slice(0, end);
}

/** `-C DIR` works as if started there; `--state-dir DIR` says where the project's own files are. */
function globalFlags(argv: readonly string[], world: Io): { io: Io; rest: readonly string[] } {
  let io = world;
  let rest = argv;
  while ((rest[0] === "-C" || rest[0] === "--state-dir") && rest[1] !== undefined) {
    if (rest[0] === "-C") io = { ...io, cwd: rest[1] };
    else process.env.VASTLANE_STATE_DIR = rest[1];
    rest = rest.slice(2);
  }
  return { io, rest };
}

async function load(name: string): Promise<Command> {
  const find = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (find) return (await find()).command;
  const visible = Object.keys(COMMANDS).filter((known) => !HIDDEN.has(known));
  const near = nearest(name, visible);
  throw new UserError("VL_USAGE", {
    what: `there is no command ${name}`,
    ...(near && { why: `did you mean ${near}?` }),
    hint: "`vastlane help` lists the commands",
  });
}

async function help(name: string | undefined, io: Io): Promise<number> {
  if (name !== undefined) {
    const command = await load(name);
    io.stdout(`${command.summary}\n\n${command.usage}\n`);
    return EXIT.done;
  }
  const rows = await Promise.all(
    Object.keys(COMMANDS)
      .filter((known) => !HIDDEN.has(known))
      .map(async (known) => `  ${known.padEnd(12)} ${(await load(known)).summary}`),
  );
  io.stdout(
    `vastlane: cheap, interruptible GPUs on Vast.ai as code\n\n${rows.join("\n")}\n\nvastlane COMMAND --help explains one.\n`,
  );
  return EXIT.done;
}

/** What a person reads when it went wrong; with --json one object on stdout, so that scripts can tell. */
function report(error: unknown, name: string | undefined, args: readonly string[], io: Io): number {
  const isJson = ownFlags(args).includes("--json") && name !== "ssh-proxy";
  if (error instanceof UserError) {
    if (isJson)
      io.stdout(
        `${JSON.stringify({ error: { code: error.code, what: error.what, why: error.why ?? null, hint: error.hint ?? null } })}\n`,
      );
    io.stderr(`${error.message}\n`);
    if (error.code === "VL_USAGE") return EXIT.usage;
    return error.code === "VL_CANCELLED" ? EXIT.interrupted : EXIT.failure;
  }
  if (io.signal.aborted) return EXIT.interrupted;
  io.stderr(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  io.stderr("This is a fault of vastlane itself: please report it with the lines above.\n");
  return EXIT.failure;
}

/** The real world; two Ctrl-C end the process at once. */
function realIo(): Io {
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (abort.signal.aborted) process.exit(EXIT.interrupted);
      abort.abort(new UserError("VL_CANCELLED", { what: "interrupted", hint: "run the command again" }));
    });
  }
  // `vastlane status | head` is no fault.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(EXIT.done);
      throw error;
    });
  }
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    isTTY: process.stdout.isTTY === true && !process.env.CI,
    env: process.env,
    cwd: process.cwd(),
    signal: abort.signal,
    clock: systemClock,
  };
}

/** Runs this process's own command line; called here, or by bin/vastlane.mjs. */
export async function start(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2), realIo());
}

if (import.meta.main) await start();
