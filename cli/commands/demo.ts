/**
 * `vastlane demo`: the whole story on this computer, in a minute, for somebody who knows neither Pulumi nor Vast.
 * It is the real engine, the real providers, real SSH and a market that only has no money in it; everything lives in
 * `.vastlane/demo` and ends with the demo.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { writeFileAtomic } from "../../common/files.ts";
import { type EmulatorClient, emulatorClient, startEmulator, stopEmulator } from "../../emulator/index.ts";
import { findProjectRoot } from "../../infra/project.ts";
import { runSsh } from "../../infra/ssh/shell.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { demoEngine } from "../demo-engine.ts";
import { readOptions } from "../options.ts";
import { openMarket, resolveTarget } from "../session.ts";
import { stackMachines } from "../stack-machines.ts";
import { usd } from "../table.ts";

/** What `.vastlane/demo.json` holds. The preemption fields stay null until a run can move to another machine. */
export interface DemoResult {
  ok: boolean;
  engine: string;
  seconds: { total: number; upToFirstStep: number; recovery: number | null };
  preemptions: number | null;
  stepAtPreemption: number | null;
  finalStep: number | null;
  bitExact: boolean | null;
  costUsd: number;
  contractsAfter: number;
  billingPerHourAfter: number;
}

export const command: Command = {
  name: "demo",
  summary: "rent, train, look and destroy on the emulated market: free, no account, a minute",
  usage: `vastlane demo [--json]

Writes .vastlane/demo.json; --json prints it as well. Everything it starts has ended when it ends.`,
  run: (args, io) => demo(args, io),
};

const STACK = "local";

async function demo(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("demo", args, { json: { type: "boolean" } });
  const root = findProjectRoot(io.cwd);
  const result = join(root, ".vastlane", "demo.json");
  const folder = join(root, ".vastlane", "demo");
  const say = (text: string) => (values.json ? io.stderr(`${text}\n`) : io.stdout(`${text}\n`));
  // State, market and machines of their own: a person's own `local` stack is left alone.
  process.env.VASTLANE_STATE_DIR = folder;
  process.env.VASTLANE_SSH_CONFIG = "off";
  const world: Io = {
    ...io,
    env: {
      ...io.env,
      VASTLANE_STATE_DIR: folder,
      VASTLANE_SSH_CONFIG: "off",
      VAST_URL: "",
      VASTLANE_EMULATOR_HOME: undefined,
    },
  };
  const home = join(folder, "emulator");
  await endEarlierDemo(folder, home, world, say);
  rmSync(result, { force: true });
  try {
    const told = await tell({ root, home, say, io: world });
    writeFileAtomic(result, `${JSON.stringify(told, null, 2)}\n`);
    if (values.json) io.stdout(`${JSON.stringify(told)}\n`);
    return told.ok ? EXIT.done : EXIT.failure;
  } finally {
    await stopEmulator(home);
  }
}

interface Stage {
  root: string;
  home: string;
  say(text: string): void;
  io: Io;
}

async function tell({ root, home, say, io }: Stage): Promise<DemoResult> {
  const started = io.clock.now();
  const since = (from: number) => Math.round((io.clock.now() - from) / 100) / 10;
  const quiet = (line: string) => say(`      ${line}`);

  const engine = await demoEngine(STACK, root, dirname(home), io);
  if (engine.warning) say(engine.warning);
  say("vastlane rents GPUs as code. This demo does it on a market inside this computer: nothing costs money.\n");
  await startEmulator({
    home,
    calm: true,
    loadingSeconds: 1,
    binds: [{ from: join(root, "node_modules"), to: "/opt/vastlane/node_modules" }],
  });
  const market = emulatorClient(home);
  const { offers, mode } = await market.status();
  say(
    `1/5  A marketplace with ${offers} GPU machines is open. A rented one is a real SSH server${mode === "plain" ? "" : " in a sandbox of its own"}.`,
  );

  say("2/5  `up`: rent the best machine for Pulumi.local.yaml, send the project, start experiments/bigram.ts.");
  const upStarted = io.clock.now();
  await engine.up(quiet);
  const session = await openMarket(STACK, io);
  const [machine] = await stackMachines(session, io);
  if (!machine)
    throw new UserError("VL_NOT_FOUND", { what: "the demo rented nothing", hint: "report this with the lines above" });
  say(`     It runs: ${machine.gpu} in ${machine.geolocation}, ${usd(machine.pricePerHourRunning)} per hour.`);

  say("3/5  The training's own words, over SSH:");
  const target = await resolveTarget(STACK, machine.name ?? "main", io);
  const remote = async (shell: string) =>
    (await runSsh(target, shell, { timeoutMs: 30_000, signal: io.signal })).stdout.trim();
  await untilLine(remote, /step \d+/, io);
  const upToFirstStep = since(upStarted);
  for (const line of (await remote(`head -n 3 ${OUTPUT}`)).split("\n")) say(`       ${line}`);
  say(`     (${upToFirstStep} s from \`up\` to the first step)`);

  const last = await untilLine(remote, /^done|failed|gave up/m, io);
  const finalStep = Number(/(\d+) steps/.exec(last)?.[1] ?? /step (\d+)/.exec(last)?.[1] ?? Number.NaN);
  say("4/5  ssh vastlane-local 'hostname; tail -n 1 output.log'");
  say(`       ${await remote("hostname")}`);
  say(`       ${await remote(`tail -n 1 ${OUTPUT}`)}`);

  say("5/5  `destroy`: end the machine, and ask the market whether anything still bills.");
  await engine.destroy(quiet);
  const { billingPerHour, contracts: left } = await market.status(); // of the whole market, not only of the stack
  const costUsd = await billOf(market);
  const total = since(started);
  const ok = left === 0 && billingPerHour === 0 && Number.isFinite(finalStep);
  say(
    `\nThe bill: ${usd(costUsd)} for one machine (emulated dollars). Machines left: ${left}. Billing now: ${usd(billingPerHour)}/h.`,
  );
  say(
    `${ok ? "Done" : "Not as it should be"} in ${total} s with ${engine.warning ? "no engine" : engine.name.replace("pulumi", "Pulumi")}. Next: README.md, "From the demo to a real account".`,
  );
  return {
    ok,
    engine: engine.name,
    seconds: { total, upToFirstStep, recovery: null },
    preemptions: null,
    stepAtPreemption: null,
    finalStep: Number.isFinite(finalStep) ? finalStep : null,
    bitExact: null,
    costUsd,
    contractsAfter: left,
    billingPerHourAfter: billingPerHour,
  };
}

const OUTPUT = `"\${VASTLANE_WORKSPACE:-/workspace}/logs/output.log"`;
const PATIENCE_MS = 60_000;

/** Polls the log until a line matches; returns the last matching line. @throws UserError when none comes in a minute */
async function untilLine(remote: (shell: string) => Promise<string>, wanted: RegExp, io: Io): Promise<string> {
  const deadline = io.clock.now() + PATIENCE_MS;
  for (;;) {
    const lines = (await remote(`tail -n 20 ${OUTPUT} 2>/dev/null || true`))
      .split("\n")
      .filter((line) => wanted.test(line));
    const line = lines.at(-1);
    if (line !== undefined) return line;
    if (io.clock.now() > deadline) {
      throw new UserError("VL_NOT_READY", {
        what: `the training did not print ${wanted} within ${PATIENCE_MS / 1000} s`,
        why: await remote(`tail -n 5 ${OUTPUT} 2>&1`),
        hint: "run the demo again; if it persists, report it with these lines",
      });
    }
    await io.clock.sleep(200, io.signal);
  }
}

/** What the market has charged, to the second. */
async function billOf(market: EmulatorClient): Promise<number> {
  const contracts = await market.contracts();
  return Math.round(contracts.reduce((sum, { costUsd }) => sum + costUsd, 0) * 1e6) / 1e6;
}

/** A demo that was killed may have left its market and machines: they end before a new one begins. */
async function endEarlierDemo(folder: string, home: string, io: Io, say: (text: string) => void): Promise<void> {
  if (!existsSync(folder)) return;
  if (await stopEmulator(home, io.clock)) say("(an earlier demo was still running: its market has been stopped)\n");
  // All of it is emulated and belongs to the demo alone.
  rmSync(folder, { recursive: true, force: true });
}
